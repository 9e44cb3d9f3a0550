//! directory: how many allocations are carried. Imported by the command line, every row durable;
//! then the server starts, and calls use all of them in turn.

use std::time::Instant;

use crate::calls::Calls;
use crate::failure::Outcome;
use crate::options::Options;
use crate::report::Row;
use crate::scenario::{Bench, HOLD, STRIDE, await_records, check, records_of};
use crate::subject::{Home, Kind};

/// Calls a second.
const RATE: f64 = 100.0;

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    let sizes = bench.options.either(&[20_000][..], &[100_000, 1_000_000]);
    let sizes = Options::list(&bench.options.allocations, sizes);
    let kind = Kind::Callmask;
    let none = Home::new(&bench.world, &bench.ends, "directory-0", 0)?;
    let idle = bench
        .world
        .start(kind, &bench.ends, &none, 0)?
        .pss_bytes()?;
    for size in sizes {
        let name = format!("directory-{size}");
        let home = Home::new(&bench.world, &bench.ends, &name, size)?;
        for round in 1..=bench.options.rounds() {
            let begun = Instant::now();
            let subject = bench.world.start(kind, &bench.ends, &home, 0)?;
            let ready = begun.elapsed();
            let pss = subject.pss_bytes()?;
            let before = records_of(&subject)?;
            let calls = (RATE * bench.options.secs() as f64) as usize;
            let plan = crate::calls::Plan {
                rate: RATE,
                calls,
                hold: Some(HOLD),
                slots: size,
                stride: STRIDE,
            };
            let mut run = Calls::new(&mut bench.ends, subject.addresses(), plan)?;
            run.run();
            let mut tally = run.finish();
            let records = await_records(&subject, before, tally.completed)?;
            let mut row = Row::new("directory", kind.name(), round);
            row.set("allocations", size as f64);
            row.figure(
                "import_rows_per_s",
                size as f64 / home.import.as_secs_f64().max(1e-9),
            );
            row.figure("start_s", ready.as_secs_f64());
            row.figure("pss_mib", pss as f64 / f64::from(1 << 20));
            row.figure(
                "pss_bytes_per_allocation",
                (pss as f64 - idle as f64) / size as f64,
            );
            row.figure("disk_mib", home.routing_bytes() as f64 / f64::from(1 << 20));
            row.times(["in-out_p50_us", "in-out_p99_us"], &mut tally.in_out_ns);
            check(&mut row, kind, &tally, records);
            bench.report.add(row)?;
        }
    }
    Ok(())
}
