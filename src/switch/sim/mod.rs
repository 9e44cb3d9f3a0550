//! The simulator: one switch, a virtual clock, phones with opinions, a network that loses,
//! repeats, reorders and delays, and a judge. Everything is drawn from a seed, which a failure
//! names: `CALLMASK_SEED=n cargo test --lib sim::seeds` runs that one again.
//!
//! `CALLMASK_SEEDS=n` runs so many, `CALLMASK_LONG=1` a million, `CALLMASK_TRACE=1` prints what
//! is delivered and said.

mod acts;
mod audio;
mod bench;
mod callee;
mod caller;
mod coverage;
mod directory;
mod interference;
mod judge;
mod leaks;
mod mischief;
mod mutants;
mod net;
mod plane;
mod product;
mod rfc3261;
mod rfc5407;
mod rng;
mod scene;
mod seeds;
mod shared_address;
mod style;
mod trail;
mod ua;
mod wire;
mod world;
