//! Summaries: calls over time, use of the pools.

use axum::Json;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use serde::Deserialize;

use super::super::refuse::{self, Answer};
use super::super::report_shape::{CallsReportRow, PoolShape};
use super::{State, blocking, now_ms};
use crate::store::call_log::Bucket;

type Server = axum::extract::State<State>;

/// How far back a report goes when it names no beginning.
const DEFAULT_SPAN_MS: u64 = 7 * Bucket::DAY_MS;
/// Zones lie between -12:00 and +14:00; nothing beyond is an offset.
const MAX_OFFSET_SECS: i64 = 14 * 3_600;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CallsQuery {
    from: Option<String>,
    to: Option<String>,
    by: Option<By>,
    utc_offset_secs: Option<i64>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Hour,
    Day,
}

pub(super) async fn calls(
    axum::extract::State(state): Server,
    query: Result<Query<CallsQuery>, QueryRejection>,
) -> Answer<Vec<CallsReportRow>> {
    let Query(query) = query?;
    let to_ms = match query.to.as_deref() {
        Some(text) => refuse::time("to", text)?.0,
        None => now_ms().saturating_add(1),
    };
    let from_ms = match query.from.as_deref() {
        Some(text) => refuse::time("from", text)?.0,
        None => to_ms.saturating_sub(DEFAULT_SPAN_MS),
    };
    let offset_secs = query.utc_offset_secs.unwrap_or(0);
    let offset_secs = offset_secs.clamp(-MAX_OFFSET_SECS, MAX_OFFSET_SECS);
    let bucket = Bucket {
        width_ms: match query.by.unwrap_or(By::Day) {
            By::Hour => Bucket::HOUR_MS,
            By::Day => Bucket::DAY_MS,
        },
        offset_ms: offset_secs * 1_000,
    };
    let rows = blocking(move || state.call_log.report_calls(from_ms, to_ms, bucket)).await??;
    Ok(Json(rows.into_iter().map(CallsReportRow::from).collect()))
}

pub(super) async fn pool(axum::extract::State(state): Server) -> Answer<Vec<PoolShape>> {
    let pools = state.store.directory().pools(now_ms());
    Ok(Json(pools.into_iter().map(PoolShape::from).collect()))
}
