//! The relay rewrite: what passes, what does not, and that the output knows nothing of who sent.

use proptest::prelude::*;

use super::*;
use crate::rtp::line::PLAYOUT;

const AUDIO: Mapping = Mapping {
    clock: 8000,
    max_payload: 1440,
    out: 8,
    event: false,
};
const EVENT: Mapping = Mapping {
    clock: 8000,
    max_payload: 40,
    out: 101,
    event: true,
};

fn party() -> SocketAddr {
    "192.0.2.7:4000".parse().unwrap()
}

fn flow() -> Flow {
    let mut flow = Flow::new(5);
    flow.latch = Latch::on(party());
    flow.map[0] = AUDIO;
    flow.map[96] = EVENT;
    flow.map[9] = Mapping {
        out: NO_PAYLOAD_TYPE,
        ..AUDIO
    };
    flow
}

fn line() -> Line {
    Line::new(0xb0b0_b0b0, 65534, 4_294_967_000)
}

/// Everything about a packet, wanted and unwanted.
#[derive(Debug, Clone)]
struct Sent {
    at_ms: u64,
    marker: bool,
    payload_type: u8,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
    csrcs: Vec<u32>,
    extension: Option<Vec<u8>>,
    padding: u8,
}

fn plain(sequence: u16, timestamp: u32) -> Sent {
    Sent {
        at_ms: u64::from(sequence) * 20,
        marker: false,
        payload_type: 0,
        sequence,
        timestamp,
        ssrc: 1,
        payload: vec![sequence as u8; 160],
        csrcs: Vec::new(),
        extension: None,
        padding: 0,
    }
}

impl Sent {
    fn bytes(&self) -> Vec<u8> {
        let head = header::print(
            self.marker,
            self.payload_type,
            self.sequence,
            self.timestamp,
            self.ssrc,
        );
        let mut out = head.to_vec();
        out[0] |= self.csrcs.len() as u8;
        for csrc in &self.csrcs {
            out.extend(csrc.to_be_bytes());
        }
        if let Some(words) = &self.extension {
            out[0] |= 0x10;
            out.extend([0xbe, 0xde]);
            out.extend(((words.len() / 4) as u16).to_be_bytes());
            out.extend(words);
        }
        out.extend(&self.payload);
        if self.padding > 0 {
            out[0] |= 0x20;
            out.extend(vec![0x5a; usize::from(self.padding) - 1]);
            out.push(self.padding);
        }
        out
    }
}

fn relay(flow: &mut Flow, line: &mut Line, sent: &Sent) -> Result<Vec<u8>, Reason> {
    let mut bytes = sent.bytes();
    match pass(flow, Some(line), sent.at_ms * 1000, party(), &mut bytes) {
        Verdict::Forward(range) => Ok(bytes[range].to_vec()),
        Verdict::Dropped(reason) => Err(reason),
        Verdict::Kept => panic!("there was a line"),
    }
}

fn read(bytes: &[u8]) -> Header {
    header::parse(bytes).unwrap()
}

#[test]
fn a_fresh_header_over_the_same_payload() {
    let (mut flow, mut line) = (flow(), line());
    let sent = Sent {
        csrcs: vec![0xc0ff_ee00; 3],
        extension: Some(b"secrets!".to_vec()),
        padding: 8,
        ..plain(100, 5000)
    };
    let out = relay(&mut flow, &mut line, &sent).unwrap();
    // Byte 0: version 2 and nothing else; byte 1: marker on the switch, B's payload type.
    assert_eq!(out[..2], [0x80, 0x88]);
    assert_eq!(out.len(), 12 + 160);
    let header = read(&out);
    assert_eq!(
        (header.sequence, header.timestamp, header.ssrc),
        (65534, 4_294_967_000, 0xb0b0_b0b0)
    );
    assert_eq!(out[12..], sent.payload);
    assert_eq!(flow.counters.relayed, 1);
    assert_eq!((line.packets, line.octets), (1, 160));
}

#[test]
fn gaps_and_reordering_stay_visible() {
    let (mut flow, mut line) = (flow(), line());
    let mut seen = Vec::new();
    for sequence in [100_u16, 101, 104, 103, 105, 105] {
        let sent = plain(sequence, u32::from(sequence) * 160);
        let header = read(&relay(&mut flow, &mut line, &sent).unwrap());
        let from_first = (
            header.sequence.wrapping_sub(65534),
            header.timestamp.wrapping_sub(4_294_967_000),
        );
        seen.push(from_first);
    }
    let expected: Vec<_> = [0, 1, 4, 3, 5, 5].map(|n| (n, u32::from(n) * 160)).into();
    assert_eq!(seen, expected);
}

#[test]
fn the_marker_is_kept_and_set_on_a_switch_only() {
    let (mut flow, mut line) = (flow(), line());
    let markers: Vec<bool> = [false, false, true, false]
        .into_iter()
        .zip(0_u16..)
        .map(|(marker, n)| {
            let sent = Sent {
                marker,
                ..plain(n, u32::from(n) * 160)
            };
            read(&relay(&mut flow, &mut line, &sent).unwrap()).marker
        })
        .collect();
    assert_eq!(markers, [true, false, true, false]);
}

#[test]
fn a_new_source_continues_our_line() {
    let (mut flow, mut line) = (flow(), line());
    relay(&mut flow, &mut line, &plain(100, 16_000)).unwrap();
    let last = read(&relay(&mut flow, &mut line, &plain(101, 16_160)).unwrap());
    let other = Sent {
        at_ms: 101 * 20 + 60,
        ssrc: 2,
        ..plain(40_000, 3_000_000_000)
    };
    let first = read(&relay(&mut flow, &mut line, &other).unwrap());
    assert_eq!(first.sequence, last.sequence.wrapping_add(1));
    assert_eq!(
        first.timestamp,
        last.timestamp.wrapping_add(480),
        "60 ms later"
    );
    assert_eq!(first.ssrc, last.ssrc);
    assert!(first.marker);
}

#[test]
fn the_relay_continues_after_own_playout_and_the_other_way_round() {
    let (mut flow, mut line) = (flow(), line());
    for n in 0..10_u32 {
        let (sequence, timestamp) = (
            65534_u16.wrapping_add(n as u16),
            4_294_967_000_u32.wrapping_add(n * 160),
        );
        line.sent(
            PLAYOUT,
            sequence,
            timestamp,
            160,
            u64::from(n) * 20_000,
            8000,
        );
    }
    let sent = Sent {
        at_ms: 200,
        ..plain(7, 99)
    };
    let header = read(&relay(&mut flow, &mut line, &sent).unwrap());
    assert_eq!(header.sequence, 65534_u16.wrapping_add(10));
    assert_eq!(header.timestamp, 4_294_967_000_u32.wrapping_add(1600));
    assert!(header.marker);
    // A packet from before the switch would repeat a number of the playout.
    let late = Sent {
        at_ms: 201,
        ..plain(6, 99_u32.wrapping_sub(160))
    };
    assert_eq!(relay(&mut flow, &mut line, &late), Err(Reason::Order));
    let (sequence, timestamp) = line.resume(220_000, 8000);
    assert_eq!(sequence, 65534_u16.wrapping_add(11));
    assert_eq!(timestamp, 4_294_967_000_u32.wrapping_add(1760));
}

#[test]
fn what_is_withheld_leaves_no_gap() {
    let (mut flow, mut line) = (flow(), line());
    let before = read(&relay(&mut flow, &mut line, &plain(0, 0)).unwrap());
    for n in 1..=3000_u16 {
        let mut bytes = plain(n, u32::from(n) * 160).bytes();
        let verdict = pass(&mut flow, None, u64::from(n) * 20_000, party(), &mut bytes);
        assert_eq!(verdict, Verdict::Kept);
    }
    let after = read(&relay(&mut flow, &mut line, &plain(3001, 3001 * 160)).unwrap());
    assert_eq!(after.sequence, before.sequence.wrapping_add(1));
    assert_eq!(after.timestamp, before.timestamp.wrapping_add(3001 * 160));
    assert!(after.marker);
    assert_eq!(flow.reception.lost(), 0);
}

#[test]
fn a_leap_of_the_source_clock_does_not_pass() {
    let (mut flow, mut line) = (flow(), line());
    relay(&mut flow, &mut line, &plain(0, 0)).unwrap();
    let before = read(&relay(&mut flow, &mut line, &plain(1, 160)).unwrap());
    // One packet lost and the source's timestamp line set anew.
    let leap = read(&relay(&mut flow, &mut line, &plain(3, 1_000_000_000)).unwrap());
    assert_eq!(leap.sequence, before.sequence.wrapping_add(2));
    assert_eq!(leap.timestamp, before.timestamp.wrapping_add(320));
    let next = read(&relay(&mut flow, &mut line, &plain(4, 1_000_000_160)).unwrap());
    assert_eq!(next.timestamp, leap.timestamp.wrapping_add(160));
    assert_eq!(
        relay(&mut flow, &mut line, &plain(2, 320)),
        Err(Reason::Order)
    );
    // A pause whose timestamp tells the time is no leap.
    let pause = Sent {
        at_ms: 60_080,
        ..plain(5, 1_000_000_160 + 480_000)
    };
    let after = read(&relay(&mut flow, &mut line, &pause).unwrap());
    assert_eq!(after.timestamp, next.timestamp.wrapping_add(480_000));
}

#[test]
fn events_are_printed_anew() {
    let (mut flow, mut line) = (flow(), line());
    let event = Sent {
        payload_type: 96,
        payload: vec![5, 0xca, 0x03, 0x20, b'h', b'i', b'd', b'e'],
        ..plain(0, 0)
    };
    let out = relay(&mut flow, &mut line, &event).unwrap();
    assert_eq!(read(&out).payload_type, 101);
    assert_eq!(out[12..], [5, 0x8a, 0x03, 0x20]);
    let modem_tone = Sent {
        payload_type: 96,
        payload: vec![36, 0, 0, 0],
        ..plain(1, 160)
    };
    assert_eq!(
        relay(&mut flow, &mut line, &modem_tone),
        Err(Reason::Payload)
    );
}

#[test]
fn dropped_and_counted() {
    let (mut flow, mut line) = (flow(), line());
    let mut bytes = plain(0, 0).bytes();
    let stranger = "192.0.2.7:4001".parse().unwrap();
    let verdict = pass(&mut flow, Some(&mut line), 0, stranger, &mut bytes);
    assert_eq!(verdict, Verdict::Dropped(Reason::Source));
    assert_eq!(bytes, plain(0, 0).bytes(), "untouched");
    let refused = [
        (
            Sent {
                payload_type: 13,
                ..plain(0, 0)
            },
            Reason::PayloadType,
        ),
        (
            Sent {
                payload_type: 9,
                ..plain(1, 0)
            },
            Reason::PayloadType,
        ),
        (
            Sent {
                payload: Vec::new(),
                ..plain(2, 0)
            },
            Reason::Payload,
        ),
        (
            Sent {
                payload: vec![0; 1441],
                ..plain(3, 0)
            },
            Reason::Payload,
        ),
        (plain(20_000, 0), Reason::Order),
    ];
    for (sent, reason) in refused {
        assert_eq!(relay(&mut flow, &mut line, &sent), Err(reason), "{sent:?}");
    }
    let verdict = pass(&mut flow, Some(&mut line), 0, party(), &mut [0x80, 0, 1]);
    assert_eq!(verdict, Verdict::Dropped(Reason::Malformed));
    assert_eq!((flow.counters.wrong_source, flow.counters.refused), (1, 6));
    assert_eq!(line.packets, 0);
    assert_eq!(flow.reception.lost(), 0, "what we cannot use is not lost");
}

/// What a packet shares with its twin from another source: everything the other party may know.
fn shared() -> impl Strategy<Value = (u16, u32, bool, bool, Vec<u8>, u64)> {
    (
        prop_oneof![6 => Just(1_u16), 2 => 2..5_u16, 1 => Just(0), 1 => Just(65535), 1 => 4000..5000_u16],
        prop_oneof![6 => Just(160_u32), 2 => 0..960_u32, 1 => Just(0_u32.wrapping_sub(160)), 1 => Just(400_000_000)],
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::collection::vec(any::<u8>(), 0..40),
        0..60_u64,
    )
}

/// What it does not: who sent it, and what else it carried.
fn own() -> impl Strategy<Value = (Vec<u32>, Option<u8>, u8)> {
    (
        prop::collection::vec(any::<u32>(), 0..4),
        prop::option::of(0..5_u8),
        prop_oneof![3 => Just(0_u8), 1 => 1..30_u8],
    )
}

/// Who sends: sources (the stream changes between two), first numbers, address.
fn identity() -> impl Strategy<Value = (u32, u16, u32, u16)> {
    (any::<u32>(), any::<u16>(), any::<u32>(), 1..u16::MAX)
}

proptest! {
    #[test]
    fn the_output_knows_nothing_of_the_source(
        packets in prop::collection::vec((shared(), own(), own(), prop::bool::weighted(0.05)), 1..60),
        one in identity(),
        two in identity(),
    ) {
        let play = |identity: (u32, u16, u32, u16), second: bool| {
            let (ssrc, mut sequence, mut timestamp, port) = identity;
            let source = SocketAddr::from(([192, 0, 2, port as u8], port));
            let (mut flow, mut line) = (flow(), line());
            flow.latch = Latch::on(source);
            let (mut at_ms, mut sources) = (0, 0_u32);
            let mut wire: Vec<(u64, Vec<u8>)> = Vec::new();
            for ((gap, step, marker, event, payload, wait), own_1, own_2, new_source) in &packets {
                let (csrcs, extension, padding) = if second { own_2 } else { own_1 };
                at_ms += wait;
                sequence = sequence.wrapping_add(*gap);
                timestamp = timestamp.wrapping_add(*step);
                if *new_source {
                    sources += 1;
                    // Another source has other numbers, different in each run.
                    sequence = sequence.wrapping_mul(identity.1 | 1);
                    timestamp = timestamp.wrapping_mul(identity.2 | 1);
                }
                let mut bytes = Sent {
                    at_ms,
                    marker: *marker,
                    payload_type: if *event { 96 } else { 0 },
                    sequence,
                    timestamp,
                    ssrc: ssrc.wrapping_add(sources),
                    payload: payload.clone(),
                    csrcs: csrcs.clone(),
                    extension: extension.map(|words| vec![words; 4 * usize::from(words)]),
                    padding: *padding,
                }
                .bytes();
                if let Verdict::Forward(range) =
                    pass(&mut flow, Some(&mut line), at_ms * 1000, source, &mut bytes)
                {
                    wire.push((at_ms, bytes[range].to_vec()));
                }
            }
            wire
        };
        prop_assert_eq!(play(one, false), play(two, true));
    }

    #[test]
    fn no_bytes_panic_and_only_clean_headers_leave(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 1..30),
    ) {
        let (mut flow, mut line) = (flow(), line());
        flow.map = [AUDIO; 128];
        for (n, datagram) in datagrams.into_iter().enumerate() {
            let mut bytes = datagram;
            if let Some(first) = bytes.first_mut() {
                *first = (*first & 0x3f) | 0x80;
            }
            if let Verdict::Forward(range) =
                pass(&mut flow, Some(&mut line), n as u64 * 20_000, party(), &mut bytes)
            {
                prop_assert_eq!(bytes[range.clone()][0], 0x80);
                prop_assert_eq!(bytes[range.clone()][1] & 0x7f, 8);
                prop_assert_eq!(&bytes[range][8..12], &[0xb0; 4]);
            }
        }
    }
}
