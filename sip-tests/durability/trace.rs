//! A trace of the system calls: no acknowledgement is written before the fdatasync that follows
//! its row has returned.
//!
//! The row of each change, by its id and version, is looked for in what the process writes to
//! sled's file, so that the order is shown for every single change, also when several share a
//! commit.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::worker;

const CHANGES: u64 = 100;
/// Bytes of each argument that strace prints: more than one write of sled's.
const STRING_LIMIT: &str = "700000";

/// The proof.
pub(crate) fn no_acknowledgement_before_its_fdatasync() -> Result<String, String> {
    let trace = traced(true)?;
    let (checked, early) = check(&trace)?;
    match early.first() {
        Some(why) => Err(format!("{} of {checked}: {why}", early.len())),
        None => Ok(format!(
            "{checked} acknowledgements, each after its fdatasync"
        )),
    }
}

/// The proof of the proof: a store that does not sync must be caught.
pub(crate) fn the_trace_would_show_an_early_acknowledgement() -> Result<String, String> {
    let trace = traced(false)?;
    let (checked, early) = check(&trace)?;
    if early.len() == checked {
        Ok(format!(
            "without the sync all {checked} are found to be early"
        ))
    } else {
        Err(format!(
            "without the sync only {} of {checked} were found to be early",
            early.len()
        ))
    }
}

/// Runs a worker under strace and returns the trace.
fn traced(sync: bool) -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = folder.path().join("trace");
    let store = folder.path().join("store");
    std::fs::create_dir(&store).map_err(|e| e.to_string())?;
    let worker = worker::command(&store, Some(CHANGES), sync)?;
    let mut strace = Command::new("strace");
    strace
        .args(["-f", "-y", "-s", STRING_LIMIT])
        .args(["-e", "trace=write,pwrite64,writev,fdatasync,fsync", "-o"])
        .arg(&file)
        .arg(worker.get_program())
        .stdout(Stdio::null());
    for (name, value) in worker.get_envs() {
        strace.env(name, value.unwrap_or_default());
    }
    let status = strace.status().map_err(|e| {
        format!("cannot run strace ({e}): install it, as sip-tests/run does (apt: strace)")
    })?;
    if !status.success() {
        return Err(format!("strace or the worker under it failed: {status}"));
    }
    read_lossy(&file)
}

fn read_lossy(file: &Path) -> Result<String, String> {
    let bytes = std::fs::read(file).map_err(|e| e.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// One system call, from the line where it began to the line where it returned.
#[derive(Debug)]
struct SystemCall<'a> {
    begun: usize,
    returned: usize,
    name: &'a str,
    arguments: &'a str,
    result: i64,
}

/// How many acknowledgements there are, and what is wrong with which.
fn check(trace: &str) -> Result<(usize, Vec<String>), String> {
    let calls = parse(trace);
    let on_db = |c: &&SystemCall<'_>| c.arguments.contains("/routing/db>");
    let rows: Vec<_> = calls
        .iter()
        .filter(|c| c.name == "pwrite64")
        .filter(on_db)
        .collect();
    let syncs: Vec<_> = calls
        .iter()
        .filter(|c| c.name == "fdatasync" && c.result == 0)
        .filter(on_db)
        .collect();
    let mut seen = 0;
    let mut early = Vec::new();
    for ack in calls.iter().filter(|c| c.name == "write") {
        let Some((id, version)) = acknowledged(ack.arguments) else {
            continue;
        };
        seen += 1;
        let Some(row) = rows.iter().find(|row| holds(row.arguments, id, version)) else {
            early.push(format!(
                "version {version} of {id} was acknowledged and never written"
            ));
            continue;
        };
        let held = syncs
            .iter()
            .any(|s| s.begun > row.returned && s.returned < ack.begun);
        if !held {
            early.push(format!(
                "version {version} of {id}: row written in line {}, acknowledged in line {}, no \
                 fdatasync between",
                row.returned, ack.begun
            ));
        }
    }
    if u64::try_from(seen) != Ok(CHANGES) {
        return Err(format!(
            "the trace shows {seen} acknowledgements, not {CHANGES}"
        ));
    }
    Ok((seen, early))
}

/// Id and version in an acknowledgement's line.
fn acknowledged(arguments: &str) -> Option<(&str, &str)> {
    let line = arguments.split_once("\"ack ")?.1;
    let mut words = line.split(' ').skip(1);
    Some((words.next()?, words.next()?))
}

/// Whether bytes written to sled's file, as strace prints them, hold this version of this row:
/// the id and, before the next id, the version that closes the row.
fn holds(arguments: &str, id: &str, version: &str) -> bool {
    const VERSION: &str = r#"\"version\":"#;
    let key = format!(r#"\"id\":\"{id}\""#);
    let mut rest = arguments;
    while let Some((_, after)) = rest.split_once(key.as_str()) {
        let found = after.split_once(VERSION).map(|(_, v)| v);
        if found.and_then(|v| v.split_once('}')).map(|(v, _)| v) == Some(version) {
            return true;
        }
        rest = after;
    }
    false
}

/// Reads strace's lines: `PID name(arguments) = result`, or the same in two lines when another
/// thread came between: `… <unfinished ...>` and `<... name resumed>…`.
fn parse(trace: &str) -> Vec<SystemCall<'_>> {
    let mut calls = Vec::new();
    let mut unfinished: BTreeMap<&str, (usize, &str, &str)> = BTreeMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else {
            continue;
        };
        let rest = rest.trim_start();
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            if let Some((name, arguments)) = begun.split_once('(') {
                unfinished.insert(pid, (number, name, arguments));
            }
            continue;
        }
        let (begun, name, arguments) = match rest.strip_prefix("<... ") {
            Some(_) => match unfinished.remove(pid) {
                Some(call) => call,
                None => continue,
            },
            None => match rest.split_once('(') {
                Some((name, arguments)) => (number, name, arguments),
                None => continue,
            },
        };
        let result = rest
            .rsplit_once(" = ")
            .and_then(|(_, r)| r.split(' ').next()?.parse().ok());
        if let Some(result) = result {
            calls.push(SystemCall {
                begun,
                returned: number,
                name,
                arguments,
                result,
            });
        }
    }
    calls
}
