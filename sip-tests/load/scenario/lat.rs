//! lat: from the caller's INVITE leaving to the kernel's stamp on the callee's INVITE, at a rate
//! at which nothing queues.

use crate::failure::Outcome;
use crate::report::Row;
use crate::scenario::{Bench, await_records, check, records_of};
use crate::subject::Kind;

/// Calls a second: one at a time.
const RATE: f64 = 100.0;

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    for round in 1..=bench.options.rounds() {
        let mut kinds = bench.options.signalling();
        kinds.extend([Kind::Forwarder, Kind::Direct]);
        for kind in kinds {
            let calls = (RATE * bench.options.secs() as f64) as usize;
            let subject = bench.start(kind, 0)?;
            bench.warm_up(&subject)?;
            let before = records_of(&subject)?;
            let plan = bench.plan(RATE, calls);
            let mut tally = bench.calls(&subject, plan)?;
            let records = await_records(&subject, before, tally.completed)?;
            let mut row = Row::new("lat", kind.name(), round);
            row.set("calls_per_s", RATE);
            row.times(["in-out_p50_us", "in-out_p99_us"], &mut tally.in_out_ns);
            row.times(["set-up_p50_us", "set-up_p99_us"], &mut tally.set_up_ns);
            check(&mut row, kind, &tally, records);
            bench.report.add(row)?;
        }
    }
    Ok(())
}
