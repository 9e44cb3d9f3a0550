//! `callmask call …`

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::Done;
use super::client::{Client, Query, escape};
use super::output::{Output, cell, moment, word};
use crate::api::shape::CallShape;
use crate::switch::record::Status;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List ended calls, newest first
    List(List),
    /// Show one call, live or ended
    Show {
        /// Its id
        sid: String,
    },
    /// End a live call
    Hangup {
        /// Its id
        sid: String,
    },
    /// List the calls that are up now
    Live,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this account, id or name
    #[arg(long)]
    account: Option<String>,
    /// To this ExoPhone
    #[arg(long, value_name = "NUMBER")]
    exophone: Option<String>,
    /// From or to this party
    #[arg(long, value_name = "NUMBER")]
    party: Option<String>,
    /// Ended like this
    #[arg(long, value_enum)]
    status: Option<StatusWord>,
    /// Begun at or after this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Begun before this time, RFC 3339
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Begun before this call: the next page
    #[arg(long, value_name = "SID")]
    after: Option<String>,
    /// Most rows
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum StatusWord {
    /// The parties talked
    Completed,
    /// Busy
    Busy,
    /// Not answered
    NoAnswer,
    /// Not possible, or announcement only
    Failed,
    /// Given up by the caller
    Canceled,
}

impl From<StatusWord> for Status {
    fn from(word: StatusWord) -> Status {
        match word {
            StatusWord::Completed => Status::Completed,
            StatusWord::Busy => Status::Busy,
            StatusWord::NoAnswer => Status::NoAnswer,
            StatusWord::Failed => Status::Failed,
            StatusWord::Canceled => Status::Canceled,
        }
    }
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    match command {
        Command::List(list) => {
            let query = Query::new()
                .with("account", list.account)
                .with("exophone", list.exophone)
                .with("party", list.party)
                .with("status", list.status.map(|s| word(Status::from(s))))
                .with("from", list.from)
                .with("to", list.to)
                .with("after", list.after)
                .with("limit", Some(list.limit));
            let found: Vec<CallShape> = client.get(&query.on("calls")).await?;
            let header = [
                "SID", "STARTED", "EXOPHONE", "CALLER", "CALLEE", "STATUS", "CAUSE", "ENDED BY",
                "SECONDS",
            ];
            out.list(&found, &header, |c| {
                let mut row = begin(c);
                row.extend([
                    word(c.status),
                    cell(c.cause.map(word)),
                    cell(c.ended_by.map(word)),
                    format!("{:.1}", c.duration_secs),
                ]);
                row
            });
            if found.len() == list.limit as usize {
                out.note("there may be more: raise --limit, or go on with --after SID");
            }
        }
        Command::Show { sid } => {
            let found: CallShape = client.get(&format!("calls/{}", escape(&sid))).await?;
            out.object(&found);
        }
        Command::Hangup { sid } => {
            let path = format!("calls/{}/hangup", escape(&sid));
            let was: CallShape = client.send(Method::POST, &path, &json!({})).await?;
            if out.json {
                out.json(&was);
            } else {
                out.note(&format!("ending {}", was.sid));
            }
        }
        Command::Live => {
            let found: Vec<CallShape> = client.get("calls/live").await?;
            let header = [
                "SID", "STARTED", "EXOPHONE", "CALLER", "CALLEE", "STATUS", "SECONDS", "TRUNK",
            ];
            out.list(&found, &header, |c| {
                let mut row = begin(c);
                row.extend([
                    word(c.status),
                    format!("{:.1}", c.duration_secs),
                    c.trunk_in.clone(),
                ]);
                row
            });
        }
    }
    Ok(())
}

fn begin(c: &CallShape) -> Vec<String> {
    vec![
        c.sid.to_string(),
        moment(c.started),
        c.exophone.e164(),
        cell(c.caller.map(|n| n.e164())),
        cell(c.callee.map(|n| n.e164())),
    ]
}
