//! The worker's deadlines: playout, reports, silence.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::switch::media::Slot;

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// The next packet of a sound.
    Playout,
    /// The next RTCP report.
    Report,
    /// Whether a bridge has fallen silent.
    Silence,
}

/// Deadlines in order. One that no longer holds is not removed: the leg knows its own deadline
/// and ignores any other, so each leg has few entries here at any time.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<(u64, Slot, Due)>>);

impl Timers {
    pub(super) fn add(&mut self, at_us: u64, slot: Slot, due: Due) {
        self.0.push(Reverse((at_us, slot, due)));
    }

    /// The next deadline that has come, with its own time.
    pub(super) fn pop(&mut self, now_us: u64) -> Option<(u64, Slot, Due)> {
        let Reverse((at_us, _, _)) = *self.0.peek()?;
        if at_us > now_us {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }

    pub(super) fn next_us(&self) -> Option<u64> {
        self.0.peek().map(|Reverse((at_us, _, _))| *at_us)
    }
}
