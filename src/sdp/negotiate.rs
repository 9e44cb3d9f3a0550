//! Offer and answer of a relay (RFC 3264): what goes into our offer to the other party, what is
//! answered to the first, and whether an answer fits the offer.

use std::net::SocketAddr;

use super::codec::{CodecKind, Direction, Format};
use super::malformed::Malformed;
use super::print::Local;
use super::session::{Media, Session};

/// What an answer to our offer settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Where the party wants RTP.
    pub rtp: SocketAddr,
    /// Where the party wants RTCP.
    pub rtcp: SocketAddr,
    /// The accepted codecs under the party's own numbers, in its order: what we send.
    pub formats: Vec<Format>,
    /// The accepted codecs under the numbers of our offer: what the party sends.
    pub receive: Vec<Format>,
    /// Packet time the party asks for.
    pub ptime_ms: Option<u32>,
    /// Direction seen from the party.
    pub direction: Direction,
    /// Whether the party holds; see [`Media::is_held`].
    pub held: bool,
}

/// The formats of our offer to the other party: of what was offered to us the codecs allowed,
/// in the same order, under our own numbers, which depend on nothing but the codec. Telephone
/// events stand at the end, at clock rates that one of the audio codecs has (RFC 4733 §2.1).
pub fn offerable(offered: &[Format], allowed: &[CodecKind]) -> Vec<Format> {
    let mut formats: Vec<Format> = Vec::new();
    let known = offered
        .iter()
        .filter(|f| allowed.contains(&f.codec.kind))
        .filter_map(|f| {
            Some(Format {
                payload_type: f.codec.own_payload_type()?,
                codec: f.codec,
            })
        });
    for format in known {
        // Variants of one codec that our numbering does not tell apart are offered once.
        if !formats
            .iter()
            .any(|f| f.payload_type == format.payload_type)
        {
            formats.push(format);
        }
    }
    audio_then_events(formats)
}

/// The formats of our answer to the party whose offer was `offered`, once the other party has
/// accepted `accepted`: the common codecs in the offerer's order and under its numbers
/// (RFC 3264 §6.1), telephone events last. Empty when no audio codec is common.
pub fn choose(offered: &[Format], accepted: &[Format]) -> Vec<Format> {
    let common = offered
        .iter()
        .filter_map(|f| {
            let other = accepted.iter().find(|a| a.codec.matches(&f.codec))?;
            Some(Format {
                payload_type: f.payload_type,
                codec: f.codec.with_answer(&other.codec),
            })
        })
        .collect();
    audio_then_events(common)
}

/// Checks an answer against the offer we sent (RFC 3264 §6) and maps its numbers by codec: the
/// answerer may use other payload types than we did.
pub fn check_answer(sent: &Local, answer: &Session) -> Result<Negotiated, Malformed> {
    // Our offers have one `m=` line.
    let [media] = answer.media.as_slice() else {
        return Err(Malformed::MediaCount);
    };
    let Some((_, media)) = answer.audio().filter(|(_, m)| std::ptr::eq(*m, media)) else {
        return Err(Malformed::Rejected);
    };
    let (rtp, rtcp) = media
        .rtp_address()
        .zip(media.rtcp_address())
        .ok_or(Malformed::Rejected)?;
    let answered = explained(media, &sent.formats);
    let formats: Vec<Format> = answered
        .into_iter()
        .filter(|f| sent.formats.iter().any(|s| s.codec.matches(&f.codec)))
        .collect();
    let formats = audio_then_events(formats);
    if formats.is_empty() {
        return Err(Malformed::NoCodec);
    }
    let receive = sent
        .formats
        .iter()
        .copied()
        .filter(|s| formats.iter().any(|f| f.codec.matches(&s.codec)))
        .collect();
    Ok(Negotiated {
        rtp,
        rtcp,
        formats,
        receive,
        ptime_ms: media.ptime_ms,
        direction: media.direction,
        held: media.is_held(),
    })
}

/// The formats of an answer; a dynamic number without an rtpmap means what our offer said.
fn explained(media: &Media, offered: &[Format]) -> Vec<Format> {
    let missing = offered
        .iter()
        .filter(|f| media.unmapped.contains(&f.payload_type));
    media.formats.iter().chain(missing).copied().collect()
}

/// Audio in its order, then telephone events whose clock one of the audio codecs has; nothing
/// when there is no audio.
fn audio_then_events(formats: Vec<Format>) -> Vec<Format> {
    let (mut ordered, events): (Vec<Format>, Vec<Format>) =
        formats.into_iter().partition(|f| f.codec.kind.is_audio());
    let has_clock = |ordered: &[Format], clock| ordered.iter().any(|f| f.codec.clock == clock);
    for event in events {
        if has_clock(&ordered, event.codec.clock) {
            ordered.push(event);
        }
    }
    ordered
}
