//! The media plane: port pairs, the packet relay, playout and RTCP, on dedicated threads.
//!
//! The switch speaks to it in [`crate::switch::media`]'s commands and events. Everything that
//! is arithmetic on packets lives in [`crate::rtp`]; this room owns sockets, time and files.
//!
//! `sockets` is what others hold; `mailbox` carries commands to the `worker`, which performs
//! them in `steering` and moves packets in `traffic`; `ports` and `rest` are the life of a pair:
//! unbound, ready, taken, resting, ready again.

mod error;
mod leg;
mod mailbox;
mod mapping;
mod plane;
mod player;
mod ports;
mod rest;
mod sockets;
mod sounds;
mod steering;
#[cfg(test)]
mod tests;
mod timers;
mod totals;
mod traffic;
mod worker;

pub use error::Error;
pub use plane::{MediaConfig, Plane, PlaneCounters, pairs_in};
pub use sockets::SocketsPlane;

/// Shortest rest of a closed pair, in milliseconds, however short pairs are.
pub const MIN_QUARANTINE_MS: u64 = 100;
