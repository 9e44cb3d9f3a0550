//! A call in a phone's hand: the dialog with its sockets, retransmissions and audio.

use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub use super::dialog::CallView;

use super::bell::Bell;
use super::dialog::{Dialog, Effect, Key};
use super::log::{Log, Logged, Way};
use super::media::Media;
use super::message::Message;
use super::{Error, PATIENCE};

/// First retransmission interval, milliseconds (RFC 3261 §17.1.1.1).
const T1_MS: u64 = 500;
/// Longest interval of everything but INVITEs, milliseconds (RFC 3261 §17.1.2.2).
const T2_MS: u64 = 4_000;

/// One call of a [`super::Phone`]. Clones are the same call.
#[derive(Debug, Clone)]
pub struct Call {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    number: String,
    dialog: Mutex<Dialog>,
    bell: Bell,
    socket: Arc<StdSocket>,
    log: Arc<Log>,
    media: Media,
}

impl Call {
    pub(super) fn new(
        number: String,
        dialog: Dialog,
        socket: Arc<StdSocket>,
        log: Arc<Log>,
        media: Media,
    ) -> Call {
        Call {
            shared: Arc::new(Shared {
                number,
                dialog: Mutex::new(dialog),
                bell: Bell::new(),
                socket,
                log,
                media,
            }),
        }
    }

    /// The number of the phone whose call this is.
    pub fn number(&self) -> &str {
        &self.shared.number
    }

    /// The call's audio.
    pub fn media(&self) -> &Media {
        &self.shared.media
    }

    /// What is known of the call now.
    pub fn view(&self) -> CallView {
        self.lock().view.clone()
    }

    /// The Call-ID on this phone's wire.
    pub fn call_id(&self) -> String {
        self.lock().call_id.clone()
    }

    /// The INVITE that came in; `None` when this phone is the caller.
    pub fn invite(&self) -> Option<Message> {
        self.lock().invite.clone()
    }

    /// The call's messages on this phone's wire, oldest first.
    pub fn messages(&self) -> Vec<Logged> {
        let id = self.call_id();
        let mut all = self.shared.log.all();
        all.retain(|l| l.message().is_some_and(|m| m.field("Call-ID") == Some(&id)));
        all
    }

    /// Whether any byte sequence of what this call's phone received, SIP, RTP or RTCP, contains
    /// `text`.
    pub fn received_contains(&self, text: &str) -> bool {
        let has = |bytes: &[u8]| {
            bytes
                .windows(text.len().max(1))
                .any(|w| w == text.as_bytes())
        };
        let mut messages = self.shared.log.received();
        messages.retain(|l| has(&l.bytes));
        !messages.is_empty() || self.media().received().iter().any(|p| has(&p.bytes))
    }

    /// Waits until the call is as `wanted` says.
    ///
    /// # Errors
    /// [`Error::TooLate`] after `patience`.
    pub async fn wait(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&CallView) -> bool,
    ) -> Result<CallView, Error> {
        self.shared
            .bell
            .wait(patience, what, || {
                let view = self.view();
                wanted(&view).then_some(view)
            })
            .await
    }

    /// Waits for a 180 or 183.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn ringing(&self) -> Result<CallView, Error> {
        self.wait(PATIENCE, "180 or 183", |v| {
            v.provisional.iter().any(|c| *c == 180 || *c == 183)
        })
        .await
    }

    /// Waits for the final response to the INVITE and returns its code.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn final_code(&self, patience: Duration) -> Result<u16, Error> {
        let view = self
            .wait(patience, "a final response", |v| v.code.is_some())
            .await?;
        Ok(view.code.unwrap_or_default())
    }

    /// Waits until the call is answered and acknowledged.
    ///
    /// # Errors
    /// [`Error::TooLate`], also when the call was refused instead.
    pub async fn answered(&self) -> Result<CallView, Error> {
        self.wait(PATIENCE, "an answer (200 and ACK)", |v| {
            v.code == Some(200) && v.acknowledged
        })
        .await
    }

    /// Waits until the call is over.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn ended(&self, patience: Duration) -> Result<CallView, Error> {
        self.wait(patience, "the end of the call", |v| v.ended)
            .await
    }

    /// Answers a ringing call.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless this phone is a callee that has not answered.
    pub fn accept(&self) -> Result<(), Error> {
        self.wish(Dialog::accept)
    }

    /// Refuses a ringing call.
    ///
    /// # Errors
    /// [`Error::WrongState`] unless this phone is a callee that has not answered.
    pub fn reject(&self, code: u16) -> Result<(), Error> {
        self.wish(|d| d.reject(code))
    }

    /// Gives up as the caller: CANCEL, after the first provisional response (RFC 3261 §9.1).
    ///
    /// # Errors
    /// [`Error::WrongState`] unless this phone is a caller without a final response.
    pub fn cancel(&self) -> Result<(), Error> {
        self.wish(Dialog::cancel)
    }

    /// Hangs up an answered call and waits for the response to the BYE.
    ///
    /// # Errors
    /// [`Error::WrongState`] when the call is not up, [`Error::TooLate`] without a response.
    pub async fn hang_up(&self) -> Result<u16, Error> {
        self.wish(Dialog::bye)?;
        let view = self
            .wait(PATIENCE, "the response to BYE", |v| !v.responses.is_empty())
            .await?;
        Ok(view.responses.last().copied().unwrap_or_default())
    }

    pub(super) fn receive(&self, message: &Message, from: SocketAddr) {
        let effects = self.lock().receive(message, from);
        self.perform(effects);
    }

    pub(super) fn perform(&self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send(bytes, to) => self.send(&bytes, to),
                Effect::Repeat(bytes, to, key) => {
                    self.send(&bytes, to);
                    tokio::spawn(repeat(Arc::downgrade(&self.shared), bytes, to, key));
                }
                Effect::Remote(description) => self.shared.media.set_remote(description),
            }
        }
        self.shared.bell.ring();
    }

    fn wish(
        &self,
        wish: impl FnOnce(&mut Dialog) -> Result<Vec<Effect>, Error>,
    ) -> Result<(), Error> {
        let effects = wish(&mut self.lock())?;
        self.perform(effects);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Dialog> {
        let dialog = &self.shared.dialog;
        dialog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A datagram that the kernel does not take is a lost one: UDP promises no more.
    fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.shared.log.add(Way::Sent, to, bytes);
        let _ = self.shared.socket.send_to(bytes, to);
    }
}

/// Retransmits until the key is no longer open, 64·T1 at most (RFC 3261 §17.1.1.2, §17.1.2.2,
/// §13.3.1.4). Ends with the call's last holder.
async fn repeat(shared: std::sync::Weak<Shared>, bytes: Vec<u8>, to: SocketAddr, key: Key) {
    let Some(mut rings) = shared.upgrade().map(|s| s.bell.follow()) else {
        return;
    };
    let give_up = Instant::now() + Duration::from_millis(64 * T1_MS);
    let mut interval_ms = T1_MS;
    let mut next = Instant::now() + Duration::from_millis(interval_ms);
    loop {
        let rung = timeout_at(next, rings.changed()).await;
        let Some(call) = shared.upgrade().map(|shared| Call { shared }) else {
            return;
        };
        if !call.lock().open.contains(&key) || Instant::now() >= give_up {
            return;
        }
        match rung {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => {
                call.send(&bytes, to);
                interval_ms *= 2;
                // Timer A is not capped (§17.1.1.2); all others are, at T2.
                if key != Key::Invite {
                    interval_ms = interval_ms.min(T2_MS);
                }
                next += Duration::from_millis(interval_ms);
            }
        }
    }
}
