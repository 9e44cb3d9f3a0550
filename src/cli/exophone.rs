//! `callmask exophone …`

use std::path::PathBuf;

use axum::http::Method;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::client::{Client, Query, escape};
use super::output::{Output, cell, limit, word};
use super::{Done, import};
use crate::api::shape::{AddExoPhone, ExoPhoneShape};
use crate::store::exophone::Sharing;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Add a virtual number
    Add(Add),
    /// List virtual numbers
    List(List),
    /// Show one
    Show {
        /// The virtual number, as in +914412345678
        number: String,
    },
    /// Change one; what is not named stays as it is
    Set(Set),
    /// Remove one; refused while an allocation on it is active
    Remove {
        /// The virtual number
        number: String,
    },
    /// Add many from a CSV file
    ///
    /// The first line names the columns: number, and any of account, trunk, pool, region,
    /// max_calls, sharing, announcement, record.
    Import {
        /// The file; - reads standard input
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// The virtual number, as in +914412345678
    number: String,
    /// Account id or name
    #[arg(long)]
    account: Option<String>,
    /// Trunk its calls leave by; the first configured without it
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Pool it is drawn from
    #[arg(long)]
    pool: Option<String>,
    /// Region, as in KA
    #[arg(long)]
    region: Option<String>,
    /// Masked calls at once, 0 for no limit; 1 when exclusive and no limit when per-party
    #[arg(long, value_name = "N")]
    max_calls: Option<u32>,
    /// How allocations share it
    #[arg(long, value_enum, default_value = "exclusive")]
    sharing: SharingWord,
    /// Its own announcement: a WAV file, named from the configuration file's folder
    #[arg(long, value_name = "FILE")]
    announcement: Option<String>,
    /// Whether calls are recorded unless the allocation says otherwise
    #[arg(long, value_enum, default_value = "off")]
    record: Switch,
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Of this account, id or name
    #[arg(long)]
    account: Option<String>,
    /// In this pool
    #[arg(long)]
    pool: Option<String>,
    /// In this region
    #[arg(long)]
    region: Option<String>,
    /// After this number: the next page
    #[arg(long, value_name = "NUMBER")]
    after: Option<String>,
    /// Most rows
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(super) struct Changes {
    /// Trunk its calls leave by; an empty text returns to the first configured
    #[arg(long, value_name = "NAME")]
    trunk: Option<String>,
    /// Pool; an empty text takes it out
    #[arg(long)]
    pool: Option<String>,
    /// Region; an empty text removes it
    #[arg(long)]
    region: Option<String>,
    /// Masked calls at once, 0 for no limit
    #[arg(long, value_name = "N")]
    max_calls: Option<u32>,
    /// How allocations share it
    #[arg(long, value_enum)]
    sharing: Option<SharingWord>,
    /// Its own announcement; an empty text returns to the configured one
    #[arg(long, value_name = "FILE")]
    announcement: Option<String>,
    /// Whether calls are recorded unless the allocation says otherwise
    #[arg(long, value_enum)]
    record: Option<Switch>,
}

#[derive(Debug, Args)]
pub(super) struct Set {
    /// The virtual number
    number: String,
    #[command(flatten)]
    changes: Changes,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum SharingWord {
    /// One active allocation
    Exclusive,
    /// Many, as long as no party number repeats on it
    PerParty,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    /// Recorded
    On,
    /// Not recorded
    Off,
}

impl From<SharingWord> for Sharing {
    fn from(word: SharingWord) -> Sharing {
        match word {
            SharingWord::Exclusive => Sharing::Exclusive,
            SharingWord::PerParty => Sharing::PerParty,
        }
    }
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    match command {
        Command::Add(add) => {
            let body = AddExoPhone {
                number: add.number,
                account: add.account,
                trunk: add.trunk,
                pool: add.pool,
                region: add.region,
                max_calls: add.max_calls,
                sharing: add.sharing.into(),
                announcement: add.announcement,
                record: add.record == Switch::On,
            };
            let made: ExoPhoneShape = client.send(Method::POST, "exophones", &body).await?;
            if out.json {
                out.json(&made);
            } else {
                out.text(&made.number.e164());
            }
        }
        Command::List(list) => {
            let query = Query::new()
                .with("account", list.account)
                .with("pool", list.pool)
                .with("region", list.region)
                .with("after", list.after)
                .with("limit", Some(list.limit));
            let found: Vec<ExoPhoneShape> = client.get(&query.on("exophones")).await?;
            let header = [
                "NUMBER",
                "POOL",
                "REGION",
                "TRUNK",
                "SHARING",
                "MAX CALLS",
                "RECORD",
            ];
            out.list(&found, &header, row);
            if found.len() == list.limit as usize {
                out.note("there may be more: raise --limit, or go on with --after NUMBER");
            }
        }
        Command::Show { number } => {
            let found: ExoPhoneShape = client.get(&path(&number)).await?;
            out.object(&found);
        }
        Command::Set(set) => {
            let body = set.changes.body();
            let now: ExoPhoneShape = client
                .send(Method::PATCH, &path(&set.number), &body)
                .await?;
            out.object(&now);
        }
        Command::Remove { number } => {
            let was: ExoPhoneShape = client
                .send(Method::DELETE, &path(&number), &json!({}))
                .await?;
            if out.json {
                out.json(&was);
            } else {
                out.note(&format!("removed {}", was.number.e164()));
            }
        }
        Command::Import { file } => import::exophones(&file, client, out).await?,
    }
    Ok(())
}

impl Changes {
    /// The patch: absent leaves, `null` clears.
    fn body(self) -> Value {
        let mut body = Map::new();
        let texts = [
            ("trunk", self.trunk),
            ("pool", self.pool),
            ("region", self.region),
            ("announcement", self.announcement),
        ];
        for (name, text) in texts {
            if let Some(text) = text {
                body.insert(name.into(), text_or_null(text));
            }
        }
        if let Some(max_calls) = self.max_calls {
            body.insert("max_calls".into(), max_calls.into());
        }
        if let Some(sharing) = self.sharing {
            body.insert("sharing".into(), word(Sharing::from(sharing)).into());
        }
        if let Some(record) = self.record {
            body.insert("record".into(), (record == Switch::On).into());
        }
        Value::Object(body)
    }
}

fn text_or_null(text: String) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        text.into()
    }
}

fn path(number: &str) -> String {
    format!("exophones/{}", escape(number))
}

fn row(e: &ExoPhoneShape) -> Vec<String> {
    vec![
        e.number.e164(),
        cell(e.pool.as_ref()),
        cell(e.region.as_ref()),
        cell(e.trunk.as_ref()),
        word(e.sharing),
        limit(e.max_calls),
        if e.record { "on" } else { "off" }.to_owned(),
    ]
}
