//! What goes into the switch and what comes out of it: plain values, no handles.
//!
//! The shell (`io`) turns datagrams, timers, media events and administrator commands into
//! [`Input`]s, calls `Switch::handle`, and performs every [`Output`] in order.

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sid::Sid;
use crate::sip::Transport;
use crate::switch::media::{MediaCommand, MediaEvent};
use crate::switch::record::{CallRecord, LiveCall};
use crate::switch::settings::TrunkId;

/// The two clocks, read once by the shell for each input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Microseconds on a monotonic clock of arbitrary origin: timers.
    pub mono_us: u64,
    /// Unix milliseconds: expiry of allocations and time stamps of records.
    pub wall_ms: u64,
}

/// Where a message came from or goes to. Connections outlive calls and shards.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// UDP or TCP.
    pub transport: Transport,
    /// Our own socket address, as bound.
    pub local: SocketAddr,
    /// The peer's address.
    pub remote: SocketAddr,
    /// The connection's number; 0 on UDP.
    pub connection: u64,
    /// The name a TLS peer proved; `None` without TLS.
    pub peer_name: Option<Arc<str>>,
}

/// One thing that happened.
#[derive(Debug)]
pub enum Input<'a> {
    /// A whole SIP message arrived from an address that some trunk lists.
    Received {
        /// Where it came from.
        flow: &'a Flow,
        /// The trunk whose `accept_from` (or target) lists the address.
        trunk: TrunkId,
        /// The datagram, or one framed message.
        bytes: &'a [u8],
    },
    /// The transport could not deliver to this address (ICMP error, connection refused or
    /// reset; RFC 3261 §18.4).
    Undeliverable {
        /// Where the message should have gone.
        remote: SocketAddr,
        /// How it should have gone there.
        transport: Transport,
    },
    /// The time of `Switch::next_timeout` has come.
    Timeout,
    /// The media plane reports.
    Media(MediaEvent),
    /// An administrator or the process itself wants something.
    Command(Command),
}

/// What an administrator, the API or the process asks of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// End this call now; unknown ids are ignored.
    Hangup {
        /// The call.
        call: Sid,
    },
    /// From now on answer new INVITEs with 503 and this Retry-After (seconds).
    Drain {
        /// Seconds a peer should wait.
        retry_after_secs: u32,
    },
    /// End every call with BYE, CANCEL or a final response.
    EndAll,
}

/// One thing the shell must do.
#[derive(Debug, Clone, PartialEq)]
pub enum Output {
    /// Send these bytes.
    Send {
        /// Where to.
        flow: Flow,
        /// The whole message.
        bytes: Vec<u8>,
    },
    /// Tell the media plane.
    Media(MediaCommand),
    /// A call began or changed: replace its live row.
    Live(Box<LiveCall>),
    /// A call ended: remove its live row and append this record, in one transaction.
    Record(Box<CallRecord>),
}
