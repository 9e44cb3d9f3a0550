//! hold: memory of calls that are up. Proportional set size of all processes, with the calls
//! less without them, divided by their number; buffers in the kernel are not in it.

use crate::calls::{Calls, Plan};
use crate::failure::Outcome;
use crate::options::Options;
use crate::report::Row;
use crate::scenario::{Bench, await_records, check, records_of};

/// New calls a second.
const RATE: f64 = 250.0;

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    let sizes = Options::list(&bench.options.calls, bench.options.either(&[200], &[1_000]));
    for calls in sizes {
        for round in 1..=bench.options.rounds() {
            for kind in bench.options.signalling() {
                let subject = bench.start(kind, 0)?;
                bench.warm_up(&subject)?;
                let before = records_of(&subject)?;
                let empty = subject.pss_bytes()?;
                let plan = Plan {
                    hold: None,
                    ..bench.plan(RATE, calls)
                };
                let mut held = Calls::new(&mut bench.ends, subject.addresses(), plan)?;
                held.run();
                let up = held.held();
                let full = subject.pss_bytes()?;
                held.release();
                let tally = held.finish();
                let records = await_records(&subject, before, tally.completed)?;
                let mut row = Row::new("hold", kind.name(), round);
                row.set("held", calls as f64);
                row.figure(
                    "pss_kib_per_call",
                    (full as f64 - empty as f64) / 1024.0 / up.max(1) as f64,
                );
                row.figure("pss_mib_empty", empty as f64 / f64::from(1 << 20));
                row.figure("pss_mib_full", full as f64 / f64::from(1 << 20));
                row.check("all calls are up at once", up == calls);
                check(&mut row, kind, &tally, records);
                bench.report.add(row)?;
            }
        }
    }
    Ok(())
}
