//! Reading a store that may be damaged, and restoring the newest export when it is.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::change::Change;
use super::codec::{self, BadRow};
use super::engine::Engine;
use super::high_water::HighWater;
use super::open::{OpenError, ROUTING};
use super::sled::{SledEngine, SledOpenError, SyncStep};
use super::verify::{self, Loaded};
use super::{Revision, export, exporter};

/// Rows written at once while an export is restored.
const RESTORE_ROWS: usize = 1_000;

/// A store that was damaged, and what took its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restored {
    /// What could not be read.
    pub why: String,
    /// Where the damaged folder is kept; `None` when the folder was gone.
    pub kept: Option<PathBuf>,
    /// The export restored.
    pub export: PathBuf,
    /// Its revision.
    pub revision: Revision,
    /// Changes acknowledged after it, as far as is known: they are lost.
    pub lost: u64,
}

/// What lies beside the sled folder and tells how far it should reach.
pub(super) struct Known {
    /// The exports, newest first.
    exports: Vec<(Revision, PathBuf)>,
    /// The last acknowledged change; `None` = a new store.
    pub(super) acknowledged: Option<Revision>,
}

impl Known {
    pub(super) fn find(folder: &Path, exports: &Path) -> Result<Known, OpenError> {
        let io = |e: io::Error| OpenError::Io(format!("{}: {e}", folder.display()));
        Ok(Known {
            exports: exporter::list(exports).map_err(io)?,
            acknowledged: HighWater::read(folder).map_err(io)?,
        })
    }

    /// Revision of the newest export, 0 when there is none.
    pub(super) fn exported(&self) -> Revision {
        self.exports.first().map_or(0, |(revision, _)| *revision)
    }
}

/// An open sled folder and its rows.
pub(super) type Readable = (SledEngine, Loaded);

/// Opens the sled folder and reads all rows. The inner error is damage, in words.
pub(super) fn read(
    routing: &Path,
    known: &Known,
    sync: &SyncStep,
) -> Result<Result<Readable, String>, OpenError> {
    if known.acknowledged.is_some() && !routing.exists() {
        return Ok(Err("the folder is gone".to_owned()));
    }
    let mut engine = match SledEngine::open(routing, sync.clone()) {
        Ok(engine) => engine,
        Err(SledOpenError::Locked) => return Err(OpenError::Locked(routing.to_owned())),
        Err(SledOpenError::Io(why)) => return Err(OpenError::Io(why)),
        Err(SledOpenError::Damaged(why)) => return Ok(Err(why)),
    };
    let loaded = match verify::load(&mut engine) {
        Ok(loaded) => loaded,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let newer = |bad: &&BadRow| matches!(bad, BadRow::Newer { .. });
    if let Some(newer) = loaded.unreadable.iter().find(newer) {
        return Err(OpenError::Newer(newer.to_string()));
    }
    // sled takes files it cannot read for empty ones, and cuts off the end of a damaged log.
    if known.acknowledged.is_some() && !loaded.initialised {
        return Ok(Err("it is empty although changes were made".to_owned()));
    }
    let (last, exported) = (loaded.view.revision, known.exported());
    if last < exported {
        return Ok(Err(format!(
            "it ends at change {last}, but the newest export holds {exported}"
        )));
    }
    Ok(Ok((engine, loaded)))
}

/// Keeps the damaged folder under a new name and fills a new one from the newest export that is
/// complete.
pub(super) fn restore(
    routing: &Path,
    why: String,
    known: &Known,
    sync: &SyncStep,
    wall_ms: u64,
) -> Result<(SledEngine, Loaded, Restored), OpenError> {
    let damaged = |why: &str| OpenError::Damaged {
        folder: routing.to_owned(),
        why: why.to_owned(),
    };
    let usable = known
        .exports
        .iter()
        .find_map(|(revision, path)| read_export(path).map(|rows| (*revision, path.clone(), rows)));
    let (revision, export, rows) = usable.ok_or_else(|| damaged(&why))?;
    let kept =
        keep(routing, wall_ms).map_err(|e| OpenError::Io(format!("{}: {e}", routing.display())))?;
    let lost = known.acknowledged.unwrap_or(0).saturating_sub(revision);
    tracing::error!(
        %why,
        kept = ?kept,
        export = ?export,
        revision,
        lost,
        "THE STORE WAS DAMAGED. The newest export is restored. Changes after it are lost, perhaps \
         deactivations among them: check the active allocations"
    );
    let mut engine = match SledEngine::open(routing, sync.clone()) {
        Ok(engine) => engine,
        Err(SledOpenError::Locked) => return Err(OpenError::Locked(routing.to_owned())),
        Err(SledOpenError::Io(why) | SledOpenError::Damaged(why)) => {
            return Err(OpenError::Io(why));
        }
    };
    fill(&mut engine, &rows, revision).map_err(|e| OpenError::Io(e.to_string()))?;
    let loaded = verify::load(&mut engine).map_err(|e| damaged(&e.to_string()))?;
    let restored = Restored {
        why,
        kept,
        export,
        revision,
        lost,
    };
    Ok((engine, loaded, restored))
}

/// Renames the damaged folder; `None` when it is gone. A second one in the same millisecond
/// gets a number.
fn keep(routing: &Path, wall_ms: u64) -> io::Result<Option<PathBuf>> {
    let mut kept = routing.with_file_name(format!("{ROUTING}.damaged-{wall_ms}"));
    let mut more = 1;
    while kept.exists() {
        kept = routing.with_file_name(format!("{ROUTING}.damaged-{wall_ms}-{more}"));
        more += 1;
    }
    match fs::rename(routing, &kept) {
        Ok(()) => Ok(Some(kept)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Writes all rows. The revision goes last: without it a restore that was cut off is seen as an
/// empty store and repeated.
fn fill(
    engine: &mut SledEngine,
    rows: &[Change],
    revision: Revision,
) -> Result<(), super::EngineError> {
    for chunk in rows.chunks(RESTORE_ROWS) {
        let writes: Vec<_> = chunk.iter().map(codec::encode).collect();
        engine.commit(&writes)?;
    }
    engine.commit(&[codec::encode_revision(revision)])
}

/// The rows of an export; `None` when it is not whole.
fn read_export(path: &Path) -> Option<Vec<Change>> {
    let mut reader = export::Reader::new(BufReader::new(File::open(path).ok()?));
    let mut rows = Vec::new();
    while let Some((_, row)) = reader.next().ok()? {
        rows.push(row.ok()?);
    }
    reader.complete.then_some(rows)
}
