//! `callmask allocation …`

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::client::{Client, Query, escape};
use super::output::{Output, cell, moment, word};
use super::{Done, duration, import};
use crate::api::shape::{AllocationShape, CreateAllocation, ExplainShape, UpdateAllocation};
use crate::store::allocation::{RecordPolicy, Usage};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Let two parties reach each other through an ExoPhone; prints the id
    Create(Create),
    /// List allocations, newest first
    List(List),
    /// Show one
    Show {
        /// Its id
        id: String,
    },
    /// Change an active allocation; what is not named stays as it is
    Update(Update),
    /// End one; ending an ended one changes nothing
    Deactivate {
        /// Its id
        id: String,
    },
    /// Say which allocation a call would get, why, and who would ring
    Explain(Explain),
    /// Create many from a CSV file
    ///
    /// The first line names the columns: exophone, customer, agent, and any of account, expires,
    /// expires_in, record, usage, max_call_secs, custom. Several numbers of one side are
    /// separated by spaces.
    Import {
        /// The file; - reads standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Create {
    /// The ExoPhone both parties see
    #[arg(long, value_name = "NUMBER")]
    exophone: String,
    /// The customer's number; several ring in order
    #[arg(long, value_name = "NUMBER", required = true)]
    customer: Vec<String>,
    /// The agent's number; several ring in order
    #[arg(long, value_name = "NUMBER", required = true)]
    agent: Vec<String>,
    /// Account id or name
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    expiry: Expiry,
    /// Recording
    #[arg(long, value_enum, default_value = "inherit")]
    record: RecordWord,
    /// Who may call
    #[arg(long, value_enum, default_value = "twoway")]
    usage: UsageWord,
    /// Longest call; the configured limit without it
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    max_call: Option<u32>,
    /// Free text, returned in call records
    #[arg(long, value_name = "TEXT")]
    custom: Option<String>,
}

#[derive(Debug, Args)]
#[group(multiple = false)]
pub(super) struct Expiry {
    /// Ends after this time, as in 90s, 30m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires_in: Option<u64>,
    /// Ends at this time, RFC 3339, as in 2026-01-31T18:00:00+05:30
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this account, id or name
    #[arg(long)]
    account: Option<String>,
    /// On this ExoPhone
    #[arg(long, value_name = "NUMBER")]
    exophone: Option<String>,
    /// Naming this party, on either side
    #[arg(long, value_name = "NUMBER")]
    party: Option<String>,
    /// In this state
    #[arg(long, value_enum)]
    state: Option<StateWord>,
    /// Older than this one: the next page
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Most rows
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
pub(super) struct Update {
    /// Its id
    id: String,
    #[command(flatten)]
    changes: Changes,
    /// Refuse unless it has this version
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// The customer's number; several ring in order
    #[arg(long, value_name = "NUMBER")]
    customer: Vec<String>,
    /// The agent's number; several ring in order
    #[arg(long, value_name = "NUMBER")]
    agent: Vec<String>,
    /// Ends this long from now
    #[arg(long, value_name = "DURATION", value_parser = duration::parse,
          conflicts_with_all = ["expires_at", "no_expiry"])]
    expires_in: Option<u64>,
    /// Ends at this time, RFC 3339
    #[arg(long, value_name = "TIME", conflicts_with = "no_expiry")]
    expires_at: Option<String>,
    /// Ends only when deactivated
    #[arg(long)]
    no_expiry: bool,
    /// Recording
    #[arg(long, value_enum)]
    record: Option<RecordWord>,
    /// Who may call
    #[arg(long, value_enum)]
    usage: Option<UsageWord>,
    /// Longest call
    #[arg(long, value_name = "DURATION", value_parser = seconds, conflicts_with = "no_max_call")]
    max_call: Option<u32>,
    /// Back to the configured limit
    #[arg(long)]
    no_max_call: bool,
    /// Free text; an empty one removes it
    #[arg(long, value_name = "TEXT")]
    custom: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The ExoPhone dialled
    #[arg(long, value_name = "NUMBER")]
    exophone: String,
    /// Who calls; an anonymous caller without it
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// When, RFC 3339; now without it
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RecordWord {
    /// As the ExoPhone says
    Inherit,
    /// Recorded
    On,
    /// Not recorded
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum UsageWord {
    /// Both sides may call
    Twoway,
    /// Only the customer may call
    Oneway,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum StateWord {
    /// Calls are connected
    Active,
    /// Ended by a request
    Deactivated,
    /// Ended by its expiry
    Expired,
}

impl StateWord {
    fn name(self) -> &'static str {
        match self {
            StateWord::Active => "active",
            StateWord::Deactivated => "deactivated",
            StateWord::Expired => "expired",
        }
    }
}

impl From<RecordWord> for RecordPolicy {
    fn from(word: RecordWord) -> RecordPolicy {
        match word {
            RecordWord::Inherit => RecordPolicy::Inherit,
            RecordWord::On => RecordPolicy::On,
            RecordWord::Off => RecordPolicy::Off,
        }
    }
}

impl From<UsageWord> for Usage {
    fn from(word: UsageWord) -> Usage {
        match word {
            UsageWord::Twoway => Usage::Twoway,
            UsageWord::Oneway => Usage::Oneway,
        }
    }
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    match command {
        Command::Create(create) => {
            let made: AllocationShape = client
                .send(Method::POST, "allocations", &create.body())
                .await?;
            if out.json {
                out.json(&made);
            } else {
                out.text(&made.id.to_string());
            }
        }
        Command::List(list) => self::list(list, client, out).await?,
        Command::Show { id } => {
            let found: AllocationShape = client.get(&path(&id)).await?;
            out.object(&found);
        }
        Command::Update(update) => {
            let path = path(&update.id);
            let now: AllocationShape = client.send(Method::PATCH, &path, &update.body()).await?;
            out.object(&now);
        }
        Command::Deactivate { id } => {
            let path = format!("{}/deactivate", path(&id));
            let now: AllocationShape = client.send(Method::POST, &path, &json!({})).await?;
            out.object(&now);
        }
        Command::Explain(explain) => {
            let query = Query::new()
                .with("exophone", Some(explain.exophone))
                .with("caller", explain.caller)
                .with("at", explain.at);
            let said: ExplainShape = client.get(&query.on("explain")).await?;
            if out.json {
                out.json(&said);
            } else {
                out.text(&sentence(&said));
            }
        }
        Command::Import { file } => import::allocations(&file, client, out).await?,
    }
    Ok(())
}

async fn list(list: List, client: &Client, out: Output) -> Done {
    let query = Query::new()
        .with("account", list.account)
        .with("exophone", list.exophone)
        .with("party", list.party)
        .with("state", list.state.map(StateWord::name))
        .with("after", list.after)
        .with("limit", Some(list.limit));
    let found: Vec<AllocationShape> = client.get(&query.on("allocations")).await?;
    let header = [
        "ID", "EXOPHONE", "CUSTOMER", "AGENT", "STATE", "CREATED", "EXPIRES", "CUSTOM",
    ];
    out.list(&found, &header, row);
    if found.len() == list.limit as usize {
        out.note("there may be more: raise --limit, or go on with --after ID");
    }
    Ok(())
}

impl Create {
    fn body(self) -> CreateAllocation {
        CreateAllocation {
            account: self.account,
            exophone: self.exophone,
            customer: self.customer,
            agent: self.agent,
            expires: self.expiry.expires_at,
            expires_in_secs: self.expiry.expires_in,
            record: self.record.into(),
            max_call_secs: self.max_call,
            usage: self.usage.into(),
            custom: self.custom,
        }
    }
}

impl Update {
    fn body(self) -> UpdateAllocation {
        let changes = self.changes;
        let some = |side: Vec<String>| (!side.is_empty()).then_some(side);
        let expires = match (changes.expires_at, changes.no_expiry) {
            (Some(at), _) => Some(Some(at)),
            (None, true) => Some(None),
            (None, false) => None,
        };
        let max_call_secs = match (changes.max_call, changes.no_max_call) {
            (Some(secs), _) => Some(Some(secs)),
            (None, true) => Some(None),
            (None, false) => None,
        };
        UpdateAllocation {
            customer: some(changes.customer),
            agent: some(changes.agent),
            expires,
            expires_in_secs: changes.expires_in,
            record: changes.record.map(RecordPolicy::from),
            max_call_secs,
            usage: changes.usage.map(Usage::from),
            custom: changes
                .custom
                .map(|text| if text.is_empty() { None } else { Some(text) }),
            expected_version: self.expected_version,
        }
    }
}

/// A duration that fits a call.
fn seconds(text: &str) -> Result<u32, String> {
    u32::try_from(duration::parse(text)?).map_err(|_| "longer than any call".to_owned())
}

fn path(id: &str) -> String {
    format!("allocations/{}", escape(id))
}

fn row(a: &AllocationShape) -> Vec<String> {
    let numbers = |side: &[crate::number::Number]| {
        let shown: Vec<String> = side.iter().map(|n| n.e164()).collect();
        shown.join(" ")
    };
    vec![
        a.id.to_string(),
        a.exophone.e164(),
        numbers(&a.customer),
        numbers(&a.agent),
        word(a.state),
        moment(a.created),
        cell(a.expires.map(moment)),
        cell(a.custom.as_ref()),
    ]
}

/// The explanation as a person reads it.
fn sentence(said: &ExplainShape) -> String {
    let caller = match said.caller {
        Some(number) => number.e164(),
        None => "an anonymous caller".to_owned(),
    };
    let mut text = format!(
        "{caller} calling {} at {}: {}\n{}",
        said.exophone.e164(),
        said.at,
        said.outcome,
        said.reason
    );
    if let Some(id) = said.allocation {
        text += &format!("\nallocation {id}");
    }
    if !said.rings.is_empty() {
        let rings: Vec<String> = said.rings.iter().map(|n| n.e164()).collect();
        text += &format!("\nrings {}", rings.join(", then "));
        if let Some(number) = said.presents {
            text += &format!(", who sees {}", number.e164());
        }
        text += &match &said.trunk {
            Some(trunk) => format!("\nleaves by trunk {trunk}"),
            None => "\nleaves by the first configured trunk".to_owned(),
        };
    }
    text
}
