//! The border of the media room: what a media plane is asked, what it is configured with, and
//! what it counts. One implementation today ([`crate::media::SocketsPlane`]); an in-kernel one
//! can stand behind the same trait.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use serde::Serialize;

use crate::switch::media::{MediaCommand, PortPair};

/// A media plane: owns the RTP/RTCP port pairs and moves the packets. All methods may be called
/// from any thread, but never from inside the event callback.
pub trait Plane: Send + Sync {
    /// Grants a port pair, or `None` when every pair of every address is in use or resting.
    /// Never waits for the worker. The pair comes back by [`MediaCommand::Close`] and only so,
    /// also when it was never opened.
    fn take_ports(&self) -> Option<PortPair>;

    /// Queues one command. Commands of one caller are performed in the order given. When the
    /// queue is full the caller waits for room: a lost `Close` would be a lost port pair, and
    /// the worker itself waits for nobody.
    fn perform(&self, command: MediaCommand);

    /// A snapshot of the counters.
    fn counters(&self) -> PlaneCounters;

    /// Says BYE on every open pair, reports each as `Closed`, closes the sockets and ends the
    /// worker. Afterwards `take_ports` gives `None` and commands are ignored. Idempotent.
    fn close(&self);
}

/// How a plane is set up.
#[derive(Debug, Clone)]
pub struct MediaConfig {
    /// Addresses to bind, each with the address to write into SDP. Each has the whole port
    /// range for itself.
    pub addresses: Vec<(IpAddr, IpAddr)>,
    /// Ports to use, both ends included. A pair is an even port and the next one.
    pub ports: RangeInclusive<u16>,
    /// How long a closed pair rests before it is offered again, in milliseconds. Shortened
    /// under pressure, never below [`crate::media::MIN_QUARANTINE_MS`].
    pub quarantine_ms: u64,
    /// WAV file of the default announcement; `None`: the built-in one.
    pub default_announcement: Option<PathBuf>,
    /// Folder in which the names of `Sound::Announcement(Some(name))` are looked up.
    pub announcement_folder: PathBuf,
    /// Whose ringback is played, as a country calling code (`"91"`); unknown ones get the
    /// European tone.
    pub ringback_country_code: String,
}

impl MediaConfig {
    /// One address, advertised as it is, with the defaults of the configuration file.
    pub fn on(address: IpAddr, ports: RangeInclusive<u16>) -> MediaConfig {
        MediaConfig {
            addresses: vec![(address, address)],
            ports,
            quarantine_ms: 2000,
            default_announcement: None,
            announcement_folder: PathBuf::from("."),
            ringback_country_code: String::from("91"),
        }
    }

    /// How many pairs these addresses and this range hold.
    pub fn pairs(&self) -> usize {
        self.addresses.len() * pairs_in(&self.ports)
    }
}

/// How many even/odd pairs lie wholly inside a port range (RFC 3550 §11).
pub fn pairs_in(ports: &RangeInclusive<u16>) -> usize {
    let first = u32::from(*ports.start()).max(2).next_multiple_of(2);
    let end = u32::from(*ports.end()) + 1;
    (end.saturating_sub(first) / 2) as usize
}

/// What a plane counts. Totals run from the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PlaneCounters {
    /// Pairs the configuration holds.
    pub pairs_total: u64,
    /// Pairs that could be taken at once: bound and rested.
    pub pairs_ready: u64,
    /// Pairs taken and not yet closed.
    pub pairs_in_use: u64,
    /// Closed pairs that still rest.
    pub pairs_quarantined: u64,
    /// RTP packets passed on from one party to the other.
    pub packets_relayed: u64,
    /// RTP packets accepted that nobody was to hear: not bridged, held, or our own playout has
    /// the line.
    pub packets_withheld: u64,
    /// RTP packets of our own playout.
    pub packets_played: u64,
    /// Packets dropped because they did not come from the signalled address.
    pub packets_dropped_source: u64,
    /// Packets dropped for another reason: malformed, unknown payload type, too long, too late.
    pub packets_dropped_other: u64,
    /// Packets the kernel did not take from us.
    pub packets_unsent: u64,
    /// RTCP packets accepted.
    pub rtcp_received: u64,
    /// RTCP packets sent.
    pub rtcp_sent: u64,
    /// Sounds reported as played without a packet, because the party takes no G.711.
    pub sounds_unplayable: u64,
    /// Announcement files that could not be used; the default was played.
    pub sounds_missing: u64,
    /// Commands for pairs that are not in use.
    pub commands_ignored: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::reversed_empty_ranges)]
    fn pairs_are_whole_and_even() {
        assert_eq!(pairs_in(&(20000..=29999)), 5000);
        assert_eq!(pairs_in(&(20000..=20001)), 1);
        assert_eq!(pairs_in(&(20000..=20000)), 0);
        assert_eq!(pairs_in(&(20001..=20003)), 1);
        assert_eq!(pairs_in(&(0..=3)), 1, "port 0 is no port");
        assert_eq!(pairs_in(&(65534..=65535)), 1);
        assert_eq!(pairs_in(&(300..=200)), 0);
    }
}
