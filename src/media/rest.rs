//! Quarantine: closed pairs rest, oldest first, before they are offered again, so that late
//! packets of the old call reach nobody.

use std::collections::VecDeque;

use crate::media::MIN_QUARANTINE_MS;
use crate::switch::media::Slot;

/// The resting pairs.
#[derive(Debug)]
pub(super) struct Rest {
    /// Slot and when it was closed; oldest first.
    resting: VecDeque<(Slot, u64)>,
    full_us: u64,
}

impl Rest {
    pub(super) fn new(quarantine_ms: u64) -> Rest {
        Rest {
            resting: VecDeque::new(),
            full_us: quarantine_ms.max(MIN_QUARANTINE_MS).saturating_mul(1000),
        }
    }

    pub(super) fn push(&mut self, slot: Slot, now_us: u64) {
        self.resting.push_back((slot, now_us));
    }

    /// The oldest pair, if it has rested enough; under pressure the least rest is enough.
    pub(super) fn pop(&mut self, pressed: bool, now_us: u64) -> Option<Slot> {
        let (slot, _) = *self.resting.front()?;
        if self.next_us(pressed)? > now_us {
            return None;
        }
        self.resting.pop_front();
        Some(slot)
    }

    /// When the oldest pair has rested enough.
    pub(super) fn next_us(&self, pressed: bool) -> Option<u64> {
        let (_, closed_us) = self.resting.front()?;
        let rest_us = match pressed {
            true => MIN_QUARANTINE_MS * 1000,
            false => self.full_us,
        };
        Some(closed_us.saturating_add(rest_us))
    }

    pub(super) fn len(&self) -> usize {
        self.resting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_first_after_the_full_time() {
        let mut rest = Rest::new(2000);
        rest.push(7, 0);
        rest.push(8, 500_000);
        assert_eq!(rest.pop(false, 1_999_999), None);
        assert_eq!(rest.pop(false, 2_000_000), Some(7));
        assert_eq!(rest.pop(false, 2_000_000), None);
        assert_eq!(rest.next_us(false), Some(2_500_000));
        assert_eq!(rest.len(), 1);
    }

    #[test]
    fn pressure_shortens_it_but_never_below_the_least() {
        let mut rest = Rest::new(2000);
        rest.push(7, 0);
        assert_eq!(rest.pop(true, 99_999), None);
        assert_eq!(rest.pop(true, 100_000), Some(7));
        let mut hasty = Rest::new(0);
        hasty.push(7, 0);
        assert_eq!(hasty.pop(false, 99_999), None);
        assert_eq!(hasty.pop(false, 100_000), Some(7));
    }
}
