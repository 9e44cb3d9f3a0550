//! The process's two clocks, read together.
//!
//! The pure rooms never ask what time it is; the shell reads [`Clock::now`] once for each input
//! and hands it in.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::switch::event::Now;

/// A monotonic clock with its own origin beside the wall clock. Copies share the origin, so
/// values read from different threads compare.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// Starts counting now.
    pub fn start() -> Clock {
        Clock {
            origin: Instant::now(),
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now {
            mono_us: self.mono_us(),
            wall_ms: wall_ms(),
        }
    }

    /// Microseconds since the clock was started.
    pub fn mono_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// The instant at which [`Clock::mono_us`] reaches this value.
    pub fn instant_at(&self, mono_us: u64) -> Instant {
        // A deadline beyond what the platform can represent is one that never comes; an hour
        // ahead is far enough, because the caller asks again after each wake-up.
        self.origin
            .checked_add(Duration::from_micros(mono_us))
            .unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }
}

/// Unix milliseconds; 0 for a clock set before 1970.
pub fn wall_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_round_trips_through_an_instant() {
        let clock = Clock::start();
        let at = clock.instant_at(1_500_000);
        assert_eq!(at - clock.instant_at(0), Duration::from_micros(1_500_000));
        assert!(clock.instant_at(u64::MAX) > Instant::now());
    }

    #[test]
    fn copies_share_the_origin() {
        let clock = Clock::start();
        let copy = clock;
        let first = clock.mono_us();
        assert!(copy.mono_us() >= first);
    }
}
