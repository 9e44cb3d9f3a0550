//! The codecs we know, with the few parameters of each that may cross from one leg to the other
//! as bounded integers (RFC 3551, RFC 4733, RFC 7587, RFC 4867, RFC 3952).

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
