//! Client transactions: INVITE (RFC 3261 §17.1.1 with RFC 6026 §7.2) and the others (§17.1.2).

use serde::{Deserialize, Serialize};

use super::{Answer, Effects, LegRef, TxId, Unanswered, tag_key};
use crate::sip::{Builder, Essentials, Header, Message, Method};
use crate::switch::dialog::Dialog;
use crate::switch::event::Flow;
use crate::switch::ids::Mint;
use crate::switch::mask;
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

/// What an ACK has that no response brings. The rest of it is in every repetition of the
/// response, so that a tombstone need not keep it.
#[derive(Debug, Serialize, Deserialize)]
enum Ack {
    /// Of a 2xx: our Via, and which answer it is for.
    Success { via: Box<str>, tag: u128 },
    /// Of any other: Via, Request-URI and Route are the INVITE's (§17.1.1.3).
    Failure {
        via: Box<[u8]>,
        uri: Box<[u8]>,
        routes: Vec<Box<[u8]>>,
    },
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
    /// The request, until a final response has come.
    request: Vec<u8>,
    /// What the ACK of a repeated final response needs beside that response.
    ack: Option<Box<Ack>>,
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
            request: bytes,
            ack: None,
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

    pub(super) fn keep_ack(&mut self, tag: u128, flow: Flow, via: String) {
        self.flow = flow;
        let via = via.into_boxed_str();
        self.ack = Some(Box::new(Ack::Success { via, tag }));
    }

    /// What the response means, and whether a wanted CANCEL may now go out.
    pub(super) fn receive(
        &mut self,
        id: TxId,
        message: &Message<'_>,
        essentials: &Essentials<'_>,
        mint: &Mint,
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
                self.request = Vec::new();
                self.deadlines
                    .set(fx.timers, owner, Timer::M, fx.now.mono_us + SPAN_US);
                (for_user, false)
            }
            200..=299 => {
                let theirs = tag_key(essentials.to.tag().unwrap_or_default(), mint);
                match self.ack.as_deref() {
                    // §13.2.2.4: every repetition of the 2xx is acknowledged again.
                    Some(Ack::Success { via, tag }) if *tag == theirs => {
                        if let Some(ack) = ack_of_success(message, essentials, via) {
                            fx.send(&self.flow, &ack);
                        }
                        (Answer::Absorbed, false)
                    }
                    _ => (Answer::Surplus(id, self.owner), false),
                }
            }
            300..=699 if open => {
                self.deadlines.clear_all(fx.timers, owner);
                self.ack = Ack::of_failure(&self.request).map(Box::new);
                self.request = Vec::new();
                self.acknowledge_failure(message, essentials, fx);
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
                self.acknowledge_failure(message, essentials, fx);
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
            self.request = Vec::new();
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
                fx.send(&self.flow, &self.request);
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
        let invite = Message::scan(&self.request).ok()?;
        let e = invite.essentials().ok()?;
        let branch = String::from_utf8(e.via.branch?.to_vec()).ok()?;
        let mut cancel = Builder::request(Method::Cancel, invite.request_uri()?);
        cancel.echo(Header::Via, invite.first(Header::Via)?);
        for route in invite.all(Header::Route) {
            cancel.echo(Header::Route, route);
        }
        echo_dialog(&mut cancel, &invite, &e, Method::Cancel)?;
        Some((branch, cancel.empty().bytes))
    }

    fn acknowledge_failure(
        &self,
        response: &Message<'_>,
        e: &Essentials<'_>,
        fx: &mut Effects<'_>,
    ) {
        let ack = self
            .ack
            .as_deref()
            .and_then(|ack| ack.to_failure(response, e));
        if let Some(ack) = ack {
            fx.send(&self.flow, &ack);
        }
    }

    fn cancelled(&mut self, id: TxId, fx: &mut Effects<'_>) {
        self.cancel = Cancel::Sent;
        let owner = Owner::Transaction(id);
        // A CANCEL after a provisional response: B does not run any more, so this one must.
        self.deadlines
            .set(fx.timers, owner, Timer::Cancelled, fx.now.mono_us + SPAN_US);
    }

    /// Bytes this transaction occupies, without the tables that find it.
    #[cfg(test)]
    pub(super) fn footprint(&self) -> usize {
        let ack = match self.ack.as_deref() {
            None => 0,
            Some(Ack::Success { via, .. }) => size_of::<Ack>() + via.len(),
            Some(Ack::Failure { via, uri, routes }) => {
                let routes: usize = routes.iter().map(|r| r.len()).sum();
                size_of::<Ack>() + via.len() + uri.len() + routes
            }
        };
        size_of::<Client>() + self.deadlines.heap_bytes() + self.request.capacity() + ack
    }

    fn names(&self) -> (Timer, Timer) {
        if self.method == Method::Invite {
            (Timer::A, Timer::B)
        } else {
            (Timer::E, Timer::F)
        }
    }
}

impl Ack {
    fn of_failure(invite: &[u8]) -> Option<Ack> {
        let invite = Message::scan(invite).ok()?;
        Some(Ack::Failure {
            via: invite.first(Header::Via)?.into(),
            uri: invite.request_uri()?.into(),
            routes: invite.all(Header::Route).map(Into::into).collect(),
        })
    }

    /// §17.1.1.3: To of the response; the rest as in the INVITE, one Via.
    fn to_failure(&self, response: &Message<'_>, e: &Essentials<'_>) -> Option<Vec<u8>> {
        let Ack::Failure { via, uri, routes } = self else {
            return None;
        };
        let mut ack = Builder::request(Method::Ack, uri);
        ack.echo(Header::Via, via);
        for route in routes {
            ack.echo(Header::Route, route);
        }
        echo_dialog(&mut ack, response, e, Method::Ack)?;
        Some(ack.empty().bytes)
    }
}

fn ack_of_success(response: &Message<'_>, e: &Essentials<'_>, via: &str) -> Option<Vec<u8>> {
    let dialog = Dialog::of_response(response, e)?;
    Some(mask::ack(&dialog, e.cseq.number, via).bytes)
}

/// From, To, Call-ID and CSeq number as they stand in `like`, and Max-Forwards.
fn echo_dialog(
    builder: &mut Builder,
    like: &Message<'_>,
    e: &Essentials<'_>,
    method: Method,
) -> Option<()> {
    builder.echo(Header::From, like.first(Header::From)?);
    builder.echo(Header::To, like.first(Header::To)?);
    builder.echo(Header::CallId, like.first(Header::CallId)?);
    builder.header(
        Header::CSeq,
        format_args!("{} {}", e.cseq.number, method.as_str()),
    );
    builder.header(Header::MaxForwards, 70);
    Some(())
}
