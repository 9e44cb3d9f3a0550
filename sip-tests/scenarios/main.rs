//! The scenarios: SIPp calls SIPp through a callmask server, each case with a server of its own.
//!
//! `cargo test --test scenarios` plays all, `-- NAME` those whose name contains NAME. Filled
//! scripts, SIPp's logs and the server's log of each case are left in `target/tmp/scenarios`.
//! Cases with long timers are played with `--long` or `CALLMASK_LONG=1` only.
//! `CALLMASK_TEST_BINARY` names another binary to judge than the one cargo built along.
//! `--write-table` brings the table in `sip-tests/README.md` up to date.

mod case;
mod judge;
mod rules;
mod rules_check;
mod run;
mod script;
mod table;
#[path = "../soak/watch.rs"]
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use case::Case;
use run::Places;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Cases that are played at once.
const AT_ONCE: usize = 16;
/// The case that the checks of the checks are made from.
const META: &str = "01-customer-to-agent";

/// A case with what it must come to: the checks of the checks must find something wrong.
struct Job {
    case: Case,
    must_fail_with: Option<&'static str>,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (flags, names): (Vec<_>, Vec<_>) = args.iter().partition(|a| a.starts_with("--"));
    let flag = |name: &str| flags.iter().any(|f| *f == name);
    if flag("--list") {
        // Asked by test collectors; there is nothing that can be run by test name.
        return ExitCode::SUCCESS;
    }
    let result = Case::all(&run::cases()).and_then(|cases| {
        if flag("--write-table") {
            return table::write(&readme(), &table::rows(&cases, &raw())?).map(|()| 0);
        }
        let long = flag("--long") || std::env::var_os("CALLMASK_LONG").is_some();
        play(cases, &names, long)
    });
    match result {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(e) => {
            println!("FAILED  scenarios: {e}");
            println!("scenarios: 0 passed, 1 failed");
            ExitCode::FAILURE
        }
    }
}

/// Plays what the names choose and returns how many failed.
fn play(cases: Vec<Case>, names: &[&String], long: bool) -> Result<usize, String> {
    let chosen = |name: &str| names.is_empty() || names.iter().any(|n| name.contains(n.as_str()));
    let table = table::rows(&cases, &raw()).and_then(|rows| table::is_current(&readme(), &rows));
    let mut jobs = Vec::new();
    for case in cases {
        if case.name == META {
            jobs.extend(flipped(&case).into_iter().filter(|j| chosen(&j.case.name)));
        }
        if case.says.long && !long {
            continue;
        }
        if chosen(&case.name) {
            jobs.push(Job {
                case,
                must_fail_with: None,
            });
        }
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|e| e.to_string())?;
    let (mut passed, mut failed) = runtime.block_on(play_all(jobs))?;
    let checks = [
        (
            "the table in sip-tests/README.md is what the cases say",
            table,
        ),
        ("the rules find each fault", rules_check::check()),
    ];
    for (what, result) in checks.into_iter().filter(|(what, _)| chosen(what)) {
        match result {
            Ok(()) => {
                passed += 1;
                println!("ok      {what}");
            }
            Err(e) => {
                failed += 1;
                println!("FAILED  {e}");
            }
        }
    }
    println!("scenarios: {passed} passed, {failed} failed");
    Ok(failed)
}

async fn play_all(jobs: Vec<Job>) -> Result<(usize, usize), String> {
    let places = Places {
        binary: binary(),
        fragments: run::cases().join("fragments"),
        work: Path::new(env!("CARGO_TARGET_TMPDIR")).join("scenarios"),
    };
    let seats = Arc::new(Semaphore::new(AT_ONCE));
    let mut playing = JoinSet::new();
    for job in jobs {
        let (places, seats) = (places.clone(), seats.clone());
        playing.spawn(async move {
            let _seat = seats.acquire_owned().await;
            let start = Instant::now();
            let wrong = run::run(&job.case, &places).await;
            (job, wrong, start.elapsed().as_secs_f32())
        });
    }
    let (mut passed, mut failed) = (0, 0);
    while let Some(done) = playing.join_next().await {
        let (job, wrong, seconds) = done.map_err(|e| e.to_string())?;
        let verdict = match job.must_fail_with {
            None if wrong.is_empty() => Ok(()),
            None => Err(wrong.join("\n          ")),
            Some(words) if wrong.iter().any(|w| w.contains(words)) => Ok(()),
            Some(words) => Err(format!("it should have found \"{words}\", but: {wrong:?}")),
        };
        match verdict {
            Ok(()) => {
                passed += 1;
                println!("ok      {} ({seconds:.1} s)", job.case.name);
            }
            Err(why) => {
                failed += 1;
                println!(
                    "FAILED  {} ({seconds:.1} s)\n          {why}",
                    job.case.name
                );
            }
        }
    }
    Ok((passed, failed))
}

/// Copies of a good case with one expectation turned round each: they must be found wrong.
fn flipped(case: &Case) -> Vec<Job> {
    let flip = |name: &str, must_fail_with, change: &dyn Fn(&mut Case)| {
        let mut case = case.clone();
        case.name = format!("meta-{name}");
        change(&mut case);
        Job {
            case,
            must_fail_with: Some(must_fail_with),
        }
    };
    vec![
        flip("wrong-status", "the record's status", &|c| {
            let status = toml::Value::String("busy".to_owned());
            for record in &mut c.says.expect.record {
                record.insert("status".to_owned(), status.clone());
            }
        }),
        flip("wrong-count", "1 records, not 2", &|c| {
            c.says.expect.record.push(BTreeMap::new());
        }),
        flip("seen-number", "the callee received 4412345678", &|c| {
            // The callee does see the ExoPhone: forbidding it proves that the search searches.
            c.says.expect.forbidden.push("4412345678".to_owned());
        }),
        flip("wrong-party", "callee.xml", &|c| {
            // The callee's script now expects a stranger's number as the target.
            c.says.callee = "STRANGER".to_owned();
        }),
        flip("wrong-count-heard", "the callee received 1 like", &|c| {
            c.says.expect.heard.push(case::Times {
                side: case::Side::Callee,
                like: "^INVITE ".to_owned(),
                least: 2,
                most: None,
            });
        }),
        flip("missing-log-line", "no line of the server's log", &|c| {
            c.says.expect.log = Some("words that no server writes".to_owned());
        }),
    ]
}

/// The binary that is judged: the one built along with this runner, or another one.
fn binary() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    match std::env::var_os("CALLMASK_TEST_BINARY") {
        Some(other) => root.join(other),
        None => PathBuf::from(env!("CARGO_BIN_EXE_callmask")),
    }
}

/// The tests on bare sockets.
fn raw() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sip-tests/raw")
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sip-tests/README.md")
}
