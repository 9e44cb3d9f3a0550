//! The plane's counters as the worker writes them.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::media::PlaneCounters;
use crate::media::ports::Ports;

/// One counter: written by the worker, read by anybody.
#[derive(Debug, Default)]
pub(super) struct Total(AtomicU64);

impl Total {
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All of them; the names are those of [`PlaneCounters`].
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) packets_relayed: Total,
    pub(super) packets_withheld: Total,
    pub(super) packets_played: Total,
    pub(super) packets_dropped_source: Total,
    pub(super) packets_dropped_other: Total,
    pub(super) packets_unsent: Total,
    pub(super) rtcp_received: Total,
    pub(super) rtcp_sent: Total,
    pub(super) sounds_unplayable: Total,
    pub(super) sounds_missing: Total,
    pub(super) commands_ignored: Total,
}

impl Totals {
    pub(super) fn snapshot(&self, ports: &Ports) -> PlaneCounters {
        PlaneCounters {
            pairs_total: u64::from(ports.total()),
            pairs_ready: ports.ready() as u64,
            pairs_in_use: ports.in_use.load(Ordering::Relaxed),
            pairs_quarantined: ports.quarantined.load(Ordering::Relaxed),
            packets_relayed: self.packets_relayed.get(),
            packets_withheld: self.packets_withheld.get(),
            packets_played: self.packets_played.get(),
            packets_dropped_source: self.packets_dropped_source.get(),
            packets_dropped_other: self.packets_dropped_other.get(),
            packets_unsent: self.packets_unsent.get(),
            rtcp_received: self.rtcp_received.get(),
            rtcp_sent: self.rtcp_sent.get(),
            sounds_unplayable: self.sounds_unplayable.get(),
            sounds_missing: self.sounds_missing.get(),
            commands_ignored: self.commands_ignored.get(),
        }
    }
}
