//! Questions to the call log: lists, single records, reports.

use rusqlite::types::{FromSqlError, Value};
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::writer::{as_i64, word};
use crate::number::Number;
use crate::sid::Sid;
use crate::switch::record::{CallRecord, LiveCall, Status};

/// Most records one listing returns, whatever limit it asked for.
pub(super) const MAX_PAGE: usize = 10_000;

/// Which records to list, newest first. `None` = any.
#[derive(Debug, Clone, Default)]
pub struct CallFilter {
    /// Most records; `None` = 10,000, which is also the most.
    pub limit: Option<usize>,
    /// Only calls that began before this one: paging.
    pub after: Option<Sid>,
    /// To this ExoPhone.
    pub exophone: Option<Number>,
    /// From or to this party.
    pub party: Option<Number>,
    /// With this status.
    pub status: Option<Status>,
    /// Begun at or after, Unix milliseconds.
    pub from_ms: Option<u64>,
    /// Begun before, Unix milliseconds.
    pub to_ms: Option<u64>,
    /// Of this account.
    pub account: Option<Sid>,
}

/// How a report cuts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Length in milliseconds, at least 1.
    pub width_ms: u64,
    /// How far local time is ahead of UTC, in milliseconds, so that days begin at local midnight.
    pub offset_ms: i64,
}

impl Bucket {
    /// One hour.
    pub const HOUR_MS: u64 = 3_600_000;
    /// One day.
    pub const DAY_MS: u64 = 24 * Bucket::HOUR_MS;
}

/// Calls that began in one bucket of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportRow {
    /// Its beginning, Unix milliseconds.
    pub from_ms: i64,
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
    /// Conversation time of masked calls, milliseconds.
    pub talk_ms: u64,
}

pub(super) fn list(
    connection: &Connection,
    filter: &CallFilter,
) -> rusqlite::Result<Vec<CallRecord>> {
    let mut conditions: Vec<&str> = Vec::new();
    let mut values: Vec<Value> = Vec::new();
    let mut add = |condition: &'static str, value: Value| {
        conditions.push(condition);
        values.push(value);
    };
    if let Some(sid) = filter.after {
        add(
            "(started_ms, sid) < (SELECT started_ms, sid FROM calls WHERE sid = ?)",
            blob(sid),
        );
    }
    if let Some(number) = filter.exophone {
        add("exophone = ?", integer(number.digits()));
    }
    if let Some(status) = filter.status {
        add("status = ?", Value::Text(word(&status)));
    }
    if let Some(at) = filter.from_ms {
        add("started_ms >= ?", integer(at));
    }
    if let Some(at) = filter.to_ms {
        add("started_ms < ?", integer(at));
    }
    if let Some(sid) = filter.account {
        add("account = ?", blob(sid));
    }
    if let Some(number) = filter.party {
        // A union lets each half use its index; the same call is never in both, as a party does
        // not call itself.
        add(
            "rowid IN (SELECT rowid FROM calls WHERE caller = ? \
             UNION ALL SELECT rowid FROM calls WHERE callee = ?)",
            integer(number.digits()),
        );
        values.push(integer(number.digits()));
    }
    let wanted = match conditions.as_slice() {
        [] => String::new(),
        some => format!("WHERE {}", some.join(" AND ")),
    };
    let limit = filter.limit.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    connection
        .prepare_cached(&format!(
            "SELECT record FROM calls {wanted} ORDER BY started_ms DESC, sid DESC LIMIT {limit}"
        ))?
        .query_map(params_from_iter(values), from_json)?
        .collect()
}

pub(super) fn show(connection: &Connection, sid: Sid) -> rusqlite::Result<Option<CallRecord>> {
    connection
        .prepare_cached("SELECT record FROM calls WHERE sid = ?1")?
        .query_row([sid.to_bytes()], from_json)
        .optional()
}

pub(super) fn live(connection: &Connection) -> rusqlite::Result<Vec<LiveCall>> {
    connection
        .prepare_cached("SELECT call FROM live ORDER BY sid")?
        .query_map([], from_json)?
        .collect()
}

pub(super) fn report(
    connection: &Connection,
    from_ms: u64,
    to_ms: u64,
    bucket: Bucket,
) -> rusqlite::Result<Vec<ReportRow>> {
    let width = as_i64(bucket.width_ms.max(1));
    let count =
        |row: &Row<'_>, at| Ok::<u64, rusqlite::Error>(row.get::<_, i64>(at)?.unsigned_abs());
    connection
        .prepare_cached(
            "SELECT (started_ms + ?4) / ?3 * ?3 - ?4 AS begins, count(*), \
             sum(announcement), \
             sum(status = 'completed' AND NOT announcement), \
             sum(status = 'busy' AND NOT announcement), \
             sum(status = 'no-answer' AND NOT announcement), \
             sum(status = 'failed' AND NOT announcement), \
             sum(status = 'canceled' AND NOT announcement), \
             sum(duration_ms) \
             FROM calls WHERE started_ms >= ?1 AND started_ms < ?2 \
             GROUP BY begins ORDER BY begins",
        )?
        .query_map(
            [as_i64(from_ms), as_i64(to_ms), width, bucket.offset_ms],
            |row| {
                Ok(ReportRow {
                    from_ms: row.get(0)?,
                    calls: count(row, 1)?,
                    announcements: count(row, 2)?,
                    completed: count(row, 3)?,
                    busy: count(row, 4)?,
                    no_answer: count(row, 5)?,
                    failed: count(row, 6)?,
                    canceled: count(row, 7)?,
                    talk_ms: count(row, 8)?,
                })
            },
        )?
        .collect()
}

fn from_json<T: DeserializeOwned>(row: &Row<'_>) -> rusqlite::Result<T> {
    let text: String = row.get(0)?;
    serde_json::from_str(&text).map_err(|e| FromSqlError::other(e).into())
}

fn blob(sid: Sid) -> Value {
    Value::Blob(sid.to_bytes().to_vec())
}

fn integer(value: u64) -> Value {
    Value::Integer(as_i64(value))
}
