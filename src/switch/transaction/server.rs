//! Server transactions: INVITE (RFC 3261 §17.2.1 with RFC 6026 §7.1) and the others (§17.2.2).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Effects, LegRef, TxId};
use crate::sip::{Builder, Built, Header, Message, Method, NameAddr};
use crate::switch::event::Flow;
use crate::switch::timers::{Deadlines, Owner, SPAN_US, T1_US, T2_US, T4_US, Timer, doubled};

/// Where a server transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ServerState {
    /// No final response yet.
    Proceeding,
    /// A final response went out; for an INVITE, one that is not 2xx and has no ACK yet.
    Completed,
    /// The ACK of a failed INVITE came.
    Confirmed,
    /// A 2xx to an INVITE went out; its user retransmits it (RFC 6026).
    Accepted,
    /// To be removed.
    Terminated,
}

/// A server transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(super) key: u128,
    pub(super) request_key: u128,
    pub(super) method: Method,
    pub(super) state: ServerState,
    pub(super) flow: Flow,
    pub(super) owner: Option<LegRef>,
    pub(super) deadlines: Deadlines,
    /// Whether the request's To had a tag, so that an answer adds none.
    tagged: bool,
    /// What is sent again by timer, or for an INVITE that comes again.
    response: Vec<u8>,
    /// What is sent again for another request that comes again.
    reply: Option<Reply>,
    interval_us: u64,
}

/// A final response without what a repeated request brings again: a tombstone's whole memory.
#[derive(Debug, Serialize, Deserialize)]
struct Reply {
    status: u16,
    to_tag: Option<Box<str>>,
    own: Box<[u8]>,
}

impl Reply {
    fn of(status: u16, built: &Built, tagged: bool) -> Reply {
        let message = Message::scan(&built.bytes).ok();
        let tag_of = |message: &Message<'_>| {
            let to = NameAddr::parse(message.first(Header::To)?).ok()?;
            Some(std::str::from_utf8(to.tag()?).ok()?.into())
        };
        let own = built.bytes.get(built.own_from..).unwrap_or_default();
        Reply {
            status,
            to_tag: message.as_ref().filter(|_| !tagged).and_then(tag_of),
            own: own.into(),
        }
    }

    /// The same response again.
    fn again(&self, request: &Message<'_>, source: SocketAddr) -> Vec<u8> {
        let head = Builder::response(self.status, request, source, self.to_tag.as_deref());
        head.ending(&self.own).bytes
    }
}

impl Server {
    pub(super) fn new(
        key: u128,
        request_key: u128,
        method: Method,
        tagged: bool,
        flow: Flow,
    ) -> Server {
        Server {
            key,
            request_key,
            method,
            state: ServerState::Proceeding,
            flow,
            owner: None,
            deadlines: Deadlines::default(),
            tagged,
            response: Vec::new(),
            reply: None,
            interval_us: T1_US,
        }
    }

    /// The request came again.
    pub(super) fn repeat(
        &mut self,
        request: &Message<'_>,
        source: SocketAddr,
        fx: &mut Effects<'_>,
    ) {
        // §17.2.1, §17.2.2: the most recent response again, if there is one.
        if let Some(reply) = &self.reply {
            let bytes = reply.again(request, source);
            fx.send(&self.flow, &bytes);
        } else if !self.response.is_empty() {
            fx.send(&self.flow, &self.response);
        }
        // RFC 6026 §7.1: in Accepted the user's own retransmission answers it.
    }

    /// An ACK came; false when it belongs to a 2xx and so to the user.
    pub(super) fn acknowledged(&mut self, id: TxId, fx: &mut Effects<'_>) -> bool {
        match self.state {
            ServerState::Completed => {
                let owner = Owner::Transaction(id);
                self.deadlines.clear_all(fx.timers, owner);
                self.response = Vec::new();
                self.state = ServerState::Confirmed;
                // §17.2.1: Timer I is zero on a reliable transport; firing it at once is the
                // same as ending here, but keeps one way out.
                let wait = if self.flow.transport.is_reliable() {
                    0
                } else {
                    T4_US
                };
                self.deadlines
                    .set(fx.timers, owner, Timer::I, fx.now.mono_us + wait);
                true
            }
            ServerState::Confirmed => true,
            ServerState::Accepted | ServerState::Proceeding | ServerState::Terminated => false,
        }
    }

    pub(super) fn respond(&mut self, id: TxId, status: u16, built: Built, fx: &mut Effects<'_>) {
        if self.state != ServerState::Proceeding {
            return;
        }
        fx.send(&self.flow, &built.bytes);
        let owner = Owner::Transaction(id);
        let now = fx.now.mono_us;
        let reliable = self.flow.transport.is_reliable();
        match (self.method == Method::Invite, status) {
            (_, 100..=199) => self.response = built.bytes,
            (true, 200..=299) => {
                // RFC 6026 §7.1: Accepted absorbs repeated INVITEs for 64·T1.
                self.state = ServerState::Accepted;
                self.response = Vec::new();
                self.deadlines
                    .set(fx.timers, owner, Timer::L, now + SPAN_US);
            }
            (true, _) => {
                self.state = ServerState::Completed;
                self.response = built.bytes;
                if !reliable {
                    self.deadlines.set(fx.timers, owner, Timer::G, now + T1_US);
                }
                self.deadlines
                    .set(fx.timers, owner, Timer::H, now + SPAN_US);
            }
            (false, _) => {
                self.state = ServerState::Completed;
                self.response = Vec::new();
                self.reply = Some(Reply::of(status, &built, self.tagged));
                // §17.2.2: Timer J is zero on a reliable transport.
                let wait = if reliable { 0 } else { SPAN_US };
                self.deadlines.set(fx.timers, owner, Timer::J, now + wait);
            }
        }
    }

    pub(super) fn fire(&mut self, id: TxId, timer: Timer, fx: &mut Effects<'_>) {
        self.deadlines.fired(timer);
        match timer {
            Timer::G if self.state == ServerState::Completed => {
                fx.send(&self.flow, &self.response);
                self.interval_us = doubled(self.interval_us, T2_US);
                let at = fx.now.mono_us + self.interval_us;
                self.deadlines
                    .set(fx.timers, Owner::Transaction(id), Timer::G, at);
            }
            // H: no ACK ever came; nothing is left that could be done about it.
            Timer::H | Timer::I | Timer::J | Timer::L => self.state = ServerState::Terminated,
            _ => {}
        }
    }

    /// Bytes this transaction occupies, without the tables that find it.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> usize {
        let reply = self.reply.as_ref();
        let reply = reply.map_or(0, |r| r.own.len() + r.to_tag.as_deref().map_or(0, str::len));
        size_of::<Server>() + self.deadlines.heap_bytes() + self.response.capacity() + reply
    }
}
