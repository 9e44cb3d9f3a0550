//! The parties of an allocation: how many, which numbers, and on which ExoPhone they collide.

use std::sync::Arc;

use super::super::Refusal;
use super::super::allocation::{Allocation, MAX_SIDE};
use super::super::change::Change;
use super::super::exophone::{ExoPhone, Sharing};
use super::super::view::View;
use super::{clear, refuse};
use crate::number::Number;
use crate::sid::Sid;

/// Checks both sides by themselves: 1 to [`MAX_SIDE`] numbers, none twice, none an ExoPhone.
pub(super) fn check(view: &View, customer: &[Number], agent: &[Number]) -> Result<(), Refusal> {
    for (name, side) in [("customer", customer), ("agent", agent)] {
        if side.is_empty() {
            return Err(refuse(
                "no_number",
                format!("the {name} side has no number"),
                format!("give 1 to {MAX_SIDE} numbers for the {name} side"),
            ));
        }
        not_too_many(name, side)?;
        let twice = side
            .iter()
            .enumerate()
            .find(|(i, n)| side.iter().take(*i).any(|m| m == *n));
        if let Some((_, number)) = twice {
            return Err(refuse(
                "same_number",
                format!("{} is twice on the {name} side", number.e164()),
                "write each number once",
            ));
        }
    }
    if let Some(number) = customer.iter().find(|n| agent.contains(n)) {
        return Err(refuse(
            "same_number",
            format!("{} is on both sides", number.e164()),
            "the customer and the agent need different numbers",
        ));
    }
    let ours = |n: &&Number| view.exophone(**n).is_some();
    match customer.iter().chain(agent).find(ours) {
        Some(number) => Err(refuse(
            "party_is_exophone",
            format!("{} is an ExoPhone", number.e164()),
            "a party is a real telephone; a call to an ExoPhone would come back to us",
        )),
        None => Ok(()),
    }
}

/// Checks the length of a side, which bounds the size of its row.
pub(super) fn not_too_many(name: &str, side: &[Number]) -> Result<(), Refusal> {
    if side.len() <= MAX_SIDE {
        return Ok(());
    }
    Err(refuse(
        "too_many_numbers",
        format!("the {name} side has {} numbers", side.len()),
        format!("give 1 to {MAX_SIDE} numbers for the {name} side"),
    ))
}

/// Checks that `exophone` has room for these callers, apart from the allocation `itself`;
/// claims whose expiry has passed are marked expired in `changes`.
pub(super) fn claim(
    view: &View,
    exophone: &ExoPhone,
    callers: &mut dyn Iterator<Item = Number>,
    itself: Option<Sid>,
    now_ms: u64,
    changes: &mut Vec<Change>,
) -> Result<(), Refusal> {
    let line = view.line(exophone.number);
    let others = |a: &&Arc<Allocation>| Some(a.id) != itself;
    match exophone.sharing {
        Sharing::Exclusive => clear(line.active().filter(others), now_ms, changes)
            .map_err(|blocker| taken(exophone, blocker)),
        Sharing::PerParty => {
            for caller in callers {
                let in_the_way = line.claim_of(caller).filter(others);
                clear(in_the_way.into_iter(), now_ms, changes)
                    .map_err(|blocker| party_taken(exophone, caller, blocker))?;
            }
            Ok(())
        }
    }
}

fn taken(exophone: &ExoPhone, blocker: &Arc<Allocation>) -> Refusal {
    let number = exophone.number.e164();
    refuse(
        "exophone_taken",
        format!("{number} has an active allocation: {}", blocker.id),
        "deactivate it or wait for its expiry, use another ExoPhone, or let allocations share \
         this one (sharing per-party)",
    )
    .blocked_by(blocker.id)
}

fn party_taken(exophone: &ExoPhone, party: Number, blocker: &Arc<Allocation>) -> Refusal {
    refuse(
        "party_taken",
        format!(
            "{} is a party of another active allocation on {}: {}",
            party.e164(),
            exophone.number.e164(),
            blocker.id
        ),
        "deactivate it or wait for its expiry, or use another ExoPhone",
    )
    .blocked_by(blocker.id)
}
