//! The writer of our session descriptions (RFC 8866 §5, RFC 3264 §5, §6): every line is ours,
//! filled with numbers.

use std::fmt::Write;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::codec::{Direction, Format};
use super::session::Session;

/// What one of our descriptions says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Local {
    /// Random, one per leg (RFC 8866 §5.2).
    pub session_id: u64,
    /// One more each time the description changes (RFC 3264 §8).
    pub version: u64,
    /// Our media address.
    pub address: IpAddr,
    /// Our RTP port; RTCP is the next (RFC 3550 §11).
    pub port: u16,
    /// The codecs, in order of preference, under the numbers of this leg.
    pub formats: Vec<Format>,
    /// Packet time in milliseconds, when one is to be stated.
    pub ptime_ms: Option<u32>,
    /// Direction seen from us.
    pub direction: Direction,
}

/// An offer of one audio stream.
pub fn print_offer(local: &Local) -> Vec<u8> {
    let mut sdp = head(local);
    audio(&mut sdp, local);
    sdp.into_bytes()
}

/// An answer: as many `m=` lines as the offer has, in its order (RFC 3264 §6). That at `index`
/// is ours, all others are rejected with port 0.
pub fn print_answer(local: &Local, offer: &Session, index: usize) -> Vec<u8> {
    let mut sdp = head(local);
    for (i, media) in offer.media.iter().enumerate() {
        if i == index {
            audio(&mut sdp, local);
        } else {
            // The formats of a rejected stream are ignored, so none is copied.
            line(
                &mut sdp,
                format_args!(
                    "m={} 0 {} {}",
                    media.kind.name(),
                    media.protocol.name(),
                    media.protocol.any_format()
                ),
            );
        }
    }
    sdp.into_bytes()
}

fn head(local: &Local) -> String {
    let mut sdp = String::with_capacity(512);
    let family = match local.address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    };
    let address = local.address;
    line(&mut sdp, format_args!("v=0"));
    line(
        &mut sdp,
        format_args!(
            "o=- {} {} IN {family} {address}",
            local.session_id, local.version
        ),
    );
    line(&mut sdp, format_args!("s=-"));
    line(&mut sdp, format_args!("c=IN {family} {address}"));
    line(&mut sdp, format_args!("t=0 0"));
    sdp
}

fn audio(sdp: &mut String, local: &Local) {
    let numbers: String = local
        .formats
        .iter()
        .map(|f| format!(" {}", f.payload_type))
        .collect();
    line(sdp, format_args!("m=audio {} RTP/AVP{numbers}", local.port));
    for Format {
        payload_type,
        codec,
    } in &local.formats
    {
        // Static payload types too: RFC 3264 §5.1 recommends it.
        line(
            sdp,
            format_args!("a=rtpmap:{payload_type} {}", codec.rtpmap()),
        );
        if let Some(fmtp) = codec.fmtp() {
            line(sdp, format_args!("a=fmtp:{payload_type} {fmtp}"));
        }
    }
    if let Some(ptime_ms) = local.ptime_ms {
        line(sdp, format_args!("a=ptime:{ptime_ms}"));
    }
    line(sdp, format_args!("a={}", local.direction.name()));
}

fn line(sdp: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = sdp.write_fmt(text); // writing to a String cannot fail
    sdp.push_str("\r\n");
}
