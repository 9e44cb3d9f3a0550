//! A leg: one party's signalling and media, and its half of the call's story in leg-neutral
//! words ([`LegEvent`]). Its role (who sent the INVITE) is independent of whose party it is.

mod uac;
mod uas;

use serde::{Deserialize, Serialize};

pub(super) use uac::{Dial, Uac, is_sdp};
pub(super) use uas::Uas;

use crate::sdp::{Direction, Format, Local, Negotiated};
use crate::sip::{Built, Essentials, Header, Message, Method};
use crate::switch::cx::{Cx, leg_owner};
use crate::switch::dialog::{Dialog, Order};
use crate::switch::event::Flow;
use crate::switch::guard::Guard;
use crate::switch::ids::Dice;
use crate::switch::mask::{self, Asked};
use crate::switch::media::{LegStats, MediaCommand, PortPair, Remote, StreamLine};
use crate::switch::record::Cause;
use crate::switch::settings::TrunkId;
use crate::switch::timers::Deadlines;
use crate::switch::transaction::{LegRef, TxId};

/// Packet time when a party names none (RFC 3551 §4.2).
const DEFAULT_PTIME_MS: u32 = 20;

/// Longest Retry-After for an INVITE that came too early (RFC 3261 §14.2).
const LONGEST_RETRY_SECS: u32 = 10;

/// What a leg tells its call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum LegEvent {
    /// 100: the target is alive, and may still fail for reasons of its own.
    Trying,
    /// A provisional response that says no more than that the call is on its way.
    Alive,
    /// The party's phone rings.
    Ringing,
    /// The party sends media before the answer.
    EarlyMedia(Box<Negotiated>),
    /// The party answered.
    Answered(Box<Negotiated>),
    /// The party acknowledged our answer, perhaps with its own answer to our offer.
    Confirmed,
    /// The attempt to reach the party failed.
    Failed(Cause),
    /// The party hung up, or gave up.
    HungUp,
    /// The leg is of no use any more.
    Lost(Cause),
}

/// Where a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum LegState {
    /// INVITE sent or received; no response but 100.
    Calling,
    /// A provisional response was sent or received.
    Ringing,
    /// Our 2xx is out and its ACK has not come (UAS only).
    Answered,
    /// Both ends agree that the call is up.
    Up,
    /// We want it gone and wait for the INVITE's final response (UAC only).
    Cancelling,
    /// Our BYE is out and has no answer yet.
    Closing,
    /// Over.
    Ended,
}

/// What only one role has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Role {
    /// The party sent the INVITE.
    Uas(Uas),
    /// We sent the INVITE.
    Uac(Uac),
}

/// What of the media plane a leg holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Holding {
    /// Nothing, or not any more.
    Nothing,
    /// An open pair.
    Open(PortPair),
    /// A pair that was given back and has not reported.
    Closing(PortPair),
}

/// One party's side of a call.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Leg {
    /// Which leg of which call.
    pub id: LegRef,
    /// Where it is.
    pub state: LegState,
    /// UAS or UAC, with what that needs.
    pub role: Role,
    /// The trunk its party is behind.
    pub trunk: TrunkId,
    /// Where its messages go when the dialog does not say otherwise.
    pub flow: Flow,
    /// The dialog.
    pub dialog: Dialog,
    /// What may not be said to this party.
    pub guard: Guard,
    /// The leg's random stream.
    pub dice: Dice,
    /// The user part of our Contact.
    pub opaque: String,
    /// Its ports.
    pub holding: Holding,
    /// What went through its ports, once they are closed.
    pub stats: Option<LegStats>,
    /// Our latest SDP to this party.
    pub local: Option<Local>,
    pub(super) deadlines: Deadlines,
    pub(super) bye: Option<TxId>,
}

impl Leg {
    /// Handles a request within the leg's dialog, other than ACK.
    pub(super) fn request(
        &mut self,
        tx: TxId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        source: std::net::SocketAddr,
        cx: &mut Cx<'_>,
    ) -> Option<LegEvent> {
        let tag = self.dialog.local_tag.clone();
        let asked = Asked {
            message,
            source,
            tag: &tag,
        };
        // §12.2.2: a CSeq lower than one before is an error of the peer.
        if self.dialog.order(e) == Order::Old {
            self.answer(tx, &asked, 500, &[], cx);
            return None;
        }
        // RFC 5407 §3.2: a session that our BYE has ended takes no request but the other BYE.
        if self.state == LegState::Closing && e.cseq.method != Method::Bye {
            self.answer(tx, &asked, 481, &[], cx);
            return None;
        }
        match e.cseq.method {
            Method::Bye => {
                // §15.1.2: a BYE is always answered.
                self.answer(tx, &asked, 200, &[], cx);
                self.bye_received(cx)
            }
            Method::Options => {
                self.answer(tx, &asked, 200, &mask::CAPABILITIES, cx);
                None
            }
            Method::Invite => {
                self.invited_again(tx, &asked, cx);
                None
            }
            // RFC 3515 §2.4.2: understood and declined; a transfer would name the other party.
            Method::Refer => {
                self.answer(tx, &asked, 603, &[], cx);
                None
            }
            _ => {
                self.answer(tx, &asked, 405, &[(Header::Allow, mask::ALLOW)], cx);
                None
            }
        }
    }

    /// Ends the leg from our side, in whatever state it is.
    pub(super) fn hang_up(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        match self.state {
            LegState::Calling | LegState::Ringing => match &self.role {
                Role::Uas(_) => self.reject(cause, cx),
                Role::Uac(uac) => {
                    let tx = uac.tx;
                    self.state = LegState::Cancelling;
                    let (transactions, mint, mut fx) = cx.transactions();
                    transactions.cancel(tx, mint, &mut fx);
                }
            },
            // §15: no BYE before the ACK has come or 64·T1 have passed.
            LegState::Answered => self.hang_up_on_ack(cause),
            LegState::Up => self.send_bye(cause, cx),
            LegState::Cancelling | LegState::Closing | LegState::Ended => {}
        }
    }

    /// A response to one of this leg's requests, or to its INVITE.
    pub(super) fn response(
        &mut self,
        tx: TxId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<LegEvent> {
        let status = message.status().unwrap_or_default();
        if self.bye == Some(tx) {
            if status >= 200 {
                // §15.1.1: whatever the answer to BYE is, the session is over.
                self.close(cx);
            }
            return None;
        }
        match &self.role {
            Role::Uac(uac) if uac.tx == tx => self.invite_response(status, message, e, cx),
            _ => None,
        }
    }

    /// A request of this leg stays without a final response.
    pub(super) fn unanswered(
        &mut self,
        tx: TxId,
        how: crate::switch::transaction::Unanswered,
        cx: &mut Cx<'_>,
    ) -> Option<LegEvent> {
        if self.bye == Some(tx) {
            self.close(cx);
            return None;
        }
        match &self.role {
            Role::Uac(uac) if uac.tx == tx => self.invite_unanswered(how, cx),
            _ => None,
        }
    }

    /// Whether both ends have finished with it.
    pub(super) fn is_over(&self) -> bool {
        self.state == LegState::Ended
    }

    /// Takes a pair and opens it.
    pub(super) fn open_media(&mut self, ports: PortPair, cx: &mut Cx<'_>) {
        let line = StreamLine {
            ssrc: self.dice.next_u32(),
            sequence: self.dice.next_u32() as u16,
            timestamp: self.dice.next_u32(),
            cname: self.dice.cname(),
        };
        self.holding = Holding::Open(ports);
        cx.core.slots.insert(ports.slot, self.id);
        cx.media(MediaCommand::Open {
            slot: ports.slot,
            line,
        });
    }

    /// Gives the pair back.
    pub(super) fn close_media(&mut self, cx: &mut Cx<'_>) {
        if let Holding::Open(ports) = self.holding {
            self.holding = Holding::Closing(ports);
            cx.media(MediaCommand::Close { slot: ports.slot });
        }
    }

    /// The pair has reported.
    pub(super) fn media_closed(&mut self, stats: LegStats, cx: &mut Cx<'_>) {
        if let Holding::Closing(ports) = self.holding {
            cx.core.slots.remove(&ports.slot);
        }
        self.holding = Holding::Nothing;
        self.stats = Some(stats);
    }

    /// The pair never reported: forget it, so that a late report means nothing.
    pub(super) fn abandon_media(&mut self, cx: &mut Cx<'_>) {
        if let Holding::Closing(ports) | Holding::Open(ports) = self.holding {
            cx.core.slots.remove(&ports.slot);
        }
        self.holding = Holding::Nothing;
    }

    /// Takes the leg out of every table without a word to its party.
    pub(super) fn condemn(&mut self, cx: &mut Cx<'_>) {
        self.close_media(cx);
        self.abandon_media(cx);
        self.close(cx);
    }

    /// The slot of an open pair.
    pub(super) fn slot(&self) -> Option<u32> {
        match self.holding {
            Holding::Open(ports) => Some(ports.slot),
            Holding::Nothing | Holding::Closing(_) => None,
        }
    }

    /// A new description of our side: session id and version of its own, never the party's.
    pub(super) fn describe(
        &mut self,
        formats: Vec<Format>,
        ptime_ms: Option<u32>,
        direction: Direction,
    ) {
        let Holding::Open(ports) = self.holding else {
            return;
        };
        let (session_id, version) = match &self.local {
            Some(local) => (local.session_id, local.version + 1),
            None => (u64::from(self.dice.small()), 1),
        };
        let (address, port) = (ports.address, ports.port);
        self.local = Some(Local {
            session_id,
            version,
            address,
            port,
            formats,
            ptime_ms,
            direction,
        });
    }

    /// Tells the media plane what was agreed.
    pub(super) fn agree(&self, agreed: &Negotiated, cx: &mut Cx<'_>) {
        let Some(slot) = self.slot() else { return };
        let held = |direction: Direction| {
            if agreed.held {
                Direction::new(direction.sends(), false)
            } else {
                direction
            }
        };
        let remote = Remote {
            rtp: agreed.rtp,
            rtcp: agreed.rtcp,
            receive: agreed.receive.clone(),
            send: agreed.formats.clone(),
            ptime_ms: agreed.ptime_ms.unwrap_or(DEFAULT_PTIME_MS),
            direction: held(agreed.direction).reversed(),
        };
        cx.media(MediaCommand::Remote {
            slot,
            remote: Box::new(remote),
        });
    }

    /// An INVITE inside the dialog (§14.2).
    fn invited_again(&mut self, tx: TxId, asked: &Asked<'_>, cx: &mut Cx<'_>) {
        let open = matches!(
            self.state,
            LegState::Calling | LegState::Ringing | LegState::Cancelling
        );
        match &self.role {
            // The party's first INVITE has no final response yet.
            Role::Uas(_) if open => {
                let secs = (self.dice.next_u32() % (LONGEST_RETRY_SECS + 1)).to_string();
                self.answer(tx, asked, 500, &[(Header::RetryAfter, &secs)], cx);
            }
            // Our own INVITE is in progress.
            Role::Uac(_) if open => self.answer(tx, asked, 491, &[], cx),
            // A session that will not change stays as it was.
            _ => self.answer(tx, asked, 488, &[], cx),
        }
    }

    fn bye_received(&mut self, cx: &mut Cx<'_>) -> Option<LegEvent> {
        match self.state {
            LegState::Calling | LegState::Ringing => match &self.role {
                // §15.1.2: BYE in an early dialog ends the pending INVITE with 487.
                Role::Uas(_) => {
                    self.reject(Cause::CallerCanceled, cx);
                    Some(LegEvent::HungUp)
                }
                // §15: a callee must not send BYE before it answered; the INVITE decides.
                Role::Uac(_) => None,
            },
            LegState::Answered | LegState::Up => {
                self.close(cx);
                Some(LegEvent::HungUp)
            }
            // Both BYEs crossed: ours still gets its own answer.
            LegState::Closing | LegState::Cancelling | LegState::Ended => None,
        }
    }

    fn send_bye(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        self.dialog.local_cseq += 1;
        let branch = cx.core.mint.branch(&mut self.dice);
        let flow = cx.next_flow(&self.dialog, &self.flow, self.trunk);
        let Some(listener) = cx.listener_of(&flow) else {
            return self.close(cx);
        };
        let via = mask::via(listener, &branch);
        let built = mask::bye(&self.dialog, &via, cause.q850());
        let Some(built) = self.guarded(built, cx) else {
            return self.close(cx);
        };
        self.state = LegState::Closing;
        self.bye = Some(cx.request(Method::Bye, &branch, built, &flow, self.trunk, self.id));
    }

    /// The end: no timer, no dialog; later requests of the party get 481.
    fn close(&mut self, cx: &mut Cx<'_>) {
        self.state = LegState::Ended;
        self.deadlines
            .clear_all(&mut cx.core.timers, leg_owner(self.id));
        cx.leave_dialog(&self.dialog);
    }

    fn answer(
        &self,
        tx: TxId,
        asked: &Asked<'_>,
        status: u16,
        extra: &[(Header, &str)],
        cx: &mut Cx<'_>,
    ) {
        if let Some(built) = self.guarded(mask::answer(asked, status, extra), cx) {
            cx.respond(tx, status, built);
        }
    }

    /// The message, unless it holds what this party may not learn.
    fn guarded(&self, built: Built, cx: &mut Cx<'_>) -> Option<Built> {
        let own = built.bytes.get(built.own_from..).unwrap_or_default();
        if self.guard.finds(own) {
            cx.core.counters.guarded += 1;
            tracing::error!(
                leg = self.id.leg,
                "a message with the other party's number was stopped"
            );
            return None;
        }
        Some(built)
    }
}
