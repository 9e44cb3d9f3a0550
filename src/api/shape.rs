//! What travels between the administrator's routes and the command line: the one place that says
//! how things look as JSON. Answers are snake_case, numbers in full E.164, times RFC 3339 in UTC
//! with milliseconds, every field always there (`null` when it has no value).
//!
//! Requests carry numbers, ids and times as the text a person typed, so that what is wrong with
//! them is said in one place and in the same words, wherever they came from.

use serde::{Deserialize, Deserializer, Serialize};

use super::time::Time;
use crate::config;
use crate::number::Number;
use crate::sid::Sid;
use crate::store::account::Account;
use crate::store::allocation::{Allocation, RecordPolicy, State, Usage};
use crate::store::exophone::{ExoPhone, Sharing};
use crate::store::explain::{Explanation, Verdict};
use crate::switch::media::LegStats;
use crate::switch::plan::Direction;
use crate::switch::record::{CallRecord, Cause, EndedBy, LiveCall, Origin, Status};
use crate::switch::settings::Cidr;

/// An ExoPhone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExoPhoneShape {
    /// The virtual number.
    pub number: Number,
    /// Its account.
    pub account: Sid,
    /// The trunk its calls leave by; `null` = the first configured.
    pub trunk: Option<String>,
    /// Its pool.
    pub pool: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// Masked calls at once; 0 = unlimited.
    pub max_calls: u32,
    /// How allocations share it.
    pub sharing: Sharing,
    /// Its own announcement file.
    pub announcement: Option<String>,
    /// Whether calls are recorded unless the allocation says otherwise.
    pub record: bool,
    /// Added.
    pub created: Time,
    /// Last changed.
    pub updated: Time,
}

impl From<&ExoPhone> for ExoPhoneShape {
    fn from(e: &ExoPhone) -> Self {
        ExoPhoneShape {
            number: e.number,
            account: e.account,
            trunk: e.trunk.clone(),
            pool: e.pool.clone(),
            region: e.region.clone(),
            max_calls: e.max_calls,
            sharing: e.sharing,
            announcement: e.announcement.clone(),
            record: e.record,
            created: Time(e.created_ms),
            updated: Time(e.updated_ms),
        }
    }
}

/// An allocation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AllocationShape {
    /// Its id.
    pub id: Sid,
    /// Its account.
    pub account: Sid,
    /// The ExoPhone.
    pub exophone: Number,
    /// The customer's numbers in ring order.
    pub customer: Vec<Number>,
    /// The agent's numbers in ring order.
    pub agent: Vec<Number>,
    /// Where it is in its life, judged at the time of the answer.
    pub state: State,
    /// Recording.
    pub record: RecordPolicy,
    /// Who may call.
    pub usage: Usage,
    /// Longest call in seconds; `null` = the configured limit.
    pub max_call_secs: Option<u32>,
    /// Free text.
    pub custom: Option<String>,
    /// Created.
    pub created: Time,
    /// Last changed.
    pub updated: Time,
    /// Ends at; `null` = when deactivated.
    pub expires: Option<Time>,
    /// Counts changes, from 1.
    pub version: u64,
}

impl AllocationShape {
    /// The allocation as it stands at `wall_ms`.
    pub fn at(a: &Allocation, wall_ms: u64) -> Self {
        AllocationShape {
            id: a.id,
            account: a.account,
            exophone: a.exophone,
            customer: a.customer.clone(),
            agent: a.agent.clone(),
            state: a.state_at(wall_ms),
            record: a.record,
            usage: a.usage,
            max_call_secs: a.max_call_secs,
            custom: a.custom.clone(),
            created: Time(a.created_ms),
            updated: Time(a.updated_ms),
            expires: a.expires_ms.map(Time),
            version: a.version,
        }
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AccountShape {
    /// Its id.
    pub sid: Sid,
    /// Its name.
    pub name: String,
    /// Created.
    pub created: Time,
}

impl From<&Account> for AccountShape {
    fn from(a: &Account) -> Self {
        AccountShape {
            sid: a.sid,
            name: a.name.clone(),
            created: Time(a.created_ms),
        }
    }
}

/// A call, live or ended. What is not known yet is `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallShape {
    /// Its id.
    pub sid: Sid,
    /// Account of the ExoPhone.
    pub account: Sid,
    /// The allocation that applied.
    pub allocation: Option<Sid>,
    /// The ExoPhone dialled.
    pub exophone: Number,
    /// The caller's real number.
    pub caller: Option<Number>,
    /// The callee's real number.
    pub callee: Option<Number>,
    /// How it began.
    pub origin: Origin,
    /// Which side called.
    pub direction: Direction,
    /// Its state.
    pub status: Status,
    /// Why it ended.
    pub cause: Option<Cause>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// INVITE received.
    pub started: Time,
    /// The callee rang.
    pub rang: Option<Time>,
    /// Both parties connected.
    pub answered: Option<Time>,
    /// The end.
    pub ended: Option<Time>,
    /// Conversation time in seconds, to the millisecond; 0 when only an announcement was played.
    pub duration_secs: f64,
    /// The final SIP status to the caller.
    pub sip_code: Option<u16>,
    /// The Q.850 cause.
    pub q850: Option<u8>,
    /// Codec of the caller's leg.
    pub codec: Option<String>,
    /// The caller's leg.
    pub caller_media: Option<MediaShape>,
    /// The callee's leg.
    pub callee_media: Option<MediaShape>,
    /// Recording file.
    pub recording: Option<String>,
    /// Whether only an announcement was played.
    pub announcement: bool,
    /// Trunk it came in by.
    pub trunk_in: String,
    /// Trunk leg B left by.
    pub trunk_out: Option<String>,
    /// The allocation's custom text.
    pub custom: Option<String>,
}

impl CallShape {
    /// A call that is up: its duration is counted to `wall_ms`.
    pub fn live(call: &LiveCall, wall_ms: u64) -> Self {
        let talked = call.answered_ms.filter(|_| !call.announcement);
        CallShape {
            sid: call.sid,
            account: call.account,
            allocation: call.allocation,
            exophone: call.exophone,
            caller: call.caller,
            callee: call.callee,
            origin: call.origin,
            direction: call.direction,
            status: call.status,
            cause: None,
            ended_by: None,
            started: Time(call.started_ms),
            rang: call.rang_ms.map(Time),
            answered: call.answered_ms.map(Time),
            ended: None,
            duration_secs: secs(talked.map_or(0, |at| wall_ms.saturating_sub(at))),
            sip_code: None,
            q850: None,
            codec: None,
            caller_media: None,
            callee_media: None,
            recording: None,
            announcement: call.announcement,
            trunk_in: call.trunk_in.clone(),
            trunk_out: call.trunk_out.clone(),
            custom: call.custom.clone(),
        }
    }
}

impl From<&CallRecord> for CallShape {
    fn from(record: &CallRecord) -> Self {
        CallShape {
            cause: Some(record.cause),
            ended_by: Some(record.ended_by),
            ended: Some(Time(record.ended_ms)),
            duration_secs: secs(record.duration_ms()),
            sip_code: Some(record.sip_code),
            q850: Some(record.q850),
            codec: record.codec.clone(),
            caller_media: record.caller_media.map(MediaShape::from),
            callee_media: record.callee_media.map(MediaShape::from),
            recording: record.recording.clone(),
            ..CallShape::live(&record.call, record.ended_ms)
        }
    }
}

/// Milliseconds as seconds.
fn secs(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

/// What one leg's media did.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MediaShape {
    /// RTP packets accepted from the party.
    pub packets_in: u64,
    /// RTP packets sent to the party.
    pub packets_out: u64,
    /// Packets lost on the way to us.
    pub lost: u64,
    /// Lost packets as a share of what the party sent, in percent, two decimals.
    pub loss_percent: f64,
    /// Packets dropped: wrong source, malformed, unknown payload type.
    pub dropped: u64,
    /// Interarrival jitter in milliseconds, two decimals.
    pub jitter_ms: f64,
    /// Mean opinion score, two decimals; `null` when nothing was received.
    pub mos: Option<f64>,
}

impl From<LegStats> for MediaShape {
    fn from(s: LegStats) -> Self {
        let sent = s.packets_in.saturating_add(s.lost).max(1);
        MediaShape {
            packets_in: s.packets_in,
            packets_out: s.packets_out,
            lost: s.lost,
            loss_percent: two_decimals(s.lost as f64 * 100.0 / sent as f64),
            dropped: s.dropped,
            jitter_ms: two_decimals(f64::from(s.jitter_ms)),
            mos: s.mos.map(|m| two_decimals(f64::from(m))),
        }
    }
}

fn two_decimals(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// A trunk, as configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrunkShape {
    /// Its name.
    pub name: String,
    /// Where its calls go, in order.
    pub targets: Vec<String>,
    /// Whose calls and identity headers are trusted.
    pub accept_from: Vec<String>,
    /// Calls at once; 0 = unlimited.
    pub max_calls: u32,
    /// New calls a second; 0 = unlimited.
    pub max_cps: u32,
    /// Calls up now that came in or left by it.
    pub live_calls: u64,
}

impl From<&config::Trunk> for TrunkShape {
    fn from(trunk: &config::Trunk) -> Self {
        TrunkShape {
            name: trunk.name.clone(),
            targets: trunk
                .targets
                .iter()
                .map(|t| format!("udp:{}", t.host_port))
                .collect(),
            accept_from: trunk.accept_from.iter().map(Cidr::to_string).collect(),
            max_calls: trunk.max_calls,
            max_cps: trunk.max_cps,
            live_calls: 0,
        }
    }
}

/// Which allocation would apply to a call, why, and who would ring.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExplainShape {
    /// The ExoPhone dialled.
    pub exophone: Number,
    /// Who calls; `null` = an anonymous caller.
    pub caller: Option<Number>,
    /// The moment judged.
    pub at: Time,
    /// What would happen: `connect`, `announce` or `refuse`.
    pub outcome: String,
    /// Why there is no call, in one word; `null` when there is.
    pub cause: Option<Cause>,
    /// The same in a sentence.
    pub reason: String,
    /// The allocation that applies or nearly did.
    pub allocation: Option<Sid>,
    /// Which side calls.
    pub direction: Direction,
    /// Who rings, in order.
    pub rings: Vec<Number>,
    /// The number they see.
    pub presents: Option<Number>,
    /// The trunk the call leaves by; `null` = the first configured.
    pub trunk: Option<String>,
}

impl From<Explanation> for ExplainShape {
    fn from(said: Explanation) -> Self {
        ExplainShape {
            exophone: said.exophone,
            caller: said.caller,
            at: Time(said.at_ms),
            outcome: match said.verdict {
                Verdict::Connect => "connect",
                Verdict::Announce => "announce",
                Verdict::Refuse => "refuse",
            }
            .to_owned(),
            cause: said.cause,
            reason: said.reason,
            allocation: said.allocation.map(|a| a.id),
            direction: said.direction,
            rings: said.rings,
            presents: said.shows,
            trunk: said.trunk,
        }
    }
}

/// What is asked of `POST allocations`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CreateAllocation {
    /// Account id or name; absent = `default`.
    pub account: Option<String>,
    /// The ExoPhone.
    pub exophone: String,
    /// The customer's numbers.
    pub customer: Vec<String>,
    /// The agent's numbers.
    pub agent: Vec<String>,
    /// Ends at, RFC 3339.
    pub expires: Option<String>,
    /// Ends this long from now, by the server's clock.
    pub expires_in_secs: Option<u64>,
    /// Recording.
    pub record: RecordPolicy,
    /// Longest call in seconds.
    pub max_call_secs: Option<u32>,
    /// Who may call.
    pub usage: Usage,
    /// Free text.
    pub custom: Option<String>,
}

/// What is asked of `PATCH allocations/{id}`: absent leaves, `null` clears.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpdateAllocation {
    /// The customer's numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<Vec<String>>,
    /// The agent's numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<Vec<String>>,
    /// Ends at, RFC 3339.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub expires: Option<Option<String>>,
    /// Ends this long from now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in_secs: Option<u64>,
    /// Recording.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<RecordPolicy>,
    /// Longest call in seconds.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub max_call_secs: Option<Option<u32>>,
    /// Who may call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Free text.
    #[serde(deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub custom: Option<Option<String>>,
    /// Refuse unless the allocation has this version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

/// What is asked of `POST exophones`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AddExoPhone {
    /// The virtual number.
    pub number: String,
    /// Account id or name; absent = `default`.
    pub account: Option<String>,
    /// Trunk.
    pub trunk: Option<String>,
    /// Pool.
    pub pool: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Masked calls at once; absent = 1 when exclusive, unlimited when per-party.
    pub max_calls: Option<u32>,
    /// Sharing.
    pub sharing: Sharing,
    /// Announcement file.
    pub announcement: Option<String>,
    /// Recording default.
    pub record: bool,
}

/// How one row of an import fared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedRow {
    /// What was made: an allocation's id or a number; `null` when it was refused.
    pub made: Option<String>,
    /// Why it was refused.
    pub error: Option<crate::store::Refusal>,
}

/// Reads the inside of an `Option<Option<T>>`: called only when the field is there, so `null`
/// becomes `Some(None)`.
fn present<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}
