//! How summaries look as JSON.

use serde::{Deserialize, Serialize};

use super::time::Time;
use crate::store::call_log::ReportRow;
use crate::store::directory::PoolUse;

/// Calls that began in one hour or day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallsReportRow {
    /// Its beginning.
    pub from: Time,
    /// All calls.
    pub calls: u64,
    /// Of these, announcements only; they count in no figure below.
    pub announcements: u64,
    /// Masked calls whose parties talked.
    pub completed: u64,
    /// Busy.
    pub busy: u64,
    /// Not answered.
    pub no_answer: u64,
    /// Failed.
    pub failed: u64,
    /// Given up by the caller.
    pub canceled: u64,
    /// Conversation time of masked calls in seconds, to the millisecond.
    pub talk_secs: f64,
}

impl From<ReportRow> for CallsReportRow {
    fn from(row: ReportRow) -> Self {
        CallsReportRow {
            from: Time(u64::try_from(row.from_ms).unwrap_or(0)),
            calls: row.calls,
            announcements: row.announcements,
            completed: row.completed,
            busy: row.busy,
            no_answer: row.no_answer,
            failed: row.failed,
            canceled: row.canceled,
            talk_secs: row.talk_ms as f64 / 1000.0,
        }
    }
}

/// How full a pool is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PoolShape {
    /// The pool; `null` = ExoPhones in no pool.
    pub pool: Option<String>,
    /// ExoPhones in it.
    pub exophones: usize,
    /// Of these, with at least one active allocation.
    pub in_use: usize,
    /// The rest.
    pub free: usize,
    /// Active allocations on them.
    pub active_allocations: usize,
}

impl From<PoolUse> for PoolShape {
    fn from(pool: PoolUse) -> Self {
        PoolShape {
            pool: pool.pool,
            exophones: pool.exophones,
            in_use: pool.in_use,
            free: pool.free,
            active_allocations: pool.active_allocations,
        }
    }
}
