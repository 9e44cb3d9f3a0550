//! What the tests of the store share: a store in memory without a disk, and short ways to say
//! what is asked of it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::account::{Account, DEFAULT_ACCOUNT};
use super::allocation::{Allocation, AllocationPatch, NewAllocation, RecordPolicy, Usage};
use super::change::Change;
use super::exophone::{ExoPhone, NewExoPhone, Sharing};
use super::rules::{Decision, decide};
use super::view::View;
use super::{OpenReport, Options, Refusal, Reply, Request, Store};
use crate::number::Number;
use crate::sid::Sid;

/// The ExoPhones of the tests.
pub(crate) const X: &str = "+914412345678";
pub(crate) const Y: &str = "+914412345679";
/// Parties.
pub(crate) const A: &str = "+919876543210";
pub(crate) const B: &str = "+919876543211";
pub(crate) const C: &str = "+919876543212";
pub(crate) const D: &str = "+919876543213";

pub(crate) fn n(text: &str) -> Number {
    Number::parse_e164(text).unwrap()
}

pub(crate) fn new_exophone(number: &str, sharing: Sharing) -> NewExoPhone {
    NewExoPhone {
        number: n(number),
        account: None,
        trunk: None,
        pool: None,
        region: None,
        max_calls: None,
        sharing,
        announcement: None,
        record: false,
    }
}

pub(crate) fn new_allocation(exophone: &str, customer: &str, agent: &str) -> NewAllocation {
    NewAllocation {
        account: None,
        exophone: n(exophone),
        customer: vec![n(customer)],
        agent: vec![n(agent)],
        expires_ms: None,
        record: RecordPolicy::Inherit,
        max_call_secs: None,
        usage: Usage::Twoway,
        custom: None,
    }
}

/// Rules and view without queue and disk.
#[derive(Debug, Default)]
pub(crate) struct Bench {
    pub(in crate::store) view: View,
    pub(in crate::store) now_ms: u64,
    ids: u128,
}

impl Bench {
    /// With the account `default`, at 1,000 ms.
    pub(crate) fn new() -> Bench {
        let mut bench = Bench {
            now_ms: 1_000,
            ..Bench::default()
        };
        bench.view.apply(&account(1, DEFAULT_ACCOUNT));
        bench
    }

    /// Decides and folds in; the changes and the reply.
    pub(in crate::store) fn ask(&mut self, request: Request) -> Result<Decision, Refusal> {
        self.ids += 1;
        let id = Sid::new(self.now_ms, self.ids);
        let decision = decide(&self.view, request, self.now_ms, || id)?;
        for change in &decision.changes {
            self.view.apply(change);
            self.view.revision += 1;
        }
        Ok(decision)
    }

    pub(crate) fn exophone(&mut self, number: &str, sharing: Sharing) -> ExoPhone {
        let request = Request::AddExoPhone(new_exophone(number, sharing));
        match self.ask(request).unwrap().reply {
            Reply::ExoPhone(e) => *e,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn create(&mut self, new: NewAllocation) -> Allocation {
        allocation(self.ask(Request::Create(new)).unwrap().reply)
    }

    pub(crate) fn update(&mut self, id: Sid, patch: AllocationPatch) -> Allocation {
        allocation(self.ask(Request::Update(id, patch)).unwrap().reply)
    }

    pub(crate) fn deactivate(&mut self, id: Sid) -> Allocation {
        allocation(self.ask(Request::Deactivate(id)).unwrap().reply)
    }

    /// The refusal's code and what blocks.
    pub(crate) fn refused(&mut self, request: Request) -> (String, Option<Sid>) {
        let refusal = self.ask(request).unwrap_err();
        assert!(!refusal.message.is_empty() && !refusal.remedy.is_empty());
        (refusal.code, refusal.blocking_id)
    }
}

pub(crate) fn allocation(reply: Reply) -> Allocation {
    match reply {
        Reply::Allocation(a) => *a,
        other => panic!("{other:?}"),
    }
}

pub(in crate::store) fn account(seed: u128, name: &str) -> Change {
    Change::Account(Arc::new(Account {
        sid: Sid::new(1, seed),
        name: name.to_owned(),
        created_ms: 1,
    }))
}

/// A clock that tests turn, and options with it.
pub(in crate::store) fn options(clock: &Arc<AtomicU64>) -> Options {
    let clock = clock.clone();
    Options {
        clock: Arc::new(move || clock.load(Ordering::SeqCst)),
        seed: Some([7; 32]),
        ..Options::default()
    }
}

pub(in crate::store) fn clock() -> Arc<AtomicU64> {
    Arc::new(AtomicU64::new(1_000))
}

pub(in crate::store) fn open(folder: &Path) -> (Store, OpenReport) {
    Store::open(folder, options(&clock())).unwrap()
}

pub(in crate::store) fn view(store: &Store) -> View {
    store.directory().read().clone()
}
