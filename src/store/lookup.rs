//! Who is to be connected: the decision of DESIGN "Masking" and "Product rules" over the view.
//!
//! Which allocation a refused caller is told about:
//! * On an exclusive ExoPhone the active allocation decides. A caller it does not name is an
//!   unknown caller, whatever that caller had there before.
//! * On a per-party ExoPhone the caller's number decides, so that other people's allocations do
//!   not hide that the caller's own has expired.
//! * Otherwise the cause is `expired` exactly when the allocation that ended last among those
//!   that named this caller on this number ended by its expiry, swept or not.

use std::sync::Arc;

use super::allocation::{Allocation, RecordPolicy, State, Usage};
use super::exophone::{ExoPhone, Sharing};
use super::view::{Line, View};
use crate::number::Number;
use crate::switch::plan::{Announce, Connect, Direction, Plan};
use crate::switch::record::Cause;

/// What the view says about one call.
#[derive(Debug)]
pub(super) enum Finding {
    /// Not one of our ExoPhones.
    NotOurs,
    /// The caller may be connected.
    Match {
        exophone: Arc<ExoPhone>,
        allocation: Arc<Allocation>,
        direction: Direction,
    },
    /// No call, for this cause; with the allocation that nearly applied.
    NoCall {
        exophone: Arc<ExoPhone>,
        allocation: Option<Arc<Allocation>>,
        cause: Cause,
    },
}

/// Decides a call to `dialled` from `caller` at `wall_ms`.
pub(super) fn find(view: &View, dialled: Number, caller: Option<Number>, wall_ms: u64) -> Finding {
    let Some(exophone) = view.exophone(dialled).cloned() else {
        return Finding::NotOurs;
    };
    let line = view.line(dialled);
    let claim = caller.and_then(|caller| line.claim_of(caller));
    let (Some(allocation), Some(caller)) = (claim, caller) else {
        return unclaimed(line, exophone, caller, wall_ms);
    };
    let no_call = |cause| Finding::NoCall {
        exophone: exophone.clone(),
        allocation: Some(allocation.clone()),
        cause,
    };
    if allocation.expired_at(wall_ms) {
        return no_call(Cause::Expired);
    }
    // The same number is never on both sides, so the first match is the only one.
    let direction = if allocation.customer.contains(&caller) {
        Direction::CustomerToAgent
    } else {
        Direction::AgentToCustomer
    };
    if direction == Direction::AgentToCustomer && allocation.usage == Usage::Oneway {
        return no_call(Cause::NotAllowed);
    }
    Finding::Match {
        allocation: allocation.clone(),
        exophone,
        direction,
    }
}

/// The answer to a caller whom no active allocation on this line names, or who is anonymous.
fn unclaimed(
    line: Line<'_>,
    exophone: Arc<ExoPhone>,
    caller: Option<Number>,
    wall_ms: u64,
) -> Finding {
    let holder = line.holder_at(wall_ms);
    let expired = caller
        .and_then(|caller| line.last_ended(caller))
        .filter(|a| a.state == State::Expired);
    let (cause, allocation) = match (holder, expired, exophone.sharing) {
        (Some(holder), _, Sharing::Exclusive) => (Cause::UnknownCaller, Some(holder)),
        (_, Some(expired), _) => (Cause::Expired, Some(expired)),
        // Which of many allocations the caller meant, nobody can say.
        (Some(_), None, Sharing::PerParty) => (Cause::UnknownCaller, None),
        (None, None, _) => (Cause::NoAllocation, None),
    };
    Finding::NoCall {
        allocation: allocation.cloned(),
        exophone,
        cause,
    }
}

impl Finding {
    /// The switch's form of it. `caller` is the one `find` was asked about.
    pub(super) fn into_plan(self, dialled: Number, caller: Option<Number>) -> Plan {
        match (self, caller) {
            (
                Finding::Match {
                    exophone,
                    allocation,
                    direction,
                },
                Some(caller),
            ) => Plan::Connect(Box::new(connect(
                &exophone,
                &allocation,
                direction,
                dialled,
                caller,
            ))),
            (
                Finding::NoCall {
                    exophone,
                    allocation,
                    cause,
                },
                _,
            ) => Plan::Announce(Box::new(Announce {
                account: exophone.account,
                exophone: dialled,
                allocation: allocation.map(|a| a.id),
                cause,
                announcement: exophone.announcement.clone(),
            })),
            // A match names its caller, so the second pattern is only ours to spell out.
            (Finding::NotOurs | Finding::Match { .. }, _) => Plan::Refuse,
        }
    }
}

fn connect(
    exophone: &ExoPhone,
    allocation: &Allocation,
    direction: Direction,
    dialled: Number,
    caller: Number,
) -> Connect {
    let (callees, present) = match direction {
        Direction::AgentToCustomer => (&allocation.customer, allocation.exophone),
        _ => (&allocation.agent, allocation.agent_exophone),
    };
    Connect {
        account: exophone.account,
        allocation: allocation.id,
        exophone: dialled,
        caller,
        callees: callees.clone(),
        present,
        direction,
        trunk: exophone.trunk.clone(),
        max_calls: exophone.max_calls,
        max_call_secs: allocation.max_call_secs,
        record: match allocation.record {
            RecordPolicy::Inherit => exophone.record,
            RecordPolicy::On => true,
            RecordPolicy::Off => false,
        },
        custom: allocation.custom.clone(),
    }
}
