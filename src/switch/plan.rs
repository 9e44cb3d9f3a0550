//! What to do with a call: the question the switch asks of the allocation directory.
//!
//! The types have room for `Collect` (digits) and `Ask` (a decision from outside); they join
//! [`Plan`] when PINs and per-call questions do.

use serde::{Deserialize, Serialize};

use crate::number::Number;
use crate::sid::Sid;
use crate::switch::record::Cause;

/// The allocation directory as the switch sees it. Answers come from memory at once.
pub trait Directory {
    /// Decides a call to `exophone` from `caller` at `wall_ms` (Unix milliseconds).
    ///
    /// `caller` is `None` when the caller is anonymous, unusable or contradictory; that is
    /// never "the other party of whatever allocation exists". Expiry is judged here, so late
    /// clean-up can never connect a call.
    fn resolve(&self, exophone: Number, caller: Option<Number>, wall_ms: u64) -> Plan;
}

/// The directory's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Plan {
    /// Connect the caller to the other party.
    Connect(Box<Connect>),
    /// Play "This number is not active" and hang up.
    Announce(Box<Announce>),
    /// Not one of our ExoPhones: 404, no record.
    Refuse,
}

/// Which side of an allocation called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// The customer dialled the ExoPhone.
    CustomerToAgent,
    /// The agent dialled the ExoPhone.
    AgentToCustomer,
    /// Nobody known dialled, or no allocation applied.
    None,
}

/// A call to connect: a snapshot taken at the INVITE, so that later changes of the allocation
/// do not touch it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connect {
    /// Account the ExoPhone belongs to.
    pub account: Sid,
    /// The allocation that applied.
    pub allocation: Sid,
    /// The ExoPhone that was dialled.
    pub exophone: Number,
    /// The caller, one of the allocation's parties.
    pub caller: Number,
    /// Numbers to ring, in order; at least one.
    pub callees: Vec<Number>,
    /// The ExoPhone the callee sees (normally the dialled one).
    pub present: Number,
    /// Which side called.
    pub direction: Direction,
    /// Trunk leg B leaves by; `None` = the first configured.
    pub trunk: Option<String>,
    /// Masked calls allowed at once on this ExoPhone; 0 = unlimited.
    pub max_calls: u32,
    /// Longest call in seconds; `None` = the configured limit.
    pub max_call_secs: Option<u32>,
    /// Whether the call is to be recorded.
    pub record: bool,
    /// The allocation's custom text, for the record.
    pub custom: Option<String>,
}

/// A call that gets the announcement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announce {
    /// Account the ExoPhone belongs to.
    pub account: Sid,
    /// The ExoPhone that was dialled.
    pub exophone: Number,
    /// The allocation that nearly applied (expired, or the caller is a third person).
    pub allocation: Option<Sid>,
    /// Why there is no call.
    pub cause: Cause,
    /// The ExoPhone's own announcement file; `None` = the default one.
    pub announcement: Option<String>,
}
