//! The logical export: all rows as JSON lines, for people, for other stores and for restoring.
//!
//! The first line says what it is, the last how many rows came before it, so that a truncated
//! file is recognised.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read, Write};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::allocation::Allocation;
use super::change::Change;
use super::exophone::ExoPhone;
use super::{Refusal, Revision};
use crate::sid::Sid;

/// Version of the export's form.
const FORMAT: u32 = 1;
/// Most bytes of a line; a longer one is refused.
const MAX_LINE: u64 = 64 << 10;
/// Refused lines an import's report holds; further ones are only counted.
const MAX_REFUSED: usize = 1_000;
/// Rows an import asks the writer to commit at once.
pub(super) const IMPORT_ROWS: usize = 1_000;

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImportReport {
    /// Rows added.
    pub added: usize,
    /// Rows that were there already, exactly so.
    pub unchanged: usize,
    /// Rows not added.
    pub refused_count: usize,
    /// The first of them, with reasons.
    pub refused: Vec<RefusedLine>,
    /// False when the last line is missing: the export was cut off.
    pub complete: bool,
}

/// A line that was not added.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedLine {
    /// Line of the input, from 1.
    pub line: usize,
    /// Why.
    pub reason: Refusal,
}

impl ImportReport {
    pub(super) fn refuse(&mut self, line: usize, reason: Refusal) {
        self.refused_count += 1;
        if self.refused.len() < MAX_REFUSED {
            self.refused.push(RefusedLine { line, reason });
        }
    }
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Export {
        format: u32,
        revision: Revision,
        at_ms: u64,
    },
    Account(Arc<Account>),
    Exophone(Arc<ExoPhone>),
    Allocation(Arc<Allocation>),
    End {
        rows: usize,
    },
}

/// Writes an export.
pub(super) fn write(
    out: &mut dyn Write,
    revision: Revision,
    at_ms: u64,
    rows: &[Change],
) -> io::Result<()> {
    let mut line = |line: &Line| -> io::Result<()> {
        serde_json::to_writer(&mut *out, line)?;
        out.write_all(b"\n")
    };
    line(&Line::Export {
        format: FORMAT,
        revision,
        at_ms,
    })?;
    let mut written = 0;
    for row in rows {
        line(&match row {
            Change::Account(a) => Line::Account(a.clone()),
            Change::ExoPhone(e) => Line::Exophone(e.clone()),
            Change::Allocation(a) => Line::Allocation(a.clone()),
            Change::ExoPhoneRemoved(_) => continue,
        })?;
        written += 1;
    }
    line(&Line::End { rows: written })
}

/// A row of an export, or why the line is none, with its line number from 1.
pub(super) type Parsed = (usize, Result<Change, Refusal>);

/// Reads the lines of an export, one at a time.
pub(super) struct Reader<R> {
    input: R,
    line: usize,
    rows: usize,
    /// The revision the first line names.
    pub(super) revision: Revision,
    /// Whether the last line was seen and its count is right.
    pub(super) complete: bool,
}

impl<R: BufRead> Reader<R> {
    pub(super) fn new(input: R) -> Reader<R> {
        Reader {
            input,
            line: 0,
            rows: 0,
            revision: 0,
            complete: false,
        }
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Parsed>> {
        loop {
            let mut text = Vec::new();
            let read = (&mut self.input)
                .take(MAX_LINE)
                .read_until(b'\n', &mut text)?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            if read as u64 == MAX_LINE && text.last() != Some(&b'\n') {
                self.skip_line()?;
                return Ok(Some((self.line, Err(malformed("the line is too long")))));
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            let row = match serde_json::from_slice(&text) {
                Ok(Line::Export {
                    format, revision, ..
                }) => {
                    if format > FORMAT {
                        let why = format!("the export has form {format}, newer than {FORMAT}");
                        return Ok(Some((self.line, Err(malformed(&why)))));
                    }
                    self.revision = revision;
                    continue;
                }
                Ok(Line::End { rows }) => {
                    self.complete = rows == self.rows;
                    continue;
                }
                Ok(Line::Account(a)) => Ok(Change::Account(a)),
                Ok(Line::Exophone(e)) => Ok(Change::ExoPhone(e)),
                Ok(Line::Allocation(a)) => Ok(Change::Allocation(a)),
                Err(error) => Err(malformed(&error.to_string())),
            };
            self.rows += 1;
            return Ok(Some((self.line, row)));
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let end = buffer.iter().position(|b| *b == b'\n');
            let used = end.map_or(buffer.len(), |at| at + 1);
            self.input.consume(used);
            if end.is_some() || used == 0 {
                return Ok(());
            }
        }
    }
}

/// Accounts of the export that exist here by name under another SID: their rows move over.
#[derive(Debug, Default)]
pub(super) struct Moved(BTreeMap<Sid, Sid>);

impl Moved {
    /// Notes that rows of `from` belong to `to`.
    pub(super) fn note(&mut self, from: Sid, to: Sid) {
        self.0.insert(from, to);
    }

    /// The row with the account it has here.
    pub(super) fn here(&self, row: Change) -> Change {
        match row {
            Change::ExoPhone(mut e) if self.0.contains_key(&e.account) => {
                let row = Arc::make_mut(&mut e);
                row.account = self.0.get(&row.account).copied().unwrap_or(row.account);
                Change::ExoPhone(e)
            }
            Change::Allocation(mut a) if self.0.contains_key(&a.account) => {
                let row = Arc::make_mut(&mut a);
                row.account = self.0.get(&row.account).copied().unwrap_or(row.account);
                Change::Allocation(a)
            }
            row => row,
        }
    }
}

fn malformed(why: &str) -> Refusal {
    Refusal {
        code: "malformed".to_owned(),
        message: format!("not a line of an export: {why}"),
        remedy: "use a file that store export wrote".to_owned(),
        blocking_id: None,
    }
}
