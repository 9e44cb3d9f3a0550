//! The memory directory: what the switch, the API and the command line read. Answers come from
//! memory; the writer holds the lock only while it folds in one committed change.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use serde::Serialize;

use super::Revision;
use super::account::Account;
use super::allocation::{Allocation, State};
use super::change::Change;
use super::exophone::ExoPhone;
use super::explain::Explanation;
use super::lookup;
use super::view::View;
use crate::number::Number;
use crate::sid::Sid;
use crate::switch::plan::{Directory, Plan};

/// Most rows one listing returns, whatever limit it asked for.
pub const MAX_PAGE: usize = 10_000;
/// Rows a listing looks at before it lets the writer in: a waiting writer holds up the lookups
/// of new calls.
const SCAN_CHUNK: usize = 1_024;

/// The committed rows, in memory.
#[derive(Debug, Default)]
pub struct MemoryDirectory {
    view: RwLock<View>,
}

/// Which ExoPhones to list. `None` = any.
#[derive(Debug, Clone, Default)]
pub struct ExoPhoneFilter {
    /// Of this account.
    pub account: Option<Sid>,
    /// In this pool.
    pub pool: Option<String>,
    /// In this region.
    pub region: Option<String>,
    /// Only numbers after this one: paging.
    pub after: Option<Number>,
    /// Most rows; `None` = [`MAX_PAGE`].
    pub limit: Option<usize>,
}

/// Which allocations to list, newest first. `None` = any.
#[derive(Debug, Clone, Default)]
pub struct AllocationFilter {
    /// Of this account.
    pub account: Option<Sid>,
    /// On this ExoPhone, as either side's.
    pub exophone: Option<Number>,
    /// Naming this party, on either side.
    pub party: Option<Number>,
    /// In this state, judged at [`AllocationFilter::at_ms`].
    pub state: Option<State>,
    /// Now, Unix milliseconds: an active allocation whose expiry has passed counts as expired,
    /// swept or not.
    pub at_ms: u64,
    /// Only allocations older than this one: paging.
    pub after: Option<Sid>,
    /// Most rows; `None` = [`MAX_PAGE`].
    pub limit: Option<usize>,
}

/// How full a pool is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PoolUse {
    /// The pool; `None` = ExoPhones in no pool.
    pub pool: Option<String>,
    /// ExoPhones in it.
    pub exophones: usize,
    /// Of these, with at least one active allocation.
    pub in_use: usize,
    /// The rest.
    pub free: usize,
    /// Active allocations on them.
    pub active_allocations: usize,
}

impl Directory for MemoryDirectory {
    fn resolve(&self, exophone: Number, caller: Option<Number>, wall_ms: u64) -> Plan {
        let finding = lookup::find(&self.read(), exophone, caller, wall_ms);
        finding.into_plan(exophone, caller)
    }
}

impl MemoryDirectory {
    /// What would happen to a call to `exophone` from `caller` at `at_ms` (Unix milliseconds),
    /// and why.
    pub fn explain(&self, exophone: Number, caller: Option<Number>, at_ms: u64) -> Explanation {
        let finding = lookup::find(&self.read(), exophone, caller, at_ms);
        Explanation::of(finding, exophone, caller, at_ms)
    }

    /// The last change the answers include.
    pub fn revision(&self) -> Revision {
        self.read().revision
    }

    /// An ExoPhone.
    pub fn exophone(&self, number: Number) -> Option<Arc<ExoPhone>> {
        self.read().exophone(number).cloned()
    }

    /// ExoPhones in the order of their numbers.
    pub fn exophones(&self, filter: &ExoPhoneFilter) -> Vec<Arc<ExoPhone>> {
        let same = |want: &Option<String>, has: &Option<String>| want.is_none() || want == has;
        let wanted = |e: &ExoPhone| {
            filter.account.is_none_or(|a| a == e.account)
                && same(&filter.pool, &e.pool)
                && same(&filter.region, &e.region)
        };
        self.scan(
            filter.after,
            filter.limit,
            |view, after| view.exophones(after).take(SCAN_CHUNK).cloned().collect(),
            |e| e.number,
            wanted,
        )
    }

    /// An allocation, active or ended.
    pub fn allocation(&self, id: Sid) -> Option<Arc<Allocation>> {
        self.read().allocation(id).cloned()
    }

    /// Allocations, newest first.
    pub fn allocations(&self, filter: &AllocationFilter) -> Vec<Arc<Allocation>> {
        self.scan(
            filter.after,
            filter.limit,
            |view, after| view.allocations(after).take(SCAN_CHUNK).cloned().collect(),
            |a| a.id,
            |a| filter.matches(a),
        )
    }

    /// An account.
    pub fn account(&self, sid: Sid) -> Option<Arc<Account>> {
        self.read().account(sid).cloned()
    }

    /// All accounts, oldest first.
    pub fn accounts(&self) -> Vec<Arc<Account>> {
        self.read().accounts().cloned().collect()
    }

    /// The account `default`, which exists from the first start.
    pub fn default_account(&self) -> Option<Sid> {
        self.read().default_account()
    }

    /// How full each pool is at `wall_ms`, pools in alphabetical order, ExoPhones without one
    /// first.
    pub fn pools(&self, wall_ms: u64) -> Vec<PoolUse> {
        let mut pools: BTreeMap<Option<String>, PoolUse> = BTreeMap::new();
        let mut after = None;
        loop {
            let view = self.read();
            let chunk = view.exophones(after).take(SCAN_CHUNK);
            let mut last = None;
            for exophone in chunk {
                let held = view
                    .line(exophone.number)
                    .active()
                    .filter(|a| !a.expired_at(wall_ms))
                    .count();
                let pool = pools.entry(exophone.pool.clone()).or_default();
                pool.exophones += 1;
                pool.active_allocations += held;
                pool.in_use += usize::from(held > 0);
                pool.free += usize::from(held == 0);
                last = Some(exophone.number);
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
        pools
            .into_iter()
            .map(|(pool, counts)| PoolUse { pool, ..counts })
            .collect()
    }

    /// When the next active allocation expires, Unix milliseconds: the time to sweep.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.read().next_expiry_ms()
    }

    /// Lists rows in chunks, between which others get the lock. Rows are never reordered, so a
    /// listing sees each at most once.
    fn scan<T, K: Copy>(
        &self,
        mut after: Option<K>,
        limit: Option<usize>,
        chunk: impl Fn(&View, Option<K>) -> Vec<Arc<T>>,
        key: impl Fn(&T) -> K,
        wanted: impl Fn(&T) -> bool,
    ) -> Vec<Arc<T>> {
        let limit = limit.unwrap_or(MAX_PAGE).min(MAX_PAGE);
        let mut found = Vec::new();
        loop {
            let rows = chunk(&self.read(), after);
            let Some(last) = rows.last() else {
                return found;
            };
            after = Some(key(last));
            let room = limit - found.len();
            found.extend(rows.into_iter().filter(|row| wanted(row)).take(room));
            if found.len() >= limit {
                return found;
            }
        }
    }

    /// Folds one committed change in.
    pub(super) fn apply(&self, change: &Change, revision: Revision) {
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        view.apply(change);
        view.revision = revision;
    }

    /// Replaces everything: the view rebuilt at start.
    pub(super) fn load(&self, view: View) {
        *self.view.write().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// A reader that panicked has changed nothing, so a poisoned lock is as good as a clean one.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AllocationFilter {
    fn matches(&self, a: &Allocation) -> bool {
        self.account.is_none_or(|account| account == a.account)
            && self
                .exophone
                .is_none_or(|n| n == a.exophone || n == a.agent_exophone)
            && self.party.is_none_or(|n| a.parties().any(|p| p == n))
            && self.state.is_none_or(|s| s == a.state_at(self.at_ms))
    }
}
