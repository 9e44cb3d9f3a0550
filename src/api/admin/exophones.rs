//! ExoPhones: add, list, show, set, remove.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Path, Query};
use serde::Deserialize;

use super::super::refuse::{self, Answer, Refused};
use super::super::shape::{AddExoPhone, ExoPhoneShape};
use super::{DEFAULT_ROWS, State, mismatched};
use crate::store::directory::ExoPhoneFilter;
use crate::store::exophone::{ExoPhonePatch, NewExoPhone};
use crate::store::{Reply, Request};

type Server = axum::extract::State<State>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    account: Option<String>,
    pool: Option<String>,
    region: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn list(
    axum::extract::State(state): Server,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Answer<Vec<ExoPhoneShape>> {
    let Query(query) = query?;
    let after = query.after.as_deref();
    let filter = ExoPhoneFilter {
        account: state.account(query.account.as_deref())?,
        pool: query.pool,
        region: query.region,
        after: after.map(|n| refuse::number("after", n)).transpose()?,
        limit: Some(query.limit.unwrap_or(DEFAULT_ROWS)),
    };
    let found = state.store.directory().exophones(&filter);
    Ok(Json(
        found.iter().map(|e| ExoPhoneShape::from(&**e)).collect(),
    ))
}

pub(super) async fn show(
    axum::extract::State(state): Server,
    Path(number): Path<String>,
) -> Answer<ExoPhoneShape> {
    let parsed = refuse::number("ExoPhone", &number)?;
    match state.store.directory().exophone(parsed) {
        Some(found) => Ok(Json(ExoPhoneShape::from(&*found))),
        None => Err(Refused::not_found("exophone", &number)),
    }
}

pub(super) async fn add(
    axum::extract::State(state): Server,
    body: Result<Json<AddExoPhone>, JsonRejection>,
) -> Answer<ExoPhoneShape> {
    let Json(body) = body?;
    let request = request(&state, body)?;
    shape(state.submit(request).await?)
}

/// What an `exophone add` asks of the store.
pub(super) fn request(state: &State, body: AddExoPhone) -> Result<Request, Refused> {
    state.known_trunk(body.trunk.as_deref())?;
    state.playable(body.announcement.as_deref())?;
    Ok(Request::AddExoPhone(NewExoPhone {
        number: refuse::number("ExoPhone", &body.number)?,
        account: state.account(body.account.as_deref())?,
        trunk: body.trunk,
        pool: body.pool,
        region: body.region,
        max_calls: body.max_calls,
        sharing: body.sharing,
        announcement: body.announcement,
        record: body.record,
    }))
}

pub(super) async fn set(
    axum::extract::State(state): Server,
    Path(number): Path<String>,
    body: Result<Json<ExoPhonePatch>, JsonRejection>,
) -> Answer<ExoPhoneShape> {
    let Json(patch) = body?;
    let number = refuse::number("ExoPhone", &number)?;
    state.known_trunk(patch.trunk.as_ref().and_then(|t| t.as_deref()))?;
    state.playable(patch.announcement.as_ref().and_then(|a| a.as_deref()))?;
    shape(state.submit(Request::SetExoPhone(number, patch)).await?)
}

pub(super) async fn remove(
    axum::extract::State(state): Server,
    Path(number): Path<String>,
) -> Answer<ExoPhoneShape> {
    let number = refuse::number("ExoPhone", &number)?;
    shape(state.submit(Request::RemoveExoPhone(number)).await?)
}

fn shape(reply: Reply) -> Answer<ExoPhoneShape> {
    match reply {
        Reply::ExoPhone(exophone) => Ok(Json(ExoPhoneShape::from(&*exophone))),
        _ => Err(mismatched()),
    }
}
