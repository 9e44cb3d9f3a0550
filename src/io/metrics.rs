//! What the shell counts, written where things happen and read by whoever serves metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::switch::record::Status;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// The count since the start of the process.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The shell's counters.
#[derive(Debug, Default)]
pub struct Counters {
    /// SIP messages received from trunks.
    pub sip_in: Counter,
    /// SIP messages given to the kernel.
    pub sip_out: Counter,
    /// SIP messages dropped because the socket's buffer was full.
    pub sip_full: Counter,
    /// SIP messages the kernel refused, or that found no socket.
    pub sip_refused: Counter,
    /// Messages that could not be delivered (RFC 3261 §18.4).
    pub sip_undeliverable: Counter,
    /// Datagrams from addresses that belong to no trunk.
    pub strangers: Counter,
    /// Strangers answered with 403.
    pub strangers_rejected: Counter,
    /// Panics that got out of the switch, beyond those it contained in one call itself.
    pub panics: Counter,
    ended: [Counter; ENDED.len()],
}

/// The statuses an ended call can have.
const ENDED: [Status; 5] = [
    Status::Completed,
    Status::Busy,
    Status::NoAnswer,
    Status::Failed,
    Status::Canceled,
];

impl Counters {
    /// Counts an ended call; a status that no ended call can have is not counted.
    pub fn call_ended(&self, status: Status) {
        if let Some((_, counter)) = self.rows().find(|(s, _)| *s == status) {
            counter.add();
        }
    }

    /// Ended calls by status, every status that an ended call can have.
    pub fn calls_ended(&self) -> impl Iterator<Item = (Status, u64)> + '_ {
        self.rows().map(|(status, counter)| (status, counter.get()))
    }

    fn rows(&self) -> impl Iterator<Item = (Status, &Counter)> {
        ENDED.iter().copied().zip(&self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ended_calls_are_counted_by_status() {
        let counters = Counters::default();
        counters.call_ended(Status::Busy);
        counters.call_ended(Status::Busy);
        counters.call_ended(Status::Completed);
        counters.call_ended(Status::Ringing);
        let counted: Vec<(Status, u64)> = counters.calls_ended().filter(|(_, n)| *n > 0).collect();
        assert_eq!(counted, [(Status::Completed, 1), (Status::Busy, 2)]);
        assert_eq!(counters.calls_ended().count(), 5);
    }
}
