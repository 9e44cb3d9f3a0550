//! The media plane: port pairs, the packet relay, playout and RTCP, on dedicated threads.
//!
//! The switch speaks to it in [`crate::switch::media`]'s commands and events. Everything that
//! is arithmetic on packets lives in [`crate::rtp`]; this room owns sockets, time and files.

mod error;
mod plane;

pub use error::Error;
pub use plane::{MediaConfig, Plane, PlaneCounters, pairs_in};

/// Shortest rest of a closed pair, in milliseconds, however short pairs are.
pub const MIN_QUARANTINE_MS: u64 = 100;
