//! A session description as a typed model (RFC 8866, RFC 3264): numbers, addresses and members
//! of closed sets. No text of the peer survives the reading.

use std::net::{IpAddr, SocketAddr};

use super::codec::{Direction, Format};
use super::malformed::Malformed;
use super::parse;

/// What an `m=` line describes (RFC 8866 §5.14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// `audio`
    Audio,
    /// `video`
    Video,
    /// `image` (fax, ITU-T T.38)
    Image,
    /// `text` (RFC 4103)
    Text,
    /// `application`
    Application,
    /// `message` (RFC 4975)
    Message,
    /// Any other.
    Other,
}

/// The transport of an `m=` line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `RTP/AVP` (RFC 3551): the one we relay.
    RtpAvp,
    /// `RTP/AVPF` (RFC 4585)
    RtpAvpf,
    /// `RTP/SAVP` (RFC 3711)
    RtpSavp,
    /// `RTP/SAVPF` (RFC 5124)
    RtpSavpf,
    /// `UDP/TLS/RTP/SAVP` (RFC 5764)
    DtlsSavp,
    /// `UDP/TLS/RTP/SAVPF` (RFC 5764)
    DtlsSavpf,
    /// `udptl` (ITU-T T.38)
    Udptl,
    /// `TCP/MSRP` (RFC 4975)
    Msrp,
    /// `UDP/DTLS/SCTP` (RFC 8841)
    Sctp,
    /// Any other.
    Other,
}

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Media {
    /// What it describes.
    pub kind: MediaKind,
    /// How it travels.
    pub protocol: Protocol,
    /// The port; 0 = rejected or disabled (RFC 3264 §6, §8.2).
    pub port: u16,
    /// From `c=` of the section, else of the session. `None` when absent, a host name or a
    /// multicast address: we send to none of them.
    pub address: Option<IpAddr>,
    /// From `a=rtcp` (RFC 3605), when it is written and usable; see [`Media::rtcp_address`].
    pub rtcp: Option<SocketAddr>,
    /// The codecs we know, in the order of the `m=` line, each codec once.
    pub formats: Vec<Format>,
    /// Dynamic payload types without an rtpmap. Only an answer gives them a meaning, that of
    /// our offer.
    pub(super) unmapped: Vec<u8>,
    /// `a=ptime` in milliseconds, when between 1 and [`MAX_PTIME_MS`](super::MAX_PTIME_MS).
    pub ptime_ms: Option<u32>,
    /// `a=maxptime` in milliseconds, in the same bounds.
    pub maxptime_ms: Option<u32>,
    /// Direction attribute of the section, else of the session, else `sendrecv`.
    pub direction: Direction,
    /// `b=RS:0`: active senders are to send no RTCP (RFC 3556 §2).
    pub rs_zero: bool,
    /// `b=RR:0`: receivers are to send no RTCP (RFC 3556 §2).
    pub rr_zero: bool,
}

/// A session description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The `m=` sections, in order.
    pub media: Vec<Media>,
}

impl Session {
    /// Reads a body. Unknown lines and attributes are passed over, the order of lines within
    /// a section is free, and LF ends a line as well as CRLF.
    pub fn parse(body: &[u8]) -> Result<Session, Malformed> {
        parse::parse(body)
    }

    /// The first audio section we can relay, with its index: RTP/AVP, not rejected, with an
    /// address.
    pub fn audio(&self) -> Option<(usize, &Media)> {
        self.media.iter().enumerate().find(|(_, media)| {
            media.kind == MediaKind::Audio
                && media.protocol == Protocol::RtpAvp
                && media.port != 0
                && media.address.is_some()
        })
    }
}

impl Media {
    /// Where RTP goes.
    pub fn rtp_address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address?, self.port))
    }

    /// Where RTCP goes: `a=rtcp`, else the next port (RFC 3550 §11).
    pub fn rtcp_address(&self) -> Option<SocketAddr> {
        let next = || Some(SocketAddr::new(self.address?, self.port.checked_add(1)?));
        self.rtcp.or_else(next)
    }

    /// Whether the party holds: it receives nothing, by direction or, the way of RFC 2543, by
    /// an address that is all zeros (RFC 3264 §8.4).
    pub fn is_held(&self) -> bool {
        !self.direction.receives() || self.address.is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether there is a codec that carries sound.
    pub fn has_audio_codec(&self) -> bool {
        self.formats.iter().any(|f| f.codec.kind.is_audio())
    }
}

impl MediaKind {
    pub(super) fn from_name(name: &str) -> MediaKind {
        match name {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            "image" => MediaKind::Image,
            "text" => MediaKind::Text,
            "application" => MediaKind::Application,
            "message" => MediaKind::Message,
            _ => MediaKind::Other,
        }
    }

    /// The token for an `m=` line; a kind we do not know is mirrored as `application`.
    pub(super) fn name(self) -> &'static str {
        match self {
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::Image => "image",
            MediaKind::Text => "text",
            MediaKind::Message => "message",
            MediaKind::Application | MediaKind::Other => "application",
        }
    }
}

impl Protocol {
    const NAMED: [Protocol; 9] = [
        Protocol::RtpAvp,
        Protocol::RtpAvpf,
        Protocol::RtpSavp,
        Protocol::RtpSavpf,
        Protocol::DtlsSavp,
        Protocol::DtlsSavpf,
        Protocol::Udptl,
        Protocol::Msrp,
        Protocol::Sctp,
    ];

    pub(super) fn from_name(name: &str) -> Protocol {
        Protocol::NAMED
            .into_iter()
            .find(|p| p.name().eq_ignore_ascii_case(name))
            .unwrap_or(Protocol::Other)
    }

    /// The token for an `m=` line; a transport we do not know is mirrored as `RTP/AVP`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Protocol::RtpAvp | Protocol::Other => "RTP/AVP",
            Protocol::RtpAvpf => "RTP/AVPF",
            Protocol::RtpSavp => "RTP/SAVP",
            Protocol::RtpSavpf => "RTP/SAVPF",
            Protocol::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Protocol::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
            Protocol::Udptl => "udptl",
            Protocol::Msrp => "TCP/MSRP",
            Protocol::Sctp => "UDP/DTLS/SCTP",
        }
    }

    /// A legal format token for a rejected section of this transport: which one is of no
    /// meaning there (RFC 3264 §6).
    pub(super) fn any_format(self) -> &'static str {
        match self {
            Protocol::Udptl => "t38",
            Protocol::Msrp => "*",
            Protocol::Sctp => "webrtc-datachannel",
            _ => "0",
        }
    }
}
