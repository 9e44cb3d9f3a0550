//! The stream a party gets from us: one SSRC, one sequence and one timestamp line for the whole
//! call, whoever fills it: our own playout, the other party, or a third (RFC 3550 §5.1).
//! Receivers mute streams whose SSRC or timestamps jump in mid-call, so every change of the
//! writer continues where the line stands.

use serde::{Deserialize, Serialize};

/// Writes the line: our own playout.
pub const PLAYOUT: u32 = u32::MAX;
/// Nobody has written yet.
const NOBODY: u32 = u32::MAX - 1;
/// Duration of a packet before one has been measured, as a fraction of a second.
const DEFAULT_PACKETS_PER_SEC: u32 = 50;
/// The longest time taken for a packet's duration, as a fraction of a second.
const FEWEST_PACKETS_PER_SEC: u32 = 5;

/// An outgoing stream and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Line {
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent, without headers (RFC 3550 §6.4.1).
    pub octets: u64,
    /// When the timestamp last moved on.
    advanced_us: u64,
    /// Synchronisation source.
    pub ssrc: u32,
    /// Highest sent, or the first to send.
    timestamp: u32,
    clock: u32,
    /// Duration of the newest packet, in timestamp units.
    step: u32,
    /// Who wrote last: [`PLAYOUT`] or a flow's number.
    pub writer: u32,
    /// Highest sent, or the first to send.
    sequence: u16,
    started: bool,
}

impl Line {
    /// A line that has not sent yet, with the numbers it starts from.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Line {
        Line {
            packets: 0,
            octets: 0,
            advanced_us: 0,
            ssrc,
            timestamp,
            clock: 0,
            step: 0,
            writer: NOBODY,
            sequence,
            started: false,
        }
    }

    /// Sequence number and timestamp with which a new writer goes on: the next number, and as
    /// much time as has passed, in whole packets, so that scheduling does not show.
    pub fn resume(&self, now_us: u64, clock: u32) -> (u16, u32) {
        if !self.started {
            return (self.sequence, self.timestamp);
        }
        let step = match self.clock == clock && self.step != 0 {
            true => u64::from(self.step),
            false => u64::from(clock / DEFAULT_PACKETS_PER_SEC).max(1),
        };
        let passed = units(now_us.saturating_sub(self.advanced_us), clock);
        let packets = ((passed + step / 2) / step).max(1);
        (
            self.sequence.wrapping_add(1),
            self.timestamp.wrapping_add((packets * step) as u32),
        )
    }

    /// Notes a packet as sent by `writer`. A reordered one counts, but does not move the line.
    pub fn sent(
        &mut self,
        writer: u32,
        sequence: u16,
        timestamp: u32,
        octets: usize,
        now_us: u64,
        clock: u32,
    ) {
        self.packets += 1;
        self.octets += octets as u64;
        self.writer = writer;
        let ahead = sequence.wrapping_sub(self.sequence) as i16;
        if self.started && ahead <= 0 {
            return;
        }
        let duration = timestamp.wrapping_sub(self.timestamp);
        if self.clock != clock {
            self.step = 0;
        }
        if self.started && ahead == 1 && (1..=clock / FEWEST_PACKETS_PER_SEC).contains(&duration) {
            self.step = duration;
        }
        if !self.started || duration != 0 {
            self.advanced_us = now_us;
        }
        self.started = true;
        self.sequence = sequence;
        self.timestamp = timestamp;
        self.clock = clock;
    }

    /// Whether anything has been sent.
    pub fn started(&self) -> bool {
        self.started
    }

    /// The timestamp that belongs to this moment, for a sender report (RFC 3550 §6.4.1).
    pub fn timestamp_at(&self, now_us: u64) -> u32 {
        let passed = units(now_us.saturating_sub(self.advanced_us), self.clock);
        self.timestamp.wrapping_add(passed as u32)
    }
}

/// A time in timestamp units.
pub(super) fn units(time_us: u64, clock: u32) -> u64 {
    (u128::from(time_us) * u128::from(clock) / 1_000_000) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_where_it_was_told() {
        let line = Line::new(1, 65535, 4_294_967_290);
        assert_eq!(line.resume(77_000_000, 8000), (65535, 4_294_967_290));
        assert!(!line.started());
    }

    #[test]
    fn it_resumes_by_whole_packets_of_elapsed_time() {
        let mut line = Line::new(1, 65535, 4_294_967_290);
        line.sent(PLAYOUT, 65535, 4_294_967_290, 160, 1_000_000, 8000);
        // At once: one packet on. 95 ms later: five packets (rounded), over both wraps.
        assert_eq!(line.resume(1_000_000, 8000), (0, 154));
        assert_eq!(line.resume(1_095_000, 8000), (0, 794));
        assert_eq!(line.resume(1_104_000, 8000), (0, 794));
    }

    #[test]
    fn the_step_is_the_packet_time_seen() {
        let mut line = Line::new(1, 0, 0);
        line.sent(3, 0, 0, 480, 0, 8000);
        line.sent(3, 1, 480, 480, 60_000, 8000);
        assert_eq!(
            line.resume(65_000, 8000),
            (2, 960),
            "60 ms packets do not overlap"
        );
        // Another clock: its own 20 ms.
        assert_eq!(line.resume(65_000, 48_000), (2, 480 + 960));
    }

    #[test]
    fn a_long_event_counts_from_its_start() {
        let mut line = Line::new(1, 0, 0);
        for n in 0..50 {
            line.sent(3, n, 0, 4, u64::from(n) * 20_000, 8000);
        }
        // One second of event packets, all with the timestamp of its start.
        assert_eq!(line.resume(1_000_000, 8000), (50, 8000));
    }

    #[test]
    fn a_reordered_packet_does_not_move_the_line() {
        let mut line = Line::new(1, 10, 0);
        line.sent(3, 10, 0, 1, 0, 8000);
        line.sent(3, 12, 320, 1, 40_000, 8000);
        line.sent(3, 11, 160, 1, 41_000, 8000);
        assert_eq!(line.resume(60_000, 8000), (13, 480));
        assert_eq!((line.packets, line.octets), (3, 3));
        assert_eq!(line.timestamp_at(50_000), 400);
    }
}
