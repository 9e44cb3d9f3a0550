//! The view is a fold: whatever was asked, the view rebuilt from disk is the one that was live.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::allocation::AllocationPatch;
use super::exophone::{ExoPhonePatch, Sharing};
use super::testing::{A, B, X, clock, n, new_allocation, new_exophone, options, view};
use super::*;

#[derive(Debug, Clone)]
enum Step {
    Add(u8, bool),
    Share(u8, bool),
    Remove(u8),
    Create(u8, u8, u8, Option<u16>),
    Update(u8, u8),
    Deactivate(u8),
    Sweep,
    Wait(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..3u8, any::<bool>()).prop_map(|(x, s)| Step::Add(x, s)),
        1 => (0..3u8, any::<bool>()).prop_map(|(x, s)| Step::Share(x, s)),
        1 => (0..3u8).prop_map(Step::Remove),
        6 => (0..3u8, 0..6u8, 0..6u8, proptest::option::of(1..2_000u16))
            .prop_map(|(x, a, b, t)| Step::Create(x, a, b, t)),
        3 => (any::<u8>(), 0..6u8).prop_map(|(i, b)| Step::Update(i, b)),
        2 => any::<u8>().prop_map(Step::Deactivate),
        1 => Just(Step::Sweep),
        2 => (0..1_500u16).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..120)
}

/// The first party number is also the third ExoPhone's, so that these rules meet too.
fn party(i: u8) -> Number {
    n(&format!("+9198765000{i:02}"))
}

fn exophone(i: u8) -> Number {
    match i {
        2 => party(0),
        _ => n(&format!("+9144123456{i:02}")),
    }
}

fn sharing(shared: bool) -> Sharing {
    if shared {
        Sharing::PerParty
    } else {
        Sharing::Exclusive
    }
}

fn request(step: Step, ids: &[crate::sid::Sid], now_ms: u64) -> Option<Request> {
    let known = |i: u8| ids.get(usize::from(i) % ids.len().max(1)).copied();
    Some(match step {
        Step::Add(x, s) => {
            let mut new = new_exophone(X, sharing(s));
            new.number = exophone(x);
            Request::AddExoPhone(new)
        }
        Step::Share(x, s) => Request::SetExoPhone(
            exophone(x),
            ExoPhonePatch {
                sharing: Some(sharing(s)),
                ..ExoPhonePatch::default()
            },
        ),
        Step::Remove(x) => Request::RemoveExoPhone(exophone(x)),
        Step::Create(x, a, b, expires) => {
            let mut new = new_allocation(X, A, B);
            new.exophone = exophone(x);
            new.customer = vec![party(a)];
            new.agent = vec![party(b)];
            new.expires_ms = expires.map(|t| now_ms + u64::from(t));
            Request::Create(new)
        }
        Step::Update(i, b) => Request::Update(
            known(i)?,
            AllocationPatch {
                agent: Some(vec![party(b)]),
                ..AllocationPatch::default()
            },
        ),
        Step::Deactivate(i) => Request::Deactivate(known(i)?),
        Step::Sweep => Request::Sweep,
        Step::Wait(_) => return None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever was asked, in whatever order: every rule between rows holds, and the view rebuilt
    /// from disk equals the live one.
    #[test]
    fn the_view_after_reopening_is_the_view_before(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let clock = clock();
        let (store, _) = Store::open(folder.path(), options(&clock)).unwrap();
        let mut ids = Vec::new();
        for step in steps {
            if let Step::Wait(ms) = step {
                clock.fetch_add(u64::from(ms), Ordering::SeqCst);
            }
            let Some(request) = request(step, &ids, clock.load(Ordering::SeqCst)) else {
                continue;
            };
            match store.submit_blocking(request) {
                Ok(Committed { reply: Reply::Allocation(a), .. }) => ids.push(a.id),
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        let live = view(&store);
        let report = store.verify().unwrap();
        prop_assert!(report.sound, "{:?}", report);
        store.close();
        let (store, report) = Store::open(folder.path(), options(&clock)).unwrap();
        prop_assert_eq!(report.restored, None);
        prop_assert_eq!(view(&store), live);
    }
}
