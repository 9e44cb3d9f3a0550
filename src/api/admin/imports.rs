//! Many ExoPhones or allocations in one request: each is made or refused by itself.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use serde::de::DeserializeOwned;

use super::super::refuse::{self, Answer, Refused};
use super::super::shape::{AddExoPhone, CreateAllocation, ImportedRow};
use super::{State, WHO, allocations, exophones, mismatched};
use crate::store::{Reply, Request};

type Server = axum::extract::State<State>;

/// Most rows of one request.
const MAX_ROWS: usize = 1_000;
/// Rows under way at once: they share a disk flush and leave the store's queue to others.
const ROWS_AT_ONCE: usize = 256;

pub(super) async fn allocations(
    axum::extract::State(state): Server,
    body: Result<Json<Vec<CreateAllocation>>, JsonRejection>,
) -> Answer<Vec<ImportedRow>> {
    import(&state, body, allocations::request).await
}

pub(super) async fn exophones(
    axum::extract::State(state): Server,
    body: Result<Json<Vec<AddExoPhone>>, JsonRejection>,
) -> Answer<Vec<ImportedRow>> {
    import(&state, body, exophones::request).await
}

async fn import<T: DeserializeOwned>(
    state: &State,
    body: Result<Json<Vec<T>>, JsonRejection>,
    request: impl Fn(&State, T) -> Result<Request, Refused>,
) -> Answer<Vec<ImportedRow>> {
    let Json(rows) = body?;
    if rows.len() > MAX_ROWS {
        return Err(Refused::from(refuse::refusal(
            "too_many_rows",
            format!("{} rows in one request", rows.len()),
            format!("send at most {MAX_ROWS} at once"),
        )));
    }
    let mut fared = Vec::with_capacity(rows.len());
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        // The store queues a request when it is asked, so rows are decided in their order.
        let asked: Vec<_> = rows
            .by_ref()
            .take(ROWS_AT_ONCE)
            .map(|row| request(state, row).map(|r| state.store.submit_as(WHO, r)))
            .collect();
        for answer in asked {
            let reply = match answer {
                Ok(waiting) => waiting.await.map(|c| c.reply).map_err(Refused::from),
                Err(refused) => Err(refused),
            };
            fared.push(row(reply));
        }
    }
    Ok(Json(fared))
}

fn row(reply: Result<Reply, Refused>) -> ImportedRow {
    let made = match reply {
        Ok(Reply::Allocation(a)) => Ok(a.id.to_string()),
        Ok(Reply::ExoPhone(e)) => Ok(e.number.e164()),
        Ok(Reply::Swept(_)) => Err(mismatched()),
        Err(refused) => Err(refused),
    };
    match made {
        Ok(made) => ImportedRow {
            made: Some(made),
            error: None,
        },
        Err(refused) => ImportedRow {
            made: None,
            error: Some(refused.into_refusal()),
        },
    }
}
