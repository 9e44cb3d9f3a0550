//! Calls: list and show records, show and end live ones.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query};
use serde::Deserialize;

use super::super::refuse::{self, Answer, Refused};
use super::super::shape::CallShape;
use super::{DEFAULT_ROWS, State, blocking, now_ms};
use crate::number::Number;
use crate::store::call_log::CallFilter;
use crate::switch::record::Status;

type Server = axum::extract::State<State>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    account: Option<String>,
    exophone: Option<String>,
    party: Option<String>,
    status: Option<Status>,
    from: Option<String>,
    to: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    axum::extract::State(state): Server,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Vec<CallShape>> {
    let Query(query) = query?;
    let number = |what: &str, text: Option<&str>| -> Result<Option<Number>, Refused> {
        text.map(|t| refuse::number(what, t)).transpose()
    };
    let time = |what: &str, text: Option<&str>| -> Result<Option<u64>, Refused> {
        text.map(|t| refuse::time(what, t).map(|t| t.0)).transpose()
    };
    let after = query.after.as_deref();
    let filter = CallFilter {
        limit: Some(query.limit.unwrap_or(DEFAULT_ROWS)),
        after: after.map(|t| refuse::sid("a call", t)).transpose()?,
        exophone: number("exophone", query.exophone.as_deref())?,
        party: number("party", query.party.as_deref())?,
        status: query.status,
        from_ms: time("from", query.from.as_deref())?,
        to_ms: time("to", query.to.as_deref())?,
        account: state.account(query.account.as_deref())?,
    };
    let records = blocking(move || state.call_log.list(&filter)).await??;
    Ok(Json(records.iter().map(CallShape::from).collect()))
}

pub(super) async fn live(axum::extract::State(state): Server) -> Answer<Vec<CallShape>> {
    let now_ms = now_ms();
    let live = state.calls.live();
    Ok(Json(
        live.iter().map(|c| CallShape::live(c, now_ms)).collect(),
    ))
}

/// A call, ended or live.
pub(super) async fn show(
    axum::extract::State(state): Server,
    Path(sid): Path<String>,
) -> Answer<CallShape> {
    let call = refuse::sid("a call", &sid)?;
    // First the live ones: a call that ends meanwhile is then found in the log.
    if let Some(live) = state.calls.live().iter().find(|c| c.sid == call) {
        return Ok(Json(CallShape::live(live, now_ms())));
    }
    let log = state.call_log.clone();
    let record = blocking(move || log.show(call)).await??;
    match record {
        Some(record) => Ok(Json(CallShape::from(&record))),
        None => Err(Refused::not_found("call", &sid)),
    }
}

/// Asks for the end of a call; answers with the call as it was then.
pub(super) async fn hangup(
    axum::extract::State(state): Server,
    Path(sid): Path<String>,
) -> Answer<CallShape> {
    let call = refuse::sid("a call", &sid)?;
    let live = state.calls.live();
    let found = live.iter().find(|c| c.sid == call);
    match found {
        Some(found) if state.calls.hangup(call) => Ok(Json(CallShape::live(found, now_ms()))),
        _ => Err(Refused::from(refuse::refusal(
            "unknown_call",
            format!("no live call has the id {sid}"),
            "list the live calls; a call that has ended cannot be ended again",
        ))),
    }
}
