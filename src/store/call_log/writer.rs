//! The call log's writer: a queue that nobody waits on, and the thread that empties it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, params};

use super::audit::{self, AuditEntry};
use super::{CommitStep, Error, LogOptions};
use crate::store::Clock;
use crate::switch::record::{CallRecord, LiveCall};

/// Rows that may wait before new calls are refused. Calls that are up still add theirs, so the
/// queue's true bound is this plus a few rows for each of them.
pub const BACKLOG_LIMIT: usize = 20_000;
/// A transaction holds what came in this long, in milliseconds.
pub const GROUP_MS: u64 = 50;
/// Rows after which a transaction is committed at once.
const GROUP_ROWS: usize = 2_000;
/// Pause before a failed transaction is repeated.
const RETRY: Duration = Duration::from_millis(200);
/// How often the time is written down while calls are up: how late the end of a cut call may be.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Tries of the last transaction when the log is closed on a failing disk.
const CLOSE_TRIES: u32 = 5;

/// What waits.
#[derive(Debug)]
pub(super) enum Item {
    Live(Box<LiveCall>),
    Finish(Box<CallRecord>),
    Audit(Box<AuditEntry>),
}

/// What the writer and its users share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// Something to do for the writer.
    work: Condvar,
    /// A commit succeeded or failed.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Item>,
    /// Taken by the writer and not yet on disk.
    in_hand: usize,
    /// Items ever queued, and of these ever committed.
    queued: u64,
    committed: u64,
    /// Commits that failed, ever.
    failures: u64,
    /// The last commit's failure, until one succeeds.
    failing: Option<String>,
    /// Somebody waits until this many are committed: no pause for a fuller group.
    hurry_until: u64,
    closing: bool,
    /// The writer is gone.
    ended: bool,
}

impl Shared {
    pub(super) fn push(&self, item: Item) {
        let mut queue = self.lock();
        if queue.ended {
            tracing::error!("a row came after the call log was closed and is not written");
            return;
        }
        queue.waiting.push_back(item);
        queue.queued += 1;
        drop(queue);
        self.work.notify_one();
    }

    pub(super) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.failing.is_none() && !queue.closing && queue.backlog() < BACKLOG_LIMIT
    }

    pub(super) fn backlog(&self) -> usize {
        self.lock().backlog()
    }

    pub(super) fn flush(&self) -> Result<(), Error> {
        let mut queue = self.lock();
        let (target, failures) = (queue.queued, queue.failures);
        queue.hurry_until = queue.hurry_until.max(target);
        self.work.notify_one();
        while queue.committed < target && queue.failures == failures && !queue.ended {
            queue = wait(&self.settled, queue);
        }
        if queue.committed >= target {
            return Ok(());
        }
        Err(queue.unwritten())
    }

    pub(super) fn close(&self) {
        self.lock().closing = true;
        self.work.notify_one();
    }

    /// An error when the writer ended with rows in the queue.
    pub(super) fn unwritten(&self) -> Result<(), Error> {
        let queue = self.lock();
        match queue.backlog() {
            0 => Ok(()),
            _ => Err(queue.unwritten()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn backlog(&self) -> usize {
        self.waiting.len() + self.in_hand
    }

    fn unwritten(&self) -> Error {
        Error::Unwritten {
            rows: self.backlog(),
            why: self.failing.clone().unwrap_or_default(),
        }
    }
}

fn wait<'a>(until: &Condvar, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
    until.wait(queue).unwrap_or_else(PoisonError::into_inner)
}

/// Says that the writer is gone, however it went.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.settled.notify_all();
    }
}

/// The thread that empties the queue.
pub(super) struct Writer {
    connection: Connection,
    shared: Arc<Shared>,
    clock: Clock,
    before_commit: Option<CommitStep>,
    /// Calls with a live row, so that an idle log need not beat.
    live_rows: u64,
}

impl Writer {
    pub(super) fn new(connection: Connection, shared: Arc<Shared>, options: LogOptions) -> Writer {
        Writer {
            connection,
            shared,
            clock: options.clock,
            before_commit: options.before_commit,
            live_rows: 0,
        }
    }

    pub(super) fn run(mut self) {
        // Also when a defect panics here: those who wait must not wait for ever.
        let _ended = Ended(self.shared.clone());
        let mut tries_left = CLOSE_TRIES;
        let mut in_hand: Vec<Item> = Vec::new();
        loop {
            let closing = self.gather(&mut in_hand);
            if closing && in_hand.is_empty() {
                return;
            }
            let outcome = self.commit(&in_hand);
            let mut queue = self.shared.lock();
            match outcome {
                Ok(live_rows) => {
                    self.live_rows = live_rows;
                    queue.committed += in_hand.len() as u64;
                    queue.in_hand = 0;
                    in_hand.clear();
                    if queue.failing.take().is_some() {
                        tracing::info!("the call log writes again");
                    }
                    self.shared.settled.notify_all();
                    if closing && queue.waiting.is_empty() {
                        return;
                    }
                }
                Err(why) => {
                    queue.failures += 1;
                    if queue.failing.is_none() {
                        tracing::error!(
                            %why,
                            rows = queue.backlog(),
                            "the call log cannot write: new calls are refused; the rows are kept \
                             and tried again"
                        );
                    }
                    queue.failing = Some(why);
                    self.shared.settled.notify_all();
                    if closing {
                        tries_left -= 1;
                        if tries_left == 0 {
                            return;
                        }
                    }
                    // Nothing but time helps a full disk; only closing cuts the pause short.
                    let _ = self
                        .shared
                        .work
                        .wait_timeout_while(queue, RETRY, |q| !q.closing || closing);
                }
            }
        }
    }

    /// Waits for work, then for a group of it, and takes it; true when the log is being closed.
    /// Takes nothing when only a heartbeat is due, or when what is in hand must be repeated.
    fn gather(&self, in_hand: &mut Vec<Item>) -> bool {
        let mut queue = self.shared.lock();
        if !in_hand.is_empty() {
            return queue.closing;
        }
        let beat_at = (self.live_rows > 0).then(|| Instant::now() + HEARTBEAT);
        let mut full_at: Option<Instant> = None;
        loop {
            let full = queue.waiting.len() >= GROUP_ROWS;
            let hurry = queue.committed < queue.hurry_until;
            if queue.closing || full || (hurry && !queue.waiting.is_empty()) {
                break;
            }
            let now = Instant::now();
            if full_at.is_none() && !queue.waiting.is_empty() {
                full_at = Some(now + Duration::from_millis(GROUP_MS));
            }
            let Some(wake_at) = full_at.or(beat_at) else {
                queue = wait(&self.shared.work, queue);
                continue;
            };
            if now >= wake_at {
                break;
            }
            let waited = self.shared.work.wait_timeout(queue, wake_at - now);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let take = queue.waiting.len().min(GROUP_ROWS);
        in_hand.extend(queue.waiting.drain(..take));
        queue.in_hand = in_hand.len();
        queue.closing
    }

    /// One transaction; returns how many calls have a live row.
    fn commit(&mut self, items: &[Item]) -> Result<u64, String> {
        let at_ms = (self.clock)();
        if let Some(step) = &mut self.before_commit {
            step()?;
        }
        let written = (|| {
            let transaction = self.connection.transaction()?;
            for item in items {
                write(&transaction, item)?;
            }
            transaction
                .prepare_cached("INSERT OR REPLACE INTO heartbeat (id, at_ms) VALUES (1, ?1)")?
                .execute(params![as_i64(at_ms)])?;
            let live_rows: i64 = transaction
                .prepare_cached("SELECT count(*) FROM live")?
                .query_row([], |row| row.get(0))?;
            transaction.commit()?;
            Ok(live_rows)
        })();
        written
            .map(|rows| u64::try_from(rows).unwrap_or(0))
            .map_err(|e: rusqlite::Error| e.to_string())
    }
}

fn write(transaction: &Transaction<'_>, item: &Item) -> rusqlite::Result<()> {
    match item {
        // A note that arrives after the call's record would leave a row that the next start
        // takes for a cut call.
        Item::Live(call) => transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO live (sid, call) SELECT ?1, ?2 \
                 WHERE NOT EXISTS (SELECT 1 FROM calls WHERE sid = ?1)",
            )?
            .execute(params![call.sid.to_bytes(), json(call)])
            .map(drop),
        Item::Finish(record) => {
            transaction
                .prepare_cached("DELETE FROM live WHERE sid = ?1")?
                .execute([record.call.sid.to_bytes()])?;
            insert_record(transaction, record)
        }
        Item::Audit(entry) => audit::insert(transaction, entry),
    }
}

/// Inserts a record unless its call has one.
pub(super) fn insert_record(
    transaction: &Transaction<'_>,
    record: &CallRecord,
) -> rusqlite::Result<()> {
    let call = &record.call;
    transaction
        .prepare_cached(
            "INSERT INTO calls (sid, account, exophone, caller, callee, status, announcement, \
             started_ms, duration_ms, record) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) \
             ON CONFLICT (sid) DO NOTHING",
        )?
        .execute(params![
            call.sid.to_bytes(),
            call.account.to_bytes(),
            as_i64(call.exophone.digits()),
            call.caller.map(|n| as_i64(n.digits())),
            call.callee.map(|n| as_i64(n.digits())),
            word(&call.status),
            call.announcement,
            as_i64(call.started_ms),
            as_i64(record.duration_ms()),
            json(record),
        ])
        .map(drop)
}

/// SQLite's integers are signed; times and numbers stay far below the sign.
pub(super) fn as_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A unit variant's name as JSON and the API spell it.
pub(super) fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

fn json<T: serde::Serialize>(row: &T) -> String {
    serde_json::to_string(row).expect("rows are plain structs with string keys")
}
