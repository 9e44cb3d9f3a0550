//! What the API sees of a running server: its live calls, its readiness, its numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::api::{Calls, Metric, Monitor};
use crate::io::calls::{LiveCalls, Wishes};
use crate::io::metrics::Counters;
use crate::io::server::Server;
use crate::io::shard::Status;
use crate::media::Plane;
use crate::sid::Sid;
use crate::store::call_log::CallLog;
use crate::store::directory::MemoryDirectory;
use crate::switch::record::LiveCall;

/// The running server.
pub(super) struct View {
    draining: AtomicBool,
    calls: Arc<LiveCalls>,
    wishes: Arc<Wishes>,
    counters: Arc<Counters>,
    status: watch::Receiver<Status>,
    plane: Arc<dyn Plane>,
    directory: Arc<MemoryDirectory>,
    call_log: CallLog,
}

impl View {
    pub(super) fn new(server: &Server) -> View {
        View {
            draining: AtomicBool::new(false),
            calls: server.calls.clone(),
            wishes: server.wishes.clone(),
            counters: server.counters.clone(),
            status: server.status.clone(),
            plane: server.plane.clone(),
            directory: server.store.directory(),
            call_log: server.call_log.clone(),
        }
    }

    /// From now on not ready.
    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

impl Calls for View {
    fn live(&self) -> Vec<LiveCall> {
        self.calls.list()
    }

    fn hangup(&self, call: Sid) -> bool {
        let live = self.calls.contains(call);
        if live {
            self.wishes.hangup(call);
        }
        live
    }
}

impl Monitor for View {
    fn ready(&self) -> bool {
        // A call that could not be recorded is refused, so elsewhere is better.
        !self.draining.load(Ordering::Relaxed) && self.call_log.has_room()
    }

    fn metrics(&self) -> Vec<Metric> {
        let status = *self.status.borrow();
        let mut metrics = vec![Metric::gauge(
            "callmask_calls_live",
            "Calls up or being set up, announcements included.",
            self.calls.count() as u64,
        )];
        for (status, count) in self.counters.calls_ended() {
            // The word of the records: `no-answer`.
            let word = serde_json::to_value(status).unwrap_or_default();
            metrics.push(
                Metric::counter("callmask_calls_total", "Calls ended, by status.", count)
                    .label("status", word.as_str().unwrap_or_default()),
            );
        }
        let held = status.held;
        for (what, count) in [
            ("calls", held.calls),
            ("dialogs", held.dialogs),
            ("transactions", held.transactions),
            ("timers", held.timers),
        ] {
            let help = "What the switch holds, until the last late message of a call is absorbed.";
            metrics.push(
                Metric::gauge("callmask_switch_held", help, count as u64).label("what", what),
            );
        }
        self.signalling(&status, &mut metrics);
        self.media(&mut metrics);
        metrics.extend([
            Metric::gauge(
                "callmask_store_revision",
                "Changes committed to the store.",
                self.directory.revision(),
            ),
            Metric::gauge(
                "callmask_call_log_backlog",
                "Rows that wait to be written to the call log.",
                self.call_log.backlog() as u64,
            ),
            Metric::counter(
                "callmask_panics_caught_total",
                "Panics caught; each is a defect.",
                self.counters.panics.get() + status.counters.panics,
            ),
        ]);
        metrics
    }
}

impl View {
    fn signalling(&self, status: &Status, metrics: &mut Vec<Metric>) {
        let counters = &self.counters;
        for (direction, counter) in [("in", &counters.sip_in), ("out", &counters.sip_out)] {
            metrics.push(
                Metric::counter(
                    "callmask_sip_messages_total",
                    "SIP messages from and to trunks.",
                    counter.get(),
                )
                .label("direction", direction),
            );
        }
        for (reason, counter) in [
            ("buffer_full", &counters.sip_full),
            ("refused", &counters.sip_refused),
            ("undeliverable", &counters.sip_undeliverable),
        ] {
            metrics.push(
                Metric::counter(
                    "callmask_sip_unsent_total",
                    "SIP messages that did not leave or did not arrive.",
                    counter.get(),
                )
                .label("reason", reason),
            );
        }
        metrics.extend([
            Metric::counter(
                "callmask_sip_malformed_total",
                "SIP messages from trunks that could not be read.",
                status.counters.malformed,
            ),
            Metric::counter(
                "callmask_sip_overflow_total",
                "Requests dropped because a table of the switch was full.",
                status.counters.overflow,
            ),
            Metric::counter(
                "callmask_sip_guarded_total",
                "Messages that the masking guard stopped; each is a defect.",
                status.counters.guarded,
            ),
            Metric::counter(
                "callmask_sip_strangers_dropped_total",
                "Datagrams from addresses in no trunk's accept_from.",
                counters.strangers.get(),
            ),
            Metric::counter(
                "callmask_sip_strangers_rejected_total",
                "Strangers answered with 403.",
                counters.strangers_rejected.get(),
            ),
        ]);
    }

    fn media(&self, metrics: &mut Vec<Metric>) {
        let media = self.plane.counters();
        for (state, pairs) in [
            ("ready", media.pairs_ready),
            ("in_use", media.pairs_in_use),
            ("quarantined", media.pairs_quarantined),
        ] {
            metrics.push(
                Metric::gauge("callmask_port_pairs", "RTP port pairs, by state.", pairs)
                    .label("state", state),
            );
        }
        metrics.extend([
            Metric::gauge(
                "callmask_port_pairs_configured",
                "RTP port pairs that the configuration holds.",
                media.pairs_total,
            ),
            Metric::counter(
                "callmask_rtp_packets_relayed_total",
                "RTP packets passed on from one party to the other.",
                media.packets_relayed,
            ),
            Metric::counter(
                "callmask_rtp_packets_played_total",
                "RTP packets of announcements and ringback.",
                media.packets_played,
            ),
        ]);
        for (reason, count) in [
            ("source", media.packets_dropped_source),
            ("other", media.packets_dropped_other),
        ] {
            metrics.push(
                Metric::counter(
                    "callmask_rtp_packets_dropped_total",
                    "Packets dropped: from the wrong address, or not usable.",
                    count,
                )
                .label("reason", reason),
            );
        }
    }
}
