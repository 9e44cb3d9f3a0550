//! Why a call would go where it goes: the lookup in words, for `allocation explain`.

use serde::Serialize;

use super::allocation::Allocation;
use super::lookup::Finding;
use crate::number::Number;
use crate::switch::plan::{Direction, Plan};
use crate::switch::record::Cause;

/// What would happen to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The other party would ring.
    Connect,
    /// "This number is not active" would be played.
    Announce,
    /// Not one of our ExoPhones: 404.
    Refuse,
}

/// The answer to "what if this caller dialled this ExoPhone then?". Its numbers serialise in
/// full: for the one who asked, not for logs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The number dialled.
    pub exophone: Number,
    /// The caller; `None` = anonymous.
    pub caller: Option<Number>,
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// What would happen.
    pub verdict: Verdict,
    /// Why there would be no call.
    pub cause: Option<Cause>,
    /// The same in a sentence.
    pub reason: String,
    /// The allocation that applied, or nearly did.
    pub allocation: Option<Allocation>,
    /// Which side the caller is.
    pub direction: Direction,
    /// Numbers that would ring, in order.
    pub rings: Vec<Number>,
    /// The ExoPhone they would see.
    pub shows: Option<Number>,
    /// Trunk the call would leave by; `None` = the first configured, or no call.
    pub trunk: Option<String>,
    /// Masked calls allowed at once; 0 = unlimited. Calls that are up now are not counted here.
    pub max_calls: Option<u32>,
}

impl Explanation {
    pub(super) fn of(
        finding: Finding,
        exophone: Number,
        caller: Option<Number>,
        at_ms: u64,
    ) -> Explanation {
        let allocation = match &finding {
            Finding::Match { allocation, .. } => Some(Allocation::clone(allocation)),
            Finding::NoCall { allocation, .. } => allocation.as_deref().cloned(),
            Finding::NotOurs => None,
        };
        let mut said = Explanation {
            exophone,
            caller,
            at_ms,
            verdict: Verdict::Refuse,
            cause: None,
            reason: "this number is not one of our ExoPhones: 404, no record".to_owned(),
            allocation,
            direction: Direction::None,
            rings: Vec::new(),
            shows: None,
            trunk: None,
            max_calls: None,
        };
        match finding.into_plan(exophone, caller) {
            Plan::Connect(plan) => {
                said.verdict = Verdict::Connect;
                said.direction = plan.direction;
                said.reason = match plan.direction {
                    Direction::AgentToCustomer => "the caller is the agent: the customer rings",
                    _ => "the caller is the customer: the agent rings",
                }
                .to_owned();
                said.rings = plan.callees;
                said.shows = Some(plan.present);
                said.trunk = plan.trunk;
                said.max_calls = Some(plan.max_calls);
            }
            Plan::Announce(plan) => {
                said.verdict = Verdict::Announce;
                said.cause = Some(plan.cause);
                said.reason = reason(plan.cause, caller.is_none()).to_owned();
            }
            Plan::Refuse => {}
        }
        if let Some(allocation) = &said.allocation
            && allocation.created_ms > at_ms
        {
            said.reason += "; note that this allocation was created later than the time asked \
                            about: times in the past are judged by the rows of today";
        }
        said
    }
}

fn reason(cause: Cause, anonymous: bool) -> &'static str {
    match cause {
        Cause::Expired => "the caller's last allocation on this ExoPhone has expired",
        Cause::UnknownCaller if anonymous => {
            "an allocation is active, but the caller is anonymous, so it cannot be a party of it"
        }
        Cause::UnknownCaller => {
            "an allocation is active on this ExoPhone, but the caller is not a party of it"
        }
        Cause::NotAllowed => "the caller is the agent, and only the customer may call",
        _ => "no allocation is active on this ExoPhone",
    }
}
