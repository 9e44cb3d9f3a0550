//! One leg's RTCP (RFC 3550 §6): what the party reports is read for statistics and goes no
//! further; what we send is our own SR or RR with a random CNAME (RFC 7022 §4.2) and nothing
//! else. Other RTCP packets of a compound are skipped unread.

use rtcp_types::{
    Bye, Compound, ReceiverReport, ReportBlock, RtcpPacketParser, RtcpPacketWriterExt,
    RtcpWriteError, Sdes, SdesChunk, SdesItem, SenderReport,
};
use serde::{Deserialize, Serialize};

use crate::rtp::line::Line;
use crate::rtp::reception::Reception;

/// Mean time between our reports (§6.2), in microseconds.
pub const INTERVAL_US: u64 = 5_000_000;
/// Enough for SR, one report block, SDES and BYE.
pub const MAX_LEN: usize = 128;
/// Compounds with more packets than this are refused.
const MAX_PACKETS: usize = 16;
/// Packet types of SR and RR (§12.1).
const SR: u8 = 200;
const RR: u8 = 201;

/// RTCP state of one leg.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    cname: [u8; 12],
    /// How many intervals have been drawn.
    draws: u64,
    /// Middle 32 bits of the NTP time in the party's last SR (§6.4.1), and when it came.
    last_sender_report: Option<(u32, u64)>,
    /// Our packet count at the last and the last but one report (§6.4: who is a sender).
    packets_reported: [u64; 2],
    sent: u64,
    round_trip_us: Option<u64>,
    peer_fraction_lost: u8,
    said_bye: bool,
}

/// The moment of a report, on all the clocks it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic microseconds.
    pub now_us: u64,
    /// Unix time in microseconds.
    pub unix_us: u64,
}

impl Moment {
    /// NTP time: seconds since 1900 in the upper half, fraction in the lower (§4).
    pub fn ntp(self) -> u64 {
        let seconds = (self.unix_us / 1_000_000).wrapping_add(2_208_988_800);
        let fraction = ((self.unix_us % 1_000_000) << 32) / 1_000_000;
        (seconds << 32) | fraction
    }

    fn ntp_middle(self) -> u32 {
        (self.ntp() >> 16) as u32
    }
}

impl Session {
    /// A session with 96 random bits for its CNAME and its intervals.
    pub fn new(cname: [u8; 12]) -> Session {
        Session {
            cname,
            draws: 0,
            last_sender_report: None,
            packets_reported: [0; 2],
            sent: 0,
            round_trip_us: None,
            peer_fraction_lost: 0,
            said_bye: false,
        }
    }

    /// Time to the next report: half to one and a half times the mean, and half of that before
    /// the first (§6.2, §6.3.1). Without the timer reconsideration of §6.3.3, which is for
    /// groups, its compensation is not needed either. Drawn from the CNAME's bits.
    pub fn next_interval_us(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.cname;
        let seed = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let draw = mix(seed.wrapping_add(self.draws)) % INTERVAL_US;
        let interval = INTERVAL_US / 2 + draw;
        let first = self.draws == 0;
        self.draws += 1;
        if first { interval / 2 } else { interval }
    }

    /// Reads a compound packet for its SR and its blocks about our stream. Whether it was valid
    /// (A.2: it begins with SR or RR, every length fits).
    pub fn read(&mut self, datagram: &[u8], our_ssrc: u32, at: Moment) -> bool {
        let Some(packets) = split(datagram) else {
            return false;
        };
        for packet in packets.into_iter().flatten() {
            match packet.get(1) {
                Some(&SR) => {
                    let Ok(report) = SenderReport::parse(packet) else {
                        return false;
                    };
                    let middle = (report.ntp_timestamp() >> 16) as u32;
                    self.last_sender_report = Some((middle, at.now_us));
                    self.take(report.report_blocks(), our_ssrc, at);
                }
                Some(&RR) => {
                    let Ok(report) = ReceiverReport::parse(packet) else {
                        return false;
                    };
                    self.take(report.report_blocks(), our_ssrc, at);
                }
                _ => {}
            }
        }
        true
    }

    fn take<'a>(
        &mut self,
        blocks: impl Iterator<Item = ReportBlock<'a>>,
        our_ssrc: u32,
        at: Moment,
    ) {
        for block in blocks.filter(|b| b.ssrc() == our_ssrc) {
            self.peer_fraction_lost = block.fraction_lost();
            // §6.4.1: A − LSR − DLSR; LSR 0 means that the party has had no SR of ours.
            let last = block.last_sender_report_timestamp();
            let delay = block.delay_since_last_sender_report_timestamp();
            let trip = at.ntp_middle().wrapping_sub(last).wrapping_sub(delay);
            // Clocks of phones drift; a "negative" trip is no trip.
            if last != 0 && trip < 1 << 31 {
                self.round_trip_us = Some((u64::from(trip) * 1_000_000) >> 16);
            }
        }
    }

    /// Our next compound packet: SR or RR, SDES with CNAME, and BYE without reason when this is
    /// the `last` one. `None`: nothing may be said (§6.3.7: no BYE from who never spoke).
    pub fn print(
        &mut self,
        line: &Line,
        reception: &mut Reception,
        at: Moment,
        last: bool,
    ) -> Option<Vec<u8>> {
        let spoke = self.sent > 0 || line.started();
        if self.said_bye || (last && !spoke) {
            return None;
        }
        let mut packet = vec![0; MAX_LEN];
        // The builder refuses only fields we never set and buffers shorter than MAX_LEN.
        let len = self.write(line, reception, at, last, &mut packet).ok()?;
        packet.truncate(len);
        let [newer, _] = self.packets_reported;
        self.packets_reported = [line.packets, newer];
        self.sent += 1;
        self.said_bye |= last;
        Some(packet)
    }

    fn write(
        &self,
        line: &Line,
        reception: &mut Reception,
        at: Moment,
        last: bool,
        packet: &mut [u8],
    ) -> Result<usize, RtcpWriteError> {
        let block = reception.report().map(|report| {
            let (last_sr, delay) = match self.last_sender_report {
                Some((middle, came_us)) => {
                    let waited = at.now_us.saturating_sub(came_us);
                    (middle, ((waited << 16) / 1_000_000) as u32)
                }
                None => (0, 0),
            };
            ReportBlock::builder(report.ssrc)
                .fraction_lost(report.fraction_lost)
                .cumulative_lost(report.cumulative_lost)
                .extended_sequence_number(report.highest_sequence)
                .interarrival_jitter(report.jitter)
                .last_sender_report_timestamp(last_sr)
                .delay_since_last_sender_report_timestamp(delay)
        });
        let cname = base64(&self.cname);
        let mut compound = Compound::builder();
        // §6.4: an SR from who has sent since the last report or the one before.
        compound = if line.packets > self.packets_reported[1] {
            let mut report = SenderReport::builder(line.ssrc)
                .ntp_timestamp(at.ntp())
                .rtp_timestamp(line.timestamp_at(at.now_us))
                .packet_count(line.packets as u32)
                .octet_count(line.octets as u32);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        } else {
            let mut report = ReceiverReport::builder(line.ssrc);
            if let Some(block) = block {
                report = report.add_report_block(block);
            }
            compound.add_packet(report)
        };
        let chunk =
            SdesChunk::builder(line.ssrc).add_item(SdesItem::builder(SdesItem::CNAME, &cname));
        compound = compound.add_packet(Sdes::builder().add_chunk(chunk));
        if last {
            compound = compound.add_packet(Bye::builder().add_source(line.ssrc));
        }
        compound.write_into(packet)
    }

    /// Round trip to the party as its last report told it, in milliseconds.
    pub fn round_trip_ms(&self) -> Option<f32> {
        self.round_trip_us.map(|us| us as f32 / 1000.0)
    }

    /// Share of our packets that the party lost in its last interval, 0.0 to 1.0.
    pub fn peer_loss(&self) -> f32 {
        f32::from(self.peer_fraction_lost) / 256.0
    }
}

/// The packets of a compound. `None`: not a valid one (A.2).
fn split(datagram: &[u8]) -> Option<[Option<&[u8]>; MAX_PACKETS]> {
    let mut packets = [None; MAX_PACKETS];
    let mut rest = datagram;
    for (n, place) in packets.iter_mut().enumerate() {
        let [first, kind, l0, l1] = *rest.first_chunk::<4>()?;
        let first_wrong = n == 0 && (!matches!(kind, SR | RR) || first & 0x20 != 0);
        if first >> 6 != 2 || first_wrong {
            return None;
        }
        let len = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let (packet, after) = rest.split_at_checked(len)?;
        *place = Some(packet);
        rest = after;
        if rest.is_empty() {
            return Some(packets);
        }
    }
    None
}

/// Base64 of 12 bytes: 16 characters without padding (RFC 4648 §4).
fn base64(bytes: &[u8; 12]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(16);
    for three in bytes.chunks_exact(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, b| (bits << 8) | u32::from(*b));
        for shift in [18, 12, 6, 0] {
            let index = (bits >> shift) & 0x3f;
            text.push(char::from(ALPHABET[index as usize]));
        }
    }
    text
}

/// Spreads a counter over 64 bits (the finaliser of SplitMix64).
fn mix(value: u64) -> u64 {
    let mut x = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rtcp_types::Packet;

    use super::*;
    use crate::rtp::line::PLAYOUT;

    const OURS: u32 = 0x0102_0304;

    fn at(ms: u64) -> Moment {
        Moment {
            now_us: ms * 1000,
            unix_us: 1_700_000_000_000_000 + ms * 1000,
        }
    }

    fn speaking() -> Line {
        let mut line = Line::new(OURS, 7, 1000);
        line.sent(PLAYOUT, 7, 1000, 160, 0, 8000);
        line
    }

    fn kinds(packet: &[u8]) -> Vec<u8> {
        let packets = split(packet).unwrap();
        packets.into_iter().flatten().map(|p| p[1]).collect()
    }

    #[test]
    fn ntp_time_counts_from_1900() {
        let moment = Moment {
            now_us: 0,
            unix_us: 500_000,
        };
        assert_eq!(moment.ntp(), (2_208_988_800 << 32) | (1 << 31));
    }

    #[test]
    fn intervals_vary_around_five_seconds() {
        let mut session = Session::new(*b"abcdefghijkl");
        let first = session.next_interval_us();
        assert!((1_250_000..3_750_000).contains(&first), "{first}");
        let drawn: Vec<u64> = (0..1000).map(|_| session.next_interval_us()).collect();
        assert!(drawn.iter().all(|i| (2_500_000..7_500_000).contains(i)));
        let mean = drawn.iter().sum::<u64>() / 1000;
        assert!((4_850_000..5_150_000).contains(&mean), "{mean}");
        assert_eq!(Session::new(*b"abcdefghijkl").next_interval_us(), first);
        assert_ne!(Session::new(*b"bbcdefghijkl").next_interval_us(), first);
    }

    #[test]
    fn a_sender_reports_and_a_listener_too() {
        let mut reception = Reception::default();
        for sequence in [1, 2, 4] {
            reception.place(99, sequence);
        }
        let mut session = Session::new([0xff; 12]);
        let packet = session
            .print(&speaking(), &mut reception, at(100), false)
            .unwrap();
        assert_eq!(kinds(&packet), [200, 202]);
        let mut parsed = Compound::parse(&packet).unwrap();
        let Some(Ok(Packet::Sr(report))) = parsed.next() else {
            panic!("an SR comes first");
        };
        assert_eq!(report.ssrc(), OURS);
        assert_eq!((report.packet_count(), report.octet_count()), (1, 160));
        // 100 ms after the packet with timestamp 1000.
        assert_eq!(report.rtp_timestamp(), 1800);
        assert_eq!(report.ntp_timestamp(), at(100).ntp());
        let block = report.report_blocks().next().unwrap();
        assert_eq!((block.ssrc(), block.cumulative_lost()), (99, 1));
        assert_eq!(block.fraction_lost(), 64);
        let Some(Ok(Packet::Sdes(sdes))) = parsed.next() else {
            panic!("SDES comes second");
        };
        let items: Vec<_> = sdes
            .chunks()
            .flat_map(|c| {
                c.items()
                    .map(|i| (i.type_(), i.value().to_vec()))
                    .collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(items, [(SdesItem::CNAME, b"////////////////".to_vec())]);
        // Silent for two intervals: a listener.
        let line = speaking();
        assert_eq!(
            kinds(
                &session
                    .print(&line, &mut reception, at(200), false)
                    .unwrap()
            ),
            [200, 202]
        );
        assert_eq!(
            kinds(
                &session
                    .print(&line, &mut reception, at(300), false)
                    .unwrap()
            ),
            [201, 202]
        );
    }

    #[test]
    fn bye_once_and_only_from_who_has_spoken() {
        let mut reception = Reception::default();
        let silent = Line::new(OURS, 0, 0);
        let mut session = Session::new([1; 12]);
        assert_eq!(session.print(&silent, &mut reception, at(0), true), None);
        let mut session = Session::new([1; 12]);
        session
            .print(&silent, &mut reception, at(0), false)
            .unwrap();
        let bye = session.print(&silent, &mut reception, at(1), true).unwrap();
        assert_eq!(kinds(&bye), [201, 202, 203]);
        let Some(Ok(Packet::Bye(parsed))) = Compound::parse(&bye).unwrap().nth(2) else {
            panic!("BYE comes last");
        };
        assert_eq!(parsed.reason(), None);
        assert_eq!(parsed.ssrcs().collect::<Vec<_>>(), [OURS]);
        assert_eq!(session.print(&silent, &mut reception, at(2), true), None);
    }

    #[test]
    fn round_trip_by_the_rfc() {
        // Our SR at 1 s; the party answers 250 ms after it got it; we read at 1.35 s: 100 ms.
        let sent = at(1000).ntp_middle();
        let report = ReceiverReport::builder(77).add_report_block(
            ReportBlock::builder(OURS)
                .fraction_lost(64)
                .last_sender_report_timestamp(sent)
                .delay_since_last_sender_report_timestamp(65536 / 4),
        );
        let mut bytes = [0; MAX_LEN];
        let len = report.write_into(&mut bytes).unwrap();
        let mut session = Session::new([1; 12]);
        assert!(session.read(&bytes[..len], OURS, at(1350)));
        let trip = session.round_trip_ms().unwrap();
        assert!((99.9..100.1).contains(&trip), "{trip}");
        assert_eq!(session.peer_loss(), 0.25);
        // Blocks about others are nothing to us.
        let mut session = Session::new([1; 12]);
        assert!(session.read(&bytes[..len], OURS + 1, at(1350)));
        assert_eq!(session.round_trip_ms(), None);
    }

    #[test]
    fn the_partys_sender_report_comes_back_in_our_block() {
        let report = SenderReport::builder(5).ntp_timestamp(0x1111_2222_3333_4444);
        let mut bytes = [0; MAX_LEN];
        let len = report.write_into(&mut bytes).unwrap();
        let mut session = Session::new([1; 12]);
        assert!(session.read(&bytes[..len], OURS, at(0)));
        let mut reception = Reception::default();
        reception.place(5, 0);
        let packet = session
            .print(&speaking(), &mut reception, at(500), false)
            .unwrap();
        let Some(Ok(Packet::Sr(report))) = Compound::parse(&packet).unwrap().next() else {
            panic!("an SR comes first");
        };
        let block = report.report_blocks().next().unwrap();
        assert_eq!(block.last_sender_report_timestamp(), 0x2222_3333);
        assert_eq!(block.delay_since_last_sender_report_timestamp(), 32768);
    }

    #[test]
    fn what_is_not_a_compound_is_refused() {
        let mut session = Session::new([1; 12]);
        for junk in [
            &[][..],
            &[0x80, 200],
            &[0x80, 200, 0, 6],
            &[0x80, 202, 0, 0],
            &[0x40, 201, 0, 1, 0, 0, 0, 1],
            &[0x81, 201, 0, 1, 0, 0, 0, 1],
            &[0x80, 201, 0, 1, 0, 0, 0, 1, 0],
        ] {
            assert!(!session.read(junk, OURS, at(0)), "{junk:?}");
        }
        assert!(session.read(&[0x80, 201, 0, 1, 0, 0, 0, 1], OURS, at(0)));
        // Seventeen packets.
        assert!(!session.read(&[0x80, 201, 0, 1, 0, 0, 0, 1].repeat(17), OURS, at(0)));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            kind in 199..206_u8,
            first in 0x80..0xc0_u8,
            words in 0..20_u8,
            rest in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut bytes = vec![first, kind, 0, words];
            bytes.extend(rest);
            let mut session = Session::new([1; 12]);
            session.read(&bytes, OURS, at(0));
            let whole = bytes.len() & !3;
            bytes[3] = (whole / 4 - 1) as u8;
            session.read(&bytes[..whole], OURS, at(0));
        }
    }
}
