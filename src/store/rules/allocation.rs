//! Rules of allocations: create, update, deactivate.

use std::sync::Arc;

use super::super::allocation::{
    Allocation, AllocationPatch, MAX_CALL_SECS, MAX_CUSTOM, NewAllocation, State,
};
use super::super::change::Change;
use super::super::exophone::ExoPhone;
use super::super::view::View;
use super::super::{Refusal, Reply};
use super::{Decision, account_of, ended, expired, parties, refuse};
use crate::number::Number;
use crate::sid::Sid;

pub(super) fn create(
    view: &View,
    new: NewAllocation,
    now_ms: u64,
    new_id: impl FnOnce() -> Sid,
) -> Result<Decision, Refusal> {
    let account = account_of(view, new.account)?;
    let exophone = known_exophone(view, new.exophone)?;
    same_account(account, exophone)?;
    parties::check(view, &new.customer, &new.agent)?;
    check_terms(
        new.expires_ms,
        new.max_call_secs,
        new.custom.as_deref(),
        now_ms,
    )?;
    let mut changes = Vec::new();
    let mut callers = new.customer.iter().chain(&new.agent).copied();
    parties::claim(view, exophone, &mut callers, None, now_ms, &mut changes)?;
    let allocation = Allocation {
        id: new_id(),
        account,
        exophone: new.exophone,
        agent_exophone: new.exophone,
        customer: new.customer,
        agent: new.agent,
        state: State::Active,
        created_ms: now_ms,
        updated_ms: now_ms,
        expires_ms: new.expires_ms,
        record: new.record,
        max_call_secs: new.max_call_secs,
        usage: new.usage,
        custom: new.custom,
        version: 1,
    };
    Ok(with_allocation(changes, allocation))
}

pub(super) fn update(
    view: &View,
    id: Sid,
    patch: AllocationPatch,
    now_ms: u64,
) -> Result<Decision, Refusal> {
    let old = known(view, id)?;
    if let Some(expected) = patch.expected_version
        && expected != old.version
    {
        return Err(refuse(
            "version_mismatch",
            format!("the allocation has version {}, not {expected}", old.version),
            "read it again and repeat the change on what it is now",
        ));
    }
    if old.state_at(now_ms) != State::Active {
        return Err(has_ended(old, now_ms));
    }
    let new = Allocation {
        customer: patch.customer.unwrap_or_else(|| old.customer.clone()),
        agent: patch.agent.unwrap_or_else(|| old.agent.clone()),
        expires_ms: patch.expires_ms.unwrap_or(old.expires_ms),
        record: patch.record.unwrap_or(old.record),
        max_call_secs: patch.max_call_secs.unwrap_or(old.max_call_secs),
        usage: patch.usage.unwrap_or(old.usage),
        custom: patch.custom.unwrap_or_else(|| old.custom.clone()),
        ..Allocation::clone(old)
    };
    check_terms(
        new.expires_ms,
        new.max_call_secs,
        new.custom.as_deref(),
        now_ms,
    )?;
    parties::check(view, &new.customer, &new.agent)?;
    let mut changes = Vec::new();
    claim_all(view, &new, now_ms, &mut changes)?;
    if new == **old {
        // Saying what is already so is no change: repeating a request does no harm.
        return Ok(Decision {
            changes,
            reply: Reply::Allocation(Box::new(new)),
        });
    }
    let new = Allocation {
        updated_ms: now_ms,
        version: old.version + 1,
        ..new
    };
    Ok(with_allocation(changes, new))
}

pub(super) fn deactivate(view: &View, id: Sid, now_ms: u64) -> Result<Decision, Refusal> {
    let old = known(view, id)?;
    let change = match (old.state, old.state_at(now_ms)) {
        (State::Active, State::Active) => ended(old, State::Deactivated, now_ms),
        // Its expiry was first; nobody has written it down yet.
        (State::Active, _) => expired(old, now_ms),
        _ => {
            return Ok(Decision {
                changes: Vec::new(),
                reply: Reply::Allocation(Box::new(Allocation::clone(old))),
            });
        }
    };
    let Change::Allocation(new) = &change else {
        return Err(unknown(id));
    };
    let reply = Reply::Allocation(Box::new(Allocation::clone(new)));
    Ok(Decision {
        changes: vec![change],
        reply,
    })
}

/// Checks an active allocation's claims on the ExoPhone of each side.
pub(super) fn claim_all(
    view: &View,
    allocation: &Allocation,
    now_ms: u64,
    changes: &mut Vec<Change>,
) -> Result<(), Refusal> {
    let (first, second) = (allocation.exophone, allocation.agent_exophone);
    let itself = Some(allocation.id);
    let exophone = known_exophone(view, first)?;
    if first == second {
        let mut all = allocation.parties();
        return parties::claim(view, exophone, &mut all, itself, now_ms, changes);
    }
    let mut customer = allocation.customer.iter().copied();
    parties::claim(view, exophone, &mut customer, itself, now_ms, changes)?;
    let exophone = known_exophone(view, second)?;
    let mut agent = allocation.agent.iter().copied();
    parties::claim(view, exophone, &mut agent, itself, now_ms, changes)
}

/// Checks expiry, longest call and custom text.
fn check_terms(
    expires_ms: Option<u64>,
    max_call_secs: Option<u32>,
    custom: Option<&str>,
    now_ms: u64,
) -> Result<(), Refusal> {
    if expires_ms.is_some_and(|at| at <= now_ms) {
        return Err(refuse(
            "expiry_in_past",
            "the expiry has passed already",
            "give a time in the future, or no expiry",
        ));
    }
    check_lengths(max_call_secs, custom)
}

pub(super) fn check_lengths(
    max_call_secs: Option<u32>,
    custom: Option<&str>,
) -> Result<(), Refusal> {
    if let Some(secs) = max_call_secs
        && !(1..=MAX_CALL_SECS).contains(&secs)
    {
        return Err(refuse(
            "max_call_secs_range",
            format!("a longest call of {secs} s is out of range"),
            format!("give 1 to {MAX_CALL_SECS} seconds, or none for the configured limit"),
        ));
    }
    if let Some(length) = custom.map(str::len)
        && length > MAX_CUSTOM
    {
        return Err(refuse(
            "custom_too_long",
            format!("the custom text has {length} bytes"),
            format!("shorten it to {MAX_CUSTOM} bytes"),
        ));
    }
    Ok(())
}

pub(super) fn known_exophone(view: &View, number: Number) -> Result<&Arc<ExoPhone>, Refusal> {
    view.exophone(number).ok_or_else(|| {
        refuse(
            "unknown_exophone",
            format!("{} is not one of our ExoPhones", number.e164()),
            "add it first, or check the number",
        )
    })
}

pub(super) fn same_account(account: Sid, exophone: &ExoPhone) -> Result<(), Refusal> {
    if account == exophone.account {
        return Ok(());
    }
    Err(refuse(
        "account_mismatch",
        format!(
            "{} does not belong to account {account}",
            exophone.number.e164()
        ),
        "use an ExoPhone of that account, or name the account the ExoPhone belongs to",
    ))
}

fn known(view: &View, id: Sid) -> Result<&Arc<Allocation>, Refusal> {
    view.allocation(id).ok_or_else(|| unknown(id))
}

fn unknown(id: Sid) -> Refusal {
    refuse(
        "unknown_allocation",
        format!("there is no allocation {id}"),
        "check the id; list the allocations to see which there are",
    )
}

fn has_ended(allocation: &Allocation, now_ms: u64) -> Refusal {
    let how = match allocation.state_at(now_ms) {
        State::Deactivated => "was deactivated",
        _ => "has expired",
    };
    refuse(
        "allocation_ended",
        format!("the allocation {} {how}", allocation.id),
        "an ended allocation never comes back: create a new one",
    )
}

fn with_allocation(mut changes: Vec<Change>, allocation: Allocation) -> Decision {
    let reply = Reply::Allocation(Box::new(allocation.clone()));
    changes.push(Change::Allocation(Arc::new(allocation)));
    Decision { changes, reply }
}
