//! The audit trail: who changed which row of the store, when, from what to what.

use rusqlite::{Connection, Transaction, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::CallLog;
use super::writer::as_i64;
use crate::store::{Change, ChangeHook, CommittedChange, Revision};

/// Most entries one listing returns, whatever limit it asked for.
const MAX_PAGE: usize = 10_000;

/// One change of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// Its place in the order of all changes.
    pub revision: Revision,
    /// On whose behalf.
    pub who: String,
    /// The kind of request, as in `allocation_create`.
    pub what: String,
    /// The row: an id, or an ExoPhone's number in E.164 form.
    pub object: String,
    /// The row before; `None` when it is new.
    pub before: Option<Value>,
    /// The row after; `None` when it was removed.
    pub after: Option<Value>,
}

/// Which entries to list. `None` = any.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this row.
    pub object: Option<String>,
    /// Only changes before this one: paging.
    pub before: Option<Revision>,
    /// Most entries.
    pub limit: Option<usize>,
}

/// The hook for [`crate::store::Options::hook`] that writes every change to this log.
pub fn audit_hook(log: CallLog) -> ChangeHook {
    Box::new(move |change| log.audit(AuditEntry::of(change)))
}

impl AuditEntry {
    /// The entry of a committed change.
    pub fn of(change: &CommittedChange) -> AuditEntry {
        let object = match &change.change {
            Change::Account(a) => a.sid.to_string(),
            Change::ExoPhone(e) => e.number.e164(),
            Change::ExoPhoneRemoved(n) => n.e164(),
            Change::Allocation(a) => a.id.to_string(),
        };
        AuditEntry {
            at_ms: change.at_ms,
            revision: change.revision,
            who: change.who.to_string(),
            what: change.what.to_owned(),
            object,
            before: change.before.as_ref().and_then(row),
            after: row(&change.change),
        }
    }
}

fn row(change: &Change) -> Option<Value> {
    match change {
        Change::Account(a) => serde_json::to_value(&**a).ok(),
        Change::ExoPhone(e) => serde_json::to_value(&**e).ok(),
        Change::ExoPhoneRemoved(_) => None,
        Change::Allocation(a) => serde_json::to_value(&**a).ok(),
    }
}

pub(super) fn insert(transaction: &Transaction<'_>, entry: &AuditEntry) -> rusqlite::Result<()> {
    transaction
        .prepare_cached(
            "INSERT INTO audit (at_ms, revision, who, what, object, before, after) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            as_i64(entry.at_ms),
            as_i64(entry.revision),
            entry.who,
            entry.what,
            entry.object,
            entry.before.as_ref().map(Value::to_string),
            entry.after.as_ref().map(Value::to_string),
        ])
        .map(drop)
}

pub(super) fn list(
    connection: &Connection,
    filter: &AuditFilter,
) -> rusqlite::Result<Vec<AuditEntry>> {
    let limit = filter.limit.unwrap_or(MAX_PAGE).min(MAX_PAGE);
    let json = |text: Option<String>| text.and_then(|t| serde_json::from_str(&t).ok());
    connection
        .prepare_cached(
            "SELECT at_ms, revision, who, what, object, before, after FROM audit \
             WHERE (?1 IS NULL OR object = ?1) AND (?2 IS NULL OR revision < ?2) \
             ORDER BY id DESC LIMIT ?3",
        )?
        .query_map(
            params![
                filter.object,
                filter.before.map(as_i64),
                as_i64(limit as u64)
            ],
            |r| {
                Ok(AuditEntry {
                    at_ms: r.get::<_, i64>(0)?.unsigned_abs(),
                    revision: r.get::<_, i64>(1)?.unsigned_abs(),
                    who: r.get(2)?,
                    what: r.get(3)?,
                    object: r.get(4)?,
                    before: json(r.get(5)?),
                    after: json(r.get(6)?),
                })
            },
        )?
        .collect()
}
