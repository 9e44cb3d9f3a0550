//! Changes: the rows a committed request wrote. The memory view is a fold over them.

use std::sync::Arc;

use super::account::Account;
use super::allocation::Allocation;
use super::exophone::ExoPhone;
use super::{Request, Revision};
use crate::number::Number;

/// One row written or removed. Rows are shared, so that the writer's view, the readers' view and
/// an export in progress hold them once.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An account as it is now.
    Account(Arc<Account>),
    /// An ExoPhone as it is now.
    ExoPhone(Arc<ExoPhone>),
    /// An ExoPhone that is no more.
    ExoPhoneRemoved(Number),
    /// An allocation as it is now. Allocations are never removed.
    Allocation(Arc<Allocation>),
}

/// A change as the store's hook sees it: after it is on disk and visible, before its request is
/// acknowledged. Made for the audit trail.
#[derive(Debug, Clone)]
pub struct CommittedChange {
    /// Its place in the order of all changes.
    pub revision: Revision,
    /// When it was decided, Unix milliseconds.
    pub at_ms: u64,
    /// On whose behalf; as given to [`super::Store::submit_as`].
    pub who: Arc<str>,
    /// The kind of request, as in `create`.
    pub what: &'static str,
    /// The row before, when there was one.
    pub before: Option<Change>,
    /// The change.
    pub change: Change,
}

impl Request {
    /// The kind of request in one word, for the audit trail.
    pub fn kind(&self) -> &'static str {
        match self {
            Request::AddExoPhone(_) => "exophone_add",
            Request::SetExoPhone(..) => "exophone_set",
            Request::RemoveExoPhone(_) => "exophone_remove",
            Request::Create(_) => "allocation_create",
            Request::Update(..) => "allocation_update",
            Request::Deactivate(_) => "allocation_deactivate",
            Request::Sweep => "sweep",
        }
    }
}
