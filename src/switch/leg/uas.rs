//! The UAS role: the party sent the INVITE, we answer it (RFC 3261 §13.3, §8.2).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Holding, Leg, LegEvent, LegState, Role};
use crate::sip::{Essentials, Message};
use crate::switch::cx::{Cx, leg_owner, stored};
use crate::switch::dialog::Dialog;
use crate::switch::event::Flow;
use crate::switch::guard::Guard;
use crate::switch::ids::Dice;
use crate::switch::mask::{self, Asked};
use crate::switch::record::Cause;
use crate::switch::settings::TrunkId;
use crate::switch::timers::{Deadlines, SPAN_US, T1_US, T2_US, Timer, doubled};
use crate::switch::transaction::{LegRef, TxId};

/// What answering an INVITE needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Uas {
    pub(super) tx: TxId,
    /// The INVITE as it came, until the ACK: every response repeats parts of it.
    invite: Vec<u8>,
    source: SocketAddr,
    /// The 2xx, until the ACK, and where it goes.
    success: Option<(Flow, Vec<u8>)>,
    interval_us: u64,
    hang_up_on_ack: Option<Cause>,
    /// The CSeq number of the INVITE: its ACK has the same.
    invite_cseq: u32,
}

impl Leg {
    /// The leg of an arrived INVITE. `None` when its Contact or Record-Route is unusable.
    #[allow(clippy::too_many_arguments)] // an INVITE and where it came from
    pub(crate) fn answering(
        id: LegRef,
        tx: TxId,
        message: &Message<'_>,
        e: &Essentials<'_>,
        flow: &Flow,
        trunk: TrunkId,
        mut dice: Dice,
        cx: &mut Cx<'_>,
    ) -> Option<Leg> {
        let tag = cx.core.mint.id(&mut dice);
        let dialog = Dialog::uas(message, e, tag)?;
        cx.enter_dialog(&dialog, id);
        cx.transactions().0.own(tx, id);
        let opaque = cx.core.mint.id(&mut dice);
        let uas = Uas {
            tx,
            invite: message.bytes().to_vec(),
            source: flow.remote,
            success: None,
            interval_us: T1_US,
            hang_up_on_ack: None,
            invite_cseq: e.cseq.number,
        };
        let mut dialog = dialog;
        dialog.local_cseq = dice.small();
        Some(Leg {
            id,
            state: LegState::Calling,
            role: Role::Uas(uas),
            trunk,
            flow: flow.clone(),
            dialog,
            guard: Guard::default(),
            dice,
            opaque,
            holding: Holding::Nothing,
            stats: None,
            local: None,
            deadlines: Deadlines::default(),
            bye: None,
        })
    }

    /// The SDP of the INVITE, if it brought any.
    pub(crate) fn offer(&self) -> Option<&[u8]> {
        match &self.role {
            Role::Uas(uas) if !uas.invite.is_empty() => {
                let body = stored(&uas.invite).body();
                (!body.is_empty()).then_some(body)
            }
            _ => None,
        }
    }

    /// A provisional response, with SDP for early media.
    pub(crate) fn progress(&mut self, status: u16, sdp: Option<&[u8]>, cx: &mut Cx<'_>) {
        if !matches!(self.state, LegState::Calling | LegState::Ringing) {
            return;
        }
        let Some((tx, built)) = self.accepting(status, sdp, cx) else {
            return;
        };
        self.state = LegState::Ringing;
        cx.respond(tx, status, built);
    }

    /// 200 with our SDP; repeated until the ACK (§13.3.1.4). False when it could not be sent.
    pub(crate) fn accept(&mut self, sdp: &[u8], cx: &mut Cx<'_>) -> bool {
        if !matches!(self.state, LegState::Calling | LegState::Ringing) {
            return false;
        }
        let Some((tx, built)) = self.accepting(200, Some(sdp), cx) else {
            return false;
        };
        self.state = LegState::Answered;
        let owner = leg_owner(self.id);
        let (first, last) = (cx.after(T1_US), cx.after(SPAN_US));
        let timers = &mut cx.core.timers;
        // Over a reliable transport too: a proxy behind it may lose the 2xx on another hop.
        self.deadlines.set(timers, owner, Timer::Answer, first);
        self.deadlines.set(timers, owner, Timer::AckWait, last);
        let reply_flow = cx.transactions().0.reply_flow(tx).cloned();
        if let (Role::Uas(uas), Some(flow)) = (&mut self.role, reply_flow) {
            uas.success = Some((flow, built.bytes.clone()));
        }
        cx.respond(tx, 200, built);
        true
    }

    /// A final refusal, by the cause's table.
    pub(crate) fn reject(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        let Role::Uas(uas) = &self.role else { return };
        let status = cause.sip_status();
        let tx = uas.tx;
        let message = stored(&uas.invite);
        let asked = Asked {
            message: &message,
            source: uas.source,
            tag: &self.dialog.local_tag,
        };
        let built = mask::reject(&asked, status, Some(cause.q850()), None);
        // A refusal the guard stops becomes the constant 500, which says nothing.
        let (status, built) = match self.guarded(built, cx) {
            Some(built) => (status, built),
            None => (500, mask::reject(&asked, 500, None, None)),
        };
        cx.respond(tx, status, built);
        self.close(cx);
    }

    /// The ACK of our 2xx has come. `None` when it changes nothing.
    pub(crate) fn acknowledged(&mut self, e: &Essentials<'_>, cx: &mut Cx<'_>) -> Option<LegEvent> {
        let Role::Uas(uas) = &mut self.role else {
            return None;
        };
        if self.state != LegState::Answered || uas.invite_cseq != e.cseq.number {
            return None;
        }
        self.state = LegState::Up;
        uas.invite = Vec::new();
        uas.success = None;
        let hang_up = uas.hang_up_on_ack;
        self.deadlines
            .clear_all(&mut cx.core.timers, leg_owner(self.id));
        match hang_up {
            Some(cause) => {
                self.send_bye(cause, cx);
                None
            }
            None => Some(LegEvent::Confirmed),
        }
    }

    /// The party gave up before our answer (§9.2). `None` when it is too late for that.
    pub(crate) fn cancelled(&mut self, cx: &mut Cx<'_>) -> Option<LegEvent> {
        if !matches!(self.state, LegState::Calling | LegState::Ringing) {
            return None;
        }
        self.reject(Cause::CallerCanceled, cx);
        Some(LegEvent::HungUp)
    }

    /// A timer of this leg has fired.
    pub(crate) fn fire(&mut self, timer: Timer, cx: &mut Cx<'_>) -> Option<LegEvent> {
        self.deadlines.fired(timer);
        let Role::Uas(uas) = &mut self.role else {
            return None;
        };
        match timer {
            Timer::Answer => {
                uas.interval_us = doubled(uas.interval_us, T2_US);
                let at = cx.after(uas.interval_us);
                if let Some((flow, bytes)) = &uas.success {
                    cx.send(flow, bytes.clone());
                }
                self.deadlines
                    .set(&mut cx.core.timers, leg_owner(self.id), timer, at);
                None
            }
            Timer::AckWait => {
                // §13.3.1.4: no ACK in 64·T1 ends the session, now with a BYE.
                let waited_for = uas.hang_up_on_ack;
                self.deadlines
                    .clear_all(&mut cx.core.timers, leg_owner(self.id));
                self.state = LegState::Up;
                self.send_bye(waited_for.unwrap_or(Cause::AckTimeout), cx);
                waited_for
                    .is_none()
                    .then_some(LegEvent::Lost(Cause::AckTimeout))
            }
            _ => None,
        }
    }

    pub(super) fn hang_up_on_ack(&mut self, cause: Cause) {
        if let Role::Uas(uas) = &mut self.role {
            uas.hang_up_on_ack = Some(cause);
        }
    }

    fn accepting(
        &self,
        status: u16,
        sdp: Option<&[u8]>,
        cx: &mut Cx<'_>,
    ) -> Option<(TxId, crate::sip::Built)> {
        let Role::Uas(uas) = &self.role else {
            return None;
        };
        let contact = mask::contact(cx.listener_of(&self.flow)?, &self.opaque);
        let message = stored(&uas.invite);
        let asked = Asked {
            message: &message,
            source: uas.source,
            tag: &self.dialog.local_tag,
        };
        let built = self.guarded(mask::accept(&asked, status, &contact, sdp), cx)?;
        Some((uas.tx, built))
    }
}
