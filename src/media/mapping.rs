//! Which payload type of one leg becomes which of the other: by codec, never by number, because
//! each SDP numbers dynamic payload types as it likes (RFC 3551 §3, RFC 3264 §5.1).

use crate::rtp::flow::{Mapping, NO_PAYLOAD_TYPE};
use crate::rtp::mos::{self, Impairment};
use crate::sdp::{Codec, CodecKind, Direction, Format};

/// The meaning of each payload type that arrives as `receive` says, and what it is called in
/// `send`, the other leg's list; without a bridge nothing has a counterpart.
pub(super) fn between(receive: &[Format], send: &[Format]) -> [Mapping; 128] {
    let mut map = [Mapping::UNKNOWN; 128];
    for format in receive {
        let Some(entry) = map.get_mut(usize::from(format.payload_type)) else {
            continue;
        };
        let out = send
            .iter()
            .find(|other| alike(format.codec, other.codec) && other.payload_type < 128);
        *entry = Mapping {
            clock: format.codec.clock,
            max_payload: max_payload(format.codec.kind),
            out: out.map_or(NO_PAYLOAD_TYPE, |o| o.payload_type),
            event: format.codec.kind == CodecKind::TelephoneEvent,
        };
    }
    map
}

/// Whether a payload of one can be passed on as the other. AMR's octet alignment changes the
/// payload's layout (RFC 4867 §4.3, §4.4); other parameters only state preferences.
fn alike(one: Codec, other: Codec) -> bool {
    let layout = |codec: Codec| match codec.kind {
        CodecKind::Amr | CodecKind::AmrWb => codec.param.unwrap_or(0),
        _ => 0,
    };
    one.kind == other.kind && one.clock == other.clock && layout(one) == layout(other)
}

/// Longest payload that passes, in bytes: 200 ms of audio, which RFC 3551 §4.2 asks receivers
/// to bear, or what fits an Ethernet frame.
fn max_payload(kind: CodecKind) -> u16 {
    match kind {
        // 8 bytes a millisecond; 180 ms fit.
        CodecKind::Pcmu | CodecKind::Pcma | CodecKind::G722 => 1440,
        // 10 bytes for 10 ms.
        CodecKind::G729 => 200,
        // 33 bytes for 20 ms.
        CodecKind::Gsm => 330,
        // The longest single frame (RFC 6716 §3.2.1) and its byte of description.
        CodecKind::Opus => 1276,
        // Ten frames of the highest mode with their table of contents.
        CodecKind::Amr => 340,
        CodecKind::AmrWb => 640,
        // 38 bytes for 20 ms.
        CodecKind::Ilbc => 400,
        // Several events may be packed; only the first passes (RFC 4733 §2.3).
        CodecKind::TelephoneEvent => 40,
    }
}

/// How the codec of a leg hears: the first audio format decides.
pub(super) fn impairment(receive: &[Format]) -> Impairment {
    let audio = receive
        .iter()
        .find(|f| f.codec.kind != CodecKind::TelephoneEvent);
    match audio.map(|f| f.codec.kind) {
        Some(CodecKind::G729) => mos::G729,
        _ => mos::G711,
    }
}

/// Whether our side of this direction sends to the party (RFC 3264 §5.1).
pub(super) fn we_send(direction: Direction) -> bool {
    matches!(direction, Direction::SendRecv | Direction::SendOnly)
}

/// Whether our side of this direction takes what the party sends.
pub(super) fn we_receive(direction: Direction) -> bool {
    matches!(direction, Direction::SendRecv | Direction::RecvOnly)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(payload_type: u8, kind: CodecKind, clock: u32, param: Option<u32>) -> Format {
        Format {
            payload_type,
            codec: Codec { kind, clock, param },
        }
    }

    #[test]
    fn by_codec_and_not_by_number() {
        let receive = [
            format(0, CodecKind::Pcmu, 8000, None),
            format(96, CodecKind::TelephoneEvent, 8000, None),
            format(97, CodecKind::TelephoneEvent, 48_000, None),
            format(98, CodecKind::Amr, 8000, Some(1)),
            format(99, CodecKind::Amr, 8000, None),
            format(18, CodecKind::G729, 8000, Some(0)),
        ];
        let send = [
            format(0, CodecKind::Pcma, 8000, None),
            format(111, CodecKind::Pcmu, 8000, None),
            format(101, CodecKind::TelephoneEvent, 8000, None),
            format(100, CodecKind::Amr, 8000, Some(0)),
            format(18, CodecKind::G729, 8000, None),
        ];
        let map = between(&receive, &send);
        let out = |pt: usize| map[pt].out;
        assert_eq!(out(0), 111);
        assert_eq!(out(96), 101);
        assert_eq!(out(97), NO_PAYLOAD_TYPE, "another clock");
        assert_eq!(out(98), NO_PAYLOAD_TYPE, "another layout");
        assert_eq!(out(99), 100);
        assert_eq!(out(18), 18);
        assert_eq!(map[8], Mapping::UNKNOWN);
        assert!(map[96].event && !map[0].event);
        assert_eq!((map[97].clock, map[0].max_payload), (48_000, 1440));
    }

    #[test]
    fn directions_are_ours() {
        assert!(we_send(Direction::SendRecv) && we_receive(Direction::SendRecv));
        assert!(we_send(Direction::SendOnly) && !we_receive(Direction::SendOnly));
        assert!(!we_send(Direction::RecvOnly) && we_receive(Direction::RecvOnly));
        assert!(!we_send(Direction::Inactive) && !we_receive(Direction::Inactive));
    }
}
