//! The number of the last acknowledged change, in a small file beside the sled folder.
//!
//! sled takes files it cannot read for empty ones and cuts off the end of a damaged log without
//! a word. This file tells such a store from a new one, and says which changes are missing. It
//! is written after a commit and not synced: after a power cut it may be behind, never ahead.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::Revision;
use super::sled::sync_dir;

const NAME: &str = "revision";
/// Digits of the largest revision: each note overwrites the one before in place.
const WIDTH: usize = 20;

/// The open file.
#[derive(Debug)]
pub(super) struct HighWater {
    file: File,
    broken: bool,
}

impl HighWater {
    /// What the file in `folder` says; `None` when there is none: no change was ever
    /// acknowledged here. A file that cannot be understood counts as 0.
    pub(super) fn read(folder: &Path) -> io::Result<Option<Revision>> {
        match std::fs::read_to_string(folder.join(NAME)) {
            Ok(text) => Ok(Some(text.trim().parse().unwrap_or(0))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(Some(0)),
            Err(e) => Err(e),
        }
    }

    /// Opens or creates the file, notes `revision` and makes that durable.
    pub(super) fn start(folder: &Path, revision: Revision) -> io::Result<HighWater> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join(NAME))?;
        let mut high_water = HighWater {
            file,
            broken: false,
        };
        high_water.write(revision)?;
        high_water.file.sync_all()?;
        sync_dir(folder)?;
        Ok(high_water)
    }

    /// Notes that changes up to `revision` are on disk. A failure is only logged: the file
    /// guards against damage, it is not part of the truth.
    pub(super) fn note(&mut self, revision: Revision) {
        if let Err(error) = self.write(revision)
            && !self.broken
        {
            self.broken = true;
            tracing::warn!(%error, "cannot note the last change in the file {NAME}");
        }
    }

    fn write(&mut self, revision: Revision) -> io::Result<()> {
        let text = format!("{revision:0WIDTH$}\n");
        self.file.write_all_at(text.as_bytes(), 0)
    }
}
