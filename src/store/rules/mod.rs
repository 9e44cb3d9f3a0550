//! The rules of the store: pure decisions on a request against the writer's view.
//!
//! A decision is the rows to write and the reply, or a refusal that says what was wrong and what
//! to do. Messages name in full only numbers the asker typed; they are answers, not log lines.
//!
//! An active allocation whose expiry has passed blocks nothing, swept or not: what it would have
//! blocked goes through, and the same decision marks it expired, so that the rows on disk never
//! hold two claims at once.

mod allocation;
mod exophone;
mod import;
mod parties;

use std::sync::Arc;

pub(super) use import::decide_import;

use super::allocation::{Allocation, State};
use super::change::Change;
use super::view::View;
use super::{Refusal, Reply, Request};
use crate::sid::Sid;

/// Most allocations one sweep ends: a batch stays small enough to be written at once. What is
/// left is due at the next one.
pub(super) const SWEEP_LIMIT: usize = 1_000;

/// Rows to write, in order, and the answer once they are on disk.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) changes: Vec<Change>,
    pub(super) reply: Reply,
}

/// Decides a request at `now_ms` (Unix milliseconds); `new_id` mints the id of a new allocation.
pub(super) fn decide(
    view: &View,
    request: Request,
    now_ms: u64,
    new_id: impl FnOnce() -> Sid,
) -> Result<Decision, Refusal> {
    match request {
        Request::AddExoPhone(new) => exophone::add(view, new, now_ms),
        Request::SetExoPhone(number, patch) => exophone::set(view, number, patch, now_ms),
        Request::RemoveExoPhone(number) => exophone::remove(view, number, now_ms),
        Request::Create(new) => allocation::create(view, new, now_ms, new_id),
        Request::Update(id, patch) => allocation::update(view, id, patch, now_ms),
        Request::Deactivate(id) => allocation::deactivate(view, id, now_ms),
        Request::Sweep => Ok(sweep(view, now_ms)),
    }
}

fn sweep(view: &View, now_ms: u64) -> Decision {
    let changes: Vec<Change> = view
        .due(now_ms)
        .take(SWEEP_LIMIT)
        .map(|a| expired(a, now_ms))
        .collect();
    let reply = Reply::Swept(changes.len());
    Decision { changes, reply }
}

/// The row of an allocation that its expiry has ended.
fn expired(allocation: &Allocation, now_ms: u64) -> Change {
    ended(allocation, State::Expired, now_ms)
}

fn ended(allocation: &Allocation, state: State, now_ms: u64) -> Change {
    Change::Allocation(Arc::new(Allocation {
        state,
        updated_ms: now_ms,
        version: allocation.version + 1,
        ..allocation.clone()
    }))
}

/// Sorts the allocations in the way into those that block and those whose expiry has passed:
/// the first blocker, or the rows that mark the others expired.
fn clear<'a>(
    in_the_way: impl Iterator<Item = &'a Arc<Allocation>>,
    now_ms: u64,
    changes: &mut Vec<Change>,
) -> Result<(), &'a Arc<Allocation>> {
    for allocation in in_the_way {
        if !allocation.expired_at(now_ms) {
            return Err(allocation);
        }
        let marked = |c: &Change| matches!(c, Change::Allocation(a) if a.id == allocation.id);
        if !changes.iter().any(marked) {
            changes.push(expired(allocation, now_ms));
        }
    }
    Ok(())
}

/// A refusal.
fn refuse(code: &str, message: impl Into<String>, remedy: impl Into<String>) -> Refusal {
    Refusal {
        code: code.to_owned(),
        message: message.into(),
        remedy: remedy.into(),
        blocking_id: None,
    }
}

impl Refusal {
    fn blocked_by(self, id: Sid) -> Refusal {
        Refusal {
            blocking_id: Some(id),
            ..self
        }
    }
}

/// The account a new row belongs to: the one given, or `default`.
fn account_of(view: &View, given: Option<Sid>) -> Result<Sid, Refusal> {
    match given {
        None => view.default_account().ok_or_else(|| {
            refuse(
                "unknown_account",
                "there is no account named default",
                "name an account",
            )
        }),
        Some(sid) => view.account(sid).map(|a| a.sid).ok_or_else(|| {
            refuse(
                "unknown_account",
                format!("there is no account {sid}"),
                "use the SID of an existing account, or leave it out for the default account",
            )
        }),
    }
}

#[cfg(test)]
mod tests;
