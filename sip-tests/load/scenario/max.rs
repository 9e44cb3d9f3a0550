//! max: the highest rate of new calls at which under 0.1 % fail. The rate doubles until one
//! fails, then the gap is halved. A subject that failed is started afresh.

use crate::calls::Tally;
use crate::failure::Outcome;
use crate::report::Row;
use crate::scenario::{Bench, FAILURES, await_records, check, records_of};
use crate::subject::Kind;

/// Where the search begins, in calls a second.
const FIRST: f64 = 500.0;
/// Where it ends: no CPU of today gets there.
const LAST: f64 = 64_000.0;
/// How close it comes, in a quick and in a full run.
const CLOSE: [f64; 2] = [1.2, 1.05];
/// A generator that offers less than this share of a rate has found its own limit.
const OFFERED: f64 = 0.97;

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    for round in 1..=bench.options.rounds() {
        let mut kinds = bench.options.signalling();
        if !bench.options.quick {
            kinds.extend([Kind::Forwarder, Kind::Direct]);
        }
        for kind in kinds {
            let row = search(bench, kind, round)?;
            bench.report.add(row)?;
        }
    }
    Ok(())
}

/// What one rate came to.
struct Step {
    tally: Tally,
    records: u64,
    rate: f64,
    spent_ns: u64,
    bound_by_generator: bool,
}

impl Step {
    fn is_good(&self) -> bool {
        let failed = self.tally.begun - self.tally.completed;
        !self.bound_by_generator && (failed as f64) < FAILURES * self.tally.begun as f64
    }
}

fn search(bench: &mut Bench, kind: Kind, round: usize) -> Outcome<Row> {
    let [coarse, fine] = CLOSE;
    let close = bench.options.either(coarse, fine);
    let mut best: Option<Step> = None;
    let mut worst: Option<Step> = None;
    let mut subject = bench.start(kind, 0)?;
    bench.warm_up(&subject)?;
    loop {
        let rate = match (&best, &worst) {
            (None, None) => FIRST,
            (None, Some(bad)) => bad.rate / 2.0,
            (Some(good), None) => good.rate * 2.0,
            (Some(good), Some(bad)) => (good.rate * bad.rate).sqrt(),
        };
        if !(1.0..=LAST).contains(&rate) {
            break;
        }
        let step = one(bench, &subject, rate)?;
        if step.is_good() {
            best = Some(step);
        } else {
            worst = Some(step);
            drop(subject);
            subject = bench.start(kind, 0)?;
            bench.warm_up(&subject)?;
        }
        if let (Some(good), Some(bad)) = (&best, &worst)
            && bad.rate / good.rate < close
        {
            break;
        }
    }
    let mut row = Row::new("max", kind.name(), round);
    let Some(mut best) = best else {
        row.figure("max_calls_per_s", 0.0);
        row.check("some rate holds", false);
        return Ok(row);
    };
    row.figure("max_calls_per_s", best.rate.floor());
    row.figure(
        "cpu_us_per_call",
        best.spent_ns as f64 / 1e3 / best.tally.completed.max(1) as f64,
    );
    row.times(
        ["in-out_p50_us", "in-out_p99_us"],
        &mut best.tally.in_out_ns,
    );
    check(&mut row, kind, &best.tally, best.records);
    match worst {
        Some(bad) if bad.bound_by_generator => {
            row.note(format!("beyond {:.0} the generator is the limit", bad.rate));
        }
        Some(bad) => {
            let failed = bad.tally.begun - bad.tally.completed;
            row.note(format!(
                "at {:.0} of {} calls {failed} failed",
                bad.rate, bad.tally.begun
            ));
        }
        None => {}
    }
    Ok(row)
}

fn one(bench: &mut Bench, subject: &crate::subject::Subject, rate: f64) -> Outcome<Step> {
    let secs = bench.options.secs.unwrap_or(bench.options.either(1, 4)) as f64;
    let before = records_of(subject)?;
    let cpu = subject.cpu_ns()?;
    let plan = bench.plan(rate, (rate * secs) as usize);
    let tally = bench.calls(subject, plan)?;
    let records = await_records(subject, before, tally.completed)?;
    let offered = tally.begun as f64 / (tally.offered_ns.max(1) as f64 / 1e9);
    Ok(Step {
        bound_by_generator: offered < OFFERED * rate,
        spent_ns: subject.cpu_ns()? - cpu,
        tally,
        records,
        rate,
    })
}
