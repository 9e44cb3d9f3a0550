//! idle: what a subject costs while nobody calls.

use std::time::Duration;

use crate::failure::Outcome;
use crate::report::Row;
use crate::scenario::Bench;
use crate::subject::Kind;

/// After the start, until whatever a subject does then is done.
const CALM: Duration = Duration::from_secs(1);

pub(super) fn run(bench: &mut Bench) -> Outcome<()> {
    let length = Duration::from_secs(bench.options.secs());
    for round in 1..=bench.options.rounds() {
        let mut kinds = bench.options.signalling();
        kinds.extend(bench.options.relaying().into_iter().skip(1));
        for kind in kinds {
            let subject = bench.start(kind, 0)?;
            std::thread::sleep(CALM);
            let cpu = subject.cpu_ns()?;
            std::thread::sleep(length);
            let spent = subject.cpu_ns()? - cpu;
            let mut row = Row::new("idle", kind.name(), round);
            row.figure("cpu_us_per_s", spent as f64 / 1e3 / length.as_secs_f64());
            row.figure("pss_mib", subject.pss_bytes()? as f64 / f64::from(1 << 20));
            if kind != Kind::Rtpengine {
                let tally = bench.warm_up(&subject)?;
                row.check(
                    "calls go through afterwards",
                    tally.completed == tally.begun,
                );
            }
            bench.report.add(row)?;
        }
    }
    Ok(())
}
