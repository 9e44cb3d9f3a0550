//! What a phone sent and received, byte for byte and with the time: the evidence that demo,
//! scenarios and privacy checks judge by.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::bell::Bell;
use super::message::Message;

/// Most messages one phone keeps; later ones are counted only.
pub const LOG_LIMIT: usize = 10_000;

/// Which way a message went, seen from the phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The phone sent it.
    Sent,
    /// The phone received it.
    Received,
}

/// One SIP message on a phone's wire.
#[derive(Debug, Clone)]
pub struct Logged {
    /// When.
    pub at: Instant,
    /// Sent or received.
    pub way: Way,
    /// The other end.
    pub peer: SocketAddr,
    /// The datagram.
    pub bytes: Vec<u8>,
}

impl Logged {
    /// The message in parts; `None` when it is none.
    pub fn message(&self) -> Option<Message> {
        Message::read(&self.bytes)
    }
}

/// All messages of one phone, oldest first.
#[derive(Debug)]
pub struct Log {
    kept: Mutex<(Vec<Logged>, u64)>,
    bell: Bell,
}

impl Log {
    pub(super) fn new() -> Log {
        Log {
            kept: Mutex::new((Vec::new(), 0)),
            bell: Bell::new(),
        }
    }

    pub(super) fn add(&self, way: Way, peer: SocketAddr, bytes: &[u8]) {
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.0.len() < LOG_LIMIT {
                kept.0.push(Logged {
                    at: Instant::now(),
                    way,
                    peer,
                    bytes: bytes.to_vec(),
                });
            } else {
                kept.1 += 1;
            }
        }
        self.bell.ring();
    }

    /// Everything kept so far.
    pub fn all(&self) -> Vec<Logged> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.clone()
    }

    /// How many messages were not kept because of [`LOG_LIMIT`].
    pub fn not_kept(&self) -> u64 {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).1
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Logged> {
        let mut all = self.all();
        all.retain(|m| m.way == Way::Received);
        all
    }

    /// Waits until a received message satisfies `wanted`, those already there included.
    ///
    /// # Errors
    /// [`super::Error::TooLate`] when none comes within `patience`.
    pub async fn wait_received(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Message) -> bool,
    ) -> Result<Message, super::Error> {
        self.bell
            .wait(patience, what, || {
                self.received()
                    .iter()
                    .filter_map(Logged::message)
                    .find(|m| wanted(m))
            })
            .await
    }
}
