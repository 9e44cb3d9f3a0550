//! Working on the store itself, when no server runs.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use axum::Router;

use crate::api::{Offline, State, Time, admin, refusal};
use crate::config::Config;
use crate::store::call_log::{AuditEntry, CallLog};
use crate::store::{CommittedChange, OpenError, OpenReport, Options, Refusal, Store};

/// The store and the call log, held by this process.
pub(super) struct OpenStore {
    store: Store,
    call_log: CallLog,
}

/// Why the store is not ours to open.
pub(super) enum Closed {
    /// Another process holds it: a server that is starting or stopping, or another command.
    Locked(PathBuf),
    /// Something else.
    Failed(Refusal),
}

/// Opens both and puts the administrator's routes over them. Blocks.
pub(super) fn open(config: &Config) -> Result<(Router, OpenStore), Closed> {
    // The store first: its lock says that no server is using the call log either.
    let log: Arc<OnceLock<CallLog>> = Arc::default();
    let hook = {
        let log = log.clone();
        move |change: &CommittedChange| {
            if let Some(log) = log.get() {
                log.audit(AuditEntry::of(change));
            }
        }
    };
    let options = Options {
        hook: Some(Box::new(hook)),
        ..Options::default()
    };
    let (store, report) = Store::open(&config.store.path, options).map_err(closed)?;
    warn(&report);
    let opened = CallLog::open(&config.call_log(), Time::now().0);
    let (call_log, _) = opened.map_err(|error| {
        Closed::Failed(refusal(
            "call_log_failed",
            error.to_string(),
            "nothing was changed; look at the disk and the permissions of the store's folder",
        ))
    })?;
    // It was empty: nobody else has this cell.
    let _ = log.set(call_log.clone());
    let state = State::new(config, store.clone(), call_log.clone(), Arc::new(Offline));
    Ok((admin::router(state), OpenStore { store, call_log }))
}

impl OpenStore {
    /// Releases the folder, so that the next command or server finds it free. Blocks.
    pub(super) fn close(self) -> Result<(), Refusal> {
        self.store.close();
        self.call_log.close().map_err(|error| {
            refusal(
                "call_log_failed",
                error.to_string(),
                "the change itself is in the store; its audit entry is not",
            )
        })
    }
}

fn closed(error: OpenError) -> Closed {
    let remedy = match &error {
        OpenError::Locked(folder) => return Closed::Locked(folder.clone()),
        OpenError::Damaged { .. } => "restore a backup, or start empty and import an export",
        OpenError::Newer(_) => "use that version, or import an export made with it",
        OpenError::Io(_) => "check [store] path, its permissions and the room on its disk",
    };
    Closed::Failed(refusal("store_closed", error.to_string(), remedy))
}

/// A damaged store is told loudly, whatever the log level.
fn warn(report: &OpenReport) {
    if let Some(restored) = &report.restored {
        tracing::error!(
            "the store was damaged ({}); it was restored from {} up to revision {}; later changes \
             are lost; what was there is kept in {}",
            restored.why,
            restored.export.display(),
            restored.revision,
            restored
                .kept
                .as_ref()
                .map_or_else(|| "no folder".to_owned(), |p| p.display().to_string()),
        );
    }
}
