//! `kill -9` at random times: no acknowledged change is missing afterwards, and nothing that was
//! deactivated comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::thread;
use std::time::Duration;

use callmask::number::Number;
use callmask::sid::Sid;
use callmask::store::allocation::State;
use callmask::store::call_log::{CallFilter, CallLog};
use callmask::store::{Options, Store};
use callmask::switch::plan::{Directory, Plan};
use callmask::switch::record::Cause;

use crate::random::Random;
use crate::worker;

const KILLS: usize = 20;
const KILLS_LONG: usize = 200;
/// A worker lives until it has acknowledged up to this many changes, chosen at random.
const MOST_CHANGES: u64 = 100;
/// And up to this long after, so that the kill falls anywhere within a commit.
const MOST_MICROS: u64 = 8_000;

/// The last acknowledged state of an allocation.
#[derive(Debug, Clone)]
struct Acknowledged {
    ended: bool,
    version: u64,
    agent: Number,
    mark: String,
}

/// All that was acknowledged, by all workers so far.
#[derive(Debug, Default)]
struct Model {
    allocations: BTreeMap<Sid, Acknowledged>,
    live: BTreeSet<Sid>,
    finished: BTreeSet<Sid>,
    acknowledged: usize,
}

/// The proof.
pub(crate) fn killed_at_random_times() -> Result<String, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (mut random, seed) = Random::new(None);
    let long = std::env::var_os("CALLMASK_LONG").is_some();
    let kills = if long { KILLS_LONG } else { KILLS };
    let mut model = Model::default();
    for round in 1..=kills {
        run_and_kill(folder.path(), &mut random, &mut model)
            .and_then(|()| compare(folder.path(), &model))
            .map_err(|why| format!("after kill {round} (seed {seed}): {why}"))?;
    }
    if model.acknowledged < kills * 10 {
        return Err(format!("only {} changes were made", model.acknowledged));
    }
    Ok(format!(
        "{kills} kills, {} changes and {} calls acknowledged, none missing",
        model.acknowledged,
        model.live.len()
    ))
}

fn run_and_kill(folder: &Path, random: &mut Random, model: &mut Model) -> Result<(), String> {
    let mut worker = worker::spawn(folder)?;
    let out = worker.stdout.take().ok_or("the worker has no output")?;
    let mut lines = BufReader::new(out).lines();
    let mut note = |model: &mut Model| -> Result<bool, String> {
        match lines.next() {
            Some(line) => model.note(&line.map_err(|e| e.to_string())?).map(|()| true),
            None => Ok(false),
        }
    };
    let until = model.acknowledged + 1 + usize::try_from(random.below(MOST_CHANGES)).unwrap_or(0);
    while model.acknowledged < until {
        if !note(model)? {
            let status = worker.wait().map_err(|e| e.to_string())?;
            return Err(format!("the worker ended by itself: {status}"));
        }
    }
    thread::sleep(Duration::from_micros(random.below(MOST_MICROS)));
    worker.kill().map_err(|e| e.to_string())?;
    // What it printed before it died was acknowledged too.
    while note(model)? {}
    worker.wait().map_err(|e| e.to_string())?;
    Ok(())
}

impl Model {
    fn note(&mut self, line: &str) -> Result<(), String> {
        let odd = || format!("an odd line from the worker: {line}");
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["ack", what, id, version, agent, mark] => {
                let acknowledged = Acknowledged {
                    ended: *what == "deactivate",
                    version: version.parse().map_err(|_| odd())?,
                    agent: Number::parse_e164(agent).map_err(|_| odd())?,
                    mark: (*mark).to_owned(),
                };
                let id = id.parse().map_err(|_| odd())?;
                self.allocations.insert(id, acknowledged);
                self.acknowledged += 1;
            }
            ["live", sid] => {
                self.live.insert(sid.parse().map_err(|_| odd())?);
            }
            ["finish", sid] => {
                self.finished.insert(sid.parse().map_err(|_| odd())?);
            }
            _ => return Err(odd()),
        }
        Ok(())
    }
}

/// Opens what the killed worker left and compares it with what it had acknowledged.
fn compare(folder: &Path, model: &Model) -> Result<(), String> {
    let (store, report) = Store::open(folder, Options::default()).map_err(|e| e.to_string())?;
    let sound = report.restored.is_none()
        && report.problems.is_empty()
        && report.unreadable.is_empty()
        && store.verify().map_err(|e| e.to_string())?.sound;
    if !sound {
        return Err(format!("the store is not sound: {report:?}"));
    }
    let directory = store.directory();
    for (id, acknowledged) in &model.allocations {
        let Some(found) = directory.allocation(*id) else {
            return Err(format!("allocation {id} is missing: {acknowledged:?}"));
        };
        // One change more may be there: written, and killed before it was acknowledged.
        if !(acknowledged.version..=acknowledged.version + 1).contains(&found.version) {
            return Err(format!(
                "allocation {id} is {found:?}, not {acknowledged:?}"
            ));
        }
        let same = found.agent == [acknowledged.agent]
            && found.custom.as_deref() == Some(&acknowledged.mark)
            && (found.state == State::Deactivated) == acknowledged.ended;
        if found.version == acknowledged.version && !same {
            return Err(format!(
                "allocation {id} is {found:?}, not {acknowledged:?}"
            ));
        }
        if acknowledged.ended {
            let back = directory.resolve(found.exophone, Some(acknowledged.agent), 0);
            let connected = matches!(&back, Plan::Connect(c) if c.allocation == *id);
            if found.state != State::Deactivated || connected {
                return Err(format!("allocation {id} came back: {found:?}"));
            }
        }
    }
    store.close();
    compare_calls(folder, model)
}

fn compare_calls(folder: &Path, model: &Model) -> Result<(), String> {
    let path = worker::call_log(folder);
    let (log, _) = CallLog::open(&path, worker::wall_ms()).map_err(|e| e.to_string())?;
    if !log.live_calls().map_err(|e| e.to_string())?.is_empty() {
        return Err("a cut call has no record yet".to_owned());
    }
    for sid in &model.live {
        let record = log.show(*sid).map_err(|e| e.to_string())?;
        let cause = record.map(|r| r.cause);
        let finished = model.finished.contains(sid);
        let right = match cause {
            Some(Cause::Normal) => true,
            Some(Cause::Interrupted) => !finished,
            _ => false,
        };
        if !right {
            return Err(format!("call {sid} (finished: {finished}) has {cause:?}"));
        }
    }
    let records = log
        .list(&CallFilter::default())
        .map_err(|e| e.to_string())?;
    let distinct: BTreeSet<Sid> = records.iter().map(|r| r.call.sid).collect();
    if distinct.len() != records.len() {
        return Err("a call has two records".to_owned());
    }
    log.close().map_err(|e| e.to_string())
}
