//! Accounts and trunks: what there is.

use axum::Json;

use super::super::refuse::Answer;
use super::super::shape::{AccountShape, TrunkShape};
use super::State;

type Server = axum::extract::State<State>;

pub(super) async fn list(axum::extract::State(state): Server) -> Answer<Vec<AccountShape>> {
    let accounts = state.store.directory().accounts();
    Ok(Json(
        accounts.iter().map(|a| AccountShape::from(&**a)).collect(),
    ))
}

pub(super) async fn trunks(axum::extract::State(state): Server) -> Answer<Vec<TrunkShape>> {
    let live = state.calls.live();
    let counted = state.trunks.iter().map(|trunk| {
        let by = |name: &str| name == trunk.name;
        let calls = live
            .iter()
            .filter(|c| by(&c.trunk_in) || c.trunk_out.as_deref().is_some_and(by));
        TrunkShape {
            live_calls: calls.count() as u64,
            ..trunk.clone()
        }
    });
    Ok(Json(counted.collect()))
}
