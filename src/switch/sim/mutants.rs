//! Defects made on purpose: the simulator must notice them, or it proves nothing.
//!
//! A timer that never rings, and the ACK of a 487 that is never sent.

use super::scene::Scene;
use super::ua::Part;
use super::world::{Meddler, World};
use crate::phone::message::Message;
use crate::switch::timers::Timer;

/// Seeds after which a defect must have shown.
const PATIENCE: u64 = 600;

/// Makes what does the damage.
type Defect = fn() -> Option<Meddler>;

/// The first seed that notices, and what it says.
fn noticed(mute: Option<Timer>, meddler: Defect) -> Option<(u64, String)> {
    (0..PATIENCE).find_map(|seed| {
        let mut world = World::new(Scene::random(seed));
        world.switch.core.timers.mute = mute;
        world.meddler = meddler();
        let problem = world.run().problems.into_iter().next()?;
        Some((seed, problem.lines().next().unwrap_or_default().to_owned()))
    })
}

/// Every timer there is: none of them may be lost unnoticed.
const TIMERS: [Timer; 20] = [
    Timer::A,
    Timer::B,
    Timer::D,
    Timer::E,
    Timer::F,
    Timer::G,
    Timer::H,
    Timer::I,
    Timer::J,
    Timer::K,
    Timer::L,
    Timer::M,
    Timer::Cancelled,
    Timer::Answer,
    Timer::AckWait,
    Timer::StillRinging,
    Timer::FirstResponse,
    Timer::Ring,
    Timer::MaxDuration,
    Timer::MediaClose,
];

#[test]
fn no_timer_can_be_taken_out() {
    for timer in TIMERS {
        match noticed(Some(timer), || None) {
            Some((seed, problem)) => println!("without timer {timer:?}, seed {seed}: {problem}"),
            None => panic!("nobody misses timer {timer:?} in {PATIENCE} seeds"),
        }
    }
}

/// Loses every ACK of a refusal.
fn without_acks() -> Option<Meddler> {
    Some(Box::new(|world: &World, _, bytes| {
        let Some(message) = Message::read(bytes).filter(|m| m.method() == Some("ACK")) else {
            return true;
        };
        let refused = world.uas.iter().any(|ua| {
            let same = message.field("Call-ID") == Some(ua.call_id.as_str());
            same && matches!(ua.part, Part::Callee(_)) && ua.code.is_some_and(|code| code >= 300)
        });
        !refused
    }))
}

/// Loses every message that begins so.
fn without(start: &'static [u8]) -> Option<Meddler> {
    Some(Box::new(move |_: &World, _, bytes| {
        !bytes.starts_with(start)
    }))
}

#[test]
fn no_message_can_be_taken_out() {
    let acks = noticed(None, without_acks);
    println!("without the ACK of a refusal: {acks:?}");
    assert!(acks.is_some_and(|(_, problem)| problem.contains("ACK")));
    let others: [(&str, Defect); 6] = [
        ("CANCEL", || without(b"CANCEL ")),
        ("BYE", || without(b"BYE ")),
        ("ACK", || without(b"ACK ")),
        ("180", || without(b"SIP/2.0 180 ")),
        ("481", || without(b"SIP/2.0 481 ")),
        ("487", || without(b"SIP/2.0 487 ")),
    ];
    for (name, meddler) in others {
        match noticed(None, meddler) {
            Some((seed, problem)) => println!("without {name}, seed {seed}: {problem}"),
            None => panic!("nobody misses {name} in {PATIENCE} seeds"),
        }
    }
}
