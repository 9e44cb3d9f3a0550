//! Every timer of the switch, named once, in one queue.
//!
//! A deadline is a field of its owner ([`Deadlines`]); the queue is an index over those fields,
//! so that the earliest is found at once and a call can be moved or restored with its deadlines.
//! RFC 3261 §17 and Table 4 (timers A to K), RFC 6026 §7 (timers L and M).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// RTT estimate (RFC 3261 §17.1.1.1), in microseconds.
pub(super) const T1_US: u64 = 500_000;
/// Longest interval between retransmissions of anything but an INVITE, in microseconds.
pub(super) const T2_US: u64 = 4_000_000;
/// Longest time a message stays in the network, in microseconds.
pub(super) const T4_US: u64 = 5_000_000;
/// 64·T1: how long anything is tried, and how long late messages are expected.
pub(super) const SPAN_US: u64 = 64 * T1_US;
/// How long we wait for a first response when another target could be tried instead.
pub(super) const FIRST_RESPONSE_US: u64 = 6_000_000;
/// How long a call's record waits for the statistics of its closed ports.
pub(super) const MEDIA_CLOSE_US: u64 = 2_000_000;
/// How often a ringing INVITE is told so again, so that proxies on its way keep waiting
/// (RFC 3261 §13.3.1.1: every minute).
pub(super) const STILL_RINGING_US: u64 = 60_000_000;

/// A timer's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum Timer {
    /// INVITE request retransmission, UDP: T1 doubling.
    A,
    /// INVITE client gives up without any response: 64·T1.
    B,
    /// INVITE client absorbs retransmitted final responses: 32 s on UDP.
    D,
    /// Non-INVITE request retransmission, UDP: T1 doubling up to T2.
    E,
    /// Non-INVITE client gives up: 64·T1.
    F,
    /// INVITE final response retransmission, UDP: T1 doubling up to T2.
    G,
    /// INVITE server gives up waiting for ACK: 64·T1.
    H,
    /// INVITE server absorbs retransmitted ACKs: T4 on UDP.
    I,
    /// Non-INVITE server absorbs retransmitted requests: 64·T1 on UDP.
    J,
    /// Non-INVITE client absorbs retransmitted responses: T4 on UDP.
    K,
    /// INVITE server absorbs retransmitted INVITEs after a 2xx: 64·T1 (RFC 6026).
    L,
    /// INVITE client accepts further 2xx: 64·T1 (RFC 6026).
    M,
    /// A cancelled INVITE that gets no final response: 64·T1 after CANCEL (RFC 3261 §9.1).
    Cancelled,
    /// Retransmission of our 2xx until ACK: T1 doubling up to T2 (RFC 3261 §13.3.1.4).
    Answer,
    /// Our 2xx was never acknowledged: 64·T1 (RFC 3261 §13.3.1.4).
    AckWait,
    /// Still ringing: repeat the provisional response (RFC 3261 §13.3.1.1).
    StillRinging,
    /// No response at all from this target while another one is left.
    FirstResponse,
    /// The callee has rung for long enough.
    Ring,
    /// The call has lasted long enough.
    MaxDuration,
    /// The statistics of closed ports are overdue: write the record without them.
    MediaClose,
}

/// Who a timer belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Owner {
    /// A transaction.
    Transaction(u64),
    /// One leg of a call.
    Leg(u64, u16),
    /// A call.
    Call(u64),
}

/// All deadlines of all owners, earliest first.
#[derive(Debug, Default)]
pub(super) struct TimerQueue {
    queue: BTreeSet<(u64, Owner, Timer)>,
    /// A timer that never rings: a defect made on purpose.
    #[cfg(test)]
    pub(super) mute: Option<Timer>,
}

impl TimerQueue {
    /// The earliest deadline, in `Now::mono_us`.
    pub(super) fn next(&self) -> Option<u64> {
        self.queue.first().map(|entry| entry.0)
    }

    /// Takes one timer that is due.
    pub(super) fn pop_due(&mut self, now_us: u64) -> Option<(Owner, Timer)> {
        if self.next()? > now_us {
            return None;
        }
        self.queue
            .pop_first()
            .map(|(_, owner, timer)| (owner, timer))
    }

    /// What is due, for tests to look at.
    #[cfg(test)]
    pub(super) fn due(&self, now_us: u64) -> impl Iterator<Item = (Owner, Timer)> + '_ {
        let due = self.queue.iter().take_while(move |entry| entry.0 <= now_us);
        due.map(|(_, owner, timer)| (*owner, *timer))
    }

    /// How many are set.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is set.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

/// The deadlines of one owner: at most a handful, so a short list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Deadlines(Vec<(Timer, u64)>);

impl Deadlines {
    /// Sets a timer, replacing an earlier deadline of the same name.
    pub(super) fn set(&mut self, queue: &mut TimerQueue, owner: Owner, timer: Timer, at_us: u64) {
        self.clear(queue, owner, timer);
        #[cfg(test)]
        if queue.mute == Some(timer) {
            return;
        }
        // One at a time: a tombstone has one timer and many of them have to fit.
        self.0.reserve_exact(1);
        self.0.push((timer, at_us));
        queue.queue.insert((at_us, owner, timer));
    }

    /// Clears a timer; one that is not set is no error.
    pub(super) fn clear(&mut self, queue: &mut TimerQueue, owner: Owner, timer: Timer) {
        if let Some(at) = self.0.iter().position(|(name, _)| *name == timer) {
            let (_, at_us) = self.0.swap_remove(at);
            queue.queue.remove(&(at_us, owner, timer));
        }
    }

    /// Clears all timers: the owner is going.
    pub(super) fn clear_all(&mut self, queue: &mut TimerQueue, owner: Owner) {
        for (timer, at_us) in self.0.drain(..) {
            queue.queue.remove(&(at_us, owner, timer));
        }
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(Timer, u64)>()
    }

    /// The queue has popped this timer: forget its deadline.
    pub(super) fn fired(&mut self, timer: Timer) {
        self.0.retain(|(name, _)| *name != timer);
    }
}

/// The next interval of a doubling retransmission with a cap (RFC 3261 §17.1.2.2).
pub(super) fn doubled(interval_us: u64, cap_us: u64) -> u64 {
    (interval_us * 2).min(cap_us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earliest_first_and_nothing_left_behind() {
        let mut queue = TimerQueue::default();
        let mut deadlines = Deadlines::default();
        let owner = Owner::Transaction(7);
        deadlines.set(&mut queue, owner, Timer::B, SPAN_US);
        deadlines.set(&mut queue, owner, Timer::A, T1_US);
        deadlines.set(&mut queue, owner, Timer::A, 2 * T1_US);
        assert_eq!(queue.next(), Some(2 * T1_US));
        assert_eq!(queue.pop_due(T1_US), None);
        assert_eq!(queue.pop_due(2 * T1_US), Some((owner, Timer::A)));
        deadlines.fired(Timer::A);
        assert_eq!(deadlines, Deadlines(vec![(Timer::B, SPAN_US)]));
        deadlines.clear_all(&mut queue, owner);
        assert!(queue.is_empty());
    }
}
