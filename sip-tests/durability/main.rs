//! Durability: what the store acknowledged survives, and nothing is acknowledged before it does.
//!
//! `cargo test --test durability` runs all, `-- NAME` those whose name contains NAME. The same
//! program, started with [`worker::FOLDER`] set, is the process that is killed and traced.
//! `CALLMASK_LONG=1` kills 200 times instead of 20.

mod failing;
mod kill;
mod random;
mod trace;
mod worker;

use std::process::ExitCode;
use std::time::Instant;

/// A proof, or what it found.
type Proof = fn() -> Result<String, String>;

const PROOFS: [(&str, Proof); 4] = [
    ("killed_at_random_times", kill::killed_at_random_times),
    (
        "no_acknowledgement_before_its_fdatasync",
        trace::no_acknowledgement_before_its_fdatasync,
    ),
    (
        "the_trace_would_show_an_early_acknowledgement",
        trace::the_trace_would_show_an_early_acknowledgement,
    ),
    (
        "a_failing_fdatasync_is_never_acknowledged",
        failing::a_failing_fdatasync_is_never_acknowledged,
    ),
];

fn main() -> ExitCode {
    if let Some(code) = worker::serve() {
        return code;
    }
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|a| a == "--list") {
        return ExitCode::SUCCESS;
    }
    let names: Vec<&String> = args.iter().filter(|a| !a.starts_with("--")).collect();
    let (mut passed, mut failed) = (0, 0);
    for (name, proof) in PROOFS {
        if !names.is_empty() && !names.iter().any(|n| name.contains(n.as_str())) {
            continue;
        }
        let start = Instant::now();
        let outcome = proof();
        let secs = start.elapsed().as_secs_f32();
        match outcome {
            Ok(said) => {
                passed += 1;
                println!("test {name} ... ok ({said}; {secs:.1} s)");
            }
            Err(why) => {
                failed += 1;
                println!("test {name} ... FAILED ({secs:.1} s)\n    {why}");
            }
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {passed} passed; {failed} failed; 0 ignored");
    ExitCode::from(u8::from(failed > 0))
}
