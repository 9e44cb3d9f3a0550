//! The UAC role: we sent the INVITE and follow its responses (RFC 3261 §13.2, §9.1).

use serde::{Deserialize, Serialize};

use super::{Holding, Leg, LegEvent, LegState, Role};
use crate::number::Number;
use crate::sdp::{self, Negotiated, Session};
use crate::sip::{Essentials, Header, Message, Method};
use crate::switch::cx::Cx;
use crate::switch::dialog::Dialog;
use crate::switch::event::Flow;
use crate::switch::guard::Guard;
use crate::switch::identity;
use crate::switch::ids::Dice;
use crate::switch::mask::{self, Invitation};
use crate::switch::media::{MediaCommand, PortPair};
use crate::switch::record::Cause;
use crate::switch::settings::{Target, TrunkId};
use crate::switch::timers::Deadlines;
use crate::switch::transaction::{LegRef, TxId, Unanswered};

/// What following our own INVITE needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Uac {
    pub(super) tx: TxId,
    /// The CSeq number of the INVITE: its ACK has the same.
    invite_cseq: u32,
}

/// Whom to call, as whom, and with which media.
pub(crate) struct Dial<'a> {
    /// The party.
    pub callee: Number,
    /// The number the party sees.
    pub present: Number,
    /// By which trunk.
    pub trunk: TrunkId,
    /// At which of its addresses.
    pub target: &'a Target,
    /// Max-Forwards to write.
    pub max_forwards: u8,
    /// Our ports.
    pub ports: PortPair,
    /// Codecs to offer, under our own numbers.
    pub formats: Vec<sdp::Format>,
    /// Packet time to offer.
    pub ptime_ms: Option<u32>,
    /// What may not be said to the party.
    pub guard: Guard,
}

impl Leg {
    /// Sends an INVITE. `None` when there is no socket for the target or the guard objects.
    pub(crate) fn dialling(
        id: LegRef,
        dial: Dial<'_>,
        mut dice: Dice,
        cx: &mut Cx<'_>,
    ) -> Option<Leg> {
        let settings = &cx.core.settings;
        let trunk = settings.trunks.get(usize::from(dial.trunk));
        let format = trunk.map(|t| t.number_format);
        let (Some(listener), Some(format)) = (cx.listener_for(dial.target).cloned(), format) else {
            let slot = dial.ports.slot;
            cx.media(MediaCommand::Close { slot });
            return None;
        };
        let callee = identity::written(dial.callee, format, &settings.plan);
        let present = identity::written(dial.present, format, &settings.plan);
        let uri = format!("sip:{callee}@{};user=phone", dial.target.host_port);
        let shown = format!("<sip:{present}@{};user=phone>", settings.domain);
        let mint = &cx.core.mint;
        let dialog = Dialog::uac(
            mint.id(&mut dice),
            mint.id(&mut dice),
            shown.clone(),
            format!("<{uri}>"),
            uri,
            dice.small(),
        );
        let opaque = mint.id(&mut dice);
        let branch = mint.branch(&mut dice);
        let flow = Flow {
            transport: dial.target.transport,
            local: listener.local,
            remote: dial.target.address,
            connection: 0,
            peer_name: None,
        };
        let invite_cseq = dialog.local_cseq;
        // Two trunks may share an address (one for each direction, or for each number format):
        // what comes from there is taken for the first one's, so that is who the party is behind.
        let trunk = settings.trunk_of(flow.remote.ip()).unwrap_or(dial.trunk);
        let mut leg = Leg {
            id,
            state: LegState::Calling,
            role: Role::Uac(Uac { tx: 0, invite_cseq }),
            trunk,
            flow,
            dialog,
            guard: dial.guard,
            dice,
            opaque,
            holding: Holding::Nothing,
            stats: None,
            local: None,
            deadlines: Deadlines::default(),
            bye: None,
        };
        leg.open_media(dial.ports, cx);
        leg.describe(dial.formats, dial.ptime_ms, sdp::Direction::SendRecv);
        let offer = sdp::print_offer(leg.local.as_ref()?);
        let built = mask::invite(&Invitation {
            dialog: &leg.dialog,
            via: &mask::via(&listener, &branch),
            contact: &mask::contact(&listener, &leg.opaque),
            asserted: &shown,
            max_forwards: dial.max_forwards,
            sdp: &offer,
        });
        let Some(built) = leg.guarded(built, cx) else {
            leg.close_media(cx);
            leg.abandon_media(cx);
            return None;
        };
        cx.enter_dialog(&leg.dialog, id);
        let tx = cx.request(Method::Invite, &branch, built, &leg.flow, leg.trunk, id);
        leg.role = Role::Uac(Uac { tx, invite_cseq });
        Some(leg)
    }

    pub(super) fn invite_response(
        &mut self,
        status: u16,
        message: &Message<'_>,
        e: &Essentials<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<LegEvent> {
        match status {
            100 => Some(LegEvent::Trying),
            101..=199 => self.provisional(status, message),
            200..=299 => self.answered(message, e, cx),
            _ => {
                let cancelled = self.state == LegState::Cancelling;
                self.close(cx);
                (!cancelled).then(|| LegEvent::Failed(outcome(status)))
            }
        }
    }

    pub(super) fn invite_unanswered(
        &mut self,
        how: Unanswered,
        cx: &mut Cx<'_>,
    ) -> Option<LegEvent> {
        let cancelled = self.state == LegState::Cancelling;
        self.close(cx);
        let cause = match how {
            Unanswered::Unreachable => Cause::TrunkFailure,
            Unanswered::Timeout | Unanswered::Cancelled => Cause::Unavailable,
        };
        (!cancelled).then_some(LegEvent::Failed(cause))
    }

    fn provisional(&mut self, status: u16, message: &Message<'_>) -> Option<LegEvent> {
        if self.state == LegState::Cancelling {
            return None;
        }
        self.state = LegState::Ringing;
        match self.described(message) {
            Some(media) => Some(LegEvent::EarlyMedia(Box::new(media))),
            // 183 without media says no more than "alive"; so do 181, 182 and 199.
            None if status == 180 => Some(LegEvent::Ringing),
            None => Some(LegEvent::Alive),
        }
    }

    fn answered(
        &mut self,
        message: &Message<'_>,
        e: &Essentials<'_>,
        cx: &mut Cx<'_>,
    ) -> Option<LegEvent> {
        let cancelled = self.state == LegState::Cancelling;
        let usable = self.dialog.establish(message, e);
        if !usable {
            self.dialog.remote_tag = Some(e.to.tag().unwrap_or_default().to_vec());
        }
        self.state = LegState::Up;
        self.send_ack(e, cx);
        if cancelled {
            // The answer crossed our CANCEL (§9.1): ACK, then BYE.
            self.send_bye(Cause::Normal, cx);
            return None;
        }
        match self.described(message) {
            Some(media) if usable => Some(LegEvent::Answered(Box::new(media))),
            _ => {
                self.send_bye(Cause::BadMedia, cx);
                Some(LegEvent::Failed(Cause::BadMedia))
            }
        }
    }

    fn send_ack(&mut self, e: &Essentials<'_>, cx: &mut Cx<'_>) {
        let Role::Uac(Uac { tx, invite_cseq }) = self.role else {
            return;
        };
        let branch = cx.core.mint.branch(&mut self.dice);
        let flow = cx.next_flow(&self.dialog, &self.flow, self.trunk);
        let Some(listener) = cx.listener_of(&flow) else {
            return;
        };
        let via = mask::via(listener, &branch);
        let built = mask::ack(&self.dialog, invite_cseq, &via);
        let Some(built) = self.guarded(built, cx) else {
            return;
        };
        cx.send(&flow, built.bytes);
        let tag = e.to.tag().unwrap_or_default();
        let (transactions, mint, _) = cx.transactions();
        transactions.keep_ack(tx, tag, flow, via, mint);
    }

    /// The party's answer to our offer, if the response carries one that fits.
    fn described(&self, message: &Message<'_>) -> Option<Negotiated> {
        let sent = self.local.as_ref()?;
        if message.body().is_empty() || !is_sdp(message) {
            return None;
        }
        let session = Session::parse(message.body()).ok()?;
        sdp::check_answer(sent, &session).ok()
    }
}

/// Whether a message's body is SDP.
pub(crate) fn is_sdp(message: &Message<'_>) -> bool {
    let kind = message.first(Header::ContentType).unwrap_or_default();
    let kind = kind
        .split(|b| *b == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    kind.eq_ignore_ascii_case(b"application/sdp")
}

/// What a failure of leg B means (`call-flows` 3.5).
pub(super) fn outcome(status: u16) -> Cause {
    match status {
        404 | 484 | 604 => Cause::NotFound,
        410 => Cause::Gone,
        486 | 600 => Cause::CalleeBusy,
        603 | 607 | 608 => Cause::CalleeRejected,
        408 | 480 | 487 | 300..=399 => Cause::Unavailable,
        415 | 488 | 606 => Cause::NoCodec,
        _ => Cause::TrunkFailure,
    }
}
