//! The load tool: what callmask costs and how fast it is, on this machine, beside Debian's
//! Kamailio and rtpengine and beside what the kernel alone costs. `sip-tests/load/run --help`
//! tells how it is used, `docs/performance.md` what its figures mean.
//!
//! Caller, callee and both audio ends of every call live in one thread on a CPU of their own;
//! the subject has another. A row is worth something only if the work was done, so each one
//! checks what both ends received and what stands in the call log.

mod audio;
mod calls;
mod failure;
mod machine;
mod numbers;
mod options;
mod process;
mod random;
mod report;
mod scenario;
mod sip;
mod subject;
mod wire;

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use clap::Parser as _;

use calls::Ends;
use failure::{Doing, Failure, Outcome};
use machine::{Cpus, raise_descriptors};
use options::{Options, Scenario};
use random::hex;
use report::Report;
use scenario::Bench;
use subject::{Home, World, floor};
use wire::Wire;

/// Allocations of the ordinary store: more than there are calls at once at any rate.
const SLOTS: usize = 20_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.is_empty() {
        // `cargo test --benches` runs every bench without arguments to see whether it works.
        println!("load: nothing to do; sip-tests/load/run measures");
        return ExitCode::SUCCESS;
    }
    let done = match arguments.split_first() {
        Some((role, rest)) if role == floor::ROLE => floor::run(rest).map(|()| true),
        _ => measure(Options::parse()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all that is asked for; whether every row is honest.
fn measure(mut options: Options) -> Outcome<bool> {
    let mut versions = vec![("callmask".to_owned(), env!("CARGO_PKG_VERSION").to_owned())];
    options.vs.retain(|peer| match version(peer.command()) {
        Some(version) => {
            versions.push((peer.command().to_owned(), version));
            true
        }
        None => {
            println!("note: {} is not installed: left out", peer.command());
            false
        }
    });
    let folder = std::env::temp_dir().join(format!("callmask-load-{}", hex(4)?));
    std::fs::create_dir(&folder).doing(folder.display())?;
    let keep = options.keep;
    let honest = measure_in(options, &versions, &folder);
    if keep {
        println!("everything stays in {}", folder.display());
    } else {
        std::fs::remove_dir_all(&folder).doing(folder.display())?;
    }
    honest
}

fn measure_in(options: Options, versions: &[(String, String)], folder: &Path) -> Outcome<bool> {
    if !sip::can_judge() {
        return Err(Failure::new("the judge of masked calls is wrong"));
    }
    let descriptors = raise_descriptors()?;
    // Addresses of this run alone, so that ports are free whatever else runs here.
    let part = (std::process::id() % 250) as u8;
    let [server, caller, callee] = [1, 2, 3].map(|last| Ipv4Addr::new(127, 77, part, last));
    let ends = Ends {
        caller: Wire::bind(caller)?,
        callee: Wire::bind(callee)?,
    };
    let ears = [Wire::bind(caller)?, Wire::bind(callee)?];
    let binary = options
        .binary
        .clone()
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_callmask").into());
    if !binary.is_file() {
        return Err(Failure::new(format!("there is no {}", binary.display())));
    }
    let world = World {
        cpus: Cpus::split()?,
        binary,
        folder: folder.to_owned(),
        descriptors,
        slots: SLOTS,
        server_ip: server,
        caller_audio: ears[0].local(),
        callee_audio: ears[1].local(),
    };
    let report = Report::begin(options.json.as_deref(), versions)?;
    // The directory scenario alone makes stores of its own.
    let slots = if options.scenarios == [Scenario::Directory] {
        100
    } else {
        world.slots
    };
    let home = Home::new(&world, &ends, "home", slots)?;
    let mut bench = Bench {
        options,
        world,
        ends,
        ears,
        home,
        report,
    };
    scenario::run(&mut bench)?;
    Ok(bench.report.finish())
}

/// The first line in which a program names its version; `None` when it is not installed.
fn version(command: &str) -> Option<String> {
    let said = Command::new(command)
        .arg("-v")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .find(|l| !l.trim().is_empty())
        .map(|l| l.trim().to_owned())
}
