//! Client transactions: INVITE (RFC 3261 §17.1.1 with RFC 6026 §7.2) and the others (§17.1.2).

use serde::{Deserialize, Serialize};

use super::{Answer, Effects, LegRef, TxId, Unanswered};
use crate::sip::{Builder, Essentials, Header, Message, Method};
use crate::switch::event::Flow;
use crate::switch::settings::TrunkId;
use crate::switch::timers::{Deadlines, Owner, SPAN_US, T1_US, T2_US, T4_US, Timer, doubled};

/// Where a client transaction is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ClientState {
    /// No response yet (Trying, for other methods than INVITE).
    Calling,
    /// A provisional response came.
    Proceeding,
    /// A final response came; for an INVITE, one that is not 2xx.
    Completed,
    /// A 2xx to an INVITE came (RFC 6026).
    Accepted,
    /// To be removed.
    Terminated,
}

/// Whether an INVITE is to be cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Cancel {
    No,
    /// As soon as a provisional response comes (§9.1).
    Wanted,
    Sent,
}

/// A client transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(super) key: u128,
    pub(super) state: ClientState,
    pub(super) flow: Flow,
    pub(super) trunk: TrunkId,
    pub(super) owner: LegRef,
    pub(super) deadlines: Deadlines,
    method: Method,
    /// What is sent again: the request, and once a final response came, the ACK.
    repeat: Vec<u8>,
    /// The To tag of the 2xx that was accepted.
    accepted_tag: Vec<u8>,
    cancel: Cancel,
    interval_us: u64,
}

impl Client {
    pub(super) fn new(
        key: u128,
        method: Method,
        bytes: Vec<u8>,
        flow: Flow,
        trunk: TrunkId,
        owner: LegRef,
    ) -> Client {
        Client {
            key,
            state: ClientState::Calling,
            flow,
            trunk,
            owner,
            deadlines: Deadlines::default(),
            method,
            repeat: bytes,
            accepted_tag: Vec::new(),
            cancel: Cancel::No,
            interval_us: T1_US,
        }
    }

    pub(super) fn start(&mut self, id: TxId, fx: &mut Effects<'_>) {
        let (resend, give_up) = self.names();
        let owner = Owner::Transaction(id);
        if !self.flow.transport.is_reliable() {
            self.deadlines
                .set(fx.timers, owner, resend, fx.now.mono_us + T1_US);
        }
        self.deadlines
            .set(fx.timers, owner, give_up, fx.now.mono_us + SPAN_US);
    }

    /// True when the CANCEL may go out now.
    pub(super) fn cancel(&mut self, id: TxId, fx: &mut Effects<'_>) -> bool {
        match (self.cancel, self.state) {
            (Cancel::No, ClientState::Calling) => {
                self.cancel = Cancel::Wanted;
                false
            }
            (Cancel::No, ClientState::Proceeding) => {
                self.cancelled(id, fx);
                true
            }
            _ => false,
        }
    }

    pub(super) fn keep_ack(&mut self, to_tag: &[u8], flow: Flow, bytes: Vec<u8>) {
        self.accepted_tag = to_tag.to_vec();
        self.flow = flow;
        self.repeat = bytes;
    }

    /// What the response means, and whether a wanted CANCEL may now go out.
    pub(super) fn receive(
        &mut self,
        id: TxId,
        message: &Message<'_>,
        essentials: &Essentials<'_>,
        fx: &mut Effects<'_>,
    ) -> (Answer, bool) {
        let status = message.status().unwrap_or_default();
        let open = matches!(self.state, ClientState::Calling | ClientState::Proceeding);
        let for_user = Answer::ForUser(id, self.owner);
        let owner = Owner::Transaction(id);
        if self.method != Method::Invite {
            return (self.receive_plain(id, status, open, fx), false);
        }
        match status {
            100..=199 if open => {
                let first = self.state == ClientState::Calling;
                self.state = ClientState::Proceeding;
                if first {
                    // §17.1.1.2: no more retransmission; how long it may ring is the user's.
                    self.deadlines.clear(fx.timers, owner, Timer::A);
                    self.deadlines.clear(fx.timers, owner, Timer::B);
                }
                let cancel_now = self.cancel == Cancel::Wanted;
                if cancel_now {
                    self.cancelled(id, fx);
                }
                (for_user, cancel_now)
            }
            200..=299 if open => {
                self.deadlines.clear_all(fx.timers, owner);
                self.state = ClientState::Accepted;
                self.repeat = Vec::new();
                self.deadlines
                    .set(fx.timers, owner, Timer::M, fx.now.mono_us + SPAN_US);
                (for_user, false)
            }
            200..=299 => {
                let tag = essentials.to.tag().unwrap_or_default();
                if self.state == ClientState::Accepted && tag == self.accepted_tag {
                    // §13.2.2.4: every repetition of the 2xx is acknowledged again.
                    if !self.repeat.is_empty() {
                        fx.send(&self.flow, &self.repeat);
                    }
                    return (Answer::Absorbed, false);
                }
                (Answer::Surplus(id, self.owner), false)
            }
            300..=699 if open => {
                self.deadlines.clear_all(fx.timers, owner);
                if let Some(ack) = self.build_ack(message) {
                    fx.send(&self.flow, &ack);
                    self.repeat = ack;
                }
                self.state = ClientState::Completed;
                // §17.1.1.2: Timer D is at least 32 s, zero on a reliable transport.
                let wait = if self.flow.transport.is_reliable() {
                    0
                } else {
                    SPAN_US
                };
                self.deadlines
                    .set(fx.timers, owner, Timer::D, fx.now.mono_us + wait);
                (for_user, false)
            }
            300..=699 if self.state == ClientState::Completed => {
                fx.send(&self.flow, &self.repeat);
                (Answer::Absorbed, false)
            }
            _ => (Answer::Absorbed, false),
        }
    }

    fn receive_plain(&mut self, id: TxId, status: u16, open: bool, fx: &mut Effects<'_>) -> Answer {
        if !open {
            return Answer::Absorbed;
        }
        let owner = Owner::Transaction(id);
        if status < 200 {
            self.state = ClientState::Proceeding;
            // §17.1.2.2: in Proceeding, Timer E runs at T2.
            self.interval_us = T2_US;
        } else {
            self.deadlines.clear_all(fx.timers, owner);
            self.state = ClientState::Completed;
            self.repeat = Vec::new();
            let wait = if self.flow.transport.is_reliable() {
                0
            } else {
                T4_US
            };
            self.deadlines
                .set(fx.timers, owner, Timer::K, fx.now.mono_us + wait);
        }
        Answer::ForUser(id, self.owner)
    }

    pub(super) fn fire(
        &mut self,
        id: TxId,
        timer: Timer,
        fx: &mut Effects<'_>,
    ) -> Option<Unanswered> {
        self.deadlines.fired(timer);
        match timer {
            Timer::A | Timer::E => {
                fx.send(&self.flow, &self.repeat);
                // §17.1.1.2: Timer A doubles without a cap; E stops at T2.
                let cap = if timer == Timer::A { SPAN_US } else { T2_US };
                self.interval_us = doubled(self.interval_us, cap);
                let at = fx.now.mono_us + self.interval_us;
                self.deadlines
                    .set(fx.timers, Owner::Transaction(id), timer, at);
                None
            }
            Timer::B | Timer::F => {
                self.state = ClientState::Terminated;
                // An INVITE that was to be cancelled and never had a response is cancelled.
                let cancelled = self.cancel == Cancel::Wanted;
                Some(if cancelled {
                    Unanswered::Cancelled
                } else {
                    Unanswered::Timeout
                })
            }
            Timer::Cancelled => {
                self.state = ClientState::Terminated;
                Some(Unanswered::Cancelled)
            }
            Timer::D | Timer::K | Timer::M => {
                self.state = ClientState::Terminated;
                None
            }
            _ => None,
        }
    }

    /// §9.1: same Request-URI, Call-ID, To, From, CSeq number, Route and top Via.
    pub(super) fn build_cancel(&self) -> Option<(String, Vec<u8>)> {
        let invite = Message::scan(&self.repeat).ok()?;
        let branch = String::from_utf8(invite.essentials().ok()?.via.branch?.to_vec()).ok()?;
        let cancel = self.sibling(&invite, Method::Cancel, None)?;
        Some((branch, cancel.empty().bytes))
    }

    /// §17.1.1.3: To of the response; the rest as in the INVITE, one Via.
    fn build_ack(&self, response: &Message<'_>) -> Option<Vec<u8>> {
        let invite = Message::scan(&self.repeat).ok()?;
        let to = response.first(Header::To)?;
        Some(self.sibling(&invite, Method::Ack, Some(to))?.empty().bytes)
    }

    fn sibling(&self, invite: &Message<'_>, method: Method, to: Option<&[u8]>) -> Option<Builder> {
        let mut builder = Builder::request(method, invite.request_uri()?);
        let number = invite.essentials().ok()?.cseq.number;
        builder.echo(Header::Via, invite.first(Header::Via)?);
        for route in invite.all(Header::Route) {
            builder.echo(Header::Route, route);
        }
        builder.echo(Header::From, invite.first(Header::From)?);
        builder.echo(Header::To, to.or(invite.first(Header::To))?);
        builder.echo(Header::CallId, invite.first(Header::CallId)?);
        builder.header(Header::CSeq, format_args!("{number} {}", method.as_str()));
        builder.header(Header::MaxForwards, 70);
        Some(builder)
    }

    fn cancelled(&mut self, id: TxId, fx: &mut Effects<'_>) {
        self.cancel = Cancel::Sent;
        let owner = Owner::Transaction(id);
        // A CANCEL after a provisional response: B does not run any more, so this one must.
        self.deadlines
            .set(fx.timers, owner, Timer::Cancelled, fx.now.mono_us + SPAN_US);
    }

    fn names(&self) -> (Timer, Timer) {
        if self.method == Method::Invite {
            (Timer::A, Timer::B)
        } else {
            (Timer::E, Timer::F)
        }
    }
}
