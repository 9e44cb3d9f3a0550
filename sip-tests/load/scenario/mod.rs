//! The measurements. Each starts its subject afresh, so that none inherits another's memory.

mod directory;
mod hold;
mod idle;
mod lat;
mod max;
mod media;
mod sig;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use crate::calls::{Calls, Ends, Plan, Tally};
use crate::failure::{Doing, Outcome};
use crate::options::{Options, Scenario};
use crate::report::{Report, Row};
use crate::subject::{Home, Kind, Subject, World};
use crate::wire::Wire;

/// The largest share of calls that may fail.
const FAILURES: f64 = 0.001;
/// Successive calls use slots this far apart: a prime, so that all are used in turn.
const STRIDE: usize = 7_919;
/// How long a call is held where nothing else is said.
const HOLD: Duration = Duration::from_millis(100);
/// How long records may take to the disk.
const RECORDS: Duration = Duration::from_secs(10);
/// Between two looks at the call log.
const GLANCE: Duration = Duration::from_millis(20);
/// Calls that bring code and tables into memory before anything is measured, and their rate.
const WARM_UP: (usize, f64) = (100, 200.0);

/// All that a measurement needs.
pub(crate) struct Bench {
    /// The command line.
    pub(crate) options: Options,
    /// Where everything lives.
    pub(crate) world: World,
    /// The signalling ends.
    pub(crate) ends: Ends,
    /// The audio ends: the caller's, the callee's.
    pub(crate) ears: [Wire; 2],
    /// callmask's ordinary store.
    pub(crate) home: Home,
    /// Where rows go.
    pub(crate) report: Report,
}

/// Takes one scenario's measurements.
type Measure = fn(&mut Bench) -> Outcome<()>;

/// Takes every measurement that is wanted.
pub(crate) fn run(bench: &mut Bench) -> Outcome<()> {
    let steps: [(Scenario, Measure); 7] = [
        (Scenario::Idle, idle::run),
        (Scenario::Sig, sig::run),
        (Scenario::Lat, lat::run),
        (Scenario::Hold, hold::run),
        (Scenario::Media, media::run),
        (Scenario::Max, max::run),
        (Scenario::Directory, directory::run),
    ];
    for (scenario, step) in steps {
        if bench.options.wants(scenario) {
            step(bench)?;
        }
    }
    Ok(())
}

impl Bench {
    fn start(&self, kind: Kind, calls: usize) -> Outcome<Subject> {
        self.world.start(kind, &self.ends, &self.home, calls)
    }

    /// Makes calls through the subject and lets all of them end.
    fn calls(&mut self, subject: &Subject, plan: Plan) -> Outcome<Tally> {
        let mut calls = Calls::new(&mut self.ends, subject.addresses(), plan)?;
        calls.run();
        Ok(calls.finish())
    }

    /// So many calls at this rate, each ended after [`HOLD`].
    fn plan(&self, rate: f64, calls: usize) -> Plan {
        Plan {
            rate,
            calls,
            hold: Some(HOLD),
            slots: self.world.slots,
            stride: STRIDE,
        }
    }

    fn warm_up(&mut self, subject: &Subject) -> Outcome<Tally> {
        let plan = self.plan(WARM_UP.1, WARM_UP.0);
        let before = records_of(subject)?;
        let tally = self.calls(subject, plan)?;
        // So that its records are not counted as those of the measurement.
        await_records(subject, before, tally.completed)?;
        Ok(tally)
    }
}

/// Starts the command of --beside.
fn beside(command: Option<&str>, subject: &Subject) -> Outcome<Option<Child>> {
    let (Some(command), Some(pid)) = (command, subject.id()) else {
        return Ok(None);
    };
    let command = command.replace("{pid}", &pid.to_string());
    let child = Command::new("sh")
        .args(["-c", &command])
        .stdin(Stdio::null())
        .spawn();
    Ok(Some(child.doing("--beside")?))
}

/// Records of completed calls in a call log.
fn records(log: &Path) -> Outcome<u64> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(log, flags).doing(log.display())?;
    connection.busy_timeout(RECORDS).doing(log.display())?;
    let ask = "SELECT count(*) FROM calls WHERE status = 'completed'";
    let count: i64 = connection
        .query_row(ask, [], |row| row.get(0))
        .doing(log.display())?;
    Ok(count as u64)
}

/// The records a subject has so far; `None` for those that keep none.
fn records_of(subject: &Subject) -> Outcome<Option<u64>> {
    subject.log().map(records).transpose()
}

/// Waits until so many records have come since `before`; how many it were.
fn await_records(subject: &Subject, before: Option<u64>, wanted: usize) -> Outcome<u64> {
    let deadline = Instant::now() + RECORDS;
    loop {
        let now = records_of(subject)?.unwrap_or_default();
        let come = now.saturating_sub(before.unwrap_or_default());
        if come >= wanted as u64 || before.is_none() || Instant::now() > deadline {
            return Ok(come);
        }
        std::thread::sleep(GLANCE);
    }
}

/// Puts what makes signalling honest into the row.
fn check(row: &mut Row, kind: Kind, tally: &Tally, records: u64) {
    let promise = kind.promise();
    let failed = tally.begun - tally.completed;
    row.figure("calls", tally.completed as f64);
    row.figure("failed", failed as f64);
    row.check(
        "under 0.1 % of calls fail",
        (failed as f64) < FAILURES * tally.begun as f64,
    );
    row.check(
        "ACK and BYE reach the callee",
        tally.acknowledged >= tally.completed,
    );
    if promise.masked {
        let holds = tally.masked == tally.in_out_ns.len() && tally.masked >= tally.completed;
        row.check("the callee sees the ExoPhone and nowhere the caller", holds);
    }
    if promise.new_sdp {
        row.check(
            "both ends get a new audio address",
            tally.new_sdp >= tally.completed,
        );
    }
    if promise.records {
        row.check(
            "as many records on disk as calls",
            records == tally.completed as u64,
        );
    }
    for (code, count) in &tally.refusals {
        row.note(format!("{count} calls were answered with {code}"));
    }
    if tally.surplus > 0 {
        row.note(format!(
            "{} messages came again or fitted nothing",
            tally.surplus
        ));
    }
}
