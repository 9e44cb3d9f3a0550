//! When messages come again: the intervals of RFC 3261 §17 and §13.3.1.4 on a real wire. A long
//! run follows them to 64·T1.

use std::time::Duration;

use callmask::phone::message::Message;
use tokio::time::Instant;

use crate::wire::{Heard, Scene, answer, back, is, nowhere};

/// How early a repetition may seem when its forerunner was held up.
const EARLY: Duration = Duration::from_millis(60);
/// How late it may be on a busy machine; far less than any two intervals differ.
const LATE: Duration = Duration::from_millis(350);
/// Seconds at which an INVITE comes again: T1 doubled without a cap (§17.1.1.2).
const INVITE_SECS: [f64; 7] = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5];
/// Seconds at which all else comes again: T1 doubled up to T2 (§17.1.2.2, §17.2.1, §13.3.1.4).
const OTHER_SECS: [f64; 11] = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5];

/// INVITE, 2xx, refusal, CANCEL and BYE that nobody answers come again at their times, an INVITE
/// at doubling intervals, the others at most 4 s apart, for 64·T1 (in an ordinary run for 4 s).
/// requirement: 14, 17
#[tokio::test]
async fn repetitions_keep_their_times() {
    let long = std::env::var_os("CALLMASK_LONG").is_some();
    let watched = Duration::from_secs(if long { 40 } else { 4 });
    let scene = Scene::new(5).await;
    let names = ["silent", "answered", "refused", "cancelled", "hungup"];
    for (n, name) in names.iter().enumerate() {
        let call = scene.dial(n as u64, name, nowhere());
        scene.caller.send(scene.sip, &call.invite()).await;
    }
    // The callee knows each by the number it was called at.
    let mut invites: Vec<Option<Heard>> = vec![None; names.len()];
    while invites.iter().any(Option::is_none) {
        let heard = scene.callee.hears("INVITE").await;
        let n = (0..names.len() as u64)
            .find(|n| heard.message.called() == Some(&crate::wire::agent(*n)))
            .unwrap();
        let known = &mut invites[n as usize];
        if known.is_none() {
            if n > 0 {
                let code = [0, 200, 486, 180, 200][n as usize];
                let bytes = answer(&heard.message, code, "b", nowhere());
                scene.callee.send(scene.sip, &bytes).await;
            }
            *known = Some(heard);
        }
    }
    let invites: Vec<Heard> = invites.into_iter().flatten().collect();
    // The fourth is cancelled while it rings, the fifth hung up by the callee when it is up.
    let mut told: Vec<Heard> = Vec::new();
    let of = |told: &[Heard], n: usize, what: &str| {
        let found = told
            .iter()
            .find(|h| is(&h.message, what) && from(&h.message, names[n]));
        found.cloned()
    };
    while of(&told, 3, "180 INVITE").is_none() || of(&told, 4, "200 INVITE").is_none() {
        let until = Instant::now() + Duration::from_millis(20);
        told.extend(scene.caller.all_until(until).await);
    }
    let ringing = scene.dial(3, names[3], nowhere());
    scene
        .caller
        .send(scene.sip, &ringing.sibling("CANCEL", None, None))
        .await;
    let up = scene.dial(4, names[4], nowhere());
    let answered = of(&told, 4, "200 INVITE").unwrap().message;
    scene
        .caller
        .send(scene.sip, &up.within("ACK", 1, "ack", &answered))
        .await;
    let here = scene.callee.address();
    scene
        .callee
        .send(scene.sip, &back("BYE", 1, &invites[4].message, "b", here))
        .await;

    let end = Instant::now() + watched;
    let (more, heard) = tokio::join!(scene.caller.all_until(end), scene.callee.all_until(end));
    told.extend(more);
    let mut heard: Vec<Heard> = invites.iter().cloned().chain(heard).collect();
    heard.sort_by_key(|h| h.at);
    let called = |n: usize| {
        let id = invites[n].message.field("Call-ID").map(str::to_owned);
        move |m: &Message| m.field("Call-ID").map(str::to_owned) == id
    };
    let silent = called(0);
    keeps(
        "INVITE",
        &times(&heard, |m| is(m, "INVITE") && silent(m)),
        &INVITE_SECS,
        end,
    );
    let cancelled = called(3);
    keeps(
        "CANCEL",
        &times(&heard, |m| is(m, "CANCEL") && cancelled(m)),
        &OTHER_SECS,
        end,
    );
    for (n, what) in [
        (1, "200 INVITE"),
        (2, "486 INVITE"),
        (3, "487 INVITE"),
        (4, "BYE"),
    ] {
        let these = times(&told, |m| is(m, what) && belongs(m, names[n]));
        keeps(what, &these, &OTHER_SECS, end);
    }
    if long {
        // The caller who never acknowledged gets a BYE, and who never got an answer a 480.
        assert!(!times(&told, |m| is(m, "480 INVITE") && from(m, "silent")).is_empty());
        assert!(!times(&told, |m| is(m, "BYE") && belongs(m, "answered")).is_empty());
    }
}

fn from(m: &Message, name: &str) -> bool {
    m.from_tag() == Some(name)
}

/// A message to the caller of this name, request or response.
fn belongs(m: &Message, name: &str) -> bool {
    from(m, name) || m.to_tag() == Some(name)
}

fn times(heard: &[Heard], wanted: impl Fn(&Message) -> bool) -> Vec<Instant> {
    heard
        .iter()
        .filter(|h| wanted(&h.message))
        .map(|h| h.at)
        .collect()
}

/// Asserts that the messages came at these seconds after the first, and none that should have
/// come before `end` is missing.
fn keeps(what: &str, came: &[Instant], secs: &[f64], end: Instant) {
    let Some(first) = came.first() else {
        panic!("{what} never came");
    };
    let after: Vec<f64> = came.iter().map(|at| (*at - *first).as_secs_f64()).collect();
    assert!(
        after.len() <= secs.len(),
        "{what} came too often: {after:?}"
    );
    for (n, wanted) in secs.iter().enumerate() {
        let due = *first + Duration::from_secs_f64(*wanted);
        match came.get(n) {
            Some(at) => assert!(
                *at + EARLY >= due && *at <= due + LATE,
                "{what} came at {after:?}, not at {secs:?}"
            ),
            None => assert!(
                due + LATE > end,
                "{what} came at {after:?} only, not at {secs:?}"
            ),
        }
    }
}
