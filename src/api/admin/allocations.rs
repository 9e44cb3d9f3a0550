//! Allocations: create, list, show, update, deactivate, explain.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query};
use serde::Deserialize;

use super::super::refuse::{self, Answer, Refused};
use super::super::shape::{AllocationShape, CreateAllocation, ExplainShape, UpdateAllocation};
use super::super::time::Time;
use super::{DEFAULT_ROWS, State, mismatched, now_ms};
use crate::number::Number;
use crate::store::allocation::{self, AllocationPatch, NewAllocation};
use crate::store::directory::AllocationFilter;
use crate::store::{Reply, Request};

type Server = axum::extract::State<State>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    account: Option<String>,
    exophone: Option<String>,
    party: Option<String>,
    state: Option<allocation::State>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    axum::extract::State(state): Server,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Vec<AllocationShape>> {
    let Query(query) = query?;
    let number = |what: &str, text: Option<&str>| -> Result<Option<Number>, Refused> {
        text.map(|t| refuse::number(what, t)).transpose()
    };
    let after = query.after.as_deref();
    let at_ms = now_ms();
    let filter = AllocationFilter {
        account: state.account(query.account.as_deref())?,
        exophone: number("exophone", query.exophone.as_deref())?,
        party: number("party", query.party.as_deref())?,
        state: query.state,
        at_ms,
        after: after.map(|t| refuse::sid("an allocation", t)).transpose()?,
        limit: Some(query.limit.unwrap_or(DEFAULT_ROWS)),
    };
    let found = state.store.directory().allocations(&filter);
    let shapes = found.iter().map(|a| AllocationShape::at(a, at_ms));
    Ok(Json(shapes.collect()))
}

pub(super) async fn show(
    axum::extract::State(state): Server,
    Path(id): Path<String>,
) -> Answer<AllocationShape> {
    let sid = refuse::sid("an allocation", &id)?;
    match state.store.directory().allocation(sid) {
        Some(found) => Ok(Json(AllocationShape::at(&found, now_ms()))),
        None => Err(Refused::not_found("allocation", &id)),
    }
}

pub(super) async fn create(
    axum::extract::State(state): Server,
    body: Result<Json<CreateAllocation>, JsonRejection>,
) -> Answer<AllocationShape> {
    let Json(body) = body?;
    let request = request(&state, body)?;
    shape(state.submit(request).await?)
}

/// What an `allocation create` asks of the store.
pub(super) fn request(state: &State, body: CreateAllocation) -> Result<Request, Refused> {
    Ok(Request::Create(NewAllocation {
        account: state.account(body.account.as_deref())?,
        exophone: refuse::number("ExoPhone", &body.exophone)?,
        customer: side("customer", &body.customer)?,
        agent: side("agent", &body.agent)?,
        expires_ms: expiry(body.expires.as_deref(), body.expires_in_secs)?,
        record: body.record,
        max_call_secs: body.max_call_secs,
        usage: body.usage,
        custom: body.custom,
    }))
}

pub(super) async fn update(
    axum::extract::State(state): Server,
    Path(id): Path<String>,
    body: Result<Json<UpdateAllocation>, JsonRejection>,
) -> Answer<AllocationShape> {
    let Json(body) = body?;
    let id = refuse::sid("an allocation", &id)?;
    let expires_ms = match (body.expires, body.expires_in_secs) {
        (None, None) => None,
        (Some(None), None) => Some(None),
        (at, in_secs) => Some(expiry(at.flatten().as_deref(), in_secs)?),
    };
    let numbers =
        |what: &str, texts: Option<Vec<String>>| texts.map(|texts| side(what, &texts)).transpose();
    let patch = AllocationPatch {
        customer: numbers("customer", body.customer)?,
        agent: numbers("agent", body.agent)?,
        expires_ms,
        record: body.record,
        max_call_secs: body.max_call_secs,
        usage: body.usage,
        custom: body.custom,
        expected_version: body.expected_version,
    };
    shape(state.submit(Request::Update(id, patch)).await?)
}

pub(super) async fn deactivate(
    axum::extract::State(state): Server,
    Path(id): Path<String>,
) -> Answer<AllocationShape> {
    let id = refuse::sid("an allocation", &id)?;
    shape(state.submit(Request::Deactivate(id)).await?)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainQuery {
    exophone: String,
    caller: Option<String>,
    at: Option<String>,
}

pub(super) async fn explain(
    axum::extract::State(state): Server,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Answer<ExplainShape> {
    let Query(query) = query?;
    let exophone = refuse::number("ExoPhone", &query.exophone)?;
    let caller = query.caller.as_deref();
    let caller = caller.map(|c| refuse::number("caller", c)).transpose()?;
    let at = match query.at.as_deref() {
        Some(text) => refuse::time("at", text)?,
        None => Time::now(),
    };
    let said = state.store.directory().explain(exophone, caller, at.0);
    Ok(Json(ExplainShape::from(said)))
}

fn side(what: &str, texts: &[String]) -> Result<Vec<Number>, Refused> {
    texts.iter().map(|t| refuse::number(what, t)).collect()
}

/// When it ends, by the server's clock.
fn expiry(at: Option<&str>, in_secs: Option<u64>) -> Result<Option<u64>, Refused> {
    match (at, in_secs) {
        (Some(_), Some(_)) => Err(Refused::from(refuse::refusal(
            "two_expiries",
            "both expires and expires_in_secs are given",
            "give one of them",
        ))),
        (Some(at), None) => Ok(Some(refuse::time("expires", at)?.0)),
        (None, Some(secs)) => Ok(Some(now_ms().saturating_add(secs.saturating_mul(1_000)))),
        (None, None) => Ok(None),
    }
}

fn shape(reply: Reply) -> Answer<AllocationShape> {
    match reply {
        Reply::Allocation(a) => Ok(Json(AllocationShape::at(&a, now_ms()))),
        _ => Err(mismatched()),
    }
}
