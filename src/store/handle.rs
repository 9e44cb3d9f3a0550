//! The store as others hold it: a queue to the writer and the memory directory.

use std::fmt;
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::change::CommittedChange;
use super::directory::MemoryDirectory;
use super::export::{self, IMPORT_ROWS, ImportReport, Moved};
use super::open::{self, Lock, OpenError, OpenReport};
use super::sled::SyncStep;
use super::verify::VerifyReport;
use super::writer::{Ack, Job, QUEUE_LIMIT};
use super::{Change, Error, Reply, Request, Revision};

/// Wall clock: Unix milliseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Called by the writer for each committed change, after readers see it and before its request
/// is acknowledged. It must not wait for the store.
pub type ChangeHook = Box<dyn FnMut(&CommittedChange) + Send>;

/// How a store is opened. The default is what `serve` uses.
pub struct Options {
    /// Where the time comes from.
    pub clock: Clock,
    /// Seed of the ids; `None` = from the kernel.
    pub seed: Option<[u8; 32]>,
    /// The last step of a commit.
    pub sync: SyncStep,
    /// Sees every committed change.
    pub hook: Option<ChangeHook>,
    /// Changes after which a logical export is written beside the store; one is also written
    /// some minutes after a change and at close.
    pub export_every: u64,
}

/// Changes after which a periodic export is written.
const EXPORT_EVERY: u64 = 10_000;

impl Default for Options {
    fn default() -> Self {
        Options {
            clock: Arc::new(open::system_clock_ms),
            seed: None,
            sync: Arc::new(std::fs::File::sync_data),
            hook: None,
            export_every: EXPORT_EVERY,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("export_every", &self.export_every)
            .finish_non_exhaustive()
    }
}

/// What a request came to, once it is on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Committed {
    /// The last change the answer includes.
    pub revision: Revision,
    /// The answer.
    pub reply: Reply,
}

/// The routing store. Clones share one writer.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    queue: SyncSender<Job>,
    directory: Arc<MemoryDirectory>,
    clock: Clock,
    writer: Mutex<Option<(JoinHandle<()>, Lock)>>,
}

/// On whose behalf changes are made when nobody says.
const NOBODY: &str = "callmask";

impl Store {
    /// Opens the store in `folder`, creating it when there is none, and rebuilds the memory
    /// view. Blocks until that is done.
    pub fn open(folder: &Path, options: Options) -> Result<(Store, OpenReport), OpenError> {
        let clock = options.clock.clone();
        let opened = open::open(folder, options)?;
        let directory = opened.writer.directory.clone();
        let (queue, waiting) = sync_channel(QUEUE_LIMIT);
        let writer = opened.writer;
        let thread = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || writer.run(&waiting))
            .map_err(|e| OpenError::Io(format!("cannot start the writer thread: {e}")))?;
        let inner = Inner {
            queue,
            directory,
            clock,
            writer: Mutex::new(Some((thread, opened.lock))),
        };
        let store = Store {
            inner: Arc::new(inner),
        };
        Ok((store, opened.report))
    }

    /// What readers ask.
    pub fn directory(&self) -> Arc<MemoryDirectory> {
        self.inner.directory.clone()
    }

    /// Asks for a change. It is queued before this returns; dropping the future does not take
    /// it back.
    pub fn submit(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + use<> {
        self.submit_as(NOBODY, request)
    }

    /// The same on behalf of `who`, for the audit trail.
    pub fn submit_as(
        &self,
        who: &str,
        request: Request,
    ) -> impl Future<Output = Result<Committed, Error>> + Send + use<> {
        let (ack, answer) = oneshot::channel();
        let ack = Box::new(move |result| {
            // The asker may have gone; the change stands all the same.
            let _ = ack.send(result);
        });
        let queued = self.try_queue(Job::Change(request, who.into(), ack));
        async move {
            queued?;
            answer.await.unwrap_or(Err(Error::Closed))
        }
    }

    /// Asks for a change and blocks until it is decided. Not for async code.
    pub fn submit_blocking(&self, request: Request) -> Result<Committed, Error> {
        self.submit_blocking_as(NOBODY, request)
    }

    /// The same on behalf of `who`, for the audit trail.
    pub fn submit_blocking_as(&self, who: &str, request: Request) -> Result<Committed, Error> {
        self.ask(|ack| Job::Change(request, who.into(), ack))
    }

    /// Reads every row from disk again, checks the rules between them and compares them with
    /// memory. Blocks, and holds up changes while it runs.
    pub fn verify(&self) -> Result<VerifyReport, Error> {
        self.ask(Job::Verify)
    }

    /// Writes all rows as JSON lines. Blocks; changes go on meanwhile and are not in it.
    pub fn export(&self, out: &mut dyn Write) -> io::Result<()> {
        let (revision, rows) = self.ask(Job::Rows).map_err(io::Error::other)?;
        export::write(out, revision, (self.inner.clock)(), &rows)?;
        out.flush()
    }

    /// Adds the rows of an export by the rules that requests obey; rows that break one are
    /// refused one by one. Blocks. An account that exists here by name keeps its SID, and the
    /// export's rows of it join it.
    pub fn import(&self, who: &str, input: impl BufRead) -> Result<ImportReport, ImportError> {
        let mut report = ImportReport::default();
        let mut reader = export::Reader::new(input);
        let mut moved = Moved::default();
        let mut rows = Vec::with_capacity(IMPORT_ROWS);
        while let Some((line, row)) = reader.next()? {
            match row {
                Err(reason) => report.refuse(line, reason),
                Ok(Change::Account(account)) => {
                    let accounts = self.inner.directory.accounts();
                    match accounts.iter().find(|a| a.name == account.name) {
                        Some(held) => {
                            moved.note(account.sid, held.sid);
                            report.unchanged += 1;
                        }
                        None => {
                            // Rows that follow need it, and it is rare: at once.
                            rows.push((line, Change::Account(account)));
                            self.import_rows(who, &mut rows, &mut report)?;
                        }
                    }
                }
                Ok(row) => rows.push((line, moved.here(row))),
            }
            if rows.len() >= IMPORT_ROWS {
                self.import_rows(who, &mut rows, &mut report)?;
            }
        }
        self.import_rows(who, &mut rows, &mut report)?;
        report.complete = reader.complete;
        report.refused.sort_by_key(|refused| refused.line);
        Ok(report)
    }

    fn import_rows(
        &self,
        who: &str,
        rows: &mut Vec<(usize, Change)>,
        report: &mut ImportReport,
    ) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let (lines, rows): (Vec<usize>, Vec<Change>) = rows.drain(..).unzip();
        let answers = self.ask(|ack| Job::Import(rows, who.into(), ack))?;
        for (line, answer) in lines.into_iter().zip(answers) {
            match answer {
                Ok(0) => report.unchanged += 1,
                Ok(_) => report.added += 1,
                Err(reason) => report.refuse(line, reason),
            }
        }
        Ok(())
    }

    /// Decides what is queued, writes a last export, releases the folder. Blocks until done;
    /// clones answer [`Error::Closed`] from then on.
    pub fn close(self) {
        self.inner.close();
    }

    fn try_queue(&self, job: Job) -> Result<(), Error> {
        self.inner.queue.try_send(job).map_err(|e| match e {
            TrySendError::Full(_) => Error::Busy(QUEUE_LIMIT),
            TrySendError::Disconnected(_) => Error::Closed,
        })
    }

    /// Queues a job, waiting for room, and blocks for its answer.
    fn ask<T: Send + 'static>(&self, job: impl FnOnce(Ack<T>) -> Job) -> Result<T, Error> {
        let (ack, answer) = sync_channel(1);
        let ack: Ack<T> = Box::new(move |result| {
            let _ = ack.send(result);
        });
        self.inner.queue.send(job(ack)).map_err(|_| Error::Closed)?;
        answer.recv().unwrap_or(Err(Error::Closed))
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Inner {
    fn close(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((thread, lock)) = writer.take() {
            // An error means that the writer has ended already.
            let _ = self.queue.send(Job::Close);
            if thread.join().is_err() {
                tracing::error!("the store's writer panicked; acknowledged changes are on disk");
            }
            drop(lock);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Why an import stopped. What it added before stays.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The input cannot be read.
    #[error("cannot read the import: {0}")]
    Read(#[from] io::Error),
    /// The store cannot write.
    #[error(transparent)]
    Store(#[from] Error),
}
