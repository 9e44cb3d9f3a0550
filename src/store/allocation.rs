//! Allocations: who reaches whom through which ExoPhone (DESIGN: product rules).

use serde::{Deserialize, Serialize};

use crate::number::Number;
use crate::sid::Sid;

/// Most numbers on one side of an allocation.
pub const MAX_SIDE: usize = 10;
/// Most bytes of an allocation's custom text.
pub const MAX_CUSTOM: usize = 256;

/// An allocation, one row of the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Its id.
    pub id: Sid,
    /// The account it belongs to.
    pub account: Sid,
    /// The ExoPhone the customer dials and sees.
    pub exophone: Number,
    /// The ExoPhone the agent dials and sees; normally the same.
    pub agent_exophone: Number,
    /// The customer's numbers in ring order, 1 to [`MAX_SIDE`].
    pub customer: Vec<Number>,
    /// The agent's numbers in ring order, 1 to [`MAX_SIDE`].
    pub agent: Vec<Number>,
    /// Active, deactivated or expired.
    pub state: State,
    /// Created, Unix milliseconds.
    pub created_ms: u64,
    /// Last changed, Unix milliseconds.
    pub updated_ms: u64,
    /// Ends at, Unix milliseconds; `None` = when deactivated.
    pub expires_ms: Option<u64>,
    /// Whether calls are recorded.
    pub record: RecordPolicy,
    /// Longest call in seconds; `None` = the configured limit.
    pub max_call_secs: Option<u32>,
    /// Who may call.
    pub usage: Usage,
    /// Free text of the API's user, returned in records.
    pub custom: Option<String>,
    /// Counts changes, from 1.
    pub version: u64,
}

/// Where an allocation is in its life. It never comes back from the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Calls are connected, unless its expiry has passed.
    Active,
    /// Ended by a request.
    Deactivated,
    /// Ended by its expiry.
    Expired,
}

/// Recording: the allocation's own word, or the ExoPhone's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordPolicy {
    /// As the ExoPhone says.
    #[default]
    Inherit,
    /// Recorded.
    On,
    /// Not recorded.
    Off,
}

/// Who may call through an allocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// Both sides.
    #[default]
    Twoway,
    /// Only the customer.
    Oneway,
}

/// What a create asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAllocation {
    /// The account; `None` = `default`.
    #[serde(default)]
    pub account: Option<Sid>,
    /// The ExoPhone.
    pub exophone: Number,
    /// The customer's numbers.
    pub customer: Vec<Number>,
    /// The agent's numbers.
    pub agent: Vec<Number>,
    /// Ends at, Unix milliseconds.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Recording.
    #[serde(default)]
    pub record: RecordPolicy,
    /// Longest call in seconds.
    #[serde(default)]
    pub max_call_secs: Option<u32>,
    /// Who may call.
    #[serde(default)]
    pub usage: Usage,
    /// Free text.
    #[serde(default)]
    pub custom: Option<String>,
}

/// What an update changes; `None` leaves the field as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AllocationPatch {
    /// The customer's numbers.
    pub customer: Option<Vec<Number>>,
    /// The agent's numbers.
    pub agent: Option<Vec<Number>>,
    /// Ends at, Unix milliseconds; `Some(None)` = no expiry.
    pub expires_ms: Option<Option<u64>>,
    /// Recording.
    pub record: Option<RecordPolicy>,
    /// Longest call in seconds.
    pub max_call_secs: Option<Option<u32>>,
    /// Who may call.
    pub usage: Option<Usage>,
    /// Free text.
    pub custom: Option<Option<String>>,
    /// Refuse unless the allocation has this version.
    pub expected_version: Option<u64>,
}
