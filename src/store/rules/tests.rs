//! Every refusal, every claim, and what an expired claim does not block.

use super::super::allocation::{AllocationPatch, MAX_CALL_SECS, MAX_CUSTOM};
use super::super::exophone::{ExoPhonePatch, MAX_NAME, Sharing};
use super::super::testing::{A, B, Bench, C, D, X, Y, account, n, new_allocation, new_exophone};
use super::*;
use crate::number::Number;

fn code(bench: &mut Bench, request: Request) -> String {
    bench.refused(request).0
}

fn many(from: u64, count: u64) -> Vec<Number> {
    let number = |i| n(&format!("+9198{:08}", from + i));
    (0..count).map(number).collect()
}

fn exclusive() -> Bench {
    let mut bench = Bench::new();
    bench.exophone(X, Sharing::Exclusive);
    bench
}

fn shared() -> Bench {
    let mut bench = Bench::new();
    bench.exophone(X, Sharing::PerParty);
    bench
}

// ---- parties ----

#[test]
fn a_number_is_a_party_once() {
    let mut bench = exclusive();
    let both = Request::Create(new_allocation(X, A, A));
    assert_eq!(code(&mut bench, both), "same_number");
    let mut twice = new_allocation(X, A, B);
    twice.agent = vec![n(B), n(C), n(B)];
    assert_eq!(code(&mut bench, Request::Create(twice)), "same_number");
    let mut crossed = new_allocation(X, A, B);
    crossed.customer = vec![n(A), n(C)];
    crossed.agent = vec![n(B), n(C)];
    assert_eq!(code(&mut bench, Request::Create(crossed)), "same_number");
}

#[test]
fn a_side_has_one_to_ten_numbers() {
    let mut bench = exclusive();
    let mut new = new_allocation(X, A, B);
    new.customer = Vec::new();
    assert_eq!(code(&mut bench, Request::Create(new)), "no_number");
    let mut new = new_allocation(X, A, B);
    new.agent = many(0, 11);
    assert_eq!(code(&mut bench, Request::Create(new)), "too_many_numbers");
    let mut new = new_allocation(X, A, B);
    new.customer = many(0, 10);
    new.agent = many(100, 10);
    assert_eq!(bench.create(new).agent, many(100, 10));
}

#[test]
fn an_exophone_is_never_a_party() {
    let mut bench = exclusive();
    bench.exophone(Y, Sharing::Exclusive);
    for new in [
        new_allocation(X, A, X),
        new_allocation(X, Y, B),
        new_allocation(X, A, Y),
    ] {
        assert_eq!(code(&mut bench, Request::Create(new)), "party_is_exophone");
    }
    let a = bench.create(new_allocation(X, A, B));
    let patch = AllocationPatch {
        agent: Some(vec![n(Y)]),
        ..AllocationPatch::default()
    };
    assert_eq!(
        code(&mut bench, Request::Update(a.id, patch)),
        "party_is_exophone"
    );
}

#[test]
fn a_party_of_an_active_allocation_cannot_become_an_exophone() {
    let mut bench = exclusive();
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let a = bench.create(new);
    let add = || Request::AddExoPhone(new_exophone(B, Sharing::Exclusive));
    assert_eq!(
        bench.refused(add()),
        ("exophone_is_party".into(), Some(a.id))
    );
    bench.now_ms = 2_000;
    let changes = bench.ask(add()).unwrap().changes;
    assert_eq!(
        changes.len(),
        2,
        "the expired one is marked, then B is ours"
    );
    assert_eq!(bench.view.allocation(a.id).unwrap().state, State::Expired);
}

// ---- ExoPhone and account ----

#[test]
fn an_exophone_must_be_known_and_of_the_same_account() {
    let mut bench = exclusive();
    bench.view.apply(&account(2, "other"));
    let other = bench.view.account_named("other").unwrap().sid;
    let elsewhere = Request::Create(new_allocation(Y, A, B));
    assert_eq!(code(&mut bench, elsewhere), "unknown_exophone");
    let mut new = new_allocation(X, A, B);
    new.account = Some(other);
    assert_eq!(code(&mut bench, Request::Create(new)), "account_mismatch");
    let mut new = new_allocation(X, A, B);
    new.account = Some(Sid::new(5, 5));
    assert_eq!(code(&mut bench, Request::Create(new)), "unknown_account");
    let mut exophone = new_exophone(Y, Sharing::Exclusive);
    exophone.account = Some(Sid::new(5, 5));
    assert_eq!(
        code(&mut bench, Request::AddExoPhone(exophone)),
        "unknown_account"
    );
    let mut exophone = new_exophone(Y, Sharing::Exclusive);
    exophone.account = Some(other);
    bench.ask(Request::AddExoPhone(exophone)).unwrap();
    let default = Request::Create(new_allocation(Y, A, B));
    assert_eq!(code(&mut bench, default), "account_mismatch");
}

#[test]
fn exophones_are_added_once_and_known_to_be_changed_or_removed() {
    let mut bench = exclusive();
    let again = Request::AddExoPhone(new_exophone(X, Sharing::PerParty));
    assert_eq!(code(&mut bench, again), "exophone_exists");
    let set = Request::SetExoPhone(n(Y), ExoPhonePatch::default());
    assert_eq!(code(&mut bench, set), "unknown_exophone");
    let remove = Request::RemoveExoPhone(n(Y));
    assert_eq!(code(&mut bench, remove), "unknown_exophone");
}

#[test]
fn names_of_an_exophone_have_bounds() {
    let mut bench = exclusive();
    for text in [String::new(), "x".repeat(MAX_NAME + 1)] {
        let patch = ExoPhonePatch {
            pool: Some(Some(text.clone())),
            ..ExoPhonePatch::default()
        };
        assert_eq!(
            code(&mut bench, Request::SetExoPhone(n(X), patch)),
            "text_length"
        );
        let mut new = new_exophone(Y, Sharing::Exclusive);
        new.trunk = Some(text);
        assert_eq!(code(&mut bench, Request::AddExoPhone(new)), "text_length");
    }
}

#[test]
fn names_have_no_control_characters() {
    let mut bench = exclusive();
    let mut new = new_exophone(Y, Sharing::Exclusive);
    new.announcement = Some("not\nactive.wav".into());
    assert_eq!(code(&mut bench, Request::AddExoPhone(new)), "text_control");
}

#[test]
fn max_calls_defaults_by_sharing_and_follows_it_unless_chosen() {
    let mut bench = Bench::new();
    assert_eq!(bench.exophone(X, Sharing::Exclusive).max_calls, 1);
    assert_eq!(bench.exophone(Y, Sharing::PerParty).max_calls, 0);
    let share = |sharing| ExoPhonePatch {
        sharing: Some(sharing),
        ..ExoPhonePatch::default()
    };
    let set = Request::SetExoPhone(n(X), share(Sharing::PerParty));
    bench.ask(set).unwrap();
    assert_eq!(bench.view.exophone(n(X)).unwrap().max_calls, 0);
    let chosen = ExoPhonePatch {
        max_calls: Some(5),
        ..share(Sharing::Exclusive)
    };
    bench.ask(Request::SetExoPhone(n(X), chosen)).unwrap();
    let set = Request::SetExoPhone(n(X), share(Sharing::PerParty));
    bench.ask(set).unwrap();
    assert_eq!(bench.view.exophone(n(X)).unwrap().max_calls, 5);
}

#[test]
fn an_exophone_in_use_stays() {
    let mut bench = exclusive();
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let a = bench.create(new);
    let remove = Request::RemoveExoPhone(n(X));
    assert_eq!(
        bench.refused(remove),
        ("exophone_in_use".into(), Some(a.id))
    );
    bench.now_ms = 2_000;
    bench.ask(Request::RemoveExoPhone(n(X))).unwrap();
    assert!(bench.view.exophone(n(X)).is_none());
    assert_eq!(bench.view.allocation(a.id).unwrap().state, State::Expired);
}

#[test]
fn sharing_becomes_exclusive_only_when_one_allocation_is_left() {
    let mut bench = shared();
    let a = bench.create(new_allocation(X, A, B));
    let mut new = new_allocation(X, C, D);
    new.expires_ms = Some(2_000);
    let b = bench.create(new);
    let set = || {
        let patch = ExoPhonePatch {
            sharing: Some(Sharing::Exclusive),
            ..ExoPhonePatch::default()
        };
        Request::SetExoPhone(n(X), patch)
    };
    assert_eq!(bench.refused(set()), ("sharing_in_use".into(), Some(b.id)));
    bench.now_ms = 2_000;
    bench.ask(set()).unwrap();
    assert_eq!(bench.view.allocation(b.id).unwrap().state, State::Expired);
    assert_eq!(bench.view.allocation(a.id).unwrap().state, State::Active);
}

// ---- terms ----

#[test]
fn expiry_lies_in_the_future() {
    let mut bench = exclusive();
    for at in [0, 999, 1_000] {
        let mut new = new_allocation(X, A, B);
        new.expires_ms = Some(at);
        assert_eq!(code(&mut bench, Request::Create(new)), "expiry_in_past");
    }
    let a = bench.create(new_allocation(X, A, B));
    let patch = AllocationPatch {
        expires_ms: Some(Some(1_000)),
        ..AllocationPatch::default()
    };
    assert_eq!(
        code(&mut bench, Request::Update(a.id, patch)),
        "expiry_in_past"
    );
}

#[test]
fn longest_call_and_custom_text_have_bounds() {
    let mut bench = exclusive();
    for secs in [0, MAX_CALL_SECS + 1] {
        let mut new = new_allocation(X, A, B);
        new.max_call_secs = Some(secs);
        assert_eq!(
            code(&mut bench, Request::Create(new)),
            "max_call_secs_range"
        );
    }
    let mut new = new_allocation(X, A, B);
    new.custom = Some("x".repeat(MAX_CUSTOM + 1));
    assert_eq!(code(&mut bench, Request::Create(new)), "custom_too_long");
    let mut new = new_allocation(X, A, B);
    new.custom = Some("x".repeat(MAX_CUSTOM));
    new.max_call_secs = Some(MAX_CALL_SECS);
    bench.create(new);
}

// ---- claims ----

#[test]
fn an_exclusive_exophone_has_one_active_allocation() {
    let mut bench = exclusive();
    let a = bench.create(new_allocation(X, A, B));
    let other = Request::Create(new_allocation(X, C, D));
    assert_eq!(bench.refused(other), ("exophone_taken".into(), Some(a.id)));
    bench.deactivate(a.id);
    bench.create(new_allocation(X, C, D));
}

#[test]
fn an_expired_claim_is_free_before_it_is_swept() {
    let mut bench = exclusive();
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let a = bench.create(new);
    bench.now_ms = 1_999;
    assert_eq!(
        code(&mut bench, Request::Create(new_allocation(X, C, D))),
        "exophone_taken"
    );
    bench.now_ms = 2_000;
    let decision = bench.ask(Request::Create(new_allocation(X, C, D))).unwrap();
    assert_eq!(decision.changes.len(), 2);
    let old = bench.view.allocation(a.id).unwrap();
    assert_eq!((old.state, old.version), (State::Expired, 2));
    assert_eq!(bench.view.due(9_999).count(), 0, "nothing is left to sweep");
}

#[test]
fn per_party_allocations_share_an_exophone_until_a_number_repeats() {
    let mut bench = shared();
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let a = bench.create(new);
    bench.create(new_allocation(X, C, D));
    let e = "+919876543219";
    for new in [new_allocation(X, A, e), new_allocation(X, e, A)] {
        let refused = bench.refused(Request::Create(new));
        assert_eq!(refused, ("party_taken".into(), Some(a.id)));
    }
    bench.now_ms = 2_000;
    let changes = bench
        .ask(Request::Create(new_allocation(X, B, A)))
        .unwrap()
        .changes;
    assert_eq!(
        changes.len(),
        2,
        "marked once although both numbers were its"
    );
}

#[test]
fn the_same_pair_may_have_two_exophones() {
    let mut bench = exclusive();
    bench.exophone(Y, Sharing::Exclusive);
    bench.create(new_allocation(X, A, B));
    bench.create(new_allocation(Y, A, B));
}

// ---- update and deactivate ----

#[test]
fn an_update_checks_claims_against_others_but_not_itself() {
    let mut bench = shared();
    let a = bench.create(new_allocation(X, A, B));
    let b = bench.create(new_allocation(X, C, D));
    let patch = |agent: &str| AllocationPatch {
        agent: Some(vec![n(agent)]),
        ..AllocationPatch::default()
    };
    let refused = bench.refused(Request::Update(a.id, patch(C)));
    assert_eq!(refused, ("party_taken".into(), Some(b.id)));
    let e = "+919876543219";
    assert_eq!(bench.update(a.id, patch(e)).version, 2);
    // The number it gave up is free again.
    bench.create(new_allocation(X, B, "+919876543218"));
}

#[test]
fn an_update_sets_clears_and_leaves() {
    let mut bench = exclusive();
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(9_000);
    new.custom = Some("order 7".into());
    new.max_call_secs = Some(60);
    let a = bench.create(new);
    bench.now_ms = 1_500;
    let b = bench.update(
        a.id,
        AllocationPatch {
            expires_ms: Some(None),
            custom: Some(Some("order 8".into())),
            expected_version: Some(1),
            ..AllocationPatch::default()
        },
    );
    assert_eq!(b.expires_ms, None);
    assert_eq!(b.custom.as_deref(), Some("order 8"));
    assert_eq!(b.max_call_secs, Some(60));
    assert_eq!((b.version, b.updated_ms, b.created_ms), (2, 1_500, 1_000));
    assert_eq!(bench.view.next_expiry_ms(), None);
}

#[test]
fn an_update_that_says_what_is_so_changes_nothing() {
    let mut bench = exclusive();
    let a = bench.create(new_allocation(X, A, B));
    let patch = AllocationPatch {
        agent: Some(vec![n(B)]),
        ..AllocationPatch::default()
    };
    let decision = bench.ask(Request::Update(a.id, patch)).unwrap();
    assert!(decision.changes.is_empty());
    assert_eq!(decision.reply, Reply::Allocation(Box::new(a)));
}

#[test]
fn an_update_of_another_version_is_refused() {
    let mut bench = exclusive();
    let a = bench.create(new_allocation(X, A, B));
    let patch = AllocationPatch {
        expected_version: Some(2),
        ..AllocationPatch::default()
    };
    assert_eq!(
        code(&mut bench, Request::Update(a.id, patch)),
        "version_mismatch"
    );
}

#[test]
fn what_has_ended_or_never_was_is_not_updated() {
    let mut bench = exclusive();
    let nobody = Sid::new(7, 7);
    let update = |id| Request::Update(id, AllocationPatch::default());
    assert_eq!(code(&mut bench, update(nobody)), "unknown_allocation");
    let gone = Request::Deactivate(nobody);
    assert_eq!(code(&mut bench, gone), "unknown_allocation");
    let a = bench.create(new_allocation(X, A, B));
    bench.deactivate(a.id);
    assert_eq!(code(&mut bench, update(a.id)), "allocation_ended");
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let b = bench.create(new);
    bench.now_ms = 2_000;
    let revive = AllocationPatch {
        expires_ms: Some(None),
        ..AllocationPatch::default()
    };
    assert_eq!(
        code(&mut bench, Request::Update(b.id, revive)),
        "allocation_ended"
    );
}

#[test]
fn deactivating_twice_is_no_error_and_an_expired_one_stays_expired() {
    let mut bench = exclusive();
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(2_000);
    let a = bench.create(new);
    assert_eq!(bench.deactivate(a.id).state, State::Deactivated);
    bench.now_ms = 3_000;
    let again = bench.ask(Request::Deactivate(a.id)).unwrap();
    assert!(again.changes.is_empty());
    let mut new = new_allocation(X, A, B);
    new.expires_ms = Some(4_000);
    let b = bench.create(new);
    bench.now_ms = 4_000;
    assert_eq!(bench.deactivate(b.id).state, State::Expired);
}

#[test]
fn a_sweep_ends_what_is_due_and_no_more_than_its_limit() {
    let mut bench = shared();
    let count = SWEEP_LIMIT as u64 + 5;
    for i in 0..count {
        let mut new = new_allocation(X, A, B);
        new.customer = many(2 * i, 1);
        new.agent = many(2 * i + 1, 1);
        new.expires_ms = Some(2_000);
        bench.create(new);
    }
    let mut later = new_allocation(X, "+12025550100", "+12025550101");
    later.expires_ms = Some(2_001);
    let later = bench.create(later);
    bench.now_ms = 2_000;
    let mut sweep = || bench.ask(Request::Sweep).unwrap().reply;
    assert_eq!(sweep(), Reply::Swept(SWEEP_LIMIT));
    assert_eq!(sweep(), Reply::Swept(5));
    assert_eq!(sweep(), Reply::Swept(0));
    assert_eq!(bench.view.next_expiry_ms(), Some(2_001));
    assert_eq!(
        bench.view.allocation(later.id).unwrap().state,
        State::Active
    );
}

// ---- import ----

#[test]
fn import_obeys_the_rules_and_skips_what_is_there() {
    let mut there = exclusive();
    let a = there.create(new_allocation(X, A, B));
    let mut here = Bench::new();
    for row in there.view.rows() {
        for change in decide_import(&here.view, row, 1_000).unwrap() {
            here.view.apply(&change);
        }
    }
    assert_eq!(here.view.rows(), there.view.rows());
    for row in there.view.rows() {
        assert!(decide_import(&here.view, row, 1_000).unwrap().is_empty());
    }
    let rival = Change::Allocation(Arc::new(Allocation {
        id: Sid::new(9, 9),
        customer: vec![n(C)],
        agent: vec![n(D)],
        ..a.clone()
    }));
    let refusal = decide_import(&here.view, rival, 1_000).unwrap_err();
    assert_eq!(refusal.code, "exophone_taken");
    assert_eq!(refusal.blocking_id, Some(a.id));
    let differs = Change::Allocation(Arc::new(Allocation {
        version: 9,
        ..a.clone()
    }));
    let refusal = decide_import(&here.view, differs, 1_000).unwrap_err();
    assert_eq!(refusal.code, "allocation_exists");
    let crowd = Change::Allocation(Arc::new(Allocation {
        id: Sid::new(9, 11),
        state: State::Deactivated,
        agent: many(0, 11),
        ..a.clone()
    }));
    let refusal = decide_import(&here.view, crowd, 1_000).unwrap_err();
    assert_eq!(refusal.code, "too_many_numbers");
    let nameless = decide_import(&here.view, account(9, ""), 1_000).unwrap_err();
    assert_eq!(nameless.code, "text_length");
    let history = Change::Allocation(Arc::new(Allocation {
        id: Sid::new(9, 10),
        exophone: n(Y),
        agent_exophone: n(Y),
        state: State::Deactivated,
        ..a
    }));
    assert_eq!(
        decide_import(&here.view, history, 1_000).unwrap().len(),
        1,
        "ended allocations need no ExoPhone"
    );
}
