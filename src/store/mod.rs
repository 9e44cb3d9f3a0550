//! The store: truth on disk, answers from memory.

pub mod allocation;
pub mod exophone;

use serde::{Deserialize, Serialize};

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
