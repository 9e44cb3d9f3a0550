//! The shell around the switch: sockets, clocks, limits, start and stop.

pub mod admin_socket;
pub mod admission;
pub mod bucket;
pub mod calls;
pub mod clock;
pub mod contain;
pub mod door;
pub mod metrics;
pub mod shard;
pub mod strangers;
pub mod udp;
