//! How calls end and what is kept of them. [`EndReason`] is the single source of the record's
//! status and cause; the SIP and Q.850 codes stand in the same table.

use serde::{Deserialize, Serialize};

use crate::number::Number;
use crate::sid::Sid;
use crate::switch::media::LegStats;
use crate::switch::plan::Direction;

/// The eight call states of Exotel's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Accepted by the API, nothing dialled yet.
    Queued,
    /// A leg is ringing.
    Ringing,
    /// Both parties are connected.
    InProgress,
    /// The parties talked and the call ended.
    Completed,
    /// The callee was busy, or the ExoPhone was.
    Busy,
    /// Nobody answered in time.
    NoAnswer,
    /// The call could not be made, or only an announcement was played.
    Failed,
    /// The caller gave up before an answer.
    Canceled,
}

/// Why a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A party hung up an answered call.
    Normal,
    /// The caller hung up before the answer.
    CallerCanceled,
    /// No active allocation on the ExoPhone.
    NoAllocation,
    /// The allocation had expired.
    Expired,
    /// The caller is neither party of the allocation, or is anonymous.
    UnknownCaller,
    /// The allocation does not allow calls in this direction.
    NotAllowed,
    /// The ExoPhone has as many calls as it may.
    ExophoneBusy,
    /// The callee is busy.
    CalleeBusy,
    /// The callee rejected the call.
    CalleeRejected,
    /// The callee did not answer in `ring_timeout_secs`.
    RingTimeout,
    /// The callee's network says unavailable, or never answered at all.
    Unavailable,
    /// The callee's number does not exist.
    NotFound,
    /// The callee's number has changed and no longer exists.
    Gone,
    /// No codec in common.
    NoCodec,
    /// The trunk failed or refused us.
    TrunkFailure,
    /// No port pair was free.
    NoPorts,
    /// Neither side sent audio for `media_timeout_secs`.
    MediaTimeout,
    /// The longest call time was reached.
    MaxDuration,
    /// The party never acknowledged our answer.
    AckTimeout,
    /// A party sent an offer or an answer we cannot use.
    BadMedia,
    /// Ended through the API or the command line.
    AdminHangup,
    /// The server was shut down.
    Shutdown,
    /// The server stopped without ending the call.
    Interrupted,
    /// A defect of ours ended the call; it is counted and logged.
    Internal,
}

/// Who ended a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndedBy {
    /// The party that called.
    Caller,
    /// The party that was called.
    Callee,
    /// callmask itself: a timer, a limit, the announcement's end.
    System,
    /// An administrator or the API.
    Admin,
}

/// Why, by whom and with which codes a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndReason {
    /// Who.
    pub by: EndedBy,
    /// Why.
    pub cause: Cause,
}

impl Cause {
    /// The record's status, when the call was or was not answered by both parties.
    pub fn status(self, answered: bool) -> Status {
        use Cause::*;
        match self {
            NoAllocation | Expired | UnknownCaller | NotAllowed | Interrupted => Status::Failed,
            _ if answered => Status::Completed,
            CallerCanceled => Status::Canceled,
            ExophoneBusy | CalleeBusy => Status::Busy,
            RingTimeout | Unavailable | CalleeRejected => Status::NoAnswer,
            AdminHangup | Shutdown | Normal => Status::Canceled,
            NotFound | Gone | NoCodec | TrunkFailure | NoPorts | MediaTimeout | MaxDuration
            | AckTimeout | BadMedia | Internal => Status::Failed,
        }
    }

    /// The final SIP response to a caller who has had no answer yet (`call-flows` 3.5).
    ///
    /// 503 only for our own overload and drain and for no ports: carriers take a whole trunk
    /// out of service on 503.
    pub fn sip_status(self) -> u16 {
        use Cause::*;
        match self {
            Normal | NoAllocation | Expired | UnknownCaller | NotAllowed => 480,
            CallerCanceled => 487,
            ExophoneBusy | CalleeBusy => 486,
            CalleeRejected | RingTimeout | Unavailable | MediaTimeout | MaxDuration
            | AckTimeout | AdminHangup => 480,
            NotFound => 404,
            Gone => 410,
            NoCodec | BadMedia => 488,
            TrunkFailure | Interrupted | Internal => 500,
            NoPorts | Shutdown => 503,
        }
    }

    /// The Q.850 cause in our Reason header (RFC 3326).
    pub fn q850(self) -> u8 {
        use Cause::*;
        match self {
            Normal | CallerCanceled | AdminHangup | Shutdown | MaxDuration => 16,
            NoAllocation | Expired | UnknownCaller | NotAllowed | Unavailable => 18,
            ExophoneBusy | CalleeBusy => 17,
            RingTimeout => 19,
            CalleeRejected => 21,
            NotFound => 1,
            Gone => 22,
            NoCodec | BadMedia => 88,
            TrunkFailure => 38,
            NoPorts => 34,
            MediaTimeout => 27,
            AckTimeout => 102,
            Interrupted | Internal => 41,
        }
    }
}

/// How a call began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A party dialled the ExoPhone.
    Inbound,
    /// The API placed the call.
    OutboundApi,
}

/// A call that is up or being set up; written when it begins so that a crash still yields its
/// record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LiveCall {
    /// The call.
    pub sid: Sid,
    /// Account of the ExoPhone.
    pub account: Sid,
    /// Allocation that applied.
    pub allocation: Option<Sid>,
    /// The ExoPhone dialled.
    pub exophone: Number,
    /// The caller's real number, when usable.
    pub caller: Option<Number>,
    /// The callee's real number, once known.
    pub callee: Option<Number>,
    /// How it began.
    pub origin: Origin,
    /// Which side called.
    pub direction: Direction,
    /// `Ringing` or `InProgress`; `Queued` before the callee rings.
    pub status: Status,
    /// True while only an announcement is played.
    pub announcement: bool,
    /// Name of the trunk the call came in by.
    pub trunk_in: String,
    /// Name of the trunk leg B left by.
    pub trunk_out: Option<String>,
    /// INVITE received, Unix milliseconds.
    pub started_ms: u64,
    /// The callee rang, Unix milliseconds.
    pub rang_ms: Option<u64>,
    /// Both parties connected, Unix milliseconds.
    pub answered_ms: Option<u64>,
    /// The allocation's custom text.
    pub custom: Option<String>,
}

/// The record of an ended call: real numbers, kept in the call log only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// All that was known while the call was up. Its `status` is the final one.
    #[serde(flatten)]
    pub call: LiveCall,
    /// The end, Unix milliseconds.
    pub ended_ms: u64,
    /// Why.
    pub cause: Cause,
    /// By whom.
    pub ended_by: EndedBy,
    /// The final SIP status to the caller: 200 when answered.
    pub sip_code: u16,
    /// The Q.850 cause.
    pub q850: u8,
    /// Codec of the caller's leg, RTP name.
    pub codec: Option<String>,
    /// Leg A's media.
    pub caller_media: Option<LegStats>,
    /// Leg B's media.
    pub callee_media: Option<LegStats>,
    /// Recording file, when one was made.
    pub recording: Option<String>,
}

impl CallRecord {
    /// Conversation time in milliseconds: from answer to end, 0 when never answered or when
    /// only an announcement was played.
    pub fn duration_ms(&self) -> u64 {
        match self.call.answered_ms {
            Some(answered) if !self.call.announcement => self.ended_ms.saturating_sub(answered),
            _ => 0,
        }
    }
}
