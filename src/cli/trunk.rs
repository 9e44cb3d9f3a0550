//! `callmask trunk …`

use clap::Subcommand;

use super::Done;
use super::client::Client;
use super::output::{Output, limit};
use crate::api::shape::TrunkShape;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the configured carriers and their live calls
    List,
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    let Command::List = command;
    let found: Vec<TrunkShape> = client.get("trunks").await?;
    let header = [
        "NAME",
        "TARGETS",
        "ACCEPT FROM",
        "MAX CALLS",
        "MAX CPS",
        "LIVE CALLS",
    ];
    out.list(&found, &header, |t| {
        vec![
            t.name.clone(),
            t.targets.join(" "),
            t.accept_from.join(" "),
            limit(t.max_calls),
            limit(t.max_cps),
            t.live_calls.to_string(),
        ]
    });
    Ok(())
}
