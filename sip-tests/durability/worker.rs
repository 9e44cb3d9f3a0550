//! The process that is killed and traced: a store under steady change that prints each
//! acknowledged change, in one write, once it is acknowledged.
//!
//! Lines: `ack WHAT ID VERSION AGENT MARK`, and for calls `live SID` and `finish SID`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callmask::number::Number;
use callmask::sid::Sid;
use callmask::store::allocation::{
    Allocation, AllocationPatch, NewAllocation, RecordPolicy, State, Usage,
};
use callmask::store::call_log::CallLog;
use callmask::store::directory::AllocationFilter;
use callmask::store::exophone::{NewExoPhone, Sharing};
use callmask::store::{Error, Options, Reply, Request, Store};
use callmask::switch::plan::Direction;
use callmask::switch::record::{CallRecord, Cause, EndedBy, LiveCall, Origin, Status};

use crate::random::Random;

/// Environment: the folder of the store; its presence makes this process a worker.
pub(crate) const FOLDER: &str = "CALLMASK_DURABILITY_FOLDER";
/// Environment: how many changes to make before ending; without it, until killed.
const CHANGES: &str = "CALLMASK_DURABILITY_CHANGES";
/// Environment: leave out the sync, to see that the trace would show it.
const NO_SYNC: &str = "CALLMASK_DURABILITY_NO_SYNC";

/// Threads that ask at once, each with its own ExoPhones.
const THREADS: u64 = 4;
/// ExoPhones of a thread.
const EXOPHONES: u64 = 5;
/// Changes a second, all threads together.
const RATE: u64 = 200;

/// Calls a second.
const CALLS: u64 = 50;

/// Runs as the worker when asked to by the environment.
pub(crate) fn serve() -> Option<ExitCode> {
    let folder = PathBuf::from(std::env::var_os(FOLDER)?);
    let changes = std::env::var(CHANGES).ok().and_then(|n| n.parse().ok());
    let sync = std::env::var_os(NO_SYNC).is_none();
    Some(match work(&folder, changes, sync) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("worker: {why}");
            ExitCode::FAILURE
        }
    })
}

/// A command that runs this program as a worker.
pub(crate) fn command(folder: &Path, changes: Option<u64>, sync: bool) -> Result<Command, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.env(FOLDER, folder);
    if let Some(changes) = changes {
        command.env(CHANGES, changes.to_string());
    }
    if !sync {
        command.env(NO_SYNC, "1");
    }
    Ok(command)
}

/// Starts a worker that runs until it is killed.
pub(crate) fn spawn(folder: &Path) -> Result<Child, String> {
    command(folder, None, true)?
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot start the worker: {e}"))
}

/// The call log beside a store.
pub(crate) fn call_log(folder: &Path) -> PathBuf {
    folder.join("calls.sqlite")
}

fn work(folder: &Path, changes: Option<u64>, sync: bool) -> Result<(), String> {
    let mut options = Options::default();
    if !sync {
        options.sync = Arc::new(|_| Ok(()));
    }
    let (store, report) = Store::open(folder, options).map_err(|e| e.to_string())?;
    if report.restored.is_some() || !report.problems.is_empty() {
        return Err(format!("the store was damaged: {report:?}"));
    }
    let (log, _) = CallLog::open(&call_log(folder), wall_ms()).map_err(|e| e.to_string())?;
    let left = Arc::new(AtomicU64::new(changes.unwrap_or(u64::MAX)));
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let (store, left) = (store.clone(), left.clone());
            thread::spawn(move || change(&store, t, &left))
        })
        .collect();
    if changes.is_none() {
        calls(&log);
    }
    for thread in threads {
        thread
            .join()
            .map_err(|_| "a thread panicked".to_owned())??;
    }
    Ok(())
}

/// Creates, updates and deactivates on this thread's ExoPhones, at its part of [`RATE`].
fn change(store: &Store, thread: u64, left: &AtomicU64) -> Result<(), String> {
    let (mut random, _) = Random::new(None);
    let pause = Duration::from_millis(1_000 * THREADS / RATE);
    let mut next = Instant::now();
    while left
        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
        .is_ok()
    {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += pause;
        let exophone = number(44, thread * EXOPHONES + random.below(EXOPHONES))?;
        if store.directory().exophone(exophone).is_none() {
            // Not printed: the allocations on it are what counts.
            store
                .submit_blocking(Request::AddExoPhone(new_exophone(exophone)))
                .map_err(|e| e.to_string())?;
        }
        let active = store.directory().allocations(&AllocationFilter {
            exophone: Some(exophone),
            state: Some(State::Active),
            limit: Some(1),
            ..AllocationFilter::default()
        });
        let agent = number(80, random.below(1_000_000))?;
        let mark = format!("mark-{:016x}", random.below(u64::MAX));
        let (what, request) = match active.first() {
            None => ("create", create(exophone, agent, &mark)?),
            Some(a) if random.below(3) == 0 => ("deactivate", Request::Deactivate(a.id)),
            Some(a) => ("update", update(a, agent, &mark)),
        };
        match store.submit_blocking(request).map(|c| c.reply) {
            Ok(Reply::Allocation(a)) => print(&format!(
                "ack {what} {} {} {} {}\n",
                a.id,
                a.version,
                a.agent[0].e164(),
                a.custom.as_deref().unwrap_or("-"),
            )),
            Ok(other) => return Err(format!("an odd answer: {other:?}")),
            Err(Error::Refused(refusal)) => return Err(refusal.to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// One line in one write, so that a killed process leaves whole lines.
fn print(line: &str) {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())
        .and_then(|()| out.flush())
        .expect("the parent reads until we end");
}

fn new_exophone(number: Number) -> NewExoPhone {
    NewExoPhone {
        number,
        account: None,
        trunk: None,
        pool: None,
        region: None,
        max_calls: None,
        sharing: Sharing::Exclusive,
        announcement: None,
        record: false,
    }
}

fn create(exophone: Number, agent: Number, mark: &str) -> Result<Request, String> {
    Ok(Request::Create(NewAllocation {
        account: None,
        exophone,
        customer: vec![number(90, 1)?],
        agent: vec![agent],
        expires_ms: None,
        record: RecordPolicy::Inherit,
        max_call_secs: None,
        usage: Usage::Twoway,
        custom: Some(mark.to_owned()),
    }))
}

fn update(a: &Allocation, agent: Number, mark: &str) -> Request {
    let patch = AllocationPatch {
        agent: Some(vec![agent]),
        custom: Some(Some(mark.to_owned())),
        ..AllocationPatch::default()
    };
    Request::Update(a.id, patch)
}

fn number(prefix: u64, i: u64) -> Result<Number, String> {
    Number::from_digits(&format!("91{prefix}{i:08}")).map_err(|e| e.to_string())
}

/// Calls that begin and mostly end, about [`CALLS`] a second, for as long as the process lives.
fn calls(log: &CallLog) {
    let (mut random, _) = Random::new(None);
    loop {
        thread::sleep(Duration::from_millis(1_000 / CALLS));
        let now = wall_ms();
        let call = call(now, random.below(u64::MAX));
        log.live(call.clone());
        if log.flush().is_ok() {
            print(&format!("live {}\n", call.sid));
        }
        if random.below(4) == 0 {
            // Left up: the next start must find it.
            continue;
        }
        let sid = call.sid;
        log.finish(CallRecord {
            call: LiveCall {
                status: Status::Completed,
                ..call
            },
            ended_ms: now,
            cause: Cause::Normal,
            ended_by: EndedBy::Caller,
            sip_code: 200,
            q850: 16,
            codec: None,
            caller_media: None,
            callee_media: None,
            recording: None,
        });
        if log.flush().is_ok() {
            print(&format!("finish {sid}\n"));
        }
    }
}

fn call(now: u64, random: u64) -> LiveCall {
    LiveCall {
        sid: Sid::new(now, u128::from(random)),
        account: Sid::new(1, 1),
        allocation: None,
        exophone: number(44, 0).expect("twelve digits"),
        caller: None,
        callee: None,
        origin: Origin::Inbound,
        direction: Direction::CustomerToAgent,
        status: Status::InProgress,
        announcement: false,
        trunk_in: "carrier".to_owned(),
        trunk_out: None,
        started_ms: now,
        rang_ms: None,
        answered_ms: Some(now),
        custom: None,
    }
}

/// Unix milliseconds.
pub(crate) fn wall_ms() -> u64 {
    std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
