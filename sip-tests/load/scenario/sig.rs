//! sig: what setting a call up and taking it down costs the subject, at one rate for all. The
//! figure is CPU time of all its processes from before the first INVITE until the last record
//! is on disk, divided by completed calls; in a full run also what its timers do in the 64·T1
//! after that (RFC 3261 §17.1.1.2).

use std::time::Duration;

use crate::failure::Outcome;
use crate::report::Row;
use crate::scenario::{Bench, await_records, beside, check, records_of};
use crate::subject::Kind;

/// 64·T1, and a second.
const SETTLE: Duration = Duration::from_secs(33);

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    for round in 1..=bench.options.rounds() {
        let mut kinds = bench.options.signalling();
        kinds.push(Kind::Forwarder);
        for kind in kinds {
            one(bench, kind, round)?;
        }
    }
    Ok(())
}

fn one(bench: &mut Bench, kind: Kind, round: usize) -> Outcome<()> {
    let rate = bench
        .options
        .rate
        .unwrap_or(bench.options.either(200.0, 500.0));
    let calls = (rate * bench.options.secs() as f64) as usize;
    let settle = !bench.options.no_settle && !bench.options.quick && kind != Kind::Forwarder;
    let subject = bench.start(kind, 0)?;
    bench.warm_up(&subject)?;
    let before = records_of(&subject)?;
    let profiler = beside(bench.options.beside.as_deref(), &subject)?;
    let cpu = subject.cpu_ns()?;
    let plan = bench.plan(rate, calls);
    let mut tally = bench.calls(&subject, plan)?;
    let records = await_records(&subject, before, tally.completed)?;
    let spent = subject.cpu_ns()? - cpu;
    if let Some(mut child) = profiler {
        child.wait()?;
    }
    let mut row = Row::new("sig", kind.name(), round);
    row.set("calls_per_s", rate);
    let each = |ns: u64| ns as f64 / 1e3 / tally.completed.max(1) as f64;
    row.figure("cpu_us_per_call", each(spent));
    if settle {
        std::thread::sleep(SETTLE);
        row.figure("with_timers_us_per_call", each(subject.cpu_ns()? - cpu));
    }
    row.times(["set-up_p50_us", "set-up_p99_us"], &mut tally.set_up_ns);
    check(&mut row, kind, &tally, records);
    bench.report.add(row)
}
