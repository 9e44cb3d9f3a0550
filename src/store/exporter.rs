//! The periodic logical export: a second copy of all rows, in a form that needs no sled to read,
//! kept beside the store for the day the store cannot be opened.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::change::Change;
use super::sled::sync_dir;
use super::view::View;
use super::{Revision, export};

/// An export is due this long after the first change it would hold, or after
/// `Options::export_every` changes, or when the store is closed.
const EXPORT_AFTER: Duration = Duration::from_secs(600);
/// Exports kept; older ones are removed.
const EXPORTS_KEPT: usize = 3;

const PREFIX: &str = "routing-";
const SUFFIX: &str = ".jsonl";
const UNFINISHED: &str = ".tmp";

/// When to export, and the thread that does it: a million rows take seconds, which no request
/// should wait for.
#[derive(Debug)]
pub(super) struct Exporter {
    folder: PathBuf,
    every: u64,
    /// Revision of the newest export, finished or under way.
    exported: Revision,
    due_at: Option<Instant>,
    running: Option<JoinHandle<()>>,
}

impl Exporter {
    /// `exported` is the revision of the newest export in `folder`, 0 when there is none.
    pub(super) fn new(folder: PathBuf, every: u64, exported: Revision) -> Exporter {
        Exporter {
            folder,
            every: every.max(1),
            exported,
            due_at: None,
            running: None,
        }
    }

    /// When to call [`Exporter::tick`] at the latest.
    pub(super) fn due_at(&self) -> Option<Instant> {
        self.due_at
    }

    /// Starts an export when one is due and none is running.
    pub(super) fn tick(&mut self, view: &View, wall_ms: u64) {
        let unexported = view.revision.saturating_sub(self.exported);
        if unexported == 0 {
            self.due_at = None;
            return;
        }
        let due_at = *self
            .due_at
            .get_or_insert_with(|| Instant::now() + EXPORT_AFTER);
        if unexported < self.every && Instant::now() < due_at {
            return;
        }
        if self.running.as_ref().is_some_and(|r| !r.is_finished()) {
            self.due_at = Some(Instant::now() + EXPORT_AFTER);
            return;
        }
        let (folder, revision, rows) = (self.folder.clone(), view.revision, view.rows());
        let work = move || save_or_warn(&folder, revision, wall_ms, &rows);
        match thread::Builder::new()
            .name("store-export".into())
            .spawn(work)
        {
            Ok(running) => {
                self.running = Some(running);
                self.exported = revision;
                self.due_at = None;
            }
            Err(error) => {
                tracing::warn!(%error, "no thread for the periodic export; it is tried again");
                self.due_at = Some(Instant::now() + EXPORT_AFTER);
            }
        }
    }

    /// Waits for a running export; then exports what is newer in `view`. `None`: the view is
    /// not what the disk holds, and is not exported.
    pub(super) fn finish(&mut self, view: Option<&View>, wall_ms: u64) {
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
        if let Some(view) = view
            && view.revision > self.exported
        {
            save_or_warn(&self.folder, view.revision, wall_ms, &view.rows());
            self.exported = view.revision;
        }
    }
}

fn save_or_warn(folder: &Path, revision: Revision, wall_ms: u64, rows: &[Change]) {
    if let Err(error) = save(folder, revision, wall_ms, rows) {
        tracing::warn!(%error, "the periodic export failed; the store itself is not affected");
    }
}

/// Writes one export; it has its name only once it is complete and on disk.
fn save(folder: &Path, revision: Revision, wall_ms: u64, rows: &[Change]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let name = folder.join(format!("{PREFIX}{revision:020}{SUFFIX}"));
    let unfinished = name.with_extension("jsonl.tmp");
    let file = File::create(&unfinished)?;
    let mut out = BufWriter::new(&file);
    export::write(&mut out, revision, wall_ms, rows)?;
    out.flush()?;
    drop(out);
    file.sync_all()?;
    fs::rename(&unfinished, &name)?;
    sync_dir(folder)?;
    for (_, old) in list(folder)?.into_iter().skip(EXPORTS_KEPT) {
        fs::remove_file(old)?;
    }
    Ok(())
}

/// The exports in a folder with their revisions, newest first. A missing folder has none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(Revision, PathBuf)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let revision = path
            .file_name()
            .and_then(|n| n.to_str())
            .and_then(|n| n.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse().ok());
        if let Some(revision) = revision {
            found.push((revision, path));
        }
    }
    found.sort_by(|a, b| b.cmp(a));
    Ok(found)
}

/// Removes what a killed process left half written.
pub(super) fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
