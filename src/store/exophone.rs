//! ExoPhones: the virtual numbers both parties see (DESIGN: product rules).

use serde::{Deserialize, Serialize};

use super::patch::present;
use crate::number::Number;
use crate::sid::Sid;

/// Most bytes of a trunk, pool or region name.
pub const MAX_NAME: usize = 64;
/// Most bytes of the path of an announcement.
pub const MAX_ANNOUNCEMENT_PATH: usize = 1024;

/// An ExoPhone, one row of the store. The number is its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExoPhone {
    /// The virtual number.
    pub number: Number,
    /// The account it belongs to.
    pub account: Sid,
    /// The trunk its calls leave by; `None` = the first configured.
    pub trunk: Option<String>,
    /// Pool it is drawn from.
    pub pool: Option<String>,
    /// Region, as in `KA`.
    pub region: Option<String>,
    /// Masked calls at once; 0 = unlimited.
    pub max_calls: u32,
    /// How allocations share it.
    pub sharing: Sharing,
    /// Its own announcement file; `None` = the configured one.
    pub announcement: Option<String>,
    /// Whether calls are recorded unless the allocation says otherwise.
    pub record: bool,
    /// Added, Unix milliseconds.
    pub created_ms: u64,
    /// Last changed, Unix milliseconds.
    pub updated_ms: u64,
}

/// How allocations share an ExoPhone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sharing {
    /// One active allocation.
    #[default]
    Exclusive,
    /// Many, as long as no party number repeats on it.
    PerParty,
}

impl Sharing {
    /// `max_calls` when none is given: one at a time, or unlimited (0) when shared.
    pub fn default_max_calls(self) -> u32 {
        match self {
            Sharing::Exclusive => 1,
            Sharing::PerParty => 0,
        }
    }
}

/// What an `exophone add` asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewExoPhone {
    /// The virtual number.
    pub number: Number,
    /// The account; `None` = `default`.
    #[serde(default)]
    pub account: Option<Sid>,
    /// Trunk.
    #[serde(default)]
    pub trunk: Option<String>,
    /// Pool.
    #[serde(default)]
    pub pool: Option<String>,
    /// Region.
    #[serde(default)]
    pub region: Option<String>,
    /// Masked calls at once; `None` = 1 when exclusive, unlimited when per-party.
    #[serde(default)]
    pub max_calls: Option<u32>,
    /// Sharing.
    #[serde(default)]
    pub sharing: Sharing,
    /// Announcement file.
    #[serde(default)]
    pub announcement: Option<String>,
    /// Recording default.
    #[serde(default)]
    pub record: bool,
}

/// What an `exophone set` changes; `None` leaves the field as it is, `Some(None)` (JSON `null`)
/// clears it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExoPhonePatch {
    /// Trunk.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub trunk: Option<Option<String>>,
    /// Pool.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub pool: Option<Option<String>>,
    /// Region.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub region: Option<Option<String>>,
    /// Masked calls at once; 0 = unlimited.
    pub max_calls: Option<u32>,
    /// Sharing; refused while allocations that need the old one are active.
    pub sharing: Option<Sharing>,
    /// Announcement file.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub announcement: Option<Option<String>>,
    /// Recording default.
    pub record: Option<bool>,
}
