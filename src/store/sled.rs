//! The sled engine: one tree, one batch a commit, on the platter before it returns.
//!
//! `flush()` of sled 0.34 hands its log to the kernel (`sync_file_range`), which survives a kill
//! of the process but not a power cut. So every commit also calls `fdatasync` on the `db` file,
//! through our own descriptor; data of a file is one thing to the kernel, whoever wrote it.
//!
//! sled keeps pages over 128 KiB in files of their own, which that sync would not cover. The
//! rules bound every text of a row, and a leaf holds 16 rows, so no page grows that large.
//!
//! sled can panic on damaged files, in `open` and later; every call into it is guarded.

use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::engine::{Engine, EngineError, Write};

/// The last step of a commit: `File::sync_data` unless a test puts a failing disk in its place.
pub type SyncStep = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// sled's page cache. Answers come from the memory view, so it only serves writing.
const CACHE_BYTES: u64 = 64 << 20;
/// How long to wait for sled's lock while our own is held: threads of a store closed a moment
/// ago may still hold the file.
const LOCK_WAIT: Duration = Duration::from_secs(5);
const LOCK_POLL: Duration = Duration::from_millis(10);
/// The lock of another process, as sled 0.34.7 words it; it has no kind of its own.
const LOCK_TEXT: &str = "could not acquire lock";

/// Why the folder cannot be opened.
#[derive(Debug)]
pub(super) enum SledOpenError {
    /// Somebody else holds it.
    Locked,
    /// What is there cannot be read.
    Damaged(String),
    /// The operating system refused.
    Io(String),
}

/// Rows in a sled tree.
pub(super) struct SledEngine {
    /// `None` only while it is being dropped.
    db: Option<::sled::Db>,
    file: File,
    sync: SyncStep,
}

impl SledEngine {
    /// Opens or creates the folder and makes its directory entries durable.
    pub(super) fn open(folder: &Path, sync: SyncStep) -> Result<SledEngine, SledOpenError> {
        let io = |what: &str, e: io::Error| SledOpenError::Io(format!("{what}: {e}"));
        fs::create_dir_all(folder).map_err(|e| io("cannot create the folder", e))?;
        let db = open_db(folder)?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(folder.join("db"))
            .map_err(|e| io("cannot open the file db", e))?;
        sync_folder(folder).map_err(|e| io("cannot sync the folder", e))?;
        Ok(SledEngine {
            db: Some(db),
            file,
            sync,
        })
    }

    fn db(&self) -> &::sled::Db {
        self.db.as_ref().expect("taken only in drop")
    }
}

impl Engine for SledEngine {
    fn load(&mut self, row: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), EngineError> {
        guarded("read", || {
            for pair in self.db().iter() {
                let (key, value) = pair?;
                row(&key, &value);
            }
            Ok(())
        })
    }

    fn commit(&mut self, writes: &[Write]) -> Result<(), EngineError> {
        let mut batch = ::sled::Batch::default();
        for write in writes {
            match write {
                Write::Put(key, value) => batch.insert(key.as_slice(), value.as_slice()),
                Write::Delete(key) => batch.remove(key.as_slice()),
            }
        }
        guarded("write", || self.db().apply_batch(batch))?;
        guarded("flush", || self.db().flush().map(drop))?;
        (self.sync)(&self.file).map_err(|e| EngineError(format!("fdatasync: {e}")))
    }
}

impl Drop for SledEngine {
    fn drop(&mut self) {
        let db = self.db.take();
        if catch_unwind(AssertUnwindSafe(|| drop(db))).is_err() {
            tracing::error!("sled panicked while it was closed");
        }
    }
}

fn open_db(folder: &Path) -> Result<::sled::Db, SledOpenError> {
    let give_up = Instant::now() + LOCK_WAIT;
    loop {
        let opened = catch_unwind(|| {
            ::sled::Config::new()
                .path(folder)
                .cache_capacity(CACHE_BYTES)
                .flush_every_ms(None)
                .open()
        });
        let error = match opened {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(error)) => error,
            Err(panic) => return Err(SledOpenError::Damaged(panic_text(&*panic))),
        };
        match error {
            ::sled::Error::Io(e) if e.to_string().contains(LOCK_TEXT) => {
                if Instant::now() >= give_up {
                    return Err(SledOpenError::Locked);
                }
                thread::sleep(LOCK_POLL);
            }
            ::sled::Error::Io(e)
                if !matches!(
                    e.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                return Err(SledOpenError::Io(e.to_string()));
            }
            damage => return Err(SledOpenError::Damaged(damage.to_string())),
        }
    }
}

fn guarded<T>(what: &str, call: impl FnOnce() -> ::sled::Result<T>) -> Result<T, EngineError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(EngineError(format!("{what}: {error}"))),
        Err(panic) => Err(EngineError(format!("{what}: {}", panic_text(&*panic)))),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    format!("sled panicked: {}", text.unwrap_or("without a message"))
}

/// Makes the files of a folder, their names, and the folder's own name durable.
fn sync_folder(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        File::open(&path)?.sync_all()?;
    }
    sync_dir(folder)?;
    match folder.parent() {
        Some(parent) if parent != Path::new("") => sync_dir(parent),
        _ => sync_dir(&PathBuf::from(".")),
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
