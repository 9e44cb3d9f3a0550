//! Who is connected, who hears the announcement, and why.

use super::allocation::{AllocationPatch, RecordPolicy, Usage};
use super::directory::{AllocationFilter, ExoPhoneFilter, MemoryDirectory, PoolUse};
use super::exophone::{ExoPhonePatch, Sharing};
use super::explain::Verdict;
use super::testing::{A, B, Bench, C, D, X, Y, n, new_allocation, new_exophone};
use super::*;
use crate::switch::plan::{Announce, Connect, Direction, Directory, Plan};
use crate::switch::record::Cause;
use allocation::State;

fn bench(sharing: Sharing) -> Bench {
    let mut bench = Bench::new();
    bench.exophone(X, sharing);
    bench
}

fn directory(bench: &Bench) -> MemoryDirectory {
    let directory = MemoryDirectory::default();
    directory.load(bench.view.clone());
    directory
}

fn call(bench: &Bench, exophone: &str, caller: Option<&str>) -> Plan {
    directory(bench).resolve(n(exophone), caller.map(n), bench.now_ms)
}

fn connected(plan: Plan) -> Connect {
    match plan {
        Plan::Connect(connect) => *connect,
        other => panic!("{other:?}"),
    }
}

fn announced(plan: Plan) -> Announce {
    match plan {
        Plan::Announce(announce) => *announce,
        other => panic!("{other:?}"),
    }
}

fn cause(plan: Plan) -> Cause {
    announced(plan).cause
}

#[test]
fn each_side_reaches_the_other() {
    let mut bench = Bench::new();
    let mut exophone = new_exophone(X, Sharing::Exclusive);
    exophone.trunk = Some("carrier".into());
    exophone.record = true;
    bench.ask(Request::AddExoPhone(exophone)).unwrap();
    let mut new = new_allocation(X, A, B);
    new.agent = vec![n(B), n(C)];
    new.max_call_secs = Some(60);
    new.custom = Some("order 7".into());
    let a = bench.create(new);
    let by_customer = connected(call(&bench, X, Some(A)));
    let expected = Connect {
        account: a.account,
        allocation: a.id,
        exophone: n(X),
        caller: n(A),
        callees: vec![n(B), n(C)],
        present: n(X),
        direction: Direction::CustomerToAgent,
        trunk: Some("carrier".into()),
        max_calls: 1,
        max_call_secs: Some(60),
        record: true,
        custom: Some("order 7".into()),
    };
    assert_eq!(by_customer, expected);
    let by_agent = connected(call(&bench, X, Some(C)));
    assert_eq!(by_agent.callees, [n(A)]);
    assert_eq!(by_agent.direction, Direction::AgentToCustomer);
}

#[test]
fn a_number_that_is_not_ours_is_refused() {
    let bench = bench(Sharing::Exclusive);
    assert_eq!(call(&bench, Y, Some(A)), Plan::Refuse);
    assert_eq!(call(&bench, A, None), Plan::Refuse);
}

#[test]
fn a_removed_exophone_is_refused_although_its_history_remains() {
    let mut bench = bench(Sharing::Exclusive);
    let a = bench.create(new_allocation(X, A, B));
    bench.deactivate(a.id);
    bench.ask(Request::RemoveExoPhone(n(X))).unwrap();
    assert_eq!(call(&bench, X, Some(A)), Plan::Refuse);
}

#[test]
fn without_an_allocation_nobody_is_connected() {
    let bench = bench(Sharing::Exclusive);
    assert_eq!(cause(call(&bench, X, Some(A))), Cause::NoAllocation);
    assert_eq!(cause(call(&bench, X, None)), Cause::NoAllocation);
}

#[test]
fn third_persons_and_anonymous_callers_are_unknown() {
    for sharing in [Sharing::Exclusive, Sharing::PerParty] {
        let mut bench = bench(sharing);
        let a = bench.create(new_allocation(X, A, B));
        for caller in [Some(C), None] {
            let announce = announced(call(&bench, X, caller));
            assert_eq!(announce.cause, Cause::UnknownCaller);
            let near = (sharing == Sharing::Exclusive).then_some(a.id);
            assert_eq!(announce.allocation, near);
        }
    }
}

#[test]
fn numbers_are_compared_whole() {
    let mut bench = bench(Sharing::Exclusive);
    bench.create(new_allocation(X, A, B));
    for near in [
        "+9876543210",
        "+919876543",
        "+9198765432101",
        "+1919876543210",
    ] {
        assert_eq!(cause(call(&bench, X, Some(near))), Cause::UnknownCaller);
    }
}

#[test]
fn oneway_lets_only_the_customer_call() {
    let mut bench = bench(Sharing::Exclusive);
    let mut new = new_allocation(X, A, B);
    new.usage = Usage::Oneway;
    let a = bench.create(new);
    assert_eq!(connected(call(&bench, X, Some(A))).callees, [n(B)]);
    let announce = announced(call(&bench, X, Some(B)));
    assert_eq!(announce.cause, Cause::NotAllowed);
    assert_eq!(announce.allocation, Some(a.id));
}

#[test]
fn expiry_is_judged_to_the_millisecond_swept_or_not() {
    for sharing in [Sharing::Exclusive, Sharing::PerParty] {
        let mut bench = bench(sharing);
        let mut new = new_allocation(X, A, B);
        new.expires_ms = Some(2_000);
        let a = bench.create(new);
        bench.now_ms = 1_999;
        connected(call(&bench, X, Some(A)));
        bench.now_ms = 2_000;
        for sweeps in 0..2 {
            for caller in [A, B] {
                let announce = announced(call(&bench, X, Some(caller)));
                assert_eq!(announce.cause, Cause::Expired, "after {sweeps} sweeps");
                assert_eq!(announce.allocation, Some(a.id));
            }
            assert_eq!(cause(call(&bench, X, Some(C))), Cause::NoAllocation);
            assert_eq!(cause(call(&bench, X, None)), Cause::NoAllocation);
            bench.ask(Request::Sweep).unwrap();
        }
    }
}

#[test]
fn the_allocation_that_ended_last_gives_the_cause() {
    let mut bench = bench(Sharing::Exclusive);
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    bench.create(new);
    bench.now_ms = 2_500;
    let second = bench.create(new_allocation(X, A, C));
    bench.now_ms = 3_000;
    bench.deactivate(second.id);
    assert_eq!(cause(call(&bench, X, Some(A))), Cause::NoAllocation);
    assert_eq!(cause(call(&bench, X, Some(B))), Cause::Expired);
    assert_eq!(cause(call(&bench, X, Some(C))), Cause::NoAllocation);
}

#[test]
fn on_a_shared_exophone_the_callers_number_decides() {
    let mut bench = bench(Sharing::PerParty);
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    bench.create(new);
    bench.create(new_allocation(X, C, D));
    assert_eq!(connected(call(&bench, X, Some(A))).callees, [n(B)]);
    assert_eq!(connected(call(&bench, X, Some(D))).callees, [n(C)]);
    bench.now_ms = 2_000;
    assert_eq!(cause(call(&bench, X, Some(A))), Cause::Expired);
    assert_eq!(connected(call(&bench, X, Some(C))).callees, [n(D)]);
}

#[test]
fn on_an_exclusive_exophone_the_new_pair_hides_the_old_one() {
    let mut bench = bench(Sharing::Exclusive);
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    bench.create(new);
    bench.now_ms = 2_000;
    let b = bench.create(new_allocation(X, C, D));
    let announce = announced(call(&bench, X, Some(A)));
    assert_eq!(announce.cause, Cause::UnknownCaller);
    assert_eq!(announce.allocation, Some(b.id));
}

#[test]
fn an_update_moves_the_claim_at_once() {
    let mut bench = bench(Sharing::Exclusive);
    let a = bench.create(new_allocation(X, A, B));
    let patch = AllocationPatch {
        agent: Some(vec![n(C)]),
        ..AllocationPatch::default()
    };
    bench.update(a.id, patch);
    assert_eq!(connected(call(&bench, X, Some(A))).callees, [n(C)]);
    assert_eq!(cause(call(&bench, X, Some(B))), Cause::UnknownCaller);
}

#[test]
fn recording_is_the_allocations_word_before_the_exophones() {
    let mut bench = bench(Sharing::Exclusive);
    let a = bench.create(new_allocation(X, A, B));
    let mut check = |policy, by_default, expected| {
        let set = ExoPhonePatch {
            record: Some(by_default),
            ..ExoPhonePatch::default()
        };
        bench.ask(Request::SetExoPhone(n(X), set)).unwrap();
        let patch = AllocationPatch {
            record: Some(policy),
            ..AllocationPatch::default()
        };
        bench.update(a.id, patch);
        assert_eq!(connected(call(&bench, X, Some(A))).record, expected);
    };
    check(RecordPolicy::Inherit, true, true);
    check(RecordPolicy::Inherit, false, false);
    check(RecordPolicy::On, false, true);
    check(RecordPolicy::Off, true, false);
}

#[test]
fn explain_says_which_allocation_why_and_who_would_ring() {
    let mut bench = bench(Sharing::Exclusive);
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let a = bench.create(new);
    let directory = directory(&bench);
    let said = directory.explain(n(X), Some(n(A)), 1_500);
    assert_eq!(said.verdict, Verdict::Connect);
    assert_eq!(said.rings, [n(B)]);
    assert_eq!(said.shows, Some(n(X)));
    assert_eq!(said.allocation.as_ref().map(|a| a.id), Some(a.id));
    assert!(said.reason.contains("agent rings"), "{}", said.reason);
    let later = directory.explain(n(X), Some(n(A)), 2_000);
    assert_eq!(later.verdict, Verdict::Announce);
    assert_eq!(later.cause, Some(Cause::Expired));
    assert!(later.rings.is_empty());
    let anonymous = directory.explain(n(X), None, 1_500);
    assert!(anonymous.reason.contains("anonymous"));
    assert_eq!(
        directory.explain(n(Y), None, 1_500).verdict,
        Verdict::Refuse
    );
    let json = serde_json::to_value(&said).unwrap();
    assert_eq!(json["verdict"], "connect");
    assert_eq!(json["rings"][0], B);
}

#[test]
fn lists_page_and_filter() {
    let mut bench = bench(Sharing::PerParty);
    for i in 0..25_u64 {
        bench.now_ms = 1_000 + i;
        let mut new = new_allocation(X, A, B);
        new.customer = vec![n(&format!("+9180{:08}", i))];
        new.agent = vec![n(&format!("+9181{:08}", i))];
        new.expires_ms = (i % 2 == 0).then_some(2_000);
        bench.create(new);
    }
    let directory = directory(&bench);
    let mut filter = AllocationFilter {
        limit: Some(10),
        at_ms: 2_000,
        ..AllocationFilter::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = directory.allocations(&filter);
        let Some(last) = page.last() else { break };
        filter.after = Some(last.id);
        seen.extend(page.iter().map(|a| a.created_ms));
    }
    assert_eq!(seen, (1_000..1_025).rev().collect::<Vec<u64>>());
    filter.after = None;
    filter.limit = None;
    filter.state = Some(State::Expired);
    assert_eq!(directory.allocations(&filter).len(), 13);
    filter.state = None;
    filter.party = Some(n("+918100000007"));
    assert_eq!(directory.allocations(&filter).len(), 1);
    filter.exophone = Some(n(Y));
    assert_eq!(directory.allocations(&filter).len(), 0);
}

#[test]
fn pools_count_what_is_in_use() {
    let mut bench = Bench::new();
    for (number, pool) in [
        (X, Some("city")),
        (Y, Some("city")),
        ("+914412345680", None),
    ] {
        let mut new = new_exophone(number, Sharing::Exclusive);
        new.pool = pool.map(str::to_owned);
        bench.ask(Request::AddExoPhone(new)).unwrap();
    }
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    bench.create(new);
    let directory = directory(&bench);
    let pool = |pool: Option<&str>, exophones, in_use| PoolUse {
        pool: pool.map(str::to_owned),
        exophones,
        in_use,
        free: exophones - in_use,
        active_allocations: in_use,
    };
    assert_eq!(
        directory.pools(1_999),
        [pool(None, 1, 0), pool(Some("city"), 2, 1)]
    );
    assert_eq!(
        directory.pools(2_000),
        [pool(None, 1, 0), pool(Some("city"), 2, 0)]
    );
    let city = ExoPhoneFilter {
        pool: Some("city".into()),
        ..ExoPhoneFilter::default()
    };
    let numbers = |f: &ExoPhoneFilter| {
        let found = directory.exophones(f);
        found.iter().map(|e| e.number).collect::<Vec<_>>()
    };
    assert_eq!(numbers(&city), [n(X), n(Y)]);
    let next = ExoPhoneFilter {
        after: Some(n(X)),
        limit: Some(1),
        ..ExoPhoneFilter::default()
    };
    assert_eq!(numbers(&next), [n(Y)]);
}
