//! The tables of the call log, and how its file is opened.
//!
//! A record is kept whole, as JSON; the columns beside it are what filters and reports need, so
//! that a new field of a record needs no migration.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Version of the tables, kept in `PRAGMA user_version`.
const VERSION: i64 = 1;
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 32;
/// How long a reader waits for a lock; in WAL mode only a checkpoint's end can make it wait.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE calls (
    sid BLOB NOT NULL UNIQUE,
    account BLOB NOT NULL,
    exophone INTEGER NOT NULL,
    caller INTEGER,
    callee INTEGER,
    status TEXT NOT NULL,
    announcement INTEGER NOT NULL,
    started_ms INTEGER NOT NULL,
    duration_ms INTEGER NOT NULL,
    record TEXT NOT NULL
) STRICT;
CREATE INDEX calls_started ON calls (started_ms, sid);
CREATE INDEX calls_exophone ON calls (exophone, started_ms, sid);
CREATE INDEX calls_caller ON calls (caller, started_ms, sid) WHERE caller IS NOT NULL;
CREATE INDEX calls_callee ON calls (callee, started_ms, sid) WHERE callee IS NOT NULL;
CREATE TABLE live (
    sid BLOB NOT NULL PRIMARY KEY,
    call TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    object TEXT NOT NULL,
    before TEXT,
    after TEXT
) STRICT;
CREATE INDEX audit_object ON audit (object);
CREATE TABLE heartbeat (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at_ms INTEGER NOT NULL
) STRICT;
";

/// Opens the file for the writer, creating it and its tables when needed.
pub(super) fn open_writer(path: &Path) -> Result<Connection, String> {
    let connection = connect(path).map_err(|e| e.to_string())?;
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|e| e.to_string())?;
    match version {
        0 => connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            ))
            .map_err(|e| e.to_string())?,
        VERSION => {}
        newer => {
            return Err(format!(
                "its tables have version {newer}, this program knows {VERSION}"
            ));
        }
    }
    Ok(connection)
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // In WAL mode FULL syncs the log at every commit: a record survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Opens the file for reading only.
pub(super) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}
