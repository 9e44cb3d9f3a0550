//! Non-interference (DESIGN §3): nothing that identifies one party reaches the other.
//!
//! A scene is played twice; one side's parties differ in every byte they control that may not
//! cross. What the other side gets (every datagram, every command to its ports, to the
//! microsecond) must be the same, and there must be something. `leaks` tests the comparison.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::callee::{AnswerFlaw, CalleePlan, Ending, OnCancel};
use super::caller::{Ack, CallerPlan, Flaw};
use super::coverage::Coverage;
use super::directory::{STRANGER, exophone};
use super::scene::{Action, Calling, Scene};
use super::seeds::sweep;
use super::style::Flavour;
use super::ua::SECOND_US;
use super::world::{Meddler, Side, Traced, World};
use crate::switch::settings::{AnnouncementMode, EarlyMedia};

/// One in so many seeds is compared.
const SHARE: u64 = 8;

/// Plays a scene with the parties of `side` in this flavour.
pub(super) fn play(
    mut scene: Scene,
    side: Side,
    flavour: Flavour,
    meddler: Option<Meddler>,
) -> Vec<Traced> {
    match side {
        Side::Caller => scene.directory.customers = flavour,
        _ => scene.directory.agents = flavour,
    }
    let mut world = World::new(scene);
    world.tracing = true;
    world.meddler = meddler;
    world.run().trace
}

/// Where the two differ in what `side` gets; else how much it got.
pub(super) fn compare(one: &[Traced], two: &[Traced], side: Side) -> Result<usize, String> {
    let wire = |trace: &[Traced]| -> Vec<Traced> {
        trace.iter().filter(|t| t.side == side).cloned().collect()
    };
    let (one, two) = (wire(one), wire(two));
    let differs = one.iter().zip(&two).find(|(a, b)| a != b);
    if let Some((a, b)) = differs {
        return Err(format!("{}\n  against\n{}", show(a), show(b)));
    }
    if one.len() != two.len() {
        return Err(format!("{} outputs against {}", one.len(), two.len()));
    }
    Ok(one.len())
}

fn show(traced: &Traced) -> String {
    let at = traced.at_us as f64 / 1e6;
    match &traced.output {
        crate::switch::event::Output::Send { flow, bytes } => {
            format!(
                "{at} to {}: {}",
                flow.remote,
                String::from_utf8_lossy(bytes)
            )
        }
        other => format!("{at} {other:?}"),
    }
}

pub(super) fn other(side: Side) -> Side {
    if side == Side::Caller {
        Side::Callee
    } else {
        Side::Caller
    }
}

/// Varies `side` and compares what the other side gets.
fn leak(scene: &Scene, side: Side) -> Result<usize, String> {
    let one = play(scene.clone(), side, Flavour::Plain, None);
    let two = play(scene.clone(), side, Flavour::Odd, None);
    // The varied side's own wire must differ, or nothing was varied.
    if compare(&one, &two, side).is_ok_and(|count| count > 0) {
        return Err("the identities do not differ".to_owned());
    }
    compare(&one, &two, other(side))
}

type Flow = (&'static str, Scene);

/// Every flow of the first issue.
fn flows() -> Vec<Flow> {
    let talk = || CallerPlan::plain(exophone(0), Some(20 * SECOND_US));
    let wait = || CallerPlan::plain(exophone(0), None);
    let ends = |ending| CalleePlan {
        ending,
        ..CalleePlan::plain()
    };
    let call = |caller, callee| Scene::one_call(11, caller, callee);
    let set = |mut scene: Scene, change: fn(&mut Scene)| {
        change(&mut scene);
        scene
    };
    let plain = || call(wait(), CalleePlan::plain());
    vec![
        ("caller hangs up", call(talk(), CalleePlan::plain())),
        (
            "callee hangs up",
            call(
                wait(),
                CalleePlan {
                    talk_us: Some(9 * SECOND_US),
                    ..CalleePlan::plain()
                },
            ),
        ),
        (
            "both hang up",
            call(
                talk(),
                CalleePlan {
                    talk_us: Some(20 * SECOND_US),
                    ..CalleePlan::plain()
                },
            ),
        ),
        ("busy", call(wait(), ends(Ending::Reject(486, SECOND_US)))),
        (
            "rejected",
            call(wait(), ends(Ending::Reject(603, SECOND_US))),
        ),
        ("not found", call(wait(), ends(Ending::Reject(404, 0)))),
        ("moved", call(wait(), ends(Ending::Reject(302, 0)))),
        ("trunk failure", call(wait(), ends(Ending::Reject(503, 0)))),
        (
            "silent",
            call(
                wait(),
                CalleePlan {
                    trying: false,
                    ring_us: None,
                    ..ends(Ending::Never)
                },
            ),
        ),
        ("rings for ever", call(wait(), ends(Ending::Never))),
        (
            "cancelled",
            call(
                CallerPlan {
                    cancel_us: Some(3 * SECOND_US),
                    ..wait()
                },
                CalleePlan::plain(),
            ),
        ),
        (
            "answer crosses CANCEL",
            call(
                CallerPlan {
                    cancel_us: Some(3 * SECOND_US),
                    ..wait()
                },
                CalleePlan {
                    on_cancel: OnCancel::Answer,
                    ..CalleePlan::plain()
                },
            ),
        ),
        (
            "no offer",
            call(
                CallerPlan {
                    offers: false,
                    ..talk()
                },
                CalleePlan::plain(),
            ),
        ),
        (
            "never acknowledged",
            call(
                CallerPlan {
                    ack: Ack::Never,
                    ..wait()
                },
                CalleePlan::plain(),
            ),
        ),
        (
            "forked",
            call(
                talk(),
                CalleePlan {
                    fork_us: Some(SECOND_US),
                    ..CalleePlan::plain()
                },
            ),
        ),
        (
            "bad answer",
            call(
                wait(),
                CalleePlan {
                    flaw: AnswerFlaw::BrokenSdp,
                    ..CalleePlan::plain()
                },
            ),
        ),
        (
            "requests in the call",
            call(
                CallerPlan {
                    asks: vec![
                        (SECOND_US, "INVITE"),
                        (2 * SECOND_US, "INFO"),
                        (3 * SECOND_US, "REFER"),
                        (4 * SECOND_US, "OPTIONS"),
                    ],
                    ..talk()
                },
                CalleePlan::plain(),
            ),
        ),
        (
            "early media hidden",
            call(
                talk(),
                CalleePlan {
                    progress_us: Some(SECOND_US),
                    ..CalleePlan::plain()
                },
            ),
        ),
        (
            "early media relayed",
            set(
                call(
                    talk(),
                    CalleePlan {
                        progress_us: Some(SECOND_US),
                        ..CalleePlan::plain()
                    },
                ),
                |s| {
                    s.settings.early_media = EarlyMedia::Relay;
                },
            ),
        ),
        (
            "ended by an administrator",
            set(plain(), |s| s.actions.push((9 * SECOND_US, Action::Hangup))),
        ),
        (
            "shut down",
            set(plain(), |s| s.actions.push((3 * SECOND_US, Action::EndAll))),
        ),
        (
            "longest call",
            set(plain(), |s| s.settings.max_call_secs = 30),
        ),
        ("no audio", set(plain(), |s| s.silent = true)),
    ]
}

/// An announcement has no callee; what may not show is who would have been called.
fn announcements() -> Vec<Flow> {
    let scene = |mode, flaw| {
        let mut scene = Scene::quiet(12);
        scene.settings.announcement_mode = mode;
        let plan = CallerPlan {
            flaw,
            ..CallerPlan::plain(exophone(0), None)
        };
        let who = if flaw == Flaw::Anonymous { 0 } else { STRANGER };
        scene.calling.push(Calling {
            at_us: 0,
            who,
            plan,
        });
        scene
    };
    vec![
        (
            "third person, answered",
            scene(AnnouncementMode::Answer, Flaw::None),
        ),
        (
            "third person, early",
            scene(AnnouncementMode::Early, Flaw::None),
        ),
        (
            "anonymous",
            scene(AnnouncementMode::Answer, Flaw::Anonymous),
        ),
    ]
}

#[test]
fn no_flow_tells_one_party_who_the_other_is() {
    for (name, scene) in flows() {
        for side in [Side::Caller, Side::Callee] {
            // A callee that never says anything has nothing to vary.
            if (name, side) == ("silent", Side::Callee) {
                continue;
            }
            match leak(&scene, side) {
                Ok(count) => assert!(count > 3, "{name}: only {count} outputs to compare"),
                Err(difference) => panic!("{name}, {side:?} varied: {difference}"),
            }
        }
    }
}

#[test]
fn no_announcement_tells_who_would_have_been_called() {
    for (name, scene) in announcements() {
        let one = play(scene.clone(), Side::Callee, Flavour::Plain, None);
        let two = play(scene, Side::Callee, Flavour::Odd, None);
        match compare(&one, &two, Side::Caller) {
            Ok(count) => assert!(count > 3, "{name}: only {count} outputs to compare"),
            Err(difference) => panic!("{name}: {difference}"),
        }
    }
}

#[test]
fn no_random_scene_tells_one_party_who_the_other_is() {
    let compared = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let one = |seed: u64| {
        let mut scene = Scene::one_way(seed);
        scene.shard = [(0, 1), (0, 2), (1, 2)][seed as usize % 3];
        for (side, total) in [Side::Caller, Side::Callee].into_iter().zip(&compared) {
            let one = play(scene.clone(), side, Flavour::Plain, None);
            let two = play(scene.clone(), side, Flavour::Odd, None);
            let count = compare(&one, &two, other(side)).map_err(|difference| {
                format!("CALLMASK_SEED={seed}, {side:?} varied: {difference}")
            })?;
            total.fetch_add(count, Ordering::Relaxed);
        }
        Ok(Coverage::default())
    };
    let (failures, _, count) = sweep(SHARE, one);
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    let compared = compared.map(AtomicUsize::into_inner);
    println!("{count} scenes, {compared:?} outputs to callees and to callers compared");
    let enough = compared.iter().all(|total| *total as u64 > 5 * count);
    assert!(enough || count < 100, "{compared:?}");
}

/// The two flavours share no letter and no digit in the words that are a party's own.
#[test]
fn flavours_differ_in_every_byte() {
    let style = |flavour| super::style::Style::new(5, 0, flavour);
    let (mut plain, mut odd) = (style(Flavour::Plain), style(Flavour::Odd));
    for _ in 0..20 {
        let words = [
            plain.word(12) + &plain.digits(12),
            odd.word(12) + &odd.digits(12),
        ];
        assert!(
            words[0].bytes().all(|b| !words[1].as_bytes().contains(&b)),
            "{words:?}"
        );
    }
    let digits = |style: &super::style::Style| style.number.e164()[3..].to_owned();
    assert!(
        digits(&plain)
            .bytes()
            .all(|b| !digits(&odd).as_bytes().contains(&b))
    );
}
