//! After a crash: calls that were up become records.

use rusqlite::{Connection, OptionalExtension};

use super::writer::insert_record;
use crate::switch::record::{CallRecord, Cause, EndedBy, LiveCall};

/// SIP status in the record of a call that had been answered.
const ANSWERED: u16 = 200;

/// Turns every live row into a record, in one transaction; returns how many.
pub(super) fn recover(connection: &mut Connection, wall_ms: u64) -> rusqlite::Result<usize> {
    let transaction = connection.transaction()?;
    let beat: Option<i64> = transaction
        .query_row("SELECT at_ms FROM heartbeat", [], |row| row.get(0))
        .optional()?;
    let last_sign = beat
        .and_then(|at| u64::try_from(at).ok())
        .unwrap_or(wall_ms);
    let rows: Vec<(Vec<u8>, String)> = transaction
        .prepare("SELECT sid, call FROM live")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut recovered = 0;
    for (sid, text) in rows {
        match serde_json::from_str(&text) {
            Ok(call) => {
                insert_record(&transaction, &interrupted(call, last_sign))?;
                recovered += 1;
                transaction.execute("DELETE FROM live WHERE sid = ?1", [sid])?;
            }
            Err(error) => {
                // Left where it is, for a version that can read it.
                tracing::error!(%error, "a live call's row cannot be read and gets no record");
            }
        }
    }
    transaction.commit()?;
    Ok(recovered)
}

/// The record of a call that the server did not live to end.
fn interrupted(mut call: LiveCall, last_sign_ms: u64) -> CallRecord {
    let cause = Cause::Interrupted;
    let answered = call.answered_ms.is_some();
    call.status = cause.status(answered);
    // The row may be younger than the heartbeat: a call never ends before what is known of it.
    let known_until = [Some(call.started_ms), call.rang_ms, call.answered_ms];
    let known_until = known_until.into_iter().flatten().max().unwrap_or(0);
    CallRecord {
        ended_ms: last_sign_ms.max(known_until),
        cause,
        ended_by: EndedBy::System,
        sip_code: if answered {
            ANSWERED
        } else {
            cause.sip_status()
        },
        q850: cause.q850(),
        codec: None,
        caller_media: None,
        callee_media: None,
        recording: None,
        call,
    }
}
