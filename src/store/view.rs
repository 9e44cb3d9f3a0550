//! The view: every row in memory with the indexes that routing and the rules need, and the fold
//! that keeps it.
//!
//! It depends on the committed rows alone, not on the order in which they are loaded, so that
//! the view rebuilt at start equals the one that was live.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
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
/// Sort before and after every id: the ends of a range.
const FIRST_SID: Sid = Sid::from_bytes([0; 16]);
const LAST_SID: Sid = Sid::from_bytes([0xff; 16]);

/// All rows and their indexes.
///
/// Indexes of one ExoPhone are ranges of shared trees, not trees of its own: most ExoPhones have
/// one allocation, and a tree's smallest node takes more room than that needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct View {
    /// The last change folded in.
    pub(super) revision: Revision,
    accounts: BTreeMap<Sid, Arc<Account>>,
    exophones: BTreeMap<Number, Arc<ExoPhone>>,
    allocations: BTreeMap<Sid, Arc<Allocation>>,
    /// Virtual number and end of active allocations, so that the last of a number tells whether
    /// any still holds.
    active: BTreeSet<(Number, u64, Sid)>,
    /// Who may dial a virtual number, and by which active allocation.
    callers: BTreeMap<(Number, Number), Sid>,
    /// The allocation that ended last among those by which a caller could dial a virtual number.
    ended: BTreeMap<(Number, Number), (u64, Sid)>,
    /// Active allocations that will expire, soonest first.
    expiry: BTreeSet<(u64, Sid)>,
    /// Party numbers of active allocations.
    parties: BTreeSet<(Number, Sid)>,
}

/// What stands behind one virtual number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    view: &'a View,
    number: Number,
}

impl<'a> Line<'a> {
    /// The active allocation that a call from `caller` belongs to, expired or not.
    pub(super) fn claim_of(self, caller: Number) -> Option<&'a Arc<Allocation>> {
        let id = self.view.callers.get(&(self.number, caller))?;
        self.view.allocation(*id)
    }

    /// An allocation whose expiry has not passed: the one that lasts longest.
    pub(super) fn holder_at(self, wall_ms: u64) -> Option<&'a Arc<Allocation>> {
        let (_, end_ms, id) = self.ends().next_back()?;
        (*end_ms > wall_ms).then(|| self.view.allocation(*id))?
    }

    /// The allocation that last let `caller` dial this number and has ended.
    pub(super) fn last_ended(self, caller: Number) -> Option<&'a Arc<Allocation>> {
        let (_, id) = self.view.ended.get(&(self.number, caller))?;
        self.view.allocation(*id)
    }

    /// All active allocations, the soonest to end first, expired ones included.
    pub(super) fn active(self) -> impl Iterator<Item = &'a Arc<Allocation>> {
        self.ends()
            .filter_map(move |(_, _, id)| self.view.allocation(*id))
    }

    fn ends(self) -> impl DoubleEndedIterator<Item = &'a (Number, u64, Sid)> {
        let first = (self.number, 0, FIRST_SID);
        let last = (self.number, NEVER_MS, LAST_SID);
        self.view.active.range(first..=last)
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
                self.exophones.insert(exophone.number, exophone.clone());
            }
            Change::ExoPhoneRemoved(number) => {
                self.exophones.remove(number);
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
            return;
        }
        for dialled in dialled(new) {
            let this = (new.updated_ms, new.id);
            let last = self.ended.entry(dialled).or_insert(this);
            *last = this.max(*last);
        }
    }

    fn claim(&mut self, allocation: &Allocation) {
        let end_ms = allocation.expires_ms.unwrap_or(NEVER_MS);
        for number in [allocation.exophone, allocation.agent_exophone] {
            self.active.insert((number, end_ms, allocation.id));
        }
        for dialled in dialled(allocation) {
            self.callers.insert(dialled, allocation.id);
        }
        if allocation.expires_ms.is_some() {
            self.expiry.insert((end_ms, allocation.id));
        }
        for party in allocation.parties() {
            self.parties.insert((party, allocation.id));
        }
    }

    fn unclaim(&mut self, allocation: &Allocation) {
        let end_ms = allocation.expires_ms.unwrap_or(NEVER_MS);
        for number in [allocation.exophone, allocation.agent_exophone] {
            self.active.remove(&(number, end_ms, allocation.id));
        }
        for dialled in dialled(allocation) {
            if self.callers.get(&dialled) == Some(&allocation.id) {
                self.callers.remove(&dialled);
            }
        }
        self.expiry.remove(&(end_ms, allocation.id));
        for party in allocation.parties() {
            self.parties.remove(&(party, allocation.id));
        }
    }

    /// What stands behind a virtual number, ours or not.
    pub(super) fn line(&self, number: Number) -> Line<'_> {
        Line { view: self, number }
    }

    /// An ExoPhone of ours.
    pub(super) fn exophone(&self, number: Number) -> Option<&Arc<ExoPhone>> {
        self.exophones.get(&number)
    }

    /// All ExoPhones in the order of their numbers, after `after`.
    pub(super) fn exophones(&self, after: Option<Number>) -> impl Iterator<Item = &Arc<ExoPhone>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.exophones.range((from, Bound::Unbounded));
        range.map(|(_, exophone)| exophone)
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
        let to = before.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.allocations.range((Bound::Unbounded, to));
        range.rev().map(|(_, allocation)| allocation)
    }

    /// Active allocations, expired or not, that name this number as a party.
    pub(super) fn naming(&self, party: Number) -> impl Iterator<Item = &Arc<Allocation>> {
        let ids = self.parties.range((party, FIRST_SID)..=(party, LAST_SID));
        ids.filter_map(|(_, id)| self.allocation(*id))
    }

    /// Active allocations whose expiry has passed, soonest first.
    pub(super) fn due(&self, wall_ms: u64) -> impl Iterator<Item = &Arc<Allocation>> {
        self.expiry
            .iter()
            .take_while(move |(at, _)| *at <= wall_ms)
            .filter_map(|(_, id)| self.allocation(*id))
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
        let exophones = self.exophones.values().cloned().map(Change::ExoPhone);
        let allocations = self.allocations.values().cloned().map(Change::Allocation);
        accounts.chain(exophones).chain(allocations).collect()
    }
}

/// Which virtual number each party of an allocation dials: all the same one, or each side its
/// own.
fn dialled(allocation: &Allocation) -> impl Iterator<Item = (Number, Number)> + '_ {
    let customer = allocation.customer.iter();
    let agent = allocation.agent.iter();
    customer
        .map(|party| (allocation.exophone, *party))
        .chain(agent.map(|party| (allocation.agent_exophone, *party)))
}
