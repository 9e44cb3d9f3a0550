//! The RTP fixed header over a buffer (RFC 3550 §5.1): read without trust, written afresh.
//!
//! RTP and RTCP have a port each here; rtcp-mux is never offered. An RTCP packet that strays to
//! the RTP port is told apart by its second byte, 192 to 223, which with the marker bit would be
//! RTP payload types 64 to 95; those are never assigned by us (RFC 5761 §4).

use std::ops::Range;

/// Length of the fixed header, in bytes.
pub const FIXED_LEN: usize = 12;

/// What an RTP packet says in its header, and where its payload lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The marker bit: for audio, the start of a talk spurt (RFC 3551 §4.1).
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp, in units of the payload's clock.
    pub timestamp: u32,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Where the payload lies: behind CSRCs and extension, before padding. Starts at
    /// [`FIXED_LEN`] or later.
    pub payload: Range<usize>,
}

/// Whether a datagram on an RTP port is RTCP (RFC 5761 §4).
pub fn is_rtcp(packet: &[u8]) -> bool {
    matches!(packet.get(1), Some(192..=223))
}

/// Reads a header. `None`: not RTP (also STUN, DTLS and ZRTP, whose first bits differ), cut off,
/// or with lengths that contradict each other.
pub fn parse(packet: &[u8]) -> Option<Header> {
    let fixed: &[u8; FIXED_LEN] = packet.first_chunk()?;
    let [b0, b1, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
    // §5.1: version 2.
    if b0 >> 6 != 2 || is_rtcp(packet) {
        return None;
    }
    let mut start = FIXED_LEN + 4 * usize::from(b0 & 0x0f);
    // §5.3.1: one extension, its length in 32-bit words without its own four bytes.
    if b0 & 0x10 != 0 {
        let extension: &[u8; 4] = packet.get(start..)?.first_chunk()?;
        start += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
    }
    let mut end = packet.len();
    // §5.1: the last byte counts the padding, itself included.
    if b0 & 0x20 != 0 {
        let padding = usize::from(*packet.last()?);
        if padding == 0 {
            return None;
        }
        end = end.checked_sub(padding)?;
    }
    if start > end {
        return None;
    }
    Some(Header {
        marker: b1 & 0x80 != 0,
        payload_type: b1 & 0x7f,
        sequence: u16::from_be_bytes([s0, s1]),
        timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
        ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
        payload: start..end,
    })
}

/// The twelve bytes of a header with version 2, no padding, no extension and no CSRC.
pub fn print(
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
) -> [u8; FIXED_LEN] {
    let [s0, s1] = sequence.to_be_bytes();
    let [t0, t1, t2, t3] = timestamp.to_be_bytes();
    let [c0, c1, c2, c3] = ssrc.to_be_bytes();
    let second = (u8::from(marker) << 7) | (payload_type & 0x7f);
    [0x80, second, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packet(csrcs: u8, extension: Option<u16>, payload: &[u8], padding: u8) -> Vec<u8> {
        let mut out = print(true, 96, 7, 1600, 0xdead_beef).to_vec();
        out[0] |= csrcs;
        out.extend(std::iter::repeat_n(0xcc, 4 * usize::from(csrcs)));
        if let Some(words) = extension {
            out[0] |= 0x10;
            out.extend([0xbe, 0xde]);
            out.extend(words.to_be_bytes());
            out.extend(std::iter::repeat_n(0xee, 4 * usize::from(words)));
        }
        out.extend(payload);
        if padding > 0 {
            out[0] |= 0x20;
            out.extend(std::iter::repeat_n(0, usize::from(padding) - 1));
            out.push(padding);
        }
        out
    }

    #[test]
    fn what_is_printed_is_read() {
        let read = parse(&packet(0, None, &[1, 2, 3], 0)).unwrap();
        assert_eq!(
            read,
            Header {
                marker: true,
                payload_type: 96,
                sequence: 7,
                timestamp: 1600,
                ssrc: 0xdead_beef,
                payload: 12..15,
            }
        );
    }

    #[test]
    fn csrcs_extension_and_padding_are_left_out_of_the_payload() {
        for csrcs in [0, 1, 15] {
            for extension in [None, Some(0), Some(3)] {
                for padding in [0, 1, 4, 255] {
                    let bytes = packet(csrcs, extension, b"payload", padding);
                    let header = parse(&bytes).unwrap();
                    assert_eq!(&bytes[header.payload], b"payload");
                }
            }
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let whole = packet(2, Some(2), &[], 0);
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_none(), "{cut}");
        }
        let mut zero_padding = packet(0, None, &[9, 0], 0);
        zero_padding[0] |= 0x20;
        assert!(parse(&zero_padding).is_none());
        let mut more_padding_than_packet = packet(0, None, &[9, 200], 0);
        more_padding_than_packet[0] |= 0x20;
        assert!(parse(&more_padding_than_packet).is_none());
    }

    #[test]
    fn other_protocols_are_not_rtp() {
        let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(parse(&stun).is_none());
        let dtls = [22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert!(parse(&dtls).is_none());
        let zrtp = [0x10, 0, 0, 1, b'Z', b'R', b'T', b'P', 0, 0, 0, 0, 0];
        assert!(parse(&zrtp).is_none());
        let sender_report = [0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert!(is_rtcp(&sender_report) && parse(&sender_report).is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_payload_lies_inside(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(header) = parse(&bytes) {
                prop_assert!(header.payload.start >= FIXED_LEN);
                prop_assert!(bytes.get(header.payload).is_some());
            }
        }
    }
}
