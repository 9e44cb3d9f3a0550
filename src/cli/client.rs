//! The way to the administrator's routes: over the admin socket of the running server, or in
//! process over the opened store when no server runs. Both answer the same requests with the
//! same code, so a command behaves the same either way.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use super::offline::{self, Closed, OpenStore};
use super::output::Output;
use crate::api::{ErrorBody, refusal};
use crate::config::Config;
use crate::io::admin_socket;
use crate::store::Refusal;

/// How long a store that somebody else holds is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked at.
const LOCK_POLL: Duration = Duration::from_millis(50);
/// How long a server may take to begin its answer before the person at the terminal hears of it.
const QUIET: Duration = Duration::from_secs(3);

/// Where requests go.
pub(super) struct Client {
    way: Way,
}

enum Way {
    /// A server runs: each request opens a connection.
    Server(PathBuf),
    /// No server runs: the store is ours while this lives.
    Store(Router, OpenStore),
}

impl Client {
    /// Finds the server of this configuration, or opens its store. A store that another process
    /// holds without answering on the socket is waited for: that process is a command about to
    /// end, or a server about to listen or to stop.
    pub(super) async fn connect(config: &Config) -> Result<Client, Refusal> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let folder = match Client::try_connect(config)? {
                Ok(client) => return Ok(client),
                Err(folder) => folder,
            };
            if Instant::now() >= deadline {
                return Err(refusal(
                    "store_locked",
                    format!(
                        "another callmask process holds the store in {} but does not answer on {}",
                        folder.display(),
                        config.admin_socket().display()
                    ),
                    "wait for it or stop it, then repeat the command",
                ));
            }
            tokio::time::sleep(LOCK_POLL).await;
        }
    }

    /// One look; `Ok(Err(folder))` when the store there is locked.
    fn try_connect(config: &Config) -> Result<Result<Client, PathBuf>, Refusal> {
        let socket = config.admin_socket();
        match dial(&socket) {
            Ok(_) => Ok(Ok(Client {
                way: Way::Server(socket),
            })),
            // No socket, or one that a dead server left behind.
            Err(e) if is_absent(&e) => match offline::open(config) {
                Ok((router, store)) => Ok(Ok(Client {
                    way: Way::Store(router, store),
                })),
                Err(Closed::Locked(folder)) => Ok(Err(folder)),
                Err(Closed::Failed(refusal)) => Err(refusal),
            },
            Err(e) => Err(refusal(
                "admin_socket",
                format!("{}: {e}", socket.display()),
                "run this as the user the server runs as, and check [store] path",
            )),
        }
    }

    /// Closes the store, when it was opened here, so that the next command finds it free.
    pub(super) fn close(self) -> Result<(), Refusal> {
        match self.way {
            Way::Server(_) => Ok(()),
            Way::Store(router, store) => {
                drop(router);
                store.close()
            }
        }
    }

    /// Reads something.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        let body = self.call(Method::GET, path, Vec::new(), None).await?;
        decode(&body)
    }

    /// Changes something.
    pub(super) async fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> Result<T, Refusal> {
        let text = serde_json::to_vec(body).map_err(|e| garbled(&e.to_string()))?;
        let body = self
            .call(method, path, text, Some("application/json"))
            .await?;
        decode(&body)
    }

    /// Reads an answer of [`Client::ask`] to its end.
    pub(super) async fn read<T: DeserializeOwned>(&self, answer: Body) -> Result<T, Refusal> {
        decode(&collect(answer).await?)
    }

    /// One request with a whole body; the body of its answer when that is a success.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
        kind: Option<&str>,
    ) -> Result<Vec<u8>, Refusal> {
        let answer = self.ask(method, path, Body::from(body), kind).await?;
        collect(answer).await
    }

    /// One request; the body of its answer, still to be read, when that is a success.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Body,
        kind: Option<&str>,
    ) -> Result<Body, Refusal> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/admin/v1/{path}"))
            .header(header::HOST, "callmask");
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(body).map_err(|e| garbled(&e.to_string()))?;
        let answer = match &self.way {
            Way::Server(socket) => over_socket(socket, request).await?,
            Way::Store(router, _) => {
                let service = TowerToHyperService::new(router.clone());
                match service.call(request).await {
                    Ok(answer) => answer,
                    // axum's router never fails: every error is an answer.
                    Err(never) => match never {},
                }
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let bytes = collect(answer.into_body()).await?;
        match serde_json::from_slice::<ErrorBody>(&bytes) {
            Ok(body) => Err(body.error),
            Err(_) => Err(garbled(&format!("status {status}"))),
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
    )
}

fn dial(socket: &Path) -> io::Result<std::os::unix::net::UnixStream> {
    admin_socket::connect(socket)
}

async fn over_socket(socket: &Path, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let lost = |e: String| {
        refusal(
            "server_lost",
            format!("the server did not answer: {e}"),
            "look whether it still runs, then look whether the change was made before repeating it",
        )
    };
    let stream = dial(socket).map_err(|e| lost(e.to_string()))?;
    stream
        .set_nonblocking(true)
        .map_err(|e| lost(e.to_string()))?;
    let stream = UnixStream::from_std(stream).map_err(|e| lost(e.to_string()))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| lost(e.to_string()))?;
    // It moves the bytes until the answer's body has been read; errors arrive there.
    tokio::spawn(connection);
    let mut answer = std::pin::pin!(sender.send_request(request));
    let answer = match tokio::time::timeout(QUIET, &mut answer).await {
        Ok(answer) => answer,
        // It may be busy, or hang: how long to wait is for the person to say.
        Err(_) => {
            let note = format!("waiting for the server at {}", socket.display());
            Output { json: false }.note(&note);
            answer.await
        }
    };
    let answer = answer.map_err(|e| lost(e.to_string()))?;
    Ok(answer.map(Body::new))
}

async fn collect(body: Body) -> Result<Vec<u8>, Refusal> {
    let collected = body.collect().await;
    let collected = collected.map_err(|e| garbled(&e.to_string()))?;
    Ok(collected.to_bytes().to_vec())
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|e| garbled(&e.to_string()))
}

fn garbled(why: &str) -> Refusal {
    refusal(
        "bad_answer",
        format!("the answer was not understood: {why}"),
        "use the callmask command of the same version as the server",
    )
}

/// A query string from names and values; values that are absent are left out.
#[derive(Debug, Default)]
pub(super) struct Query(String);

impl Query {
    /// No question yet.
    pub(super) fn new() -> Query {
        Query::default()
    }

    /// One more field.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: Option<impl ToString>) -> Query {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '?' } else { '&' });
            self.0.push_str(name);
            self.0.push('=');
            self.0.push_str(&escape(&value.to_string()));
        }
        self
    }

    /// The path with the query behind it.
    pub(super) fn on(&self, path: &str) -> String {
        format!("{path}{}", self.0)
    }
}

/// Percent-encodes all but unreserved characters (RFC 3986 §2.3): `+` would become a space.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_escape_what_has_a_meaning() {
        let query = Query::new()
            .with("caller", Some("+91 &"))
            .with("at", None::<&str>)
            .with("limit", Some(5));
        assert_eq!(query.on("x"), "x?caller=%2B91%20%26&limit=5");
    }
}
