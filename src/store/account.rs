//! Accounts: whom ExoPhones and allocations belong to.

use serde::{Deserialize, Serialize};

use crate::sid::Sid;

/// Name of the account that exists from the first start.
pub const DEFAULT_ACCOUNT: &str = "default";

/// An account, one row of the store. Credentials join it with the public API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id, stable from the first start on.
    pub sid: Sid,
    /// Its name, unique.
    pub name: String,
    /// Created, Unix milliseconds.
    pub created_ms: u64,
}
