//! Counters of the whole process, written where things happen and printed for `/metrics` in the
//! Prometheus text format.

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::Mutex;
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

/// What the shell itself counts.
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
    /// Panics caught in the switch: defects of ours.
    pub panics: Counter,
    /// Media events that had to wait for the shard.
    pub media_events_waited: Counter,
    ended: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// Counts an ended call.
    pub fn call_ended(&self, status: Status) {
        let mut ended = match self.ended.lock() {
            Ok(guard) => guard,
            // A count is never left half written.
            Err(poisoned) => poisoned.into_inner(),
        };
        *ended.entry(word(status)).or_default() += 1;
    }

    /// Prints every counter of the shell.
    pub fn print(&self, page: &mut Page) {
        {
            let ended = match self.ended.lock() {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            };
            page.family("callmask_calls_total", "counter", "Calls ended, by status.");
            for status in FINAL {
                let count = ended.get(word(status)).copied().unwrap_or(0);
                page.labelled("callmask_calls_total", "status", word(status), count);
            }
        }
        page.family(
            "callmask_sip_messages_total",
            "counter",
            "SIP messages from and to trunks.",
        );
        for (direction, counter) in [("in", &self.sip_in), ("out", &self.sip_out)] {
            page.labelled(
                "callmask_sip_messages_total",
                "direction",
                direction,
                counter.get(),
            );
        }
        page.family(
            "callmask_sip_unsent_total",
            "counter",
            "SIP messages that did not leave or did not arrive, by reason.",
        );
        for (reason, counter) in [
            ("buffer_full", &self.sip_full),
            ("refused", &self.sip_refused),
            ("undeliverable", &self.sip_undeliverable),
        ] {
            page.labelled("callmask_sip_unsent_total", "reason", reason, counter.get());
        }
        page.counter(
            "callmask_sip_strangers_dropped_total",
            "Datagrams from addresses in no trunk's accept_from.",
            self.strangers.get(),
        );
        page.counter(
            "callmask_sip_strangers_rejected_total",
            "Strangers answered with 403.",
            self.strangers_rejected.get(),
        );
        page.counter(
            "callmask_panics_caught_total",
            "Panics caught in the switch; each is a defect.",
            self.panics.get(),
        );
        page.counter(
            "callmask_media_events_waited_total",
            "Media events that had to wait for the signalling thread.",
            self.media_events_waited.get(),
        );
    }
}

/// The statuses an ended call can have.
const FINAL: [Status; 5] = [
    Status::Completed,
    Status::Busy,
    Status::NoAnswer,
    Status::Failed,
    Status::Canceled,
];

/// The status as the API writes it.
fn word(status: Status) -> &'static str {
    match status {
        Status::Queued => "queued",
        Status::Ringing => "ringing",
        Status::InProgress => "in-progress",
        Status::Completed => "completed",
        Status::Busy => "busy",
        Status::NoAnswer => "no-answer",
        Status::Failed => "failed",
        Status::Canceled => "canceled",
    }
}

/// A page of metrics being written. Names and labels are our own constants, so nothing needs
/// escaping.
#[derive(Debug, Default)]
pub struct Page(String);

impl Page {
    /// Begins a family of samples.
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// One sample with one label.
    pub fn labelled(&mut self, name: &str, label: &str, value: &str, sample: impl Display) {
        self.line(format_args!("{name}{{{label}=\"{value}\"}} {sample}"));
    }

    /// A family that is one counter.
    pub fn counter(&mut self, name: &str, help: &str, sample: impl Display) {
        self.family(name, "counter", help);
        self.line(format_args!("{name} {sample}"));
    }

    /// A family that is one gauge.
    pub fn gauge(&mut self, name: &str, help: &str, sample: impl Display) {
        self.family(name, "gauge", help);
        self.line(format_args!("{name} {sample}"));
    }

    /// The text.
    pub fn finish(self) -> String {
        self.0
    }

    fn line(&mut self, line: impl Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_has_its_type_and_its_samples() {
        let counters = Counters::default();
        counters.sip_in.add();
        counters.sip_in.add();
        counters.call_ended(Status::Busy);
        counters.call_ended(Status::Busy);
        counters.call_ended(Status::Completed);
        let mut page = Page::default();
        counters.print(&mut page);
        page.gauge("callmask_calls_live", "Calls up.", 3);
        let text = page.finish();
        for line in [
            "callmask_calls_total{status=\"busy\"} 2",
            "callmask_calls_total{status=\"completed\"} 1",
            "callmask_calls_total{status=\"no-answer\"} 0",
            "callmask_sip_messages_total{direction=\"in\"} 2",
            "callmask_sip_messages_total{direction=\"out\"} 0",
            "callmask_sip_strangers_dropped_total 0",
            "callmask_panics_caught_total 0",
            "callmask_calls_live 3",
            "# TYPE callmask_calls_live gauge",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
        // Each sample belongs to the family announced before it, and no family comes twice.
        let mut families = std::collections::BTreeSet::new();
        let mut current = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                current = rest.split(' ').next().unwrap().to_owned();
                assert!(families.insert(current.clone()), "{current} twice");
            } else if !line.starts_with('#') {
                assert!(line.starts_with(&current), "{line}");
            }
        }
    }

    #[test]
    fn the_words_are_those_of_the_records() {
        for status in FINAL {
            let json = serde_json::to_string(&status).unwrap();
            assert_eq!(json, format!("\"{}\"", word(status)));
        }
    }
}
