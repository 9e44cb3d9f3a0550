//! The writer: one thread that decides, writes and publishes every change.
//!
//! It takes what waits in its queue as one group, decides each request against its own view
//! (which runs ahead of the readers' by that group), commits all rows in one batch, folds them
//! into the readers' view, and only then answers. When a commit fails nothing of the group is
//! published or acknowledged, and no further change is taken until the store is opened again:
//! after a failed fsync the kernel may mark the pages clean that it could not write, so that the
//! next fsync reports success for data that is not on disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Instant;

use rand_chacha::ChaCha12Rng;
use rand_core::Rng;

use super::change::{Change, CommittedChange};
use super::directory::MemoryDirectory;
use super::engine::{Engine, Write};
use super::exporter::Exporter;
use super::handle::{ChangeHook, Clock, Committed};
use super::high_water::HighWater;
use super::rules::{decide, decide_import};
use super::verify::{VerifyReport, verify};
use super::view::View;
use super::{Error, Refusal, Request, Revision, codec};
use crate::sid::Sid;

/// Requests that may wait. More are refused with [`Error::Busy`].
pub(super) const QUEUE_LIMIT: usize = 4_096;
/// Rows after which a group is committed although more requests wait, so that the first in it
/// does not wait long and the batch stays small.
const GROUP_ROWS: usize = 1_024;

/// How a request is answered.
pub(super) type Ack<T> = Box<dyn FnOnce(Result<T, Error>) + Send>;

/// What waits in the queue.
pub(super) enum Job {
    Change(Request, Arc<str>, Ack<Committed>),
    /// Whole rows; each is answered by itself: how many rows it added.
    Import(Vec<Change>, Arc<str>, Ack<Vec<Result<usize, Refusal>>>),
    /// All rows, for an export.
    Rows(Ack<(Revision, Vec<Change>)>),
    Verify(Ack<VerifyReport>),
    Close,
}

/// The writer's state. `view` and the directory are equal when it starts.
pub(super) struct Writer {
    pub(super) engine: Box<dyn Engine>,
    pub(super) view: View,
    pub(super) directory: Arc<MemoryDirectory>,
    pub(super) clock: Clock,
    pub(super) random: ChaCha12Rng,
    pub(super) hook: Option<ChangeHook>,
    pub(super) exporter: Exporter,
    pub(super) high_water: HighWater,
    /// The failure after which nothing more is written.
    pub(super) failed: Option<Error>,
}

/// An answer that waits for the batch; it is told whether the batch is on disk.
type Answer = Box<dyn FnOnce(Result<(), Error>)>;

/// Requests decided together.
#[derive(Default)]
struct Group {
    writes: Vec<Write>,
    changes: Vec<CommittedChange>,
    waiting: Vec<Answer>,
}

impl Writer {
    /// Serves the queue until it is closed or its last sender is gone. What is queued behind
    /// the close is dropped, which answers it [`Error::Closed`].
    pub(super) fn run(mut self, queue: &Receiver<Job>) {
        let mut open = true;
        while open {
            let wake_at = self.exporter.due_at();
            let mut job = match next(queue, wake_at) {
                Next::Job(job) => Some(job),
                Next::Woken => None,
                Next::Gone => break,
            };
            let mut group = Group::default();
            while let Some(taken) = job {
                open &= self.take(taken, &mut group);
                let more = open && group.writes.len() < GROUP_ROWS;
                job = more.then(|| queue.try_recv().ok()).flatten();
            }
            self.commit(group);
            if self.failed.is_none() {
                self.exporter.tick(&self.view, (self.clock)());
            }
        }
        let unharmed = self.failed.is_none();
        self.exporter
            .finish(unharmed.then_some(&self.view), (self.clock)());
    }

    /// Puts one job into the group; false when it asks to close.
    fn take(&mut self, job: Job, group: &mut Group) -> bool {
        match job {
            Job::Close => return false,
            Job::Change(request, who, ack) => self.decide(request, &who, ack, group),
            Job::Import(rows, who, ack) => self.import(rows, &who, ack, group),
            Job::Rows(ack) => {
                let rows = (self.view.revision, self.view.rows());
                group
                    .waiting
                    .push(Box::new(move |done| ack(done.map(|()| rows))));
            }
            Job::Verify(ack) => {
                // What it compares must be on disk, so the group so far goes first.
                self.commit(std::mem::take(group));
                let report = match &self.failed {
                    Some(error) => Err(error.clone()),
                    None => verify(&mut *self.engine, Some(&self.view))
                        .map_err(|e| Error::Disk(e.to_string())),
                };
                ack(report);
            }
        }
        true
    }

    fn decide(&mut self, request: Request, who: &Arc<str>, ack: Ack<Committed>, group: &mut Group) {
        let at_ms = (self.clock)();
        let what = request.kind();
        let (view, random) = (&self.view, &mut self.random);
        let decided = decide(view, request, at_ms, || new_id(view, random, at_ms));
        let answer = match decided {
            Ok(decision) => {
                self.stage(decision.changes, at_ms, who, what, group);
                Ok(Committed {
                    revision: self.view.revision,
                    reply: decision.reply,
                })
            }
            Err(refusal) => Err(Error::Refused(refusal)),
        };
        // A refusal waits for the commit too: it may name an allocation of this very group.
        group
            .waiting
            .push(Box::new(move |done| ack(done.and(answer))));
    }

    fn import(
        &mut self,
        rows: Vec<Change>,
        who: &Arc<str>,
        ack: Ack<Vec<Result<usize, Refusal>>>,
        group: &mut Group,
    ) {
        let at_ms = (self.clock)();
        let mut answers = Vec::with_capacity(rows.len());
        for row in rows {
            let decided = decide_import(&self.view, row, at_ms);
            answers.push(decided.map(|changes| {
                let added = changes.len();
                self.stage(changes, at_ms, who, "import", group);
                added
            }));
        }
        group
            .waiting
            .push(Box::new(move |done| ack(done.map(|()| answers))));
    }

    /// Folds decided changes into the writer's own view and lines their rows up for the batch.
    fn stage(
        &mut self,
        changes: Vec<Change>,
        at_ms: u64,
        who: &Arc<str>,
        what: &'static str,
        group: &mut Group,
    ) {
        for change in changes {
            let before = self.view.before(&change);
            self.view.apply(&change);
            self.view.revision += 1;
            group.writes.push(codec::encode(&change));
            group.changes.push(CommittedChange {
                revision: self.view.revision,
                at_ms,
                who: who.clone(),
                what,
                before,
                change,
            });
        }
    }

    /// Writes the group, publishes it, answers. The order is the promise of the store.
    fn commit(&mut self, group: Group) {
        let Group {
            mut writes,
            changes,
            waiting,
        } = group;
        if self.failed.is_none() && !writes.is_empty() {
            writes.push(codec::encode_revision(self.view.revision));
            let written = self.engine.commit(&writes);
            if written.is_ok() {
                self.high_water.note(self.view.revision);
            }
            if let Err(error) = written {
                tracing::error!(%error, "the store could not write; no further change is taken");
                self.failed = Some(Error::Disk(format!(
                    "{error}; what the disk holds of the last changes is unknown, so no further \
                     change is taken until the server is started again"
                )));
            }
        }
        if self.failed.is_none() {
            for change in &changes {
                self.directory.apply(&change.change, change.revision);
                if let Some(hook) = &mut self.hook {
                    hook(change);
                }
            }
        }
        for answer in waiting {
            answer(self.failed.clone().map_or(Ok(()), Err));
        }
    }
}

enum Next {
    Job(Job),
    /// The time to wake up came first.
    Woken,
    /// All senders are gone.
    Gone,
}

fn next(queue: &Receiver<Job>, wake_at: Option<Instant>) -> Next {
    let Some(at) = wake_at else {
        return queue.recv().map_or(Next::Gone, Next::Job);
    };
    match queue.recv_timeout(at.saturating_duration_since(Instant::now())) {
        Ok(job) => Next::Job(job),
        Err(RecvTimeoutError::Timeout) => Next::Woken,
        Err(RecvTimeoutError::Disconnected) => Next::Gone,
    }
}

/// An id no allocation has. With 74 random bits a second draw is never seen; it costs nothing
/// to make sure.
fn new_id(view: &View, random: &mut ChaCha12Rng, at_ms: u64) -> Sid {
    loop {
        let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
        let id = Sid::new(at_ms, bits);
        if view.allocation(id).is_none() {
            return id;
        }
    }
}
