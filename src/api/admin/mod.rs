//! The administrator's routes, `/admin/v1/…`: everything the command line does. There are no
//! credentials: they are served on the Unix socket only, whose file mode decides who may connect.

mod accounts;
mod allocations;
mod calls;
mod exophones;
mod imports;
mod reports;
mod store;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use super::monitor::Calls;
use super::refuse::{Refused, refusal, trouble};
use super::shape::TrunkShape;
use super::sound;
use super::time::Time;
use crate::config::Config;
use crate::sid::Sid;
use crate::store::account::Account;
use crate::store::call_log::CallLog;
use crate::store::{Reply, Request, Store};

/// On whose behalf changes through these routes are made, in the audit trail.
const WHO: &str = "admin";
/// Rows of a listing when the request names no limit.
const DEFAULT_ROWS: usize = 1_000;

/// What the routes work on. Clones share everything.
#[derive(Clone)]
pub struct State {
    /// Allocations, ExoPhones, accounts.
    pub store: Store,
    /// Records of calls.
    pub call_log: CallLog,
    /// The calls that are up.
    pub calls: Arc<dyn Calls>,
    trunks: Arc<[TrunkShape]>,
    /// Where the ExoPhones' own announcements are looked up.
    announcements: Arc<Path>,
}

impl State {
    /// The state of a server, or of a command that works without one.
    pub fn new(config: &Config, store: Store, call_log: CallLog, calls: Arc<dyn Calls>) -> State {
        State {
            store,
            call_log,
            calls,
            trunks: config.trunks.iter().map(TrunkShape::from).collect(),
            announcements: config.folder().into(),
        }
    }

    /// Has a change decided and committed.
    async fn submit(&self, request: Request) -> Result<Reply, Refused> {
        let committed = self.store.submit_as(WHO, request).await?;
        Ok(committed.reply)
    }

    /// The account a request names by id or by name.
    fn account(&self, named: Option<&str>) -> Result<Option<Sid>, Refused> {
        let Some(name) = named else {
            return Ok(None);
        };
        let sid = name.parse::<Sid>().ok();
        let wanted = |a: &Arc<Account>| Some(a.sid) == sid || a.name == name;
        let accounts = self.store.directory().accounts();
        match accounts.iter().find(|a| wanted(a)) {
            Some(account) => Ok(Some(account.sid)),
            None => Err(Refused::not_found("account", name)),
        }
    }

    /// Refuses an announcement that could not be played.
    fn playable(&self, name: Option<&str>) -> Result<(), Refused> {
        let Some(name) = name else {
            return Ok(());
        };
        sound::check_name(&self.announcements, name).map_err(|why| {
            // The configuration's folder is empty when its file was named without one.
            let folder = std::path::absolute(Path::new(".").join(&self.announcements));
            let folder = folder.unwrap_or_else(|_| self.announcements.to_path_buf());
            Refused::from(refusal(
                "announcement_file",
                format!("the announcement \"{name}\" cannot be played: {why}"),
                format!(
                    "put a WAV file (8 kHz, mono, 16 bit) below {} and name it from there",
                    folder.display()
                ),
            ))
        })
    }

    /// Refuses a trunk that is not configured: calls could not leave by it, and never leave by
    /// another one instead.
    fn known_trunk(&self, name: Option<&str>) -> Result<(), Refused> {
        match name {
            Some(name) if !self.trunks.iter().any(|t| t.name == name) => {
                Err(Refused::from(refusal(
                    "unknown_trunk",
                    format!("there is no trunk named {name}"),
                    "add it to the configuration file first, or leave it out for the first one",
                )))
            }
            _ => Ok(()),
        }
    }
}

/// The routes.
pub fn router(state: State) -> Router {
    let routes = Router::new()
        .route("/exophones", get(exophones::list).post(exophones::add))
        .route("/exophones/import", post(imports::exophones))
        .route(
            "/exophones/{number}",
            get(exophones::show)
                .patch(exophones::set)
                .delete(exophones::remove),
        )
        .route(
            "/allocations",
            get(allocations::list).post(allocations::create),
        )
        .route("/allocations/import", post(imports::allocations))
        .route(
            "/allocations/{id}",
            get(allocations::show).patch(allocations::update),
        )
        .route(
            "/allocations/{id}/deactivate",
            post(allocations::deactivate),
        )
        .route("/explain", get(allocations::explain))
        .route("/calls", get(calls::list))
        .route("/calls/live", get(calls::live))
        .route("/calls/{sid}", get(calls::show))
        .route("/calls/{sid}/hangup", post(calls::hangup))
        .route("/reports/calls", get(reports::calls))
        .route("/reports/pool", get(reports::pool))
        .route("/accounts", get(accounts::list))
        .route("/trunks", get(accounts::trunks))
        .route("/store/export", get(store::export))
        // Read as it comes, row by row: its length needs no bound.
        .route("/store/import", post(store::import))
        .route("/store/verify", get(store::verify))
        .fallback(nowhere)
        .with_state(state);
    Router::new().nest("/admin/v1", routes)
}

async fn nowhere() -> Refused {
    Refused::from(refusal(
        "unknown_route",
        "there is no such route",
        "use the callmask command of the same version as the server",
    ))
}

/// Runs something that blocks without holding up the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| {
        trouble(
            "internal",
            "a defect of ours ended the request",
            "look at the server's log and report it",
        )
    })
}

/// The reply was not of the kind that the request brings.
fn mismatched() -> Refused {
    trouble(
        "internal",
        "the store answered something else than was asked",
        "report it; look at what is there before repeating the request",
    )
}

fn now_ms() -> u64 {
    Time::now().0
}
