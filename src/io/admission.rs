//! Room for new calls: counters that all shards share, taken and given back without a lock.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::io::bucket::Bucket;
use crate::switch::admission::{Admission, Full};
use crate::switch::event::Now;
use crate::switch::media::PortPair;
use crate::switch::settings::TrunkId;

/// The limits of one trunk; 0 = unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrunkLimits {
    /// Calls at once.
    pub max_calls: u32,
    /// New calls a second.
    pub max_cps: u32,
}

/// Where port pairs come from and whether the call log takes another call: what the media plane
/// and the store know.
pub trait Rooms: Send + Sync {
    /// A port pair, when one is free.
    fn take_ports(&self) -> Option<PortPair>;
    /// Whether the call log takes another call.
    fn log_has_room(&self) -> bool;
}

/// The one gate of a server. Its grants are plain counts: whoever takes gives back exactly once.
#[derive(Debug)]
pub struct Gate<R> {
    trunks: Vec<TrunkGate>,
    announcements: Limit,
    rooms: R,
}

#[derive(Debug)]
struct TrunkGate {
    calls: Limit,
    rate: Bucket,
}

/// A count with a ceiling.
#[derive(Debug)]
struct Limit {
    most: u32,
    taken: AtomicU32,
}

impl<R: Rooms> Gate<R> {
    /// A gate for trunks in configured order. `max_announcements` 0 means none at all: unlike a
    /// trunk's limits it protects our own ports.
    pub fn new(trunks: &[TrunkLimits], max_announcements: u32, rooms: R) -> Gate<R> {
        Gate {
            trunks: trunks
                .iter()
                .map(|limits| TrunkGate {
                    calls: Limit::new(match limits.max_calls {
                        0 => u32::MAX,
                        most => most,
                    }),
                    rate: Bucket::per_sec(limits.max_cps),
                })
                .collect(),
            announcements: Limit::new(max_announcements),
            rooms,
        }
    }

    /// Calls up on a trunk.
    pub fn calls_on(&self, trunk: TrunkId) -> u32 {
        self.trunks
            .get(usize::from(trunk))
            .map_or(0, |t| t.calls.taken())
    }

    /// Announcements being played.
    pub fn announcements(&self) -> u32 {
        self.announcements.taken()
    }
}

impl<R: Rooms> Admission for Gate<R> {
    fn take_call(&self, trunk: TrunkId, now: Now) -> Result<(), Full> {
        if !self.rooms.log_has_room() {
            return Err(Full::Log);
        }
        // A trunk the gate does not know has no limits to keep.
        let Some(gate) = self.trunks.get(usize::from(trunk)) else {
            return Ok(());
        };
        if !gate.calls.take() {
            return Err(Full::Trunk);
        }
        // Second, so that a call the trunk has no room for does not use up its rate.
        if !gate.rate.take(now.mono_us) {
            gate.calls.release();
            return Err(Full::Trunk);
        }
        Ok(())
    }

    fn release_call(&self, trunk: TrunkId) {
        if let Some(gate) = self.trunks.get(usize::from(trunk)) {
            gate.calls.release();
        }
    }

    fn take_announcement(&self) -> Result<(), Full> {
        if self.announcements.take() {
            Ok(())
        } else {
            Err(Full::Announcements)
        }
    }

    fn release_announcement(&self) {
        self.announcements.release();
    }

    fn take_ports(&self) -> Option<PortPair> {
        self.rooms.take_ports()
    }
}

impl Limit {
    fn new(most: u32) -> Limit {
        Limit {
            most,
            taken: AtomicU32::new(0),
        }
    }

    fn take(&self) -> bool {
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
                (n < self.most).then_some(n + 1)
            })
            .is_ok()
    }

    fn release(&self) {
        let released = self
            .taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| n.checked_sub(1));
        debug_assert!(released.is_ok(), "given back more often than taken");
    }

    fn taken(&self) -> u32 {
        self.taken.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;

    struct Bare {
        log: AtomicBool,
        pairs: AtomicU32,
    }

    impl Rooms for &Bare {
        fn take_ports(&self) -> Option<PortPair> {
            self.pairs
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .ok()
                .map(|slot| PortPair {
                    slot,
                    address: [127, 0, 0, 1].into(),
                    port: 20_000,
                })
        }

        fn log_has_room(&self) -> bool {
            self.log.load(Ordering::Relaxed)
        }
    }

    fn bare() -> Bare {
        Bare {
            log: AtomicBool::new(true),
            pairs: AtomicU32::new(1),
        }
    }

    fn at(mono_us: u64) -> Now {
        Now {
            mono_us,
            wall_ms: 0,
        }
    }

    fn limits(max_calls: u32, max_cps: u32) -> TrunkLimits {
        TrunkLimits { max_calls, max_cps }
    }

    #[test]
    fn calls_are_limited_per_trunk_and_come_back() {
        let bare = bare();
        let gate = Gate::new(&[limits(2, 0), limits(0, 0)], 1, &bare);
        assert_eq!(gate.take_call(0, at(0)), Ok(()));
        assert_eq!(gate.take_call(0, at(0)), Ok(()));
        assert_eq!(gate.take_call(0, at(0)), Err(Full::Trunk));
        for _ in 0..100 {
            assert_eq!(gate.take_call(1, at(0)), Ok(()));
        }
        gate.release_call(0);
        assert_eq!(gate.calls_on(0), 1);
        assert_eq!(gate.take_call(0, at(0)), Ok(()));
    }

    #[test]
    fn the_rate_is_kept_in_microseconds() {
        let bare = bare();
        let gate = Gate::new(&[limits(0, 4)], 1, &bare);
        let granted = |mono_us| {
            (0..10)
                .filter(|_| gate.take_call(0, at(mono_us)).is_ok())
                .count()
        };
        assert_eq!(granted(10), 4);
        assert_eq!(granted(10 + 249_999), 0);
        assert_eq!(granted(10 + 250_000), 1);
        // What the rate refused holds no place among the calls.
        assert_eq!(gate.calls_on(0), 5);
    }

    #[test]
    fn a_full_trunk_does_not_use_up_its_rate() {
        let bare = bare();
        let gate = Gate::new(&[limits(1, 2)], 1, &bare);
        assert!(gate.take_call(0, at(0)).is_ok());
        for _ in 0..50 {
            assert_eq!(gate.take_call(0, at(0)), Err(Full::Trunk));
        }
        gate.release_call(0);
        assert!(gate.take_call(0, at(0)).is_ok());
    }

    #[test]
    fn a_full_call_log_refuses_and_takes_nothing() {
        let bare = bare();
        let gate = Gate::new(&[limits(1, 1)], 1, &bare);
        bare.log.store(false, Ordering::Relaxed);
        assert_eq!(gate.take_call(0, at(0)), Err(Full::Log));
        bare.log.store(true, Ordering::Relaxed);
        assert_eq!(gate.take_call(0, at(0)), Ok(()));
    }

    #[test]
    fn announcements_and_ports_are_counted() {
        let bare = bare();
        let gate = Gate::new(&[], 1, &bare);
        assert_eq!(gate.take_announcement(), Ok(()));
        assert_eq!(gate.take_announcement(), Err(Full::Announcements));
        gate.release_announcement();
        assert_eq!(gate.announcements(), 0);
        assert!(gate.take_ports().is_some());
        assert!(gate.take_ports().is_none());
    }
}
