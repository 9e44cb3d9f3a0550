//! The view: every row in memory with the indexes that routing and the rules need, and the fold
//! that keeps it.
//!
//! It depends on the committed rows alone, not on the order in which they are loaded, so that
//! the view rebuilt at start equals the one that was live.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Revision;
use super::account::{Account, DEFAULT_ACCOUNT};
use super::allocation::{Allocation, State};
use super::change::Change;
use super::exophone::ExoPhone;
use crate::number::Number;
use crate::sid::Sid;

/// Sorts after every expiry: the end of an allocation that has none.
const NEVER_MS: u64 = u64::MAX;

/// All rows and their indexes.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct View {
    /// The last change folded in.
    pub(super) revision: Revision,
    accounts: BTreeMap<Sid, Arc<Account>>,
    lines: BTreeMap<Number, Line>,
    allocations: BTreeMap<Sid, Arc<Allocation>>,
    /// Active allocations that will expire, soonest first.
    expiry: BTreeSet<(u64, Sid)>,
    /// Party numbers of active allocations.
    parties: BTreeSet<(Number, Sid)>,
}

/// What stands behind one virtual number. It outlives its ExoPhone as long as allocations
/// remember the number.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    /// The ExoPhone, while it is ours.
    pub(super) exophone: Option<Arc<ExoPhone>>,
    /// Active allocations by their end, so that the last one tells whether any still holds.
    active: BTreeSet<(u64, Sid)>,
    /// Who may dial this number and by which active allocation.
    callers: BTreeMap<Number, Sid>,
    /// The allocation that ended last among those by which this caller could dial this number.
    ended: BTreeMap<Number, (u64, Sid)>,
}

impl Line {
    /// The active allocation that a call from `caller` belongs to, expired or not.
    pub(super) fn claim_of(&self, caller: Number) -> Option<Sid> {
        self.callers.get(&caller).copied()
    }

    /// An allocation whose expiry has not passed: the one that lasts longest.
    pub(super) fn holder_at(&self, wall_ms: u64) -> Option<Sid> {
        self.active
            .last()
            .filter(|(end_ms, _)| *end_ms > wall_ms)
            .map(|(_, id)| *id)
    }

    /// The allocation that last let `caller` dial this number and has ended.
    pub(super) fn last_ended(&self, caller: Number) -> Option<Sid> {
        self.ended.get(&caller).map(|(_, id)| *id)
    }

    /// Ids of all active allocations, the soonest to end first, expired ones included.
    pub(super) fn active(&self) -> impl Iterator<Item = Sid> + '_ {
        self.active.iter().map(|(_, id)| *id)
    }

    fn is_empty(&self) -> bool {
        self.exophone.is_none() && self.active.is_empty() && self.ended.is_empty()
    }
}

impl View {
    /// Folds one committed change in.
    pub(super) fn apply(&mut self, change: &Change) {
        match change {
            Change::Account(account) => {
                self.accounts.insert(account.sid, account.clone());
            }
            Change::ExoPhone(exophone) => {
                self.lines.entry(exophone.number).or_default().exophone = Some(exophone.clone());
            }
            Change::ExoPhoneRemoved(number) => {
                if let Some(line) = self.lines.get_mut(number) {
                    line.exophone = None;
                    if line.is_empty() {
                        self.lines.remove(number);
                    }
                }
            }
            Change::Allocation(allocation) => self.apply_allocation(allocation),
        }
    }

    fn apply_allocation(&mut self, new: &Arc<Allocation>) {
        if let Some(old) = self.allocations.insert(new.id, new.clone())
            && old.state == State::Active
        {
            self.unclaim(&old);
        }
        if new.state == State::Active {
            self.claim(new);
        } else {
            for (number, callers) in dialled(new) {
                let line = self.lines.entry(number).or_default();
                for caller in callers {
                    let this = (new.updated_ms, new.id);
                    let last = line.ended.entry(*caller).or_insert(this);
                    *last = this.max(*last);
                }
            }
        }
    }

    fn claim(&mut self, allocation: &Allocation) {
        let end = (allocation.expires_ms.unwrap_or(NEVER_MS), allocation.id);
        for (number, callers) in dialled(allocation) {
            let line = self.lines.entry(number).or_default();
            line.active.insert(end);
            for caller in callers {
                line.callers.insert(*caller, allocation.id);
            }
        }
        if allocation.expires_ms.is_some() {
            self.expiry.insert(end);
        }
        for party in allocation.parties() {
            self.parties.insert((party, allocation.id));
        }
    }

    fn unclaim(&mut self, allocation: &Allocation) {
        let end = (allocation.expires_ms.unwrap_or(NEVER_MS), allocation.id);
        for (number, callers) in dialled(allocation) {
            let Some(line) = self.lines.get_mut(&number) else {
                continue;
            };
            line.active.remove(&end);
            for caller in callers {
                if line.callers.get(caller) == Some(&allocation.id) {
                    line.callers.remove(caller);
                }
            }
            if line.is_empty() {
                self.lines.remove(&number);
            }
        }
        self.expiry.remove(&end);
        for party in allocation.parties() {
            self.parties.remove(&(party, allocation.id));
        }
    }

    /// The line of a virtual number, ours or remembered.
    pub(super) fn line(&self, number: Number) -> Option<&Line> {
        self.lines.get(&number)
    }

    /// An ExoPhone of ours.
    pub(super) fn exophone(&self, number: Number) -> Option<&Arc<ExoPhone>> {
        self.lines.get(&number)?.exophone.as_ref()
    }

    /// All ExoPhones in the order of their numbers, after `after`, with their lines.
    pub(super) fn exophones(
        &self,
        after: Option<Number>,
    ) -> impl Iterator<Item = (&Arc<ExoPhone>, &Line)> {
        let range = (
            after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
            std::ops::Bound::Unbounded,
        );
        self.lines
            .range(range)
            .filter_map(|(_, line)| line.exophone.as_ref().map(|e| (e, line)))
    }

    /// An allocation.
    pub(super) fn allocation(&self, id: Sid) -> Option<&Arc<Allocation>> {
        self.allocations.get(&id)
    }

    /// All allocations, newest id first, before `before`.
    pub(super) fn allocations(
        &self,
        before: Option<Sid>,
    ) -> impl Iterator<Item = &Arc<Allocation>> {
        let range = (
            std::ops::Bound::Unbounded,
            before.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded),
        );
        self.allocations.range(range).rev().map(|(_, a)| a)
    }

    /// Active allocations, expired or not, that name this number as a party.
    pub(super) fn naming(&self, party: Number) -> impl Iterator<Item = &Arc<Allocation>> {
        let ids = self
            .parties
            .range((party, Sid::from_bytes([0; 16]))..=(party, Sid::from_bytes([0xff; 16])));
        ids.filter_map(|(_, id)| self.allocations.get(id))
    }

    /// Active allocations whose expiry has passed, soonest first.
    pub(super) fn due(&self, wall_ms: u64) -> impl Iterator<Item = &Arc<Allocation>> {
        self.expiry
            .iter()
            .take_while(move |(at, _)| *at <= wall_ms)
            .filter_map(|(_, id)| self.allocations.get(id))
    }

    /// When the next active allocation expires, Unix milliseconds.
    pub(super) fn next_expiry_ms(&self) -> Option<u64> {
        self.expiry.first().map(|(at, _)| *at)
    }

    /// An account.
    pub(super) fn account(&self, sid: Sid) -> Option<&Arc<Account>> {
        self.accounts.get(&sid)
    }

    /// All accounts, oldest first.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The account of this name.
    pub(super) fn account_named(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.values().find(|a| a.name == name)
    }

    /// The account that requests without one belong to.
    pub(super) fn default_account(&self) -> Option<Sid> {
        self.account_named(DEFAULT_ACCOUNT).map(|a| a.sid)
    }

    /// The row that `change` replaces or removes.
    pub(super) fn before(&self, change: &Change) -> Option<Change> {
        match change {
            Change::Account(a) => self.account(a.sid).cloned().map(Change::Account),
            Change::ExoPhone(e) => self.exophone(e.number).cloned().map(Change::ExoPhone),
            Change::ExoPhoneRemoved(n) => self.exophone(*n).cloned().map(Change::ExoPhone),
            Change::Allocation(a) => self.allocation(a.id).cloned().map(Change::Allocation),
        }
    }

    /// Every row, as changes that fold into an equal view: accounts and ExoPhones before the
    /// allocations that need them.
    pub(super) fn rows(&self) -> Vec<Change> {
        let accounts = self.accounts.values().cloned().map(Change::Account);
        let exophones = self
            .exophones(None)
            .map(|(e, _)| Change::ExoPhone(e.clone()));
        let allocations = self.allocations.values().cloned().map(Change::Allocation);
        accounts.chain(exophones).chain(allocations).collect()
    }
}

/// The virtual numbers of an allocation and who dials each: both sides the same one, or each
/// side its own.
fn dialled(allocation: &Allocation) -> Vec<(Number, Vec<&Number>)> {
    if allocation.exophone == allocation.agent_exophone {
        let both = allocation.customer.iter().chain(&allocation.agent);
        vec![(allocation.exophone, both.collect())]
    } else {
        vec![
            (allocation.exophone, allocation.customer.iter().collect()),
            (allocation.agent_exophone, allocation.agent.iter().collect()),
        ]
    }
}
