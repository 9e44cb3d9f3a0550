//! Rules of an import: whole rows, as an export wrote them, into a store that may hold others.

use std::sync::Arc;

use super::super::Refusal;
use super::super::account::Account;
use super::super::allocation::{Allocation, State};
use super::super::change::Change;
use super::super::exophone::{ExoPhone, MAX_NAME};
use super::super::view::View;
use super::{allocation, exophone, parties, refuse};

/// Decides one row of an export: the changes that add it, or why it cannot be added.
///
/// Ended allocations are history and claim nothing, so they need neither their ExoPhone nor
/// free numbers. A row that is there already, exactly so, changes nothing.
pub(in super::super) fn decide_import(
    view: &View,
    row: Change,
    now_ms: u64,
) -> Result<Vec<Change>, Refusal> {
    if view.before(&row).is_some_and(|held| held == row) {
        return Ok(Vec::new());
    }
    match row {
        Change::Account(new) => account(view, new),
        Change::ExoPhone(new) => add_exophone(view, new, now_ms),
        Change::ExoPhoneRemoved(_) => Ok(Vec::new()),
        Change::Allocation(new) => add_allocation(view, new, now_ms),
    }
}

fn account(view: &View, new: Arc<Account>) -> Result<Vec<Change>, Refusal> {
    if !(1..=MAX_NAME).contains(&new.name.len()) {
        return Err(refuse(
            "text_length",
            format!("the account's name has {} bytes", new.name.len()),
            format!("give 1 to {MAX_NAME} bytes"),
        ));
    }
    let held = view.account_named(&new.name).map(|a| a.sid);
    if held.is_some() || view.account(new.sid).is_some() {
        return Err(refuse(
            "account_exists",
            format!("an account with this name or SID exists: {}", new.name),
            "rename one of them",
        ));
    }
    Ok(vec![Change::Account(new)])
}

fn add_exophone(view: &View, new: Arc<ExoPhone>, now_ms: u64) -> Result<Vec<Change>, Refusal> {
    super::account_of(view, Some(new.account))?;
    if view.exophone(new.number).is_some() {
        return Err(exophone::exists(new.number));
    }
    exophone::check_texts(&new)?;
    let mut changes = Vec::new();
    exophone::not_a_party(view, new.number, now_ms, &mut changes)?;
    changes.push(Change::ExoPhone(new));
    Ok(changes)
}

fn add_allocation(view: &View, new: Arc<Allocation>, now_ms: u64) -> Result<Vec<Change>, Refusal> {
    if view.allocation(new.id).is_some() {
        return Err(refuse(
            "allocation_exists",
            format!("the allocation {} exists and is not the same", new.id),
            "keep the one that is here, or import into an empty store",
        )
        .blocked_by(new.id));
    }
    super::account_of(view, Some(new.account))?;
    allocation::check_lengths(new.max_call_secs, new.custom.as_deref())?;
    parties::not_too_many("customer", &new.customer)?;
    parties::not_too_many("agent", &new.agent)?;
    let mut changes = Vec::new();
    if new.state == State::Active {
        let line = allocation::known_exophone(view, new.exophone)?;
        allocation::same_account(new.account, line)?;
        parties::check(view, &new.customer, &new.agent)?;
        if new.expired_at(now_ms) {
            // It ran out on the way here: history, like every other ended one.
            return Ok(vec![super::expired(&new, now_ms)]);
        }
        allocation::claim_all(view, &new, now_ms, &mut changes)?;
    }
    changes.push(Change::Allocation(new));
    Ok(changes)
}
