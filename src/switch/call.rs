//! A call: its legs, its one end and its one record.
//!
//! Whatever happens, [`Call::end`] runs at most once; it hangs up every leg, gives back every
//! grant and closes every port pair. The record follows when the ports have reported, and the
//! call is dropped when its last leg is over.

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::{Deserialize, Serialize};

use crate::number::Number;
use crate::sid::Sid;
use crate::switch::cx::Cx;
use crate::switch::event::Output;
use crate::switch::leg::{Holding, Leg, LegState};
use crate::switch::media::LegStats;
use crate::switch::plan::{Announce, Connect, Direction};
use crate::switch::record::{CallRecord, Cause, EndReason, EndedBy, LiveCall, Origin, Status};
use crate::switch::settings::TrunkId;
use crate::switch::timers::{Deadlines, MEDIA_CLOSE_US, Owner, Timer};

/// What the call is for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// To connect two parties.
    Connect(Box<Connect>),
    /// To tell the caller that the number is not active.
    Announce(Box<Announce>),
}

/// What a call has been granted and gives back when it ends.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Grants {
    /// One call of this trunk's limit.
    pub trunk: Option<TrunkId>,
    /// One of the concurrent announcements.
    pub announcement: bool,
    /// One of this ExoPhone's calls.
    pub exophone: Option<Number>,
}

/// Which number is tried, at which of the trunk's targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Attempt {
    /// Index into the plan's callees.
    pub callee: usize,
    /// Index into the trunk's targets.
    pub target: usize,
    /// Whether a provisional response above 100 has come.
    pub alive: bool,
}

/// One call, as plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Call {
    /// Its number in this shard.
    pub key: u64,
    /// What is known for its record.
    pub live: LiveCall,
    /// What it is for.
    pub purpose: Purpose,
    /// The caller's leg, then one leg for each attempt to reach the callee.
    pub legs: Vec<Leg>,
    pub(super) deadlines: Deadlines,
    pub(super) attempt: Attempt,
    pub(super) grants: Grants,
    pub(super) max_forwards: u8,
    /// The SDP given to the caller, which later answers repeat.
    pub(super) caller_sdp: Option<Vec<u8>>,
    /// Whether that was an answer to the caller's offer (else it was our offer).
    pub(super) caller_offered: bool,
    pub(super) codec: Option<String>,
    /// The final status the caller got.
    pub(super) sip_code: Option<u16>,
    end: Option<EndReason>,
    /// When it ended, Unix milliseconds.
    ended_ms: u64,
    recorded: bool,
}

impl Call {
    /// A call that begins with this INVITE's leg; its trunk has granted it.
    pub(super) fn begin(
        key: u64,
        sid: Sid,
        purpose: Purpose,
        caller: Option<Number>,
        leg: Leg,
        max_forwards: u8,
        cx: &mut Cx<'_>,
    ) -> Call {
        cx.core.counters.calls += 1;
        let trunk_name = |id: TrunkId| {
            let trunk = cx.core.settings.trunks.get(usize::from(id));
            trunk.map(|t| t.name.clone()).unwrap_or_default()
        };
        let (account, exophone, allocation, direction, custom) = match &purpose {
            Purpose::Connect(c) => (
                c.account,
                c.exophone,
                Some(c.allocation),
                c.direction,
                c.custom.clone(),
            ),
            Purpose::Announce(a) => (a.account, a.exophone, a.allocation, Direction::None, None),
        };
        let live = LiveCall {
            sid,
            account,
            allocation,
            exophone,
            caller,
            callee: None,
            origin: Origin::Inbound,
            direction,
            status: Status::Queued,
            announcement: matches!(purpose, Purpose::Announce(_)),
            trunk_in: trunk_name(leg.trunk),
            trunk_out: None,
            started_ms: cx.now.wall_ms,
            rang_ms: None,
            answered_ms: None,
            custom,
        };
        let grants = Grants {
            trunk: Some(leg.trunk),
            ..Grants::default()
        };
        tracing::info!(call = %sid, %exophone, purpose = purpose.name(), "call begins");
        Call {
            key,
            live,
            purpose,
            legs: vec![leg],
            deadlines: Deadlines::default(),
            attempt: Attempt::default(),
            grants,
            max_forwards,
            caller_sdp: None,
            caller_offered: false,
            codec: None,
            sip_code: None,
            end: None,
            ended_ms: 0,
            recorded: false,
        }
    }

    /// The caller's leg.
    pub(super) fn caller_leg(&mut self) -> &mut Leg {
        self.legs
            .first_mut()
            .expect("a call begins with its caller's leg")
    }

    /// Whether the call is on its way down.
    pub(super) fn is_ending(&self) -> bool {
        self.end.is_some()
    }

    /// Whether nothing is left to do: the record is out and every leg is over.
    pub(super) fn is_finished(&self) -> bool {
        self.recorded && self.legs.iter().all(Leg::is_over)
    }

    /// Writes the live row again.
    pub(super) fn show(&self, cx: &mut Cx<'_>) {
        cx.out.push(Output::Live(Box::new(self.live.clone())));
    }

    /// Ends the call, once; later reasons change nothing.
    pub(super) fn end(&mut self, by: EndedBy, cause: Cause, cx: &mut Cx<'_>) {
        if self.end.is_some() {
            return;
        }
        // An announcement's record says why there was no call, whoever ended it.
        let kept = match &self.purpose {
            Purpose::Announce(announce) if cause != Cause::Internal => announce.cause,
            _ => cause,
        };
        self.end = Some(EndReason { by, cause: kept });
        self.ended_ms = cx.now.wall_ms;
        let owner = Owner::Call(self.key);
        self.deadlines.clear_all(&mut cx.core.timers, owner);
        for leg in &mut self.legs {
            leg.hang_up(cause, cx);
            leg.close_media(cx);
        }
        if self.sip_code.is_none() {
            self.sip_code = Some(self.refusal(cause));
        }
        self.give_back(cx);
        if self.legs.iter().all(|leg| leg.holding == Holding::Nothing) {
            self.write_record(cx);
        } else {
            let at = cx.after(MEDIA_CLOSE_US);
            self.deadlines
                .set(&mut cx.core.timers, owner, Timer::MediaClose, at);
        }
    }

    /// A closed pair has reported.
    pub(super) fn media_closed(&mut self, leg: u16, stats: LegStats, cx: &mut Cx<'_>) {
        if let Some(leg) = self.legs.get_mut(usize::from(leg)) {
            leg.media_closed(stats, cx);
        }
        if self.end.is_some() && self.legs.iter().all(|leg| leg.holding == Holding::Nothing) {
            self.write_record(cx);
        }
    }

    /// The ports never reported: the record goes out without their statistics.
    pub(super) fn media_overdue(&mut self, cx: &mut Cx<'_>) {
        self.deadlines.fired(Timer::MediaClose);
        for leg in &mut self.legs {
            leg.abandon_media(cx);
        }
        self.write_record(cx);
    }

    /// A defect of ours: tells the parties if that still works, and takes the call out of every
    /// table without trusting its state.
    pub(super) fn condemn(&mut self, cx: &mut Cx<'_>) {
        self.deadlines
            .clear_all(&mut cx.core.timers, Owner::Call(self.key));
        for leg in &mut self.legs {
            // Without a last word the party would ring on, and its transaction never end.
            let _ = catch_unwind(AssertUnwindSafe(|| leg.hang_up(Cause::Internal, cx)));
            leg.condemn(cx);
        }
        self.give_back(cx);
        self.end = Some(EndReason {
            by: EndedBy::System,
            cause: Cause::Internal,
        });
        self.ended_ms = cx.now.wall_ms;
        self.write_record(cx);
    }

    fn refusal(&self, cause: Cause) -> u16 {
        match self.legs.first().map(|leg| leg.state) {
            // Answered before: the caller's final status is 200.
            _ if self.live.answered_ms.is_some() => 200,
            Some(LegState::Ended) | None => cause.sip_status(),
            Some(_) => 200,
        }
    }

    fn give_back(&mut self, cx: &mut Cx<'_>) {
        let grants = std::mem::take(&mut self.grants);
        if let Some(trunk) = grants.trunk {
            cx.admission.release_call(trunk);
        }
        if grants.announcement {
            cx.admission.release_announcement();
        }
        if let Some(exophone) = grants.exophone
            && let Some(count) = cx.core.busy.get_mut(&exophone)
        {
            *count -= 1;
            if *count == 0 {
                cx.core.busy.remove(&exophone);
            }
        }
    }

    fn write_record(&mut self, cx: &mut Cx<'_>) {
        let Some(end) = self.end else { return };
        if self.recorded {
            return;
        }
        self.recorded = true;
        self.deadlines
            .clear_all(&mut cx.core.timers, Owner::Call(self.key));
        let answered = self.live.answered_ms.is_some();
        let mut call = self.live.clone();
        call.status = end.cause.status(answered && !call.announcement);
        let record = CallRecord {
            call,
            ended_ms: self.ended_ms,
            cause: end.cause,
            ended_by: end.by,
            sip_code: self.sip_code.unwrap_or(200),
            q850: end.cause.q850(),
            codec: self.codec.clone(),
            caller_media: self.legs.first().and_then(|leg| leg.stats),
            callee_media: self
                .legs
                .iter()
                .skip(1)
                .next_back()
                .and_then(|leg| leg.stats),
            recording: None,
        };
        tracing::info!(
            call = %record.call.sid, cause = ?end.cause, by = ?end.by, code = record.sip_code,
            secs = record.duration_ms() / 1000, "call ends"
        );
        cx.out.push(Output::Record(Box::new(record)));
    }
}

impl Purpose {
    fn name(&self) -> &'static str {
        match self {
            Purpose::Connect(_) => "connect",
            Purpose::Announce(_) => "announce",
        }
    }
}
