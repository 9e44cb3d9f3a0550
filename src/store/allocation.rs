//! Allocations: who reaches whom through which ExoPhone (DESIGN: product rules).

use serde::{Deserialize, Serialize};

use super::patch::present;
use crate::number::Number;
use crate::sid::Sid;

/// Most numbers on one side of an allocation.
pub const MAX_SIDE: usize = 10;
/// Most bytes of an allocation's custom text.
pub const MAX_CUSTOM: usize = 256;
/// Longest call an allocation may ask for, in seconds: one day. The configured
/// `calls.max_call_secs` still applies where it is shorter.
pub const MAX_CALL_SECS: u32 = 86_400;

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

impl Allocation {
    /// Whether its expiry has passed at `wall_ms` (Unix milliseconds), swept or not.
    pub fn expired_at(&self, wall_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| wall_ms >= at)
    }

    /// Its state as a reader should see it: an active allocation whose expiry has passed is
    /// expired, even before a sweep has written that down.
    pub fn state_at(&self, wall_ms: u64) -> State {
        match self.state {
            State::Active if self.expired_at(wall_ms) => State::Expired,
            state => state,
        }
    }

    /// Every party number, customer side first.
    pub fn parties(&self) -> impl Iterator<Item = Number> + '_ {
        self.customer.iter().chain(&self.agent).copied()
    }
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
    /// Ends at, Unix milliseconds; `Some(None)` (JSON `null`) = no expiry.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<Option<u64>>,
    /// Recording.
    pub record: Option<RecordPolicy>,
    /// Longest call in seconds; `Some(None)` (JSON `null`) = the configured limit.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub max_call_secs: Option<Option<u32>>,
    /// Who may call.
    pub usage: Option<Usage>,
    /// Free text; `Some(None)` (JSON `null`) removes it.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub custom: Option<Option<String>>,
    /// Refuse unless the allocation has this version.
    pub expected_version: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_in_a_patch_clears_and_absence_leaves() {
        let patch: AllocationPatch =
            serde_json::from_str(r#"{"expires_ms":null,"custom":"x"}"#).unwrap();
        assert_eq!(patch.expires_ms, Some(None));
        assert_eq!(patch.custom, Some(Some("x".into())));
        assert_eq!(patch.max_call_secs, None);
    }

    #[test]
    fn a_patch_survives_its_own_json() {
        let patch = AllocationPatch {
            expires_ms: Some(None),
            max_call_secs: None,
            custom: Some(Some("order 7".into())),
            ..AllocationPatch::default()
        };
        let text = serde_json::to_string(&patch).unwrap();
        assert_eq!(
            serde_json::from_str::<AllocationPatch>(&text).unwrap(),
            patch
        );
    }
}
