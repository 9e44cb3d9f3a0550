//! What one port has received: sequence numbers put in order, loss and jitter (RFC 3550 §6.4.1,
//! A.1, A.3, A.8). A party may change its source in mid-call; totals run on over all of them.

use serde::{Deserialize, Serialize};

/// The largest forward jump taken for loss; beyond it the source has restarted (A.1).
pub const MAX_DROPOUT: i16 = 3000;
/// The largest backward step taken for reordering (A.1).
pub const MAX_MISORDER: i16 = 100;
/// A change of transit time beyond this is a new timestamp line and not jitter, in seconds.
const MAX_TRANSIT_CHANGE_SECS: u32 = 2;
/// No doubtful packet is waiting for its successor.
const NONE_DOUBTFUL: u32 = u32::MAX;

/// Where a packet stands in its source's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// 0 for the first packet seen of this source; negative for ones that should have come
    /// before it.
    pub index: i64,
    /// First of its source, or first after the source restarted its sequence.
    pub first: bool,
    /// Newer than all before it.
    pub newest: bool,
}

/// Receiver statistics of one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[repr(C)]
pub struct Reception {
    received: u64,
    highest: i64,
    earlier_received: u64,
    earlier_lost: u64,
    reported_expected: u64,
    reported_received: u64,
    ssrc: u32,
    doubtful: u32,
    transit: u32,
    clock: u32,
    /// Sixteen times the jitter, in timestamp units (A.8).
    jitter_q4: u32,
    first_sequence: u16,
    known: bool,
}

/// The figures of a report block (RFC 3550 §6.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The source reported on.
    pub ssrc: u32,
    /// Loss since the previous report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost in all of this source, at most 2^23 − 1.
    pub cumulative_lost: u32,
    /// Highest sequence number with its cycles.
    pub highest_sequence: u32,
    /// In timestamp units.
    pub jitter: u32,
}

impl Default for Reception {
    fn default() -> Reception {
        Reception {
            received: 0,
            highest: 0,
            earlier_received: 0,
            earlier_lost: 0,
            reported_expected: 0,
            reported_received: 0,
            ssrc: 0,
            doubtful: NONE_DOUBTFUL,
            transit: 0,
            clock: 0,
            jitter_q4: 0,
            first_sequence: 0,
            known: false,
        }
    }
}

impl Reception {
    /// Places a packet; `None` when its sequence number is so far off that only a successor can
    /// tell whether the source restarted (A.1). There is no probation for a new source: its
    /// address has been checked already.
    pub fn place(&mut self, ssrc: u32, sequence: u16) -> Option<Place> {
        if !self.known || ssrc != self.ssrc {
            return Some(self.begin(ssrc, sequence));
        }
        let highest_sequence = self.first_sequence.wrapping_add(self.highest as u16);
        let step = sequence.wrapping_sub(highest_sequence) as i16;
        if !(-MAX_MISORDER..MAX_DROPOUT).contains(&step) {
            if self.doubtful == u32::from(sequence) {
                return Some(self.begin(ssrc, sequence));
            }
            self.doubtful = u32::from(sequence.wrapping_add(1));
            return None;
        }
        self.doubtful = NONE_DOUBTFUL;
        self.received += 1;
        let index = self.highest + i64::from(step);
        self.highest = self.highest.max(index);
        Some(Place {
            index,
            first: false,
            newest: step > 0,
        })
    }

    fn begin(&mut self, ssrc: u32, sequence: u16) -> Place {
        self.earlier_lost = self.lost();
        self.earlier_received = self.received();
        self.ssrc = ssrc;
        self.first_sequence = sequence;
        self.highest = 0;
        self.received = 1;
        self.reported_expected = 0;
        self.reported_received = 0;
        self.doubtful = NONE_DOUBTFUL;
        self.clock = 0;
        self.known = true;
        Place {
            index: 0,
            first: true,
            newest: true,
        }
    }

    /// Notes when a packet of audio arrived (A.8): `clock` is the payload's, in hertz.
    pub fn note_timing(&mut self, arrival_us: u64, timestamp: u32, clock: u32) {
        let arrival = (u128::from(arrival_us) * u128::from(clock) / 1_000_000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        let change = (transit.wrapping_sub(self.transit) as i32).unsigned_abs();
        let comparable = self.clock == clock && change <= MAX_TRANSIT_CHANGE_SECS * clock;
        self.transit = transit;
        self.clock = clock;
        if comparable {
            // A.8's integer form of J += (|D| − J) / 16, rounded.
            self.jitter_q4 = self.jitter_q4 + change - ((self.jitter_q4 + 8) >> 4);
        }
    }

    /// Packets received, of all sources.
    pub fn received(&self) -> u64 {
        self.earlier_received + self.received
    }

    /// Packets lost, of all sources; duplicates make up for losses, as A.3 has it, but never
    /// for more than there were.
    pub fn lost(&self) -> u64 {
        self.earlier_lost + self.expected().saturating_sub(self.received)
    }

    /// Jitter in milliseconds; 0 before two packets have been compared.
    pub fn jitter_ms(&self) -> f32 {
        match self.clock {
            0 => 0.0,
            clock => self.jitter_q4 as f32 / 16.0 * 1000.0 / clock as f32,
        }
    }

    /// The figures for a report block, and the start of the next interval. `None` before the
    /// first packet.
    pub fn report(&mut self) -> Option<Report> {
        if !self.known {
            return None;
        }
        let expected = self.expected();
        let expected_now = expected - self.reported_expected;
        let received_now = self.received - self.reported_received;
        self.reported_expected = expected;
        self.reported_received = self.received;
        let lost_now = expected_now.saturating_sub(received_now);
        let fraction = (lost_now << 8).checked_div(expected_now).unwrap_or(0);
        Some(Report {
            ssrc: self.ssrc,
            fraction_lost: fraction.min(255) as u8,
            cumulative_lost: expected.saturating_sub(self.received).min(0x7f_ffff) as u32,
            highest_sequence: u32::from(self.first_sequence).wrapping_add(self.highest as u32),
            jitter: self.jitter_q4 >> 4,
        })
    }

    fn expected(&self) -> u64 {
        match self.known {
            true => self.highest as u64 + 1,
            false => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(sequences: &[u16]) -> Reception {
        let mut reception = Reception::default();
        for s in sequences {
            reception.place(1, *s);
        }
        reception
    }

    #[test]
    fn loss_is_counted_over_the_wrap() {
        // 65534, 65535, (0 lost), 1, (2, 3 lost), 4: 4 of 7 came.
        let mut reception = fed(&[65534, 65535, 1, 4]);
        assert_eq!((reception.received(), reception.lost()), (4, 3));
        let report = reception.report().unwrap();
        // A.3: (3 << 8) / 7 = 109.
        assert_eq!(report.fraction_lost, 109);
        assert_eq!(report.cumulative_lost, 3);
        assert_eq!(report.highest_sequence, 65536 + 4);
        // The next interval stands for itself.
        reception.place(1, 5);
        let report = reception.report().unwrap();
        assert_eq!((report.fraction_lost, report.cumulative_lost), (0, 3));
        // No packet at all in an interval: no division by zero.
        assert_eq!(reception.report().unwrap().fraction_lost, 0);
    }

    #[test]
    fn reordering_and_duplicates_are_not_loss() {
        let reception = fed(&[10, 12, 11, 13, 13, 9]);
        assert_eq!(reception.lost(), 0);
        let mut reception = fed(&[10, 12]);
        let late = reception.place(1, 11).unwrap();
        assert_eq!((late.index, late.newest), (1, false));
        assert_eq!(reception.place(1, 9).unwrap().index, -1);
    }

    #[test]
    fn a_far_jump_needs_a_successor() {
        let mut reception = fed(&[10, 11]);
        assert_eq!(reception.place(1, 11 + 3000), None);
        assert_eq!(reception.place(1, 12).unwrap().index, 2, "it was a stray");
        assert_eq!(reception.place(1, 30_000), None);
        let place = reception.place(1, 30_001).unwrap();
        assert!(place.first && place.index == 0);
        assert_eq!((reception.received(), reception.lost()), (4, 0));
    }

    #[test]
    fn a_new_source_starts_anew_and_totals_run_on() {
        let mut reception = fed(&[10, 12]);
        let place = reception.place(2, 50_000).unwrap();
        assert!(place.first && place.newest && place.index == 0);
        reception.place(2, 50_002);
        assert_eq!((reception.received(), reception.lost()), (4, 2));
        let report = reception.report().unwrap();
        assert_eq!((report.ssrc, report.cumulative_lost), (2, 1));
    }

    #[test]
    fn jitter_by_hand() {
        let mut reception = Reception::default();
        // 20 ms apart in timestamps; arrivals 0, 20, 45, 60 ms: |D| = 0, 40, 40 at 8 kHz.
        // J16 = 0; 0+0-0 = 0; 0+40-0 = 40; 40+40-((40+8)>>4) = 77.
        for (n, arrival_ms) in [0_u64, 20, 45, 60].into_iter().enumerate() {
            reception.place(1, n as u16);
            reception.note_timing(arrival_ms * 1000, 160 * n as u32, 8000);
        }
        assert_eq!(reception.report().unwrap().jitter, 77 >> 4);
        let expected = 77.0 / 16.0 / 8.0;
        assert!((reception.jitter_ms() - expected).abs() < 0.001);
    }

    #[test]
    fn a_new_timestamp_line_is_no_jitter() {
        let mut reception = Reception::default();
        reception.place(1, 0);
        reception.note_timing(0, 0, 8000);
        reception.place(1, 1);
        reception.note_timing(20_000, 3_000_000_000, 8000);
        reception.place(1, 2);
        reception.note_timing(40_000, 3_000_000_160, 8000);
        assert_eq!(reception.jitter_ms(), 0.0);
    }

    #[test]
    fn steady_jitter_converges() {
        let mut reception = Reception::default();
        for n in 0..2000_u32 {
            reception.place(1, n as u16);
            // Every second packet 8 ms late: |D| is 64 units each time.
            let late_us = if n % 2 == 0 { 0 } else { 8000 };
            reception.note_timing(u64::from(n) * 20_000 + late_us, n * 160, 8000);
        }
        assert!(
            (7.5..=8.5).contains(&reception.jitter_ms()),
            "{}",
            reception.jitter_ms()
        );
    }
}
