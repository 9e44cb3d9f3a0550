//! A new INVITE: what is checked before there is a call, and what the call is granted
//! (RFC 3261 §8.2, §16.3; `call-flows` 3.1).

use crate::number::Number;
use crate::sdp::{Media, Session};
use crate::sip::{Essentials, Header, Message, Method, Scheme, Uri};
use crate::switch::bridge::reachable;
use crate::switch::call::{Call, Purpose};
use crate::switch::cx::Cx;
use crate::switch::event::Flow;
use crate::switch::guard::Guard;
use crate::switch::identity;
use crate::switch::leg::{Leg, is_sdp};
use crate::switch::mask::{self, Asked};
use crate::switch::media::{MediaCommand, PortPair};
use crate::switch::plan::{Directory, Plan};
use crate::switch::record::{Cause, EndedBy};
use crate::switch::settings::TrunkId;
use crate::switch::transaction::{LegRef, TxId};

/// Max-Forwards of a request that names none (RFC 3261 §16.6).
const MAX_FORWARDS: u8 = 70;
/// Retry-After when a trunk is at its limit.
const OVERLOAD_RETRY_SECS: u32 = 5;

/// An INVITE that opens a dialog.
pub(super) struct Arrived<'a> {
    /// Its transaction.
    pub tx: TxId,
    /// The request.
    pub message: &'a Message<'a>,
    /// Its mandatory headers.
    pub essentials: &'a Essentials<'a>,
    /// Where it came from.
    pub flow: &'a Flow,
    /// The trunk it came by.
    pub trunk: TrunkId,
}

/// Why a request is refused before anything is looked up, with the headers that say more.
type Refusal = (u16, Vec<(Header, String)>);

/// Checks that hold for every method (RFC 3261 §8.2.2, §8.2.3, §16.3).
pub(super) fn objection(message: &Message<'_>, e: &Essentials<'_>) -> Option<Refusal> {
    let plain = |status| Some((status, Vec::new()));
    // §8.2.2.1
    let scheme = message
        .request_uri()
        .and_then(|uri| Uri::parse(uri).ok())
        .map(|uri| uri.scheme);
    match scheme {
        Some(Scheme::Sip | Scheme::Sips | Scheme::Tel) => {}
        Some(Scheme::Other) => return plain(416),
        None => return plain(400),
    }
    // §16.3: OPTIONS is answered by whoever it runs out at.
    if e.max_forwards == Some(0) && e.cseq.method != Method::Options {
        return plain(483);
    }
    // §8.2.2.3; CANCEL and ACK are exempt.
    let required: Vec<&str> = message
        .elements(Header::Require)
        .map(|token| std::str::from_utf8(token).unwrap_or("unreadable"))
        .collect();
    if !required.is_empty() && e.cseq.method != Method::Cancel {
        return Some((420, vec![(Header::Unsupported, required.join(", "))]));
    }
    // §8.2.3: an encoded body, or one of another kind.
    if let Some(encoding) = message.first(Header::ContentEncoding)
        && !encoding.eq_ignore_ascii_case(b"identity")
    {
        return Some((415, vec![(Header::AcceptEncoding, "identity".to_owned())]));
    }
    if e.cseq.method == Method::Invite && !message.body().is_empty() && !is_sdp(message) {
        return Some((415, vec![(Header::Accept, mask::ACCEPT.to_owned())]));
    }
    None
}

impl Call {
    /// The call an INVITE asks for, not yet started. `None` when there is none: the INVITE is answered
    /// and leaves no record (`Plan::Refuse`).
    pub(super) fn inbound(
        key: u64,
        arrived: &Arrived<'_>,
        directory: &dyn Directory,
        cx: &mut Cx<'_>,
    ) -> Option<Call> {
        let Arrived {
            tx,
            message,
            essentials,
            flow,
            trunk,
        } = *arrived;
        let source = flow.remote;
        let refuse = |status: u16, retry_after: Option<u32>, cx: &mut Cx<'_>| {
            tracing::debug!(from = %source, "INVITE: {status}, and no call");
            let mut dice = cx.core.mint.stream();
            let tag = cx.core.mint.id(&mut dice);
            let asked = Asked {
                message,
                source,
                tag: &tag,
            };
            cx.respond(tx, status, mask::reject(&asked, status, None, retry_after));
        };
        let settings = &cx.core.settings;
        let carrier = settings.trunks.get(usize::from(trunk))?;
        let Some(exophone) = identity::called(message, &settings.plan) else {
            refuse(404, None, cx);
            return None;
        };
        let caller = identity::caller(message, carrier, &settings.plan);
        let purpose = match directory.resolve(exophone, caller, cx.now.wall_ms) {
            Plan::Connect(plan) => Purpose::Connect(plan),
            Plan::Announce(plan) => Purpose::Announce(plan),
            Plan::Refuse => {
                refuse(404, None, cx);
                return None;
            }
        };
        // A description we cannot read is the sender's error, not a call (§21.4.1).
        if !message.body().is_empty() && Session::parse(message.body()).is_err() {
            refuse(400, None, cx);
            return None;
        }
        // Above the trunk's limits a call is not even begun: it costs no record either.
        if cx.admission.take_call(trunk, cx.now).is_err() {
            refuse(503, Some(OVERLOAD_RETRY_SECS), cx);
            return None;
        }
        let mut dice = cx.core.mint.stream();
        let sid = cx.core.mint.sid(&mut dice, cx.now.wall_ms);
        let id = LegRef { call: key, leg: 0 };
        let Some(mut leg) = Leg::answering(id, tx, message, essentials, flow, trunk, dice, cx)
        else {
            cx.admission.release_call(trunk);
            refuse(400, None, cx);
            return None;
        };
        leg.guard = guard_of(&purpose, caller);
        let max_forwards = essentials
            .max_forwards
            .unwrap_or(MAX_FORWARDS)
            .saturating_sub(1);
        Some(Call::begin(
            key,
            sid,
            purpose,
            caller,
            leg,
            max_forwards,
            cx,
        ))
    }

    /// Gets the call what it needs and begins to ring or to speak.
    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        self.show(cx);
        let brought_offer = self.legs.first().and_then(Leg::offer).is_some();
        let usable = |(session, index): (Session, usize)| {
            session.media.get(index).is_some_and(Media::has_audio_codec)
        };
        if brought_offer && !self.caller_offer().is_some_and(usable) {
            return self.end(EndedBy::System, Cause::NoCodec, cx);
        }
        match self.purpose {
            Purpose::Connect(_) => self.connect(cx),
            Purpose::Announce(_) => self.prepare_announcement(cx),
        }
    }

    /// Whether the caller's media can be reached from these ports.
    pub(super) fn caller_reachable(&self, ports: PortPair) -> bool {
        match self.caller_offer() {
            Some((session, index)) => {
                let media = session.media.get(index);
                media.is_some_and(|media| reachable(media, ports))
            }
            None => true,
        }
    }

    fn connect(&mut self, cx: &mut Cx<'_>) {
        let Purpose::Connect(plan) = &self.purpose else {
            return;
        };
        let (exophone, max_calls) = (plan.exophone, plan.max_calls);
        let refuse = |call: &mut Call, cause, cx: &mut Cx<'_>| call.end(EndedBy::System, cause, cx);
        let busy = cx.core.busy.get(&exophone).copied().unwrap_or(0);
        if max_calls != 0 && busy >= max_calls {
            return refuse(self, Cause::ExophoneBusy, cx);
        }
        let Some(own) = cx.admission.take_ports() else {
            return refuse(self, Cause::NoPorts, cx);
        };
        let Some(other) = cx.admission.take_ports() else {
            cx.media(MediaCommand::Close { slot: own.slot });
            return refuse(self, Cause::NoPorts, cx);
        };
        self.grants.exophone = Some(exophone);
        *cx.core.busy.entry(exophone).or_insert(0) += 1;
        let fits = self.caller_reachable(own);
        self.caller_leg().open_media(own, cx);
        if !fits {
            cx.media(MediaCommand::Close { slot: other.slot });
            return refuse(self, Cause::NoCodec, cx);
        }
        self.dial(other, cx);
    }

    fn prepare_announcement(&mut self, cx: &mut Cx<'_>) {
        let refuse = |call: &mut Call, cause, cx: &mut Cx<'_>| call.end(EndedBy::System, cause, cx);
        // Above the limit: 480 at once, so that a flood of dead numbers costs no audio.
        if cx.admission.take_announcement().is_err() {
            return refuse(self, Cause::NoAllocation, cx);
        }
        self.grants.announcement = true;
        let Some(ports) = cx.admission.take_ports() else {
            return refuse(self, Cause::NoPorts, cx);
        };
        self.announce(ports, cx);
    }
}

/// What may not be said to the caller: any number of the other side.
fn guard_of(purpose: &Purpose, caller: Option<Number>) -> Guard {
    match purpose {
        Purpose::Connect(plan) => Guard::new(
            plan.callees.clone(),
            vec![plan.exophone, plan.present, plan.caller],
        ),
        Purpose::Announce(plan) => {
            let exempt = caller.into_iter().chain([plan.exophone]).collect();
            Guard::new(Vec::new(), exempt)
        }
    }
}
