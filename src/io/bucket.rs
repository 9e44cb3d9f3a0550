//! A token bucket in one atomic word.
//!
//! It holds one second's worth of tokens. Instead of a level and a time it keeps the one moment
//! at which the bucket will be full again; taking a token moves that moment ahead by the time one
//! token takes to drip in. Integer microseconds, no lock, injected time.

use std::sync::atomic::{AtomicU64, Ordering};

const SECOND_US: u64 = 1_000_000;

/// A rate limit of so many a second with a burst of the same size.
#[derive(Debug)]
pub struct Bucket {
    token_us: u64,
    full_at_us: AtomicU64,
}

impl Bucket {
    /// `rate` tokens a second; 0 = unlimited. Rates that do not divide a second are rounded
    /// down, so that the limit is never exceeded.
    pub fn per_sec(rate: u32) -> Bucket {
        Bucket {
            token_us: if rate == 0 {
                0
            } else {
                SECOND_US.div_ceil(u64::from(rate))
            },
            full_at_us: AtomicU64::new(0),
        }
    }

    /// Takes one token at `mono_us`; false when there is none.
    pub fn take(&self, mono_us: u64) -> bool {
        if self.token_us == 0 {
            return true;
        }
        self.full_at_us
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |full_at| {
                let next = full_at.max(mono_us).saturating_add(self.token_us);
                (next - mono_us <= SECOND_US.max(self.token_us)).then_some(next)
            })
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_its_rate_and_refills_evenly() {
        let bucket = Bucket::per_sec(10);
        assert_eq!((0..20).filter(|_| bucket.take(50)).count(), 10);
        assert!(!bucket.take(50 + 99_999));
        assert!(bucket.take(50 + 100_000));
        assert!(!bucket.take(50 + 100_000));
        // Idle time never saves up more than one second's worth.
        assert_eq!((0..50).filter(|_| bucket.take(60_000_000)).count(), 10);
    }

    #[test]
    fn odd_rates_never_exceed_the_limit() {
        for rate in [1, 3, 7, 999, 1_000_003] {
            let bucket = Bucket::per_sec(rate);
            let burst = (0..2_100_000).filter(|_| bucket.take(9)).count();
            assert!(burst >= 1 && burst <= rate as usize, "{rate}: {burst}");
        }
    }

    #[test]
    fn one_a_second_is_one_a_second() {
        let bucket = Bucket::per_sec(1);
        assert!(bucket.take(0));
        assert!(!bucket.take(999_999));
        assert!(bucket.take(1_000_000));
    }

    #[test]
    fn zero_means_unlimited() {
        let bucket = Bucket::per_sec(0);
        assert!((0..10_000).all(|_| bucket.take(0)));
    }

    #[test]
    fn threads_share_one_limit() {
        let bucket = Bucket::per_sec(100);
        let granted: usize = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..200).filter(|_| bucket.take(1)).count()))
                .collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        assert_eq!(granted, 100);
    }
}
