//! The language between the switch and the media plane: commands and events as plain data.
//!
//! A *slot* is one RTP/RTCP port pair with its sockets. The plane owns the pairs; the switch
//! gets one per leg from `Admission`, opens it, steers it and closes it exactly once. A closed
//! slot reports its statistics and rests in quarantine before the plane offers it again.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::sdp::{Direction, Format};

/// Index of a port pair in the media plane.
pub type Slot = u32;

/// A port pair granted to a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPair {
    /// Which pair.
    pub slot: Slot,
    /// The address to write into SDP.
    pub address: IpAddr,
    /// The even RTP port; RTCP is the next one (RFC 3550 §11).
    pub port: u16,
}

/// One leg's own RTP stream: one SSRC, one sequence and one timestamp line for the whole call
/// (RFC 3550 §5.1, §8.1), and a random CNAME (RFC 7022 §4.2). Drawn from the leg's own seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamLine {
    /// Synchronisation source.
    pub ssrc: u32,
    /// First sequence number.
    pub sequence: u16,
    /// First timestamp.
    pub timestamp: u32,
    /// 96 random bits, printed by the plane as base64 in SDES CNAME.
    pub cname: [u8; 12],
}

/// What a leg's signalling agreed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remote {
    /// Where the party wants RTP; also the only source we accept RTP from.
    pub rtp: SocketAddr,
    /// Where the party wants RTCP.
    pub rtcp: SocketAddr,
    /// Payload types the party sends to us, as *our* SDP numbered them.
    pub receive: Vec<Format>,
    /// Payload types we send, as *the party's* SDP numbered them; the first audio one is used
    /// for what we play ourselves.
    pub send: Vec<Format>,
    /// Packet time in milliseconds for what we play ourselves.
    pub ptime_ms: u32,
    /// What the party may send and wants to get, seen from us.
    pub direction: Direction,
}

/// Which recording a slot plays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sound {
    /// The announcement of this name (the ExoPhone's own file), or the default one.
    Announcement(Option<String>),
    /// Ringback of the configured country, until stopped.
    Ringback,
}

/// What the switch asks of the media plane. Commands for one slot are performed in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaCommand {
    /// Take the pair into use. Nothing is accepted before `Remote`.
    Open {
        /// The pair.
        slot: Slot,
        /// Its stream.
        line: StreamLine,
    },
    /// The party's side is known, or changed by a new offer/answer.
    Remote {
        /// The pair.
        slot: Slot,
        /// What was agreed.
        remote: Box<Remote>,
    },
    /// Relay audio between two slots, both ways; payload types are mapped by codec.
    Bridge {
        /// One leg.
        a: Slot,
        /// The other leg.
        b: Slot,
        /// Report `Silent` after this many milliseconds without RTP or RTCP from either side;
        /// 0 = never.
        timeout_ms: u32,
    },
    /// Stop relaying between this slot and its partner.
    Unbridge {
        /// One of the two.
        slot: Slot,
    },
    /// Play a sound to the party, paced by the packet time.
    Play {
        /// The pair.
        slot: Slot,
        /// Echoed in `Played`.
        id: u32,
        /// What to play.
        sound: Sound,
    },
    /// Stop playing within one packet time; no `Played` follows.
    Stop {
        /// The pair.
        slot: Slot,
    },
    /// Give the pair back. `Closed` follows exactly once.
    Close {
        /// The pair.
        slot: Slot,
    },
}

/// What the media plane reports.
#[derive(Debug, Clone, PartialEq)]
pub enum MediaEvent {
    /// A sound has been played to its end.
    Played {
        /// The pair.
        slot: Slot,
        /// From `Play`.
        id: u32,
    },
    /// Neither side of this slot's bridge has sent anything for the time `Bridge` named.
    Silent {
        /// One of the two slots.
        slot: Slot,
    },
    /// The pair is given back.
    Closed {
        /// The pair.
        slot: Slot,
        /// What went through it.
        stats: LegStats,
    },
}

/// What one leg received and was sent (RFC 3550 §6.4, A.3, A.8).
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct LegStats {
    /// RTP packets accepted from the party.
    pub packets_in: u64,
    /// RTP packets sent to the party.
    pub packets_out: u64,
    /// Packets lost on the way to us.
    pub lost: u64,
    /// Packets dropped: wrong source, malformed, unknown payload type.
    pub dropped: u64,
    /// Interarrival jitter in milliseconds.
    pub jitter_ms: f32,
    /// Mean opinion score, E-model estimate, 1.0 to 4.5; `None` when nothing was received.
    pub mos: Option<f32>,
}
