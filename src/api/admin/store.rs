//! The store as a whole: export, import, verify.

use std::io::{BufReader, Write};

use axum::Json;
use axum::body::Body;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::super::refuse::{Answer, Refused, trouble};
use super::super::stream;
use super::{State, WHO, blocking};
use crate::store::{ImportReport, VerifyReport};

type Server = axum::extract::State<State>;

/// All rows as JSON lines. It is written while it is read; an export that fails breaks off, so
/// that its last line is missing.
pub(super) async fn export(axum::extract::State(state): Server) -> Response {
    let (mut out, body) = stream::writer();
    tokio::task::spawn_blocking(move || {
        let done = state.store.export(&mut out).and_then(|()| out.flush());
        if let Err(error) = done {
            tracing::warn!(%error, "an export broke off");
            out.fail(error);
        }
    });
    ([(header::CONTENT_TYPE, "application/jsonl")], body).into_response()
}

/// Adds the rows of an export.
pub(super) async fn import(
    axum::extract::State(state): Server,
    body: Body,
) -> Answer<ImportReport> {
    let (input, feed) = stream::reader(body);
    let work = blocking(move || state.store.import(WHO, BufReader::new(input)));
    let (done, ()) = tokio::join!(work, feed);
    done?.map(Json).map_err(|error| {
        trouble(
            "import_failed",
            error.to_string(),
            "rows before the failure are in; repeating the import adds the rest",
        )
    })
}

/// Reads everything from disk and checks it.
pub(super) async fn verify(axum::extract::State(state): Server) -> Answer<VerifyReport> {
    let report = blocking(move || state.store.verify()).await?;
    report.map(Json).map_err(Refused::from)
}
