//! `callmask store …`

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::http::Method;
use clap::Subcommand;
use serde_json::Value;

use super::Done;
use super::client::Client;
use super::output::Output;
use crate::api::{piece_reader, piece_writer, refusal};
use crate::store::Refusal;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write all accounts, ExoPhones and allocations as JSON lines
    Export {
        /// The file, replaced when it is complete; standard output without it
        file: Option<PathBuf>,
    },
    /// Add the rows of an export; rows that are there already change nothing
    Import {
        /// The file; - reads standard input
        file: PathBuf,
    },
    /// Read everything from disk and check it
    Verify,
}

pub(super) async fn run(command: Command, client: &Client, out: Output) -> Done {
    match command {
        Command::Export { file } => export(file, client, out).await,
        Command::Import { file } => import(file, client, out).await,
        Command::Verify => {
            let report: Value = client.get("store/verify").await?;
            out.object(&report);
            if report.get("sound") == Some(&Value::Bool(true)) {
                return Ok(());
            }
            Err(refusal(
                "store_unsound",
                "the store has unreadable rows or broken rules",
                "restore a backup, or export what is readable and import it into a new store",
            ))
        }
    }
}

async fn export(file: Option<PathBuf>, client: &Client, out: Output) -> Done {
    let body = client
        .ask(Method::GET, "store/export", Body::empty(), None)
        .await?;
    let (reader, feed) = piece_reader(body);
    let work = tokio::task::spawn_blocking(move || match file {
        Some(file) => save(reader, &file).map(|bytes| Some((file, bytes))),
        None => copy(reader, &mut io::stdout().lock()).map(|_| None),
    });
    let (done, ()) = tokio::join!(work, feed);
    let done = done.map_err(|e| failed(&e.to_string()))?;
    if let Some((file, bytes)) = done.map_err(|e| failed(&e.to_string()))? {
        out.note(&format!("wrote {bytes} bytes to {}", file.display()));
    }
    Ok(())
}

/// Writes beside the file first: a broken export must not replace a good one.
fn save(mut from: impl Read, file: &Path) -> io::Result<u64> {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = PathBuf::from(name);
    let written = (|| {
        let to = std::fs::File::create(&part)?;
        let mut to = BufWriter::new(to);
        let bytes = io::copy(&mut from, &mut to)?;
        to.flush()?;
        to.get_ref().sync_all()?;
        std::fs::rename(&part, file)?;
        Ok(bytes)
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// A reader of our output that has gone away has seen enough.
fn copy(mut from: impl Read, to: &mut impl Write) -> io::Result<u64> {
    match io::copy(&mut from, to).and_then(|bytes| to.flush().map(|()| bytes)) {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        other => other,
    }
}

async fn import(file: PathBuf, client: &Client, out: Output) -> Done {
    let unreadable = |e: io::Error| {
        let message = format!("{}: {e}", file.display());
        refusal(
            "import_file",
            message,
            "name a file that store export wrote",
        )
    };
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(std::fs::File::open(&file).map_err(unreadable)?)
    };
    let (mut writer, body) = piece_writer();
    let work = tokio::task::spawn_blocking(move || {
        let copied = io::copy(&mut BufReader::new(source), &mut writer);
        if let Err(error) = copied.and_then(|_| writer.flush()) {
            writer.fail(error);
        }
    });
    let answer = client
        .ask(
            Method::POST,
            "store/import",
            body,
            Some("application/jsonl"),
        )
        .await;
    let read = match answer {
        Ok(answer) => client.read(answer).await,
        Err(refusal) => Err(refusal),
    };
    work.await.map_err(|e| failed(&e.to_string()))?;
    let report: Value = read?;
    out.object(&report);
    let refused = report.get("refused_count").and_then(Value::as_u64);
    let complete = report.get("complete") == Some(&Value::Bool(true));
    if refused == Some(0) && complete {
        return Ok(());
    }
    let message = if complete {
        format!("{} rows were refused", refused.unwrap_or(0))
    } else {
        "the export was cut off: its last line is missing".to_owned()
    };
    Err(refusal(
        "import_incomplete",
        message,
        "rows that could be added are in; see the report",
    ))
}

fn failed(why: &str) -> Refusal {
    refusal(
        "export_failed",
        why,
        "look at the disk and at the server's log",
    )
}
