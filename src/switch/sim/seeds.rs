//! Random scenes: each must end well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::coverage::Coverage;
use super::scene::Scene;
use super::world::World;

/// Seeds in an ordinary test run.
const SEEDS: u64 = 1_000;
/// Seeds with `CALLMASK_LONG`.
const MANY_SEEDS: u64 = 100_000;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs `one` for each seed on all processors; the first few failures, and what was met.
fn sweep(one: impl Fn(u64) -> Result<Coverage, String> + Sync) -> (Vec<String>, Coverage, u64) {
    let only = from_environment("CALLMASK_SEED");
    let long = std::env::var_os("CALLMASK_LONG").map(|_| MANY_SEEDS);
    let count = from_environment("CALLMASK_SEEDS").or(long).unwrap_or(SEEDS);
    let (first, last) = only.map_or((0, count), |seed| (seed, seed + 1));
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
    let (failures, coverage, count) = sweep(run);
    println!("{count} seeds; {coverage}");
    assert!(failures.is_empty(), "\n{}\n", failures.join("\n"));
}
