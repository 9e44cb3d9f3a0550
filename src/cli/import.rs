//! Imports from CSV: rows go to the server in chunks, each row is made or refused by itself.

use std::io::Read;
use std::path::Path;

use axum::http::Method;
use serde::Serialize;
use serde_json::json;

use super::client::Client;
use super::csv::{Row, Table};
use super::output::Output;
use super::{Done, duration};
use crate::api::refusal;
use crate::api::shape::{AddExoPhone, CreateAllocation, ImportedRow};
use crate::store::Refusal;

/// Rows of one request: small enough for its body's bound, large enough to share a disk flush.
const CHUNK: usize = 500;
/// Largest file, in bytes: about a million rows.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// Creates an allocation for each row.
pub(super) async fn allocations(file: &Path, client: &Client, out: Output) -> Done {
    let known = [
        "exophone",
        "customer",
        "agent",
        "account",
        "expires",
        "expires_in",
        "record",
        "usage",
        "max_call_secs",
        "custom",
    ];
    let table = read(file, &known, &["exophone", "customer", "agent"])?;
    let row = |row: &Row| -> Result<CreateAllocation, Refusal> {
        let field = |name| table.field(row, name);
        let side = |name| -> Vec<String> {
            let text = field(name).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect()
        };
        let expires_in = field("expires_in").map(|t| duration::parse(&t)).transpose();
        Ok(CreateAllocation {
            account: field("account"),
            exophone: field("exophone").unwrap_or_default(),
            customer: side("customer"),
            agent: side("agent"),
            expires: field("expires"),
            expires_in_secs: expires_in.map_err(|e| bad("expires_in", "", &e))?,
            record: from_word("record", field("record"))?,
            max_call_secs: from_digits("max_call_secs", field("max_call_secs"))?,
            usage: from_word("usage", field("usage"))?,
            custom: field("custom"),
        })
    };
    all("allocations/import", &table, row, client, out).await
}

/// Adds an ExoPhone for each row.
pub(super) async fn exophones(file: &Path, client: &Client, out: Output) -> Done {
    let known = [
        "number",
        "account",
        "trunk",
        "pool",
        "region",
        "max_calls",
        "sharing",
        "announcement",
        "record",
    ];
    let table = read(file, &known, &["number"])?;
    let row = |row: &Row| -> Result<AddExoPhone, Refusal> {
        let field = |name| table.field(row, name);
        let record = match field("record").as_deref() {
            None | Some("off") => false,
            Some("on") => true,
            Some(other) => return Err(bad("record", other, "write on or off")),
        };
        Ok(AddExoPhone {
            number: field("number").unwrap_or_default(),
            account: field("account"),
            trunk: field("trunk"),
            pool: field("pool"),
            region: field("region"),
            max_calls: from_digits("max_calls", field("max_calls"))?,
            sharing: from_word("sharing", field("sharing"))?,
            announcement: field("announcement"),
            record,
        })
    };
    all("exophones/import", &table, row, client, out).await
}

/// Sends all rows and tells how each fared.
async fn all<T: Serialize>(
    path: &str,
    table: &Table,
    shape: impl Fn(&Row) -> Result<T, Refusal>,
    client: &Client,
    out: Output,
) -> Done {
    let mut made: Vec<String> = Vec::new();
    let mut refused: Vec<(usize, Refusal)> = Vec::new();
    for chunk in table.rows.chunks(CHUNK) {
        let mut lines = Vec::new();
        let mut bodies = Vec::new();
        for row in chunk {
            match shape(row) {
                Ok(body) => {
                    lines.push(row.line);
                    bodies.push(body);
                }
                Err(refusal) => refused.push((row.line, refusal)),
            }
        }
        let fared: Vec<ImportedRow> = client.send(Method::POST, path, &bodies).await?;
        for (line, row) in lines.into_iter().zip(fared) {
            made.extend(row.made);
            refused.extend(row.error.map(|e| (line, e)));
        }
    }
    refused.sort_by_key(|(line, _)| *line);
    report(&made, &refused, out);
    if refused.is_empty() {
        return Ok(());
    }
    Err(refusal(
        "import_incomplete",
        format!(
            "{} of {} rows were refused",
            refused.len(),
            table.rows.len()
        ),
        "correct these rows and import them again; the others are in",
    ))
}

fn report(made: &[String], refused: &[(usize, Refusal)], out: Output) {
    if out.json {
        let refused: Vec<_> = refused
            .iter()
            .map(|(line, error)| json!({ "line": line, "error": error }))
            .collect();
        out.json(&json!({ "imported": made.len(), "made": made, "refused": refused }));
        return;
    }
    if !made.is_empty() {
        out.text(&made.join("\n"));
    }
    for (line, refusal) in refused {
        out.note(&format!("line {line}: {refusal}"));
    }
    out.note(&format!("imported {}", made.len()));
}

fn read(file: &Path, known: &[&str], needed: &[&str]) -> Result<Table, Refusal> {
    let unreadable = |why: String| {
        let message = format!("{}: {why}", file.display());
        refusal(
            "import_file",
            message,
            "name a CSV file in UTF-8 with a line of column names",
        )
    };
    let source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(file).map_err(|e| unreadable(e.to_string()))?)
    };
    let mut text = String::new();
    let read = source.take(MAX_FILE_BYTES + 1).read_to_string(&mut text);
    read.map_err(|e| unreadable(e.to_string()))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(unreadable(format!("larger than {MAX_FILE_BYTES} bytes")));
    }
    Table::parse(&text, known, needed).map_err(unreadable)
}

fn bad(column: &str, text: &str, why: &str) -> Refusal {
    let message = format!("{column} \"{text}\" is not understood");
    refusal("bad_field", message, why)
}

/// One of the words of a type, or its default when the field is empty.
fn from_word<T: Default + serde::de::DeserializeOwned>(
    column: &str,
    text: Option<String>,
) -> Result<T, Refusal> {
    let Some(text) = text else {
        return Ok(T::default());
    };
    serde_json::from_value(json!(text)).map_err(|e| bad(column, &text, &e.to_string()))
}

fn from_digits(column: &str, text: Option<String>) -> Result<Option<u32>, Refusal> {
    let number = text.map(|t| {
        t.parse()
            .map_err(|_| bad(column, &t, "write a whole number"))
    });
    number.transpose()
}
