//! A carrier: one UDP socket with any number of phones behind it, told apart by called number
//! and Call-ID as a carrier's switch does.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::AbortHandle;

use super::bell::Bell;
use super::call::Call;
use super::dialog::{Birth, Dialog};
use super::log::{Log, Logged, Way};
use super::media::Media;
use super::message::Message;
use super::sdp::Codec;
use super::{Error, random_hex};

/// Largest datagram UDP carries.
const LARGEST_DATAGRAM: usize = 65_535;
/// Most calls that may wait for [`Phone::next_call`]; further ones are taken but not handed out.
const WAITING_CALLS: usize = 1_024;

/// What a phone does with a call that comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// 180, then 200 at once.
    Answer,
    /// 180, then what the call is told.
    Ring,
    /// This final code at once.
    Reject(u16),
    /// No response at all, to anything.
    Silent,
    /// 180, and 200 when a CANCEL comes: the race of RFC 3261 §9.1.
    AnswerOnCancel,
}

/// How a phone behaves and what it knows.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Codecs by preference, with the payload types this phone's offers give them.
    pub codecs: Vec<Codec>,
    /// What to do with calls that come in.
    pub answering: Answering,
    /// Display name in From; empty for none.
    pub display_name: String,
    /// User part of From and P-Asserted-Identity instead of the phone's number.
    pub shown: Option<String>,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            codecs: vec![
                Codec::new(0, "PCMU/8000"),
                Codec::new(8, "PCMA/8000"),
                Codec::new(101, "telephone-event/8000"),
            ],
            answering: Answering::Answer,
            display_name: String::new(),
            shown: None,
        }
    }
}

/// One SIP socket and the phones behind it. Dropping it closes the socket.
#[derive(Debug)]
pub struct Carrier {
    shared: Arc<Shared>,
    receiver: AbortHandle,
}

/// A number behind a [`Carrier`]. Clones are the same phone.
#[derive(Debug, Clone)]
pub struct Phone {
    inner: Arc<Inner>,
    carrier: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    socket: Arc<StdSocket>,
    local: SocketAddr,
    tables: Mutex<Tables>,
    /// Messages that belong to no phone.
    strays: Log,
}

#[derive(Debug, Default)]
struct Tables {
    /// By called number, without its `+`.
    phones: BTreeMap<String, Arc<Inner>>,
    /// By Call-ID.
    calls: BTreeMap<String, (Call, Arc<Inner>)>,
}

#[derive(Debug)]
struct Inner {
    number: String,
    profile: Mutex<Profile>,
    log: Arc<Log>,
    incoming: Mutex<VecDeque<Call>>,
    bell: Bell,
}

impl Carrier {
    /// Binds a socket on a port the kernel chooses and starts to receive.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub fn bind(ip: IpAddr) -> Result<Carrier, Error> {
        let socket = StdSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        let shared = Arc::new(Shared {
            local: socket.local_addr()?,
            socket: Arc::new(socket.try_clone()?),
            tables: Mutex::default(),
            strays: Log::new(),
        });
        let task = tokio::spawn(receive(UdpSocket::from_std(socket)?, shared.clone()));
        Ok(Carrier {
            shared,
            receiver: task.abort_handle(),
        })
    }

    /// The carrier's SIP address.
    pub fn local(&self) -> SocketAddr {
        self.shared.local
    }

    /// Puts a phone with this number (`+` and digits) behind the carrier.
    pub fn phone(&self, number: &str, profile: Profile) -> Phone {
        let inner = Arc::new(Inner {
            number: number.to_owned(),
            profile: Mutex::new(profile),
            log: Arc::new(Log::new()),
            incoming: Mutex::default(),
            bell: Bell::new(),
        });
        let key = number.trim_start_matches('+').to_owned();
        self.shared.lock().phones.insert(key, inner.clone());
        Phone {
            inner,
            carrier: self.shared.clone(),
        }
    }

    /// Messages that came in for no phone of this carrier.
    pub fn strays(&self) -> Vec<Logged> {
        self.shared.strays.received()
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.receiver.abort();
        // Ends the retransmissions: they live as long as somebody holds the call.
        *self.shared.lock() = Tables::default();
    }
}

impl Phone {
    /// The phone's number.
    pub fn number(&self) -> &str {
        &self.inner.number
    }

    /// Changes how later calls are answered.
    pub fn set_answering(&self, answering: Answering) {
        self.inner.profile().answering = answering;
    }

    /// Calls `number` through `server`: sends the INVITE and returns at once.
    ///
    /// # Errors
    /// When no media ports are free.
    pub fn place(&self, server: SocketAddr, number: &str) -> Result<Call, Error> {
        let (birth, media) = self.carrier.birth(&self.inner, server)?;
        let profile = self.inner.profile().clone();
        let shown = profile.shown.as_ref().unwrap_or(&self.inner.number);
        let identity = format!("<sip:{shown}@{}>", self.carrier.local);
        let from = match profile.display_name.as_str() {
            "" => identity.clone(),
            name => format!("\"{name}\" {identity}"),
        };
        // A carrier vouches for its own numbers (RFC 3325 §9.1).
        let asserted = [("P-Asserted-Identity", identity)];
        let target = format!("sip:{number}@{server}");
        let (dialog, effects) = Dialog::place(birth, &from, &target, &asserted);
        let call = self.carrier.adopt(&self.inner, dialog, media);
        call.perform(effects);
        Ok(call)
    }

    /// Waits for a call to come in that was not handed out yet.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn next_call(&self, patience: Duration) -> Result<Call, Error> {
        let take = || self.inner.incoming().pop_front();
        self.inner.bell.wait(patience, "a call", take).await
    }

    /// All that this phone sent and received.
    pub fn log(&self) -> &Log {
        &self.inner.log
    }

    /// All SIP messages this phone received, oldest first.
    pub fn received_messages(&self) -> Vec<Logged> {
        self.inner.log.received()
    }
}

impl Inner {
    fn profile(&self) -> MutexGuard<'_, Profile> {
        self.profile.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn incoming(&self) -> MutexGuard<'_, VecDeque<Call>> {
        self.incoming.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn birth(&self, phone: &Inner, peer: SocketAddr) -> Result<(Birth, Media), Error> {
        let media = Media::bind(self.local.ip())?;
        let birth = Birth {
            local: self.local,
            peer,
            rtp: media.local(),
            codecs: phone.profile().codecs.clone(),
            secret: random_hex(12)?,
        };
        Ok((birth, media))
    }

    fn adopt(&self, phone: &Arc<Inner>, dialog: Dialog, media: Media) -> Call {
        let id = dialog.call_id.clone();
        let call = Call::new(
            phone.number.clone(),
            dialog,
            self.socket.clone(),
            phone.log.clone(),
            media,
        );
        self.lock().calls.insert(id, (call.clone(), phone.clone()));
        call
    }

    fn dispatch(&self, bytes: &[u8], from: SocketAddr) {
        let Some(message) = Message::read(bytes) else {
            self.strays.add(Way::Received, from, bytes);
            return;
        };
        let id = message.field("Call-ID").unwrap_or_default();
        let known = self.lock().calls.get(id).cloned();
        if let Some((call, phone)) = known {
            phone.log.add(Way::Received, from, bytes);
            call.receive(&message, from);
            return;
        }
        let called = message.called().unwrap_or_default().trim_start_matches('+');
        let phone = self.lock().phones.get(called).cloned();
        match phone {
            Some(phone) if message.method() == Some("INVITE") => {
                phone.log.add(Way::Received, from, bytes);
                self.take(&phone, message, from);
            }
            _ => {
                self.strays.add(Way::Received, from, bytes);
                let code = match message.method() {
                    None | Some("ACK") => return,
                    Some("INVITE") => 404,
                    Some("OPTIONS") => 200,
                    Some(_) => 481,
                };
                let reply = message.answer(code, "stray", &[], None);
                self.strays.add(Way::Sent, from, &reply);
                let _ = self.socket.send_to(&reply, from);
            }
        }
    }

    fn take(&self, phone: &Arc<Inner>, invite: Message, from: SocketAddr) {
        // Without ports or random bytes the phone is as good as silent; the test that waits for
        // its call says so.
        let Ok((birth, media)) = self.birth(phone, from) else {
            return;
        };
        let answering = phone.profile().answering;
        let (dialog, effects) = Dialog::take(birth, invite, answering);
        let call = self.adopt(phone, dialog, media);
        call.perform(effects);
        let mut incoming = phone.incoming();
        if incoming.len() < WAITING_CALLS {
            incoming.push_back(call);
        }
        drop(incoming);
        phone.bell.ring();
    }
}

async fn receive(socket: UdpSocket, shared: Arc<Shared>) {
    let mut buffer = vec![0_u8; LARGEST_DATAGRAM];
    loop {
        // An ICMP error of an earlier send is reported here; the socket stays usable.
        if let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            shared.dispatch(buffer.get(..length).unwrap_or_default(), from);
        }
    }
}
