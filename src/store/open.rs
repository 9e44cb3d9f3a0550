//! Opening a store: lock, sled, rows, and what to do when they cannot be read.
//!
//! ```text
//! data/lock                      held while the store is open
//! data/revision                  the last acknowledged change
//! data/routing/                  the sled folder
//! data/routing.damaged-MS        one that could not be read, kept
//! data/export/routing-REV.jsonl  the newest logical exports
//! ```

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::account::{Account, DEFAULT_ACCOUNT};
use super::change::Change;
use super::directory::MemoryDirectory;
use super::engine::Engine;
use super::exporter::{self, Exporter};
use super::handle::Options;
use super::high_water::HighWater;
use super::restore::{Known, Restored, read, restore};
use super::sled::{SledEngine, SyncStep, sync_dir};
use super::verify::{self, Loaded, VerifyReport};
use super::writer::Writer;
use super::{Revision, codec};
use crate::sid::Sid;

const LOCK: &str = "lock";
/// The sled folder.
pub(super) const ROUTING: &str = "routing";
const EXPORTS: &str = "export";

/// Why a store cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another callmask process holds it.
    #[error("another callmask process holds the store in {0}: ask that server, or stop it first")]
    Locked(PathBuf),
    /// It cannot be read and there is no export to restore.
    #[error(
        "the store in {folder} is damaged ({why}) and there is no export to restore; it was left \
         where it is: put a backup in its place, or give a new folder and import an export"
    )]
    Damaged {
        /// The sled folder.
        folder: PathBuf,
        /// What could not be read.
        why: String,
    },
    /// A later version of callmask wrote it.
    #[error("a later version of callmask wrote this store: {0}")]
    Newer(String),
    /// The operating system refused.
    #[error("cannot open the store: {0}")]
    Io(String),
}

/// What was found at opening.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct OpenReport {
    /// The last committed change.
    pub revision: Revision,
    /// True at the first start: there was no store.
    pub created: bool,
    /// Accounts.
    pub accounts: usize,
    /// ExoPhones.
    pub exophones: usize,
    /// Allocations, active and ended.
    pub allocations: usize,
    /// Of these, active.
    pub active: usize,
    /// Rows that cannot be read; they take no part in routing.
    pub unreadable: Vec<String>,
    /// Broken rules between rows.
    pub problems: Vec<String>,
    /// Set when the store was damaged and an export was restored.
    pub restored: Option<Restored>,
}

/// A store ready to run.
pub(super) struct Opened {
    pub(super) writer: Writer,
    pub(super) report: OpenReport,
    pub(super) lock: Lock,
}

/// The folder's lock, released when dropped.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code, reason = "held, never read")] File);

/// Opens or creates the store in `folder`.
pub(super) fn open(folder: &Path, options: Options) -> Result<Opened, OpenError> {
    create_folder(folder)?;
    let lock = lock(folder)?;
    let exports = folder.join(EXPORTS);
    fs::create_dir_all(&exports)
        .and_then(|()| exporter::remove_unfinished(&exports))
        .map_err(|e| OpenError::Io(format!("{}: {e}", exports.display())))?;
    let known = Known::find(folder, &exports)?;
    let wall_ms = (options.clock)();

    let routing = folder.join(ROUTING);
    let sync = options.sync;
    let (mut engine, mut loaded, restored) = match read(&routing, &known, &sync)? {
        Ok((engine, loaded)) => (engine, loaded, None),
        Err(why) => {
            let (engine, loaded, restored) = restore(&routing, why, &known, &sync, wall_ms)?;
            (engine, loaded, Some(restored))
        }
    };
    let missing = skip_lost(&mut engine, &mut loaded, &known)?;
    let mut random = seeded(options.seed)?;
    let created = !loaded.initialised;
    if loaded.view.default_account().is_none() {
        add_default_account(&mut engine, &mut loaded, &mut random, wall_ms)?;
    }
    let mut found = verify::report(&loaded);
    found
        .problems
        .extend(missing.filter(|_| restored.is_none()));
    for bad in found.unreadable.iter().chain(&found.problems) {
        tracing::error!("the store is open, but not sound: {bad}");
    }
    let report = OpenReport {
        revision: found.revision,
        created,
        accounts: found.accounts,
        exophones: found.exophones,
        allocations: found.allocations,
        active: found.active,
        unreadable: found.unreadable,
        problems: found.problems,
        restored,
    };
    let directory = Arc::new(MemoryDirectory::default());
    directory.load(loaded.view.clone());
    let high_water = HighWater::start(folder, loaded.view.revision)
        .map_err(|e| OpenError::Io(format!("{}: {e}", folder.display())))?;
    let writer = Writer {
        engine: Box::new(engine),
        view: loaded.view,
        directory,
        clock: options.clock,
        random,
        hook: options.hook,
        exporter: Exporter::new(exports, options.export_every, known.exported()),
        high_water,
        failed: None,
    };
    Ok(Opened {
        writer,
        report,
        lock,
    })
}

/// Opens a store that must exist, restores nothing, and checks it. For a store that no server
/// holds.
pub fn verify_folder(folder: &Path) -> Result<VerifyReport, OpenError> {
    let routing = folder.join(ROUTING);
    if !routing.exists() {
        return Err(OpenError::Io(format!(
            "{} is no store: there is no folder {ROUTING} in it",
            folder.display()
        )));
    }
    let _lock = lock(folder)?;
    let sync: SyncStep = Arc::new(File::sync_data);
    let known = Known::find(folder, &folder.join(EXPORTS))?;
    match read(&routing, &known, &sync)? {
        Ok((_, loaded)) => Ok(verify::report(&loaded)),
        Err(why) => Err(OpenError::Damaged {
            folder: routing,
            why,
        }),
    }
}

/// Unix milliseconds of the system's clock; 0 when it stands before 1970.
pub(super) fn system_clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}

fn create_folder(folder: &Path) -> Result<(), OpenError> {
    let created = fs::create_dir_all(folder).and_then(|()| match folder.parent() {
        Some(parent) if parent != Path::new("") => sync_dir(parent),
        _ => sync_dir(Path::new(".")),
    });
    created.map_err(|e| OpenError::Io(format!("{}: {e}", folder.display())))
}

/// Takes the folder's own lock. sled locks its file too, but lets go of it late, and its folder
/// may be renamed.
fn lock(folder: &Path) -> Result<Lock, OpenError> {
    let path = folder.join(LOCK);
    let io = |e: std::io::Error| OpenError::Io(format!("{}: {e}", path.display()));
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(folder.to_owned())),
        Err(TryLockError::Error(e)) => Err(io(e)),
    }
}

/// Numbers of changes that were acknowledged and are gone are not given out again; says which.
fn skip_lost(
    engine: &mut SledEngine,
    loaded: &mut Loaded,
    known: &Known,
) -> Result<Option<String>, OpenError> {
    let (last, acknowledged) = (loaded.view.revision, known.acknowledged.unwrap_or(0));
    if last >= acknowledged {
        return Ok(None);
    }
    engine
        .commit(&[codec::encode_revision(acknowledged)])
        .map_err(|e| OpenError::Io(e.to_string()))?;
    loaded.view.revision = acknowledged;
    Ok(Some(format!(
        "changes {} to {acknowledged} were acknowledged and are gone: check the active allocations",
        last + 1
    )))
}

fn add_default_account(
    engine: &mut SledEngine,
    loaded: &mut Loaded,
    random: &mut ChaCha12Rng,
    wall_ms: u64,
) -> Result<(), OpenError> {
    let bits = (u128::from(random.next_u64()) << 64) | u128::from(random.next_u64());
    let change = Change::Account(Arc::new(Account {
        sid: Sid::new(wall_ms, bits),
        name: DEFAULT_ACCOUNT.to_owned(),
        created_ms: wall_ms,
    }));
    let revision = loaded.view.revision + 1;
    let writes = [codec::encode(&change), codec::encode_revision(revision)];
    engine
        .commit(&writes)
        .map_err(|e| OpenError::Io(e.to_string()))?;
    loaded.view.apply(&change);
    loaded.view.revision = revision;
    loaded.initialised = true;
    Ok(())
}

fn seeded(seed: Option<[u8; 32]>) -> Result<ChaCha12Rng, OpenError> {
    let seed = match seed {
        Some(seed) => seed,
        None => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes)
                .map_err(|e| OpenError::Io(format!("no random seed from the kernel: {e}")))?;
            bytes
        }
    };
    Ok(ChaCha12Rng::from_seed(seed))
}
