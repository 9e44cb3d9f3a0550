//! The store: truth on disk, answers from memory.
//!
//! A request goes through a bounded queue to the one writer thread ([`Store`], `writer`), which
//! decides it by pure rules (`rules`) against its own view, writes every row the group of
//! waiting requests changes in one batch that is on the platter when it returns (`engine`,
//! `sled`), folds the changes into the view that readers see ([`directory`]), and only then
//! answers. Readers never touch the disk. The view is a fold over committed changes in order, so
//! that at start it is rebuilt by one scan, and another engine can feed the same view later.
//!
//! Records of calls live elsewhere, in the call log.

pub mod account;
pub mod allocation;
pub mod call_log;
pub mod directory;
pub mod exophone;
pub mod explain;

mod change;
mod codec;
mod engine;
mod export;
mod exporter;
mod handle;
mod high_water;
mod lookup;
mod open;
mod patch;
mod restore;
mod rules;
mod sled;
mod verify;
mod view;
mod writer;

use serde::{Deserialize, Serialize};

pub use change::{Change, CommittedChange};
pub use engine::{Engine, EngineError, Write};
pub use export::{ImportReport, RefusedLine};
pub use handle::{ChangeHook, Clock, Committed, ImportError, Options, Store};
pub use open::{OpenError, OpenReport, verify_folder};
pub use restore::Restored;
pub use sled::SyncStep;
pub use verify::VerifyReport;

use crate::number::Number;
use crate::sid::Sid;
use allocation::{Allocation, AllocationPatch, NewAllocation};
use exophone::{ExoPhone, ExoPhonePatch, NewExoPhone};

/// Counts committed changes, from 1; the order in which they took effect.
pub type Revision = u64;

/// One change asked of the store. A request is decided by the one writer against its own view.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Add an ExoPhone.
    AddExoPhone(NewExoPhone),
    /// Change an ExoPhone.
    SetExoPhone(Number, ExoPhonePatch),
    /// Remove an ExoPhone; refused while an allocation on it is active.
    RemoveExoPhone(Number),
    /// Create an allocation.
    Create(NewAllocation),
    /// Change an active allocation.
    Update(Sid, AllocationPatch),
    /// End an active allocation; ending an ended one is no error and changes nothing.
    Deactivate(Sid),
    /// Mark every allocation whose expiry has passed as expired.
    Sweep,
}

/// What a committed request produced.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// The ExoPhone as it is now (as it was, when removed).
    ExoPhone(Box<ExoPhone>),
    /// The allocation as it is now.
    Allocation(Box<Allocation>),
    /// How many allocations a sweep ended.
    Swept(usize),
}

/// A request the store's rules do not allow. The fields are the `error` object of the CLI and
/// of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}; {remedy}")]
pub struct Refusal {
    /// A stable word for programs, as in `exophone_taken`.
    pub code: String,
    /// What was wrong.
    pub message: String,
    /// What to do.
    pub remedy: String,
    /// The object in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking_id: Option<Sid>,
}

/// Why a request has no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The rules do not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The disk failed; nothing was acknowledged. The text names the operation and the error.
    #[error("the store could not write: {0}")]
    Disk(String),
    /// The queue of requests is full: try again later.
    #[error("the store is busy: {0} requests wait already; try again")]
    Busy(usize),
    /// The store is closed or its writer has stopped.
    #[error("the store is closed")]
    Closed,
}

#[cfg(test)]
mod fold_tests;
#[cfg(test)]
mod lookup_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
