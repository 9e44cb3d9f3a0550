//! The call log: records of ended calls, calls that are up, and the audit trail, in SQLite.
//!
//! One writer thread puts what is queued into one transaction every [`GROUP_MS`]. Queueing never
//! blocks and nothing queued is ever dropped: when a transaction fails (the disk is full) it is
//! repeated until it succeeds, and [`CallLog::has_room`] says no, so that new calls are refused
//! and the queue grows by no more than the calls that are up.
//!
//! A call's live row is queued when the call is set up and goes in the same transaction that
//! inserts its record. What is left of them after a crash becomes records at the next open.

mod audit;
mod query;
mod recovery;
mod schema;
mod writer;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rusqlite::Connection;

pub use audit::{AuditEntry, AuditFilter, audit_hook};
pub use query::{Bucket, CallFilter, ReportRow};
pub use writer::{BACKLOG_LIMIT, GROUP_MS};

use crate::sid::Sid;
use crate::store::Clock;
use crate::switch::record::{CallRecord, LiveCall};
use writer::{Item, Shared};

/// Why the call log cannot do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or created.
    #[error(
        "cannot open the call log {path}: {why}; if it is damaged, move it away to start a new one"
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        why: String,
    },
    /// A question failed.
    #[error("cannot read the call log: {0}")]
    Read(String),
    /// Rows are queued that could not be written.
    #[error("the call log could not write ({why}); {rows} rows wait and are tried again")]
    Unwritten {
        /// How many.
        rows: usize,
        /// What SQLite says.
        why: String,
    },
}

/// Asked before each commit; an error fails it, as a full disk would.
pub type CommitStep = Box<dyn FnMut() -> Result<(), String> + Send>;

/// How a call log is opened. The default is what `serve` uses.
pub struct LogOptions {
    /// Where the time of heartbeats comes from.
    pub clock: Clock,
    /// Something that can fail a commit; for tests.
    pub before_commit: Option<CommitStep>,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            clock: Arc::new(super::open::system_clock_ms),
            before_commit: None,
        }
    }
}

impl fmt::Debug for LogOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogOptions").finish_non_exhaustive()
    }
}

/// The call log. Clones share one writer.
#[derive(Clone)]
pub struct CallLog {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    shared: Arc<Shared>,
    /// Connections for reading, one a reader at a time.
    readers: Mutex<Vec<Connection>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl CallLog {
    /// Opens or creates the call log. Calls that were up when it was last in use become records
    /// with cause `interrupted`, ended at the last sign of life or at `wall_ms` (Unix
    /// milliseconds); the second value says how many.
    pub fn open(path: &Path, wall_ms: u64) -> Result<(CallLog, usize), Error> {
        CallLog::open_with(path, wall_ms, LogOptions::default())
    }

    /// The same with a given clock.
    pub fn open_with(
        path: &Path,
        wall_ms: u64,
        options: LogOptions,
    ) -> Result<(CallLog, usize), Error> {
        let failed = |why: String| Error::Open {
            path: path.to_owned(),
            why,
        };
        let mut connection = schema::open_writer(path).map_err(failed)?;
        let recovered =
            recovery::recover(&mut connection, wall_ms).map_err(|e| failed(e.to_string()))?;
        let shared = Arc::new(Shared::default());
        let writer = writer::Writer::new(connection, shared.clone(), options);
        let thread = std::thread::Builder::new()
            .name("call-log".into())
            .spawn(move || writer.run())
            .map_err(|e| failed(e.to_string()))?;
        let inner = Inner {
            path: path.to_owned(),
            shared,
            readers: Mutex::new(Vec::new()),
            thread: Mutex::new(Some(thread)),
        };
        let log = CallLog {
            inner: Arc::new(inner),
        };
        Ok((log, recovered))
    }

    /// Notes a call that is being set up, or what is new about it. Never blocks.
    pub fn live(&self, call: LiveCall) {
        self.inner.shared.push(Item::Live(Box::new(call)));
    }

    /// Notes the end of a call: its live row goes and its record comes in one transaction.
    /// Never blocks. Of two records of one call the first stays.
    pub fn finish(&self, record: CallRecord) {
        self.inner.shared.push(Item::Finish(Box::new(record)));
    }

    /// Notes a change of the store. Never blocks.
    pub fn audit(&self, entry: AuditEntry) {
        self.inner.shared.push(Item::Audit(Box::new(entry)));
    }

    /// Whether new calls may be taken: false while more than [`BACKLOG_LIMIT`] rows wait, or
    /// since a commit failed and until one succeeds.
    pub fn has_room(&self) -> bool {
        self.inner.shared.has_room()
    }

    /// Rows that wait to be written.
    pub fn backlog(&self) -> usize {
        self.inner.shared.backlog()
    }

    /// Records, newest first.
    pub fn list(&self, filter: &CallFilter) -> Result<Vec<CallRecord>, Error> {
        self.read(|c| query::list(c, filter))
    }

    /// The record of a call that has ended.
    pub fn show(&self, sid: Sid) -> Result<Option<CallRecord>, Error> {
        self.read(|c| query::show(c, sid))
    }

    /// Calls that are up, as far as they are written down, oldest first.
    pub fn live_calls(&self) -> Result<Vec<LiveCall>, Error> {
        self.read(query::live)
    }

    /// Counts of calls that began from `from_ms` to before `to_ms`, one row a bucket of time
    /// that has any.
    pub fn report_calls(
        &self,
        from_ms: u64,
        to_ms: u64,
        bucket: Bucket,
    ) -> Result<Vec<ReportRow>, Error> {
        self.read(|c| query::report(c, from_ms, to_ms, bucket))
    }

    /// Changes of the store, newest first.
    pub fn audit_trail(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, Error> {
        self.read(|c| audit::list(c, filter))
    }

    /// Blocks until all that was queued before is on disk, or a commit has failed since.
    pub fn flush(&self) -> Result<(), Error> {
        self.inner.shared.flush()
    }

    /// Writes what waits and ends the writer; blocks until done. When the disk does not take the
    /// rows after some tries, says how many were not written: the calls among them whose live
    /// row is on disk are recorded as interrupted at the next open.
    pub fn close(self) -> Result<(), Error> {
        self.inner.close()
    }

    fn read<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Error> {
        // Who asks after a call has ended finds its record. When the disk does not take it, what
        // is there already is still shown.
        let _ = self.flush();
        let failed = |e: rusqlite::Error| Error::Read(e.to_string());
        let readers = || {
            let lock = self.inner.readers.lock();
            lock.unwrap_or_else(PoisonError::into_inner)
        };
        let spare = readers().pop();
        let connection = match spare {
            Some(connection) => connection,
            None => schema::open_reader(&self.inner.path).map_err(failed)?,
        };
        let answer = ask(&connection).map_err(failed);
        let mut readers = readers();
        if readers.len() < MAX_SPARE_READERS {
            readers.push(connection);
        }
        answer
    }
}

/// Reading connections kept open for the next reader.
const MAX_SPARE_READERS: usize = 4;

impl fmt::Debug for CallLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallLog").finish_non_exhaustive()
    }
}

impl Inner {
    fn close(&self) -> Result<(), Error> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = thread.take() else {
            return Ok(());
        };
        self.shared.close();
        if thread.join().is_err() {
            tracing::error!("the call log's writer panicked");
        }
        self.shared.unwritten()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the call log was closed with rows unwritten");
        }
    }
}

#[cfg(test)]
mod tests;
