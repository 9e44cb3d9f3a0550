//! Random scenes: each must end well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::coverage::Coverage;
use super::scene::Scene;
use super::world::World;
use crate::switch::leg::LegState;

/// Seeds in an ordinary test run.
const SEEDS: u64 = 10_000;
/// Seeds with `CALLMASK_LONG`.
const MANY_SEEDS: u64 = 1_000_000;

/// Who sent the INVITE (the caller's leg or the callee's), the leg's state, and events that some
/// seed must bring to it there.
const CROSSINGS: [(bool, LegState, &[&str]); 12] = [
    (
        false,
        LegState::Calling,
        &[
            "100",
            "180",
            "183 with SDP",
            "200",
            "3xx",
            "4xx",
            "5xx",
            "6xx",
            "hangup",
            "end all",
            "timer A",
            "timer B",
            "unreachable",
        ],
    ),
    (
        false,
        LegState::Ringing,
        &[
            "180",
            "183 with SDP",
            "200",
            "3xx",
            "4xx",
            "5xx",
            "6xx",
            "hangup",
            "end all",
        ],
    ),
    (
        false,
        LegState::Up,
        &["200", "BYE", "hangup", "end all", "timer M"],
    ),
    (
        false,
        LegState::Cancelling,
        &[
            "100",
            "180",
            "200",
            "4xx",
            "CANCEL 2xx",
            "timer A",
            "timer B",
            "timer Cancelled",
            "timer E",
            "hangup",
        ],
    ),
    (
        false,
        LegState::Closing,
        &["200", "BYE", "BYE 2xx", "CANCEL 2xx", "timer E", "timer F"],
    ),
    (
        false,
        LegState::Ended,
        &["180", "200", "4xx", "BYE", "timer D", "timer K", "timer M"],
    ),
    (
        true,
        LegState::Calling,
        &[
            "INVITE",
            "CANCEL",
            "hangup",
            "end all",
            "timer Ring",
            "timer FirstResponse",
        ],
    ),
    (
        true,
        LegState::Ringing,
        &[
            "INVITE",
            "CANCEL",
            "BYE",
            "hangup",
            "played",
            "timer Ring",
            "timer StillRinging",
        ],
    ),
    (
        true,
        LegState::Answered,
        &[
            "ACK",
            "BYE",
            "CANCEL",
            "INVITE",
            "INFO",
            "hangup",
            "closed",
            "timer Answer",
            "timer AckWait",
        ],
    ),
    (
        true,
        LegState::Up,
        &[
            "ACK",
            "BYE",
            "INVITE",
            "OPTIONS",
            "REFER",
            "FROB",
            "hangup",
            "end all",
            "played",
            "silent",
            "timer MaxDuration",
            "timer L",
        ],
    ),
    (
        true,
        LegState::Closing,
        &["BYE", "BYE 2xx", "closed", "timer E", "timer F"],
    ),
    (
        true,
        LegState::Ended,
        &[
            "ACK",
            "BYE",
            "CANCEL",
            "INVITE",
            "timer G",
            "timer H",
            "timer I",
            "timer MediaClose",
        ],
    ),
];

/// Events that must meet a leg while the other leg is in the last state.
const RACES: [(bool, LegState, &str, LegState); 10] = [
    (true, LegState::Calling, "CANCEL", LegState::Calling),
    (true, LegState::Ringing, "CANCEL", LegState::Ringing),
    (true, LegState::Answered, "BYE", LegState::Up),
    (true, LegState::Answered, "ACK", LegState::Up),
    (false, LegState::Up, "BYE", LegState::Answered),
    (false, LegState::Up, "BYE", LegState::Up),
    (true, LegState::Up, "BYE", LegState::Up),
    (false, LegState::Cancelling, "200", LegState::Ended),
    (true, LegState::Ended, "ACK", LegState::Cancelling),
    (true, LegState::Closing, "BYE 2xx", LegState::Ended),
];

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The first few failures, what was met, and how many seeds ran.
pub(super) type Swept = (Vec<String>, Coverage, u64);

/// Runs `one` for one in `share` seeds on all processors.
pub(super) fn sweep(share: u64, one: impl Fn(u64) -> Result<Coverage, String> + Sync) -> Swept {
    let only = from_environment("CALLMASK_SEED");
    let long = std::env::var_os("CALLMASK_LONG").map(|_| MANY_SEEDS);
    let count = from_environment("CALLMASK_SEEDS").or(long).unwrap_or(SEEDS);
    let (first, last) = only.map_or((0, count / share), |seed| (seed, seed + 1));
    let next = AtomicU64::new(first);
    let failures = Mutex::new(Vec::new());
    let coverage = Mutex::new(Coverage::default());
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let mut met = Coverage::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= last || failures.lock().unwrap().len() >= 3 {
                        break;
                    }
                    match one(seed) {
                        Ok(more) => met.add(more),
                        Err(failure) => failures.lock().unwrap().push(failure),
                    }
                }
                coverage.lock().unwrap().add(met);
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    (failures, coverage.into_inner().unwrap(), last - first)
}

fn run(seed: u64) -> Result<Coverage, String> {
    let mut world = World::new(Scene::random(seed));
    world.talkative = std::env::var_os("CALLMASK_TRACE").is_some();
    let outcome = world.run();
    if outcome.problems.is_empty() {
        return Ok(outcome.coverage);
    }
    Err(format!(
        "CALLMASK_SEED={seed}: {}",
        outcome.problems.join("\n    ")
    ))
}

#[test]
fn every_scene_ends_well() {
    let (failures, coverage, count) = sweep(1, run);
    println!("{count} seeds; {coverage}");
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
    if count >= SEEDS {
        let missed: Vec<_> = CROSSINGS
            .iter()
            .flat_map(|(caller, state, events)| events.iter().map(move |e| (*caller, *state, *e)))
            .filter(|(caller, state, event)| !coverage.has(*caller, *state, event))
            .collect();
        assert!(missed.is_empty(), "no seed met {missed:?}");
        let missed: Vec<_> = RACES
            .iter()
            .filter(|(caller, state, event, other)| {
                !coverage.has_pair(*caller, *state, event, *other)
            })
            .collect();
        assert!(missed.is_empty(), "no seed met {missed:?}");
    }
}

/// The same scene with all state through JSON at every third step says the same.
#[test]
fn restored_calls_go_on_as_if_nothing_had_happened() {
    let told = |seed, restore| {
        let mut scene = Scene::random(seed);
        scene.restore = restore;
        let mut world = World::new(scene);
        world.tracing = true;
        world.run().trace
    };
    let one = |seed| {
        let (plain, restored) = (told(seed, 0), told(seed, 33));
        if plain.is_empty() || plain != restored {
            return Err(format!("CALLMASK_SEED={seed}: differs when restored"));
        }
        Ok(Coverage::default())
    };
    let (failures, _, _) = sweep(10, one);
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}
