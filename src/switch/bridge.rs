//! Joining two legs: what one leg says in leg-neutral words, the other says in SIP to its own
//! party (`call-flows` 3.1, 3.2, 3.5, 3.7, 3.13, 3.16).

use crate::sdp::{self, Codec, CodecKind, Format, Media, Negotiated, Session};
use crate::sip::Message;
use crate::switch::call::{Attempt, Call, Purpose};
use crate::switch::cx::{Cx, same_family};
use crate::switch::guard::Guard;
use crate::switch::leg::{Dial, Leg, LegEvent, LegState};
use crate::switch::media::{MediaCommand, PortPair};
use crate::switch::plan::Connect;
use crate::switch::record::{Cause, EndedBy, Status};
use crate::switch::settings::{EarlyMedia, TrunkId};
use crate::switch::timers::{FIRST_RESPONSE_US, Owner, STILL_RINGING_US, Timer};
use crate::switch::transaction::LegRef;

/// Codecs offered to a callee when the caller brought no offer.
pub(super) const DEFAULT_CODECS: [CodecKind; 3] =
    [CodecKind::Pcma, CodecKind::Pcmu, CodecKind::TelephoneEvent];
/// Clock rate of narrow-band telephony.
const TELEPHONY_HZ: u32 = 8_000;
/// Microseconds in a second.
const SECOND_US: u64 = 1_000_000;

impl Call {
    /// Rings the next number at the next target.
    pub(super) fn dial(&mut self, ports: PortPair, cx: &mut Cx<'_>) {
        let Purpose::Connect(plan) = &self.purpose else {
            return;
        };
        let plan = plan.clone();
        let settings = &cx.core.settings;
        let chosen = trunk_of(&plan, cx).and_then(|id| {
            let trunk = settings.trunks.get(usize::from(id))?;
            Some((
                id,
                trunk.name.clone(),
                trunk.targets.get(self.attempt.target)?.clone(),
            ))
        });
        let (Some((trunk, name, target)), Some(callee)) =
            (chosen, plan.callees.get(self.attempt.callee).copied())
        else {
            tracing::error!(exophone = %plan.exophone, "no trunk that may present this ExoPhone");
            cx.media(MediaCommand::Close { slot: ports.slot });
            return self.end(EndedBy::System, Cause::TrunkFailure, cx);
        };
        let (formats, ptime_ms) = self.offer_onward();
        let id = LegRef {
            call: self.key,
            leg: self.legs.len() as u16,
        };
        let guard = Guard::new(vec![plan.caller], vec![plan.exophone, plan.present, callee]);
        let dice = cx.core.mint.stream();
        let max_forwards = self.max_forwards;
        let (target, present) = (&target, plan.present);
        let dial = Dial {
            callee,
            present,
            trunk,
            target,
            max_forwards,
            ports,
            formats,
            ptime_ms,
            guard,
        };
        let Some(leg) = Leg::dialling(id, dial, dice, cx) else {
            return self.end(EndedBy::System, Cause::Internal, cx);
        };
        self.legs.push(leg);
        self.live.callee = Some(callee);
        self.live.trunk_out = Some(name);
        self.show(cx);
        let owner = Owner::Call(self.key);
        if self.attempt.target == 0 {
            let ring = u64::from(cx.core.settings.ring_timeout_secs) * SECOND_US;
            let at = cx.after(ring);
            self.deadlines
                .set(&mut cx.core.timers, owner, Timer::Ring, at);
        }
        if self.has_other_target(trunk, cx) {
            let at = cx.after(FIRST_RESPONSE_US);
            self.deadlines
                .set(&mut cx.core.timers, owner, Timer::FirstResponse, at);
        }
    }

    /// One leg speaks; the call and the other legs react.
    pub(super) fn heard(&mut self, leg: u16, event: LegEvent, cx: &mut Cx<'_>) {
        if self.is_ending() {
            return;
        }
        let by = if leg == 0 {
            EndedBy::Caller
        } else {
            EndedBy::Callee
        };
        match event {
            LegEvent::Trying => self.target_answers(cx),
            LegEvent::Alive => self.target_lives(cx),
            LegEvent::Ringing => {
                self.target_lives(cx);
                self.ringing(cx);
            }
            LegEvent::EarlyMedia(media) => {
                self.target_lives(cx);
                match cx.core.settings.early_media {
                    EarlyMedia::Relay => self.early_media(leg, &media, cx),
                    // What B's network says before the answer could be B's number.
                    EarlyMedia::Hide => self.ringing(cx),
                }
            }
            LegEvent::Answered(media) => self.answered(leg, &media, cx),
            LegEvent::Confirmed => {}
            LegEvent::Failed(cause) => self.attempt_failed(leg, cause, cx),
            LegEvent::HungUp if self.live.answered_ms.is_some() => {
                self.end(by, Cause::Normal, cx);
            }
            LegEvent::HungUp => self.end(by, Cause::CallerCanceled, cx),
            LegEvent::Lost(cause) => self.end(EndedBy::System, cause, cx),
        }
    }

    /// The caller's ACK, with its answer when ours was the offer (`call-flows` 3.11).
    pub(super) fn caller_confirmed(&mut self, ack: &Message<'_>, cx: &mut Cx<'_>) {
        if self.is_ending() {
            return;
        }
        if self.caller_sdp.is_some() && !self.caller_offered {
            let leg = self.caller_leg();
            let answer = Session::parse(ack.body()).ok();
            let media = match (&leg.local, answer) {
                (Some(local), Some(session)) => sdp::check_answer(local, &session).ok(),
                _ => None,
            };
            let Some(media) = media else {
                return self.end(EndedBy::System, Cause::BadMedia, cx);
            };
            leg.agree(&media, cx);
        }
        self.announcement_may_begin(cx);
    }

    /// The call's own timers.
    pub(super) fn fire(&mut self, timer: Timer, cx: &mut Cx<'_>) {
        self.deadlines.fired(timer);
        match timer {
            Timer::Ring => self.attempt_over(Cause::RingTimeout, cx),
            Timer::FirstResponse => self.attempt_over(Cause::TrunkFailure, cx),
            Timer::StillRinging => {
                self.caller_leg().progress(180, None, cx);
                self.keep_ringing(cx);
            }
            Timer::MaxDuration => self.end(EndedBy::System, Cause::MaxDuration, cx),
            Timer::MediaClose => self.media_overdue(cx),
            _ => {}
        }
    }

    /// The caller's offered audio, read again from its INVITE.
    pub(super) fn caller_offer(&self) -> Option<(Session, usize)> {
        let session = Session::parse(self.legs.first()?.offer()?).ok()?;
        let index = session.audio()?.0;
        Some((session, index))
    }

    /// Answers the caller's offer, or makes one when it brought none: describes our side with
    /// `formats` (the caller's numbers, or ours) and returns the SDP.
    pub(super) fn describe_to_caller(
        &mut self,
        formats: Vec<Format>,
        ptime_ms: Option<u32>,
        cx: &mut Cx<'_>,
    ) -> Option<Vec<u8>> {
        let offer = self.caller_offer();
        let leg = self.caller_leg();
        let direction = match &offer {
            Some((session, index)) => session.media.get(*index)?.direction.reversed(),
            None => sdp::Direction::SendRecv,
        };
        leg.describe(formats.clone(), ptime_ms, direction);
        let local = leg.local.as_ref()?;
        let body = match &offer {
            Some((session, index)) => sdp::print_answer(local, session, *index),
            None => sdp::print_offer(local),
        };
        if let Some((session, index)) = &offer {
            leg.agree(&settled(session.media.get(*index)?, formats)?, cx);
        }
        self.caller_offered = offer.is_some();
        self.caller_sdp = Some(body.clone());
        Some(body)
    }

    fn offer_onward(&self) -> (Vec<Format>, Option<u32>) {
        match self.caller_offer() {
            Some((session, index)) => {
                let media = session.media.get(index);
                let formats = media.map(|m| m.formats.as_slice()).unwrap_or_default();
                let ptime_ms = media.and_then(|m| m.ptime_ms);
                (sdp::offerable(formats, &CodecKind::ALL), ptime_ms)
            }
            None => (own_formats(&DEFAULT_CODECS), None),
        }
    }

    fn target_lives(&mut self, cx: &mut Cx<'_>) {
        self.attempt.alive = true;
        self.target_answers(cx);
    }

    fn target_answers(&mut self, cx: &mut Cx<'_>) {
        let owner = Owner::Call(self.key);
        self.deadlines
            .clear(&mut cx.core.timers, owner, Timer::FirstResponse);
    }

    fn ringing(&mut self, cx: &mut Cx<'_>) {
        self.caller_leg().progress(180, None, cx);
        self.rang(cx);
    }

    fn rang(&mut self, cx: &mut Cx<'_>) {
        if self.live.rang_ms.is_none() {
            self.live.rang_ms = Some(cx.now.wall_ms);
            self.live.status = Status::Ringing;
            self.show(cx);
            self.keep_ringing(cx);
        }
    }

    fn keep_ringing(&mut self, cx: &mut Cx<'_>) {
        let at = cx.after(STILL_RINGING_US);
        let owner = Owner::Call(self.key);
        self.deadlines
            .set(&mut cx.core.timers, owner, Timer::StillRinging, at);
    }

    fn early_media(&mut self, leg: u16, media: &Negotiated, cx: &mut Cx<'_>) {
        // An offerless caller can get no SDP before its 200: it hears its own ringback.
        if self.caller_offer().is_none() {
            return self.ringing(cx);
        }
        if self.join(leg, media, cx) {
            let body = self.caller_sdp.clone();
            self.caller_leg().progress(183, body.as_deref(), cx);
            self.rang(cx);
        } else {
            self.ringing(cx);
        }
    }

    fn answered(&mut self, leg: u16, media: &Negotiated, cx: &mut Cx<'_>) {
        if !self.join(leg, media, cx) {
            return self.end(EndedBy::System, Cause::BadMedia, cx);
        }
        let body = self.caller_sdp.clone().unwrap_or_default();
        if !self.caller_leg().accept(&body, cx) {
            return self.end(EndedBy::System, Cause::Internal, cx);
        }
        self.sip_code = Some(200);
        self.live.answered_ms = Some(cx.now.wall_ms);
        self.live.status = Status::InProgress;
        self.show(cx);
        tracing::info!(call = %self.live.sid, codec = self.codec.as_deref(), "call is answered");
        let owner = Owner::Call(self.key);
        let longest = match &self.purpose {
            Purpose::Connect(plan) => plan.max_call_secs,
            Purpose::Announce(_) => None,
        };
        let secs = longest
            .unwrap_or(u32::MAX)
            .min(cx.core.settings.max_call_secs);
        let at = cx.after(u64::from(secs) * SECOND_US);
        let timers = &mut cx.core.timers;
        self.deadlines.clear_all(timers, owner);
        self.deadlines.set(timers, owner, Timer::MaxDuration, at);
    }

    /// Connects the media of the caller and of this leg. False when they have nothing in common.
    fn join(&mut self, leg: u16, media: &Negotiated, cx: &mut Cx<'_>) -> bool {
        if self.caller_sdp.is_none() {
            let formats = match self.caller_offer() {
                Some((session, index)) => {
                    let offered = session.media.get(index).map(|m| m.formats.as_slice());
                    sdp::choose(offered.unwrap_or_default(), &media.formats)
                }
                None => sdp::offerable(&media.formats, &CodecKind::ALL),
            };
            let Some(first) = formats.first() else {
                return false;
            };
            self.codec = Some(first.codec.kind.name().to_owned());
            if self
                .describe_to_caller(formats, media.ptime_ms, cx)
                .is_none()
            {
                return false;
            }
        } else if !self.still_shared(media) {
            return false;
        }
        let Some(callee) = self.legs.get(usize::from(leg)) else {
            return false;
        };
        callee.agree(media, cx);
        let (Some(a), Some(b)) = (self.legs.first().and_then(Leg::slot), callee.slot()) else {
            return false;
        };
        let timeout_ms = cx.core.settings.media_timeout_secs.saturating_mul(1000);
        cx.media(MediaCommand::Bridge { a, b, timeout_ms });
        true
    }

    /// Whether what the caller was told before still fits what the callee says now.
    fn still_shared(&self, media: &Negotiated) -> bool {
        let told = self.legs.first().and_then(|leg| leg.local.as_ref());
        told.is_some_and(|local| {
            let shared = |f: &Format| media.formats.iter().any(|m| m.codec.matches(&f.codec));
            local.formats.first().is_some_and(shared)
        })
    }

    fn attempt_failed(&mut self, leg: u16, cause: Cause, cx: &mut Cx<'_>) {
        // Only the newest attempt decides; the others are already given up.
        if usize::from(leg) + 1 == self.legs.len() {
            self.attempt_over(cause, cx);
        }
    }

    /// The newest attempt is over: the next target, the next number, or the end.
    fn attempt_over(&mut self, cause: Cause, cx: &mut Cx<'_>) {
        let Purpose::Connect(plan) = &self.purpose else {
            return;
        };
        // `call-flows` 3.5: the silent target given up before may still ring this very phone.
        let before = self.legs.iter().rev().nth(1).map(|leg| leg.state);
        let rival = self.attempt.target > 0 && before == Some(LegState::Cancelling);
        let cause = match cause {
            Cause::CalleeBusy if rival => Cause::Unavailable,
            cause => cause,
        };
        // Silence and the transport's errors count as its failure too.
        let failed = !self.attempt.alive && cause == Cause::TrunkFailure;
        let trunk = trunk_of(plan, cx);
        let next = match trunk {
            // `call-flows` 3.16: another target only before any provisional response but 100.
            Some(trunk) if failed && self.has_other_target(trunk, cx) => Some(Attempt {
                target: self.attempt.target + 1,
                alive: false,
                ..self.attempt
            }),
            _ if cause != Cause::BadMedia && self.attempt.callee + 1 < plan.callees.len() => {
                Some(Attempt {
                    callee: self.attempt.callee + 1,
                    ..Attempt::default()
                })
            }
            _ => None,
        };
        let by = match cause {
            Cause::CalleeBusy | Cause::CalleeRejected => EndedBy::Callee,
            _ => EndedBy::System,
        };
        let Some(next) = next else {
            return self.end(by, cause, cx);
        };
        let Some(ports) = cx.admission.take_ports() else {
            return self.end(by, cause, cx);
        };
        if let Some(last) = self.legs.last_mut() {
            last.hang_up(cause, cx);
            last.close_media(cx);
        }
        let owner = Owner::Call(self.key);
        self.deadlines
            .clear(&mut cx.core.timers, owner, Timer::FirstResponse);
        self.attempt = next;
        self.dial(ports, cx);
    }

    fn has_other_target(&self, trunk: TrunkId, cx: &Cx<'_>) -> bool {
        let trunk = cx.core.settings.trunks.get(usize::from(trunk));
        trunk.is_some_and(|t| self.attempt.target + 1 < t.targets.len())
    }
}

/// The trunk leg B leaves by: the ExoPhone's own, or the first; never another one, which may
/// not present that number.
fn trunk_of(plan: &Connect, cx: &Cx<'_>) -> Option<TrunkId> {
    match &plan.trunk {
        Some(name) => cx.core.settings.trunk_named(name),
        None => (!cx.core.settings.trunks.is_empty()).then_some(0),
    }
}

/// Codecs under our own numbers, at the usual clock rate of telephony.
pub(super) fn own_formats(kinds: &[CodecKind]) -> Vec<Format> {
    let format = |kind: &CodecKind| {
        let codec = Codec::new(*kind, TELEPHONY_HZ);
        Some(Format {
            payload_type: codec.own_payload_type()?,
            codec,
        })
    };
    kinds.iter().filter_map(format).collect()
}

/// What an offer and our answer with `formats` settle.
fn settled(offer: &Media, formats: Vec<Format>) -> Option<Negotiated> {
    Some(Negotiated {
        rtp: offer.rtp_address()?,
        rtcp: offer.rtcp_address()?,
        receive: formats.clone(),
        formats,
        ptime_ms: offer.ptime_ms,
        direction: offer.direction,
        held: offer.is_held(),
    })
}

/// Whether an offer can be served from a port pair: an address of the same family, and a port
/// behind it for RTCP, without which no answer could be agreed on later.
pub(super) fn reachable(media: &Media, ports: PortPair) -> bool {
    let rtp = media.rtp_address();
    rtp.is_some_and(|rtp| same_family(rtp.ip(), ports.address)) && media.rtcp_address().is_some()
}
