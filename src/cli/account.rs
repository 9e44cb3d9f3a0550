//! `callmask account …`

use clap::Subcommand;

use super::Done;
use super::client::Client;
use super::output::{Output, moment};
use crate::api::shape::AccountShape;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List accounts
    List,
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    let Command::List = command;
    let found: Vec<AccountShape> = client.get("accounts").await?;
    out.list(&found, &["SID", "NAME", "CREATED"], |a| {
        vec![a.sid.to_string(), a.name.clone(), moment(a.created)]
    });
    Ok(())
}
