//! The codecs we know, with the few parameters of each that may cross from one leg to the other
//! as bounded integers (RFC 3551, RFC 4733, RFC 7587, RFC 4867, RFC 3952), and the payload type
//! numbers of our own offers.

use serde::{Deserialize, Serialize};

/// A codec we know by name. Unknown ones are not offered onward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CodecKind {
    /// G.711 µ-law, static payload type 0.
    Pcmu,
    /// G.711 A-law, static payload type 8.
    Pcma,
    /// G.722; its RTP clock is 8,000 Hz (RFC 3551 §4.5.2). Static payload type 9.
    G722,
    /// G.729, static payload type 18.
    G729,
    /// GSM full rate, static payload type 3.
    Gsm,
    /// Opus, 48,000 Hz, two channels in SDP (RFC 7587).
    Opus,
    /// AMR narrow band (RFC 4867).
    Amr,
    /// AMR wide band (RFC 4867).
    AmrWb,
    /// iLBC (RFC 3952).
    Ilbc,
    /// DTMF and tones (RFC 4733), at the clock rate of the audio it goes with.
    TelephoneEvent,
}

impl CodecKind {
    /// All of them: what a trunk without a list of its own may be offered.
    pub const ALL: [CodecKind; 10] = [
        CodecKind::Pcmu,
        CodecKind::Pcma,
        CodecKind::G722,
        CodecKind::G729,
        CodecKind::Gsm,
        CodecKind::Opus,
        CodecKind::Amr,
        CodecKind::AmrWb,
        CodecKind::Ilbc,
        CodecKind::TelephoneEvent,
    ];

    /// The encoding name of `a=rtpmap`, as registered.
    pub fn name(self) -> &'static str {
        match self {
            CodecKind::Pcmu => "PCMU",
            CodecKind::Pcma => "PCMA",
            CodecKind::G722 => "G722",
            CodecKind::G729 => "G729",
            CodecKind::Gsm => "GSM",
            CodecKind::Opus => "opus",
            CodecKind::Amr => "AMR",
            CodecKind::AmrWb => "AMR-WB",
            CodecKind::Ilbc => "iLBC",
            CodecKind::TelephoneEvent => "telephone-event",
        }
    }

    /// The codec of this encoding name, in any case (RFC 8866 §6.6). `G729A`, which some write
    /// for a coder that sends the same stream, is G729.
    pub fn from_name(name: &str) -> Option<CodecKind> {
        let name = if name.eq_ignore_ascii_case("G729A") {
            "G729"
        } else {
            name
        };
        CodecKind::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(name))
    }

    /// Whether it carries sound, as telephone events do not.
    pub fn is_audio(self) -> bool {
        self != CodecKind::TelephoneEvent
    }

    /// The clock rate its payload format fixes; `None` for telephone events, which have that of
    /// the audio beside them (RFC 4733 §2.1).
    fn fixed_clock(self) -> Option<u32> {
        match self {
            CodecKind::TelephoneEvent => None,
            CodecKind::Opus => Some(48_000),
            CodecKind::AmrWb => Some(16_000),
            _ => Some(8_000),
        }
    }

    /// Channels in `a=rtpmap`: opus always says two (RFC 7587 §7).
    fn channels(self) -> u32 {
        match self {
            CodecKind::Opus => 2,
            _ => 1,
        }
    }
}

/// A codec and its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Codec {
    /// Which.
    pub kind: CodecKind,
    /// RTP clock rate in hertz.
    pub clock: u32,
    /// The one bounded integer parameter that matters for this codec, when it was given:
    /// `annexb` 0/1 for G729, `mode` 20/30 for iLBC, `octet-align` 0/1 for AMR,
    /// `useinbandfec` 0/1 for Opus; unused otherwise.
    pub param: Option<u32>,
}

impl Codec {
    /// A codec without parameters.
    pub fn new(kind: CodecKind, clock: u32) -> Codec {
        Codec {
            kind,
            clock,
            param: None,
        }
    }

    /// The codec a static payload type stands for when no rtpmap says otherwise
    /// (RFC 3551 §6, table 4); `None` for those we do not know.
    pub fn of_static(payload_type: u8) -> Option<Codec> {
        let kind = match payload_type {
            0 => CodecKind::Pcmu,
            3 => CodecKind::Gsm,
            8 => CodecKind::Pcma,
            9 => CodecKind::G722,
            18 => CodecKind::G729,
            _ => return None,
        };
        Some(Codec::new(kind, 8_000))
    }

    /// The codec of an rtpmap value, `name/clock[/channels]`; `None` when it is none of ours.
    pub fn from_rtpmap(value: &str) -> Option<Codec> {
        let mut parts = value.trim().split('/');
        let kind = CodecKind::from_name(parts.next()?)?;
        let clock: u32 = parts.next()?.parse().ok()?;
        let channels: u32 = parts.next().map_or(Ok(1), str::parse).ok()?;
        let clock = match kind.fixed_clock() {
            Some(fixed) if fixed == clock => clock,
            // The rate G.722 samples at, written by mistake for its RTP clock, which
            // RFC 3551 §4.5.2 keeps at 8,000.
            Some(fixed) if kind == CodecKind::G722 && clock == 16_000 => fixed,
            Some(_) => return None,
            None => EVENT_CLOCKS.contains(&clock).then_some(clock)?,
        };
        (channels == kind.channels() && parts.next().is_none()).then(|| Codec::new(kind, clock))
    }

    /// Whether the two can be one stream: same payload format and clock, and for AMR the same
    /// packing (RFC 4867 §8.3.1: octet-align must be equal on both sides).
    pub fn matches(&self, other: &Codec) -> bool {
        let packing = |codec: &Codec| match codec.kind {
            CodecKind::Amr | CodecKind::AmrWb => codec.param.unwrap_or(0),
            _ => 0,
        };
        self.kind == other.kind && self.clock == other.clock && packing(self) == packing(other)
    }

    /// What both sides of a negotiation can do, seen from `self` (which must match `other`):
    /// the parameter that the answer carries.
    pub(super) fn with_answer(mut self, other: &Codec) -> Codec {
        self.param = match self.kind {
            // RFC 4856 §2.1.9: annexb=no as soon as one side says so.
            CodecKind::G729 => [self.param, other.param]
                .contains(&Some(0))
                .then_some(0)
                .or(self.param.and(other.param)),
            // RFC 3952 §5: 30 ms, the default, as soon as one side has it.
            CodecKind::Ilbc => Some(match (self.param, other.param) {
                (Some(20), Some(20)) => 20,
                _ => 30,
            }),
            // RFC 7587 §7.1: each side states its own wish.
            CodecKind::Opus => other.param,
            _ => self.param,
        };
        self
    }

    /// The payload type under which our own offers name this codec: the static one where there
    /// is one, else a number of our own. `None` for a telephone-event clock we do not offer.
    pub fn own_payload_type(&self) -> Option<u8> {
        Some(match (self.kind, self.clock) {
            (CodecKind::Pcmu, _) => 0,
            (CodecKind::Gsm, _) => 3,
            (CodecKind::Pcma, _) => 8,
            (CodecKind::G722, _) => 9,
            (CodecKind::G729, _) => 18,
            (CodecKind::Opus, _) => 96,
            (CodecKind::Amr, _) => 97 + u8::from(self.param == Some(1)),
            (CodecKind::AmrWb, _) => 99 + u8::from(self.param == Some(1)),
            (CodecKind::TelephoneEvent, 8_000) => 101,
            (CodecKind::Ilbc, _) => 102 + u8::from(self.param == Some(20)),
            (CodecKind::TelephoneEvent, 16_000) => 104,
            (CodecKind::TelephoneEvent, 48_000) => 105,
            (CodecKind::TelephoneEvent, _) => return None,
        })
    }

    /// The value of `a=rtpmap` behind the payload type.
    pub fn rtpmap(&self) -> String {
        let (name, clock) = (self.kind.name(), self.clock);
        match self.kind.channels() {
            1 => format!("{name}/{clock}"),
            channels => format!("{name}/{clock}/{channels}"),
        }
    }

    /// The value of `a=fmtp` behind the payload type: our fixed texts around one bounded
    /// integer. `None` when the codec needs none.
    pub fn fmtp(&self) -> Option<String> {
        match (self.kind, self.param) {
            // RFC 4733 §2.4.1: DTMF, the events we understand.
            (CodecKind::TelephoneEvent, _) => Some("0-15".to_owned()),
            (CodecKind::G729, Some(0)) => Some("annexb=no".to_owned()),
            (CodecKind::G729, Some(_)) => Some("annexb=yes".to_owned()),
            (CodecKind::Ilbc, Some(20)) => Some("mode=20".to_owned()),
            (CodecKind::Ilbc, Some(_)) => Some("mode=30".to_owned()),
            (CodecKind::Amr | CodecKind::AmrWb, Some(aligned)) => {
                Some(format!("octet-align={}", u8::from(aligned == 1)))
            }
            (CodecKind::Opus, Some(fec)) => Some(format!("useinbandfec={}", u8::from(fec == 1))),
            _ => None,
        }
    }

    /// Takes from an fmtp value the one parameter we know of this codec, within its bounds.
    pub(super) fn read_fmtp(&mut self, value: &str) {
        let param = |name: &str| {
            value
                .split(';')
                .filter_map(|p| p.split_once('='))
                .find(|(n, _)| n.trim().eq_ignore_ascii_case(name))
                .map(|(_, v)| v.trim())
        };
        let flag = |name: &str| match param(name) {
            Some("0") => Some(0),
            Some("1") => Some(1),
            _ => None,
        };
        self.param = match self.kind {
            CodecKind::G729 => match param("annexb") {
                Some(v) if v.eq_ignore_ascii_case("no") => Some(0),
                Some(v) if v.eq_ignore_ascii_case("yes") => Some(1),
                _ => None,
            },
            CodecKind::Ilbc => match param("mode") {
                Some("20") => Some(20),
                Some("30") => Some(30),
                _ => None,
            },
            CodecKind::Amr | CodecKind::AmrWb => flag("octet-align"),
            CodecKind::Opus => flag("useinbandfec"),
            _ => None,
        };
    }
}

/// Clock rates of telephone events we take: those of the audio codecs we know.
const EVENT_CLOCKS: [u32; 3] = [8_000, 16_000, 48_000];

/// A codec under the payload type one SDP gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Format {
    /// 0 to 127.
    pub payload_type: u8,
    /// What it means.
    pub codec: Codec,
}

/// Media direction as one SDP states it (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// The describing side only sends.
    SendOnly,
    /// The describing side only receives.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The attribute that says it (RFC 8866 §6.7).
    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Direction> {
        match name {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        }
    }

    /// From whether the describing side sends and receives.
    pub fn new(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    /// Whether the describing side sends.
    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    /// Whether the describing side receives.
    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The same stream seen from the other side.
    pub fn reversed(self) -> Direction {
        Direction::new(self.receives(), self.sends())
    }

    /// The answer to this offer of a side that would like `wish` (RFC 3264 §6.1): we send only
    /// what the offerer receives and receive only what it sends.
    pub fn answer(self, wish: Direction) -> Direction {
        Direction::new(
            self.receives() && wish.sends(),
            self.sends() && wish.receives(),
        )
    }
}
