//! Who sends to a SIP socket without being in any trunk's `accept_from`: counted, named in the
//! log at most once a minute and source, otherwise ignored.
//!
//! Everything here has a fixed size, because strangers choose how often they come: a table of
//! [`MAX_SOURCES`] addresses and a bucket of [`REJECTS_PER_SEC`] answers.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::io::bucket::Bucket;

/// Addresses remembered at once. When full, the ones whose silence is over make room; while
/// none is, further sources are counted and one line a minute says so.
pub const MAX_SOURCES: usize = 1024;
/// One line for each source in this time.
pub const QUIET_US: u64 = 60_000_000;
/// Stateless 403 answers a second, over all sources (`strangers = "reject"`).
pub const REJECTS_PER_SEC: u32 = 50;

/// What is worth saying about a stranger's datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Name this source; `dropped` datagrams came from it since it was last named, this one
    /// included.
    Source {
        /// How many.
        dropped: u64,
    },
    /// The table is full: more sources than can be named.
    TooMany {
        /// Datagrams from unnamed sources since the last such line.
        dropped: u64,
    },
}

/// The table of strangers and the bucket of rejections.
#[derive(Debug)]
pub struct Strangers {
    seen: HashMap<IpAddr, Source>,
    unnamed: Source,
    rejects: Bucket,
    swept_at_us: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Source {
    named_at_us: Option<u64>,
    dropped: u64,
}

impl Source {
    /// Counts one datagram; the count to print when it is time for a line.
    fn count(&mut self, mono_us: u64) -> Option<u64> {
        self.dropped += 1;
        if self
            .named_at_us
            .is_some_and(|at| mono_us.saturating_sub(at) < QUIET_US)
        {
            return None;
        }
        self.named_at_us = Some(mono_us);
        Some(std::mem::take(&mut self.dropped))
    }
}

impl Default for Strangers {
    fn default() -> Self {
        Strangers::new()
    }
}

impl Strangers {
    /// An empty table, its memory taken at once.
    pub fn new() -> Strangers {
        Strangers {
            seen: HashMap::with_capacity(MAX_SOURCES),
            unnamed: Source::default(),
            rejects: Bucket::per_sec(REJECTS_PER_SEC),
            swept_at_us: 0,
        }
    }

    /// Counts a datagram from `source` at `mono_us`; a [`Notice`] when a log line is due.
    pub fn dropped(&mut self, source: IpAddr, mono_us: u64) -> Option<Notice> {
        let source = source.to_canonical();
        if !self.seen.contains_key(&source)
            && self.seen.len() >= MAX_SOURCES
            && !self.make_room(mono_us)
        {
            return self
                .unnamed
                .count(mono_us)
                .map(|dropped| Notice::TooMany { dropped });
        }
        self.seen
            .entry(source)
            .or_default()
            .count(mono_us)
            .map(|dropped| Notice::Source { dropped })
    }

    /// Whether one more 403 may be sent at `mono_us`.
    pub fn may_reject(&self, mono_us: u64) -> bool {
        self.rejects.take(mono_us)
    }

    /// Forgets the sources whose silence is over; whether there is room now. The walk over the
    /// full table is made at most once a second, so a flood of forged sources cannot buy one
    /// walk a datagram.
    fn make_room(&mut self, mono_us: u64) -> bool {
        const SWEEP_EVERY_US: u64 = 1_000_000;
        if mono_us < self.swept_at_us {
            return false;
        }
        self.swept_at_us = mono_us.saturating_add(SWEEP_EVERY_US);
        self.seen.retain(|_, s| {
            s.named_at_us
                .is_some_and(|at| mono_us.saturating_sub(at) < QUIET_US)
        });
        self.seen.len() < MAX_SOURCES
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn ip(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
    }

    #[test]
    fn a_source_is_named_once_a_minute_with_its_count() {
        let mut strangers = Strangers::new();
        assert_eq!(
            strangers.dropped(ip(1), 5),
            Some(Notice::Source { dropped: 1 })
        );
        for i in 0..10 {
            assert_eq!(strangers.dropped(ip(1), 6 + i), None);
        }
        assert_eq!(
            strangers.dropped(ip(2), 20),
            Some(Notice::Source { dropped: 1 })
        );
        assert_eq!(strangers.dropped(ip(1), 4 + QUIET_US), None);
        assert_eq!(
            strangers.dropped(ip(1), 5 + QUIET_US),
            Some(Notice::Source { dropped: 12 })
        );
    }

    #[test]
    fn the_mapped_form_of_an_address_is_the_same_source() {
        let mut strangers = Strangers::new();
        assert!(strangers.dropped(ip(1), 0).is_some());
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(strangers.dropped(mapped, 1), None);
    }

    #[test]
    fn a_flood_of_sources_is_bounded_and_summed_up() {
        let mut strangers = Strangers::new();
        for n in 0..MAX_SOURCES as u32 {
            assert!(strangers.dropped(ip(n), 0).is_some(), "{n}");
        }
        assert_eq!(
            strangers.dropped(ip(90_000), 1),
            Some(Notice::TooMany { dropped: 1 })
        );
        for n in 0..5000 {
            assert_eq!(strangers.dropped(ip(100_000 + n), 2), None);
        }
        assert_eq!(strangers.seen.len(), MAX_SOURCES);
        // A minute later the old ones make room and the newcomer is named again.
        assert_eq!(
            strangers.dropped(ip(90_000), QUIET_US + 2),
            Some(Notice::Source { dropped: 1 })
        );
        assert_eq!(strangers.seen.len(), 1);
    }

    #[test]
    fn rejections_are_limited_over_all_sources() {
        let strangers = Strangers::new();
        let granted = (0..1000).filter(|_| strangers.may_reject(7)).count();
        assert_eq!(granted, REJECTS_PER_SEC as usize);
        assert!(strangers.may_reject(1_000_007));
    }
}
