//! The shell around the switch: sockets, clocks, limits, start and stop.
//!
//! [`udp`] reads and writes datagrams, [`door`] keeps strangers out, [`shard`] is the loop that
//! feeds the switch and performs what it says, [`server`] opens and closes everything in order,
//! [`mod@stop`] is the way from SIGTERM to the last record. The API is put on top of a [`server`]
//! by `crate::serve`, because arrows point from the API to here.

pub mod admin_socket;
pub mod admission;
pub mod bucket;
pub mod calls;
pub mod clock;
pub mod contain;
pub mod door;
pub mod metrics;
pub mod server;
pub mod shard;
pub mod stop;
pub mod strangers;
pub mod sweep;
pub mod targets;
pub mod udp;
pub mod world;
