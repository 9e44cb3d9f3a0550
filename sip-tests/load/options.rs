//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

use crate::subject::Kind;

/// Measures callmask under load, beside other servers and beside what the kernel alone costs.
#[derive(Debug, Parser)]
#[command(name = "sip-tests/load/run", max_term_width = 100)]
pub(crate) struct Options {
    /// What to measure; all of it without any.
    pub(crate) scenarios: Vec<Scenario>,
    /// Less of everything: under a minute without --vs. Figures are coarse.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Measure these beside callmask, in turns, when they are installed.
    #[arg(long, value_name = "SERVER")]
    pub(crate) vs: Vec<Peer>,
    /// Write one JSON object a row to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// How often each subject is measured, in turns: A B A B [default: 2, quick 1]
    #[arg(long, value_name = "N")]
    pub(crate) rounds: Option<usize>,
    /// Seconds of each measurement [default: 10, quick 2]
    #[arg(long, value_name = "N")]
    pub(crate) secs: Option<u64>,
    /// Calls a second of sig [default: 500, quick 200]
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<f64>,
    /// Calls at once of hold and media [default: 1000 for hold, 100 500 1000 for media, quick 100]
    #[arg(long, value_name = "N")]
    pub(crate) calls: Vec<usize>,
    /// Allocations of directory [default: 100000 1000000, quick 20000]
    #[arg(long, value_name = "N")]
    pub(crate) allocations: Vec<usize>,
    /// Leave out the wait of 64·T1 after sig, whose timers then are not in its figure.
    #[arg(long)]
    pub(crate) no_settle: bool,
    /// The server under test [default: this repository's release build]
    #[arg(long, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Run a profiler beside each measurement: `{pid}` in the command is the subject's id.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) beside: Option<String>,
    /// Leave configurations, stores and call logs where they are.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// CPU and memory without traffic.
    Idle,
    /// CPU of set-up and teardown at one rate.
    Sig,
    /// Time from the caller's INVITE to the callee's.
    Lat,
    /// Memory of held calls.
    Hold,
    /// CPU, loss and delay of audio.
    Media,
    /// Highest rate with under 0.1 % failures.
    Max,
    /// Many allocations: import, start, memory, INVITE latency.
    Directory,
}

/// Another server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    /// A masking proxy; with --vs rtpengine also both together.
    Kamailio,
    /// A media relay.
    Rtpengine,
}

impl Peer {
    /// Its program.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Peer::Kamailio => "kamailio",
            Peer::Rtpengine => "rtpengine",
        }
    }
}

impl Options {
    /// The quick value or the full one.
    pub(crate) fn either<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Seconds of a measurement.
    pub(crate) fn secs(&self) -> u64 {
        self.secs.unwrap_or(self.either(2, 10)).max(1)
    }

    /// How often each subject is measured.
    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(self.either(1, 2)).max(1)
    }

    /// Whether this is to be measured.
    pub(crate) fn wants(&self, scenario: Scenario) -> bool {
        self.scenarios.is_empty() || self.scenarios.contains(&scenario)
    }

    /// The list given, or these.
    pub(crate) fn list(given: &[usize], default: &[usize]) -> Vec<usize> {
        if given.is_empty() {
            default.to_vec()
        } else {
            given.to_vec()
        }
    }

    /// Who takes part in signalling, in turns.
    pub(crate) fn signalling(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Callmask];
        if self.vs.contains(&Peer::Kamailio) {
            kinds.push(Kind::Kamailio);
            if self.vs.contains(&Peer::Rtpengine) {
                kinds.push(Kind::KamailioRtpengine);
            }
        }
        kinds
    }

    /// Who takes part in audio, in turns.
    pub(crate) fn relaying(&self) -> Vec<Kind> {
        let mut kinds = vec![Kind::Callmask];
        if self.vs.contains(&Peer::Rtpengine) {
            kinds.push(Kind::Rtpengine);
        }
        kinds
    }
}
