//! What the API asks of the running server: its live calls, its readiness, its counters. The
//! shell implements these; [`Offline`] stands in when the command line works on the store alone.

use crate::sid::Sid;
use crate::switch::record::LiveCall;

/// The calls that are up.
pub trait Calls: Send + Sync {
    /// Every call that is up or being set up.
    fn live(&self) -> Vec<LiveCall>;

    /// Asks for the end of a call. False when no call of this id is up; true says that it was
    /// asked, the record follows.
    fn hangup(&self, call: Sid) -> bool;
}

/// The health of the process.
pub trait Monitor: Send + Sync {
    /// Whether new calls are taken: false before the sockets are open, while draining, and while
    /// the call log cannot write.
    fn ready(&self) -> bool;

    /// All counters and gauges, families in order, samples of one family together.
    fn metrics(&self) -> Vec<Metric>;
}

/// One sample for Prometheus.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Family name, as in `callmask_calls_total`.
    pub name: &'static str,
    /// What it counts, with its unit.
    pub help: &'static str,
    /// Whether it only ever grows.
    pub kind: MetricKind,
    /// Label names and values; never a telephone number.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows, from 0 at start.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Metric {
    /// A counter without labels.
    pub fn counter(name: &'static str, help: &'static str, value: u64) -> Metric {
        Metric::new(name, help, MetricKind::Counter, value)
    }

    /// A gauge without labels.
    pub fn gauge(name: &'static str, help: &'static str, value: u64) -> Metric {
        Metric::new(name, help, MetricKind::Gauge, value)
    }

    /// The same sample with one more label.
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Metric {
        self.labels.push((name, value.into()));
        self
    }

    fn new(name: &'static str, help: &'static str, kind: MetricKind, value: u64) -> Metric {
        Metric {
            name,
            help,
            kind,
            labels: Vec::new(),
            // Exact up to 2^53, far beyond what a process counts.
            value: value as f64,
        }
    }
}

/// No server: no live calls, nothing to count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

impl Calls for Offline {
    fn live(&self) -> Vec<LiveCall> {
        Vec::new()
    }

    fn hangup(&self, _call: Sid) -> bool {
        false
    }
}

impl Monitor for Offline {
    fn ready(&self) -> bool {
        false
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}
