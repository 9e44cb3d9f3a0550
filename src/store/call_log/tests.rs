//! The call log: what is recorded once, what a crash leaves, what a full disk does.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;

use super::*;
use crate::number::Number;
use crate::switch::plan::Direction;
use crate::switch::record::{Cause, EndedBy, Origin, Status};

const X: &str = "+914412345678";
const A: &str = "+919876543210";
const B: &str = "+919876543211";

fn n(text: &str) -> Number {
    Number::parse_e164(text).unwrap()
}

fn sid(i: u64) -> Sid {
    Sid::new(1_000 + i, u128::from(i))
}

fn call(i: u64) -> LiveCall {
    LiveCall {
        sid: sid(i),
        account: Sid::new(1, 1),
        allocation: None,
        exophone: n(X),
        caller: Some(n(A)),
        callee: Some(n(B)),
        origin: Origin::Inbound,
        direction: Direction::CustomerToAgent,
        status: Status::InProgress,
        announcement: false,
        trunk_in: "carrier".into(),
        trunk_out: None,
        started_ms: 1_000 + i,
        rang_ms: Some(1_100 + i),
        answered_ms: Some(1_200 + i),
        custom: None,
    }
}

fn record(i: u64) -> CallRecord {
    CallRecord {
        call: LiveCall {
            status: Status::Completed,
            ..call(i)
        },
        ended_ms: 3_200 + i,
        cause: Cause::Normal,
        ended_by: EndedBy::Caller,
        sip_code: 200,
        q850: 16,
        codec: Some("PCMU".into()),
        caller_media: None,
        callee_media: None,
        recording: None,
    }
}

fn all(log: &CallLog) -> Vec<CallRecord> {
    log.list(&CallFilter::default()).unwrap()
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("calls.sqlite")
    }

    fn open(&self, wall_ms: u64) -> (CallLog, usize) {
        let options = LogOptions {
            clock: Arc::new(move || wall_ms),
            ..LogOptions::default()
        };
        CallLog::open_with(&self.path(), wall_ms, options).unwrap()
    }

    /// A log whose commits fail while the switch is on.
    fn open_on_failing_disk(&self) -> (CallLog, Arc<AtomicBool>) {
        let failing = Arc::new(AtomicBool::new(false));
        let fails = failing.clone();
        let options = LogOptions {
            before_commit: Some(Box::new(move || {
                if fails.load(Ordering::SeqCst) {
                    Err("database or disk is full".into())
                } else {
                    Ok(())
                }
            })),
            ..LogOptions::default()
        };
        let (log, _) = CallLog::open_with(&self.path(), 1, options).unwrap();
        (log, failing)
    }
}

#[test]
fn a_call_is_live_then_a_record() {
    let place = Place::new();
    let (log, recovered) = place.open(5_000);
    assert_eq!(recovered, 0);
    log.live(call(1));
    log.flush().unwrap();
    assert_eq!(log.live_calls().unwrap(), [call(1)]);
    assert_eq!(log.show(sid(1)).unwrap(), None);
    log.finish(record(1));
    log.flush().unwrap();
    assert_eq!(log.live_calls().unwrap(), []);
    assert_eq!(log.show(sid(1)).unwrap(), Some(record(1)));
    log.close().unwrap();
    let (log, recovered) = place.open(6_000);
    assert_eq!((recovered, all(&log)), (0, vec![record(1)]));
}

#[test]
fn a_call_has_one_record_and_no_ghost() {
    let place = Place::new();
    let (log, _) = place.open(5_000);
    log.finish(record(1));
    let mut other = record(1);
    other.cause = Cause::Internal;
    log.finish(other);
    log.live(call(1));
    log.close().unwrap();
    let (log, recovered) = place.open(6_000);
    assert_eq!((recovered, all(&log)), (0, vec![record(1)]));
}

#[test]
fn what_a_crash_cut_off_is_recorded_as_interrupted() {
    let place = Place::new();
    let (log, _) = place.open(9_000);
    let mut ringing = call(2);
    ringing.status = Status::Ringing;
    ringing.answered_ms = None;
    let mut late = call(3);
    late.started_ms = 9_500;
    late.rang_ms = None;
    late.answered_ms = None;
    for call in [call(1), ringing.clone(), late.clone()] {
        log.live(call);
    }
    log.close().unwrap();
    let (log, recovered) = place.open(50_000);
    assert_eq!(recovered, 3);
    assert!(log.live_calls().unwrap().is_empty());
    let answered = log.show(sid(1)).unwrap().unwrap();
    assert_eq!(answered.ended_ms, 9_000, "the last sign of life");
    assert_eq!(answered.call.status, Status::Failed);
    assert_eq!(answered.cause, Cause::Interrupted);
    assert_eq!(answered.ended_by, EndedBy::System);
    assert_eq!((answered.sip_code, answered.q850), (200, 41));
    let ringing = log.show(sid(2)).unwrap().unwrap();
    assert_eq!((ringing.sip_code, ringing.duration_ms()), (500, 0));
    let late = log.show(sid(3)).unwrap().unwrap();
    assert_eq!(late.ended_ms, 9_500, "never before its start");
    log.close().unwrap();
    assert_eq!(place.open(60_000).1, 0, "once");
}

#[test]
fn the_time_is_written_down_while_calls_are_up() {
    let place = Place::new();
    let now = Arc::new(AtomicU64::new(1_000));
    let (beat, beats) = mpsc::channel();
    let clock = now.clone();
    let options = LogOptions {
        clock: Arc::new(move || clock.load(Ordering::SeqCst)),
        before_commit: Some(Box::new(move || {
            let _ = beat.send(());
            Ok(())
        })),
    };
    let (log, _) = CallLog::open_with(&place.path(), 1_000, options).unwrap();
    log.live(call(1));
    log.flush().unwrap();
    now.store(77_000, Ordering::SeqCst);
    while beats.try_recv().is_ok() {}
    // Two commits nobody asked for: the first may have read the clock before it was turned.
    beats.recv().unwrap();
    beats.recv().unwrap();
    log.close().unwrap();
    let (log, _) = place.open(99_000);
    assert_eq!(log.show(sid(1)).unwrap().unwrap().ended_ms, 77_000);
}

#[test]
fn a_full_disk_stops_new_calls_and_loses_none() {
    let place = Place::new();
    let (log, failing) = place.open_on_failing_disk();
    assert!(log.has_room());
    log.live(call(1));
    log.flush().unwrap();
    failing.store(true, Ordering::SeqCst);
    for i in 1..=500 {
        log.finish(record(i));
    }
    let error = log.flush().unwrap_err();
    assert!(matches!(&error, Error::Unwritten { why, .. } if why.contains("full")));
    assert!(!log.has_room());
    assert_eq!(log.backlog(), 500);
    assert!(all(&log).is_empty());
    assert_eq!(log.live_calls().unwrap().len(), 1, "both or neither");
    failing.store(false, Ordering::SeqCst);
    while log.flush().is_err() {}
    assert!(log.has_room());
    assert_eq!(log.backlog(), 0);
    assert_eq!(all(&log).len(), 500);
    assert!(log.live_calls().unwrap().is_empty());
}

#[test]
fn sqlites_own_full_disk_rolls_back_the_whole_group() {
    let place = Place::new();
    place.open(1).0.close().unwrap();
    let mut connection = schema::open_writer(&place.path()).unwrap();
    let pages: i64 = connection
        .query_row("PRAGMA page_count", [], |r| r.get(0))
        .unwrap();
    connection
        .pragma_update(None, "max_page_count", pages)
        .unwrap();
    recovery::recover(&mut connection, 1).unwrap();
    let shared = Arc::new(Shared::default());
    for i in 0..200 {
        shared.push(Item::Finish(Box::new(record(i))));
    }
    let options = LogOptions::default();
    let writer = writer::Writer::new(connection, shared.clone(), options);
    let thread = std::thread::spawn(move || writer.run());
    let error = shared.flush().unwrap_err();
    assert!(matches!(&error, Error::Unwritten { rows: 200, why } if why.contains("full")));
    shared.close();
    thread.join().unwrap();
    assert!(shared.unwritten().is_err());
    let (log, _) = place.open(2);
    assert!(all(&log).is_empty());
}

#[test]
fn closing_on_a_dead_disk_ends_and_says_so() {
    let place = Place::new();
    let (log, failing) = place.open_on_failing_disk();
    log.live(call(1));
    log.flush().unwrap();
    failing.store(true, Ordering::SeqCst);
    log.finish(record(1));
    let error = log.clone().close().unwrap_err();
    assert!(matches!(error, Error::Unwritten { rows: 1, .. }), "{error}");
    assert!(!log.has_room());
    assert!(
        log.flush().is_err(),
        "nobody waits for a writer that is gone"
    );
    drop(log);
    let (log, recovered) = place.open(9_000);
    assert_eq!(recovered, 1, "the call is on record all the same");
    let cause = log.show(sid(1)).unwrap().unwrap().cause;
    assert_eq!(cause, Cause::Interrupted);
}

#[test]
fn too_long_a_queue_stops_new_calls() {
    let place = Place::new();
    let (entered, inside) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let options = LogOptions {
        before_commit: Some(Box::new(move || {
            let _ = entered.send(());
            // Once the sender is gone every commit passes.
            let _ = released.recv();
            Ok(())
        })),
        ..LogOptions::default()
    };
    let (log, _) = CallLog::open_with(&place.path(), 1, options).unwrap();
    log.finish(record(0));
    inside.recv().unwrap();
    for i in 1..BACKLOG_LIMIT as u64 - 1 {
        log.live(call(i));
    }
    assert!(log.has_room());
    log.live(call(BACKLOG_LIMIT as u64));
    assert_eq!(log.backlog(), BACKLOG_LIMIT);
    assert!(!log.has_room());
    drop(release);
    log.flush().unwrap();
    assert!(log.has_room());
    assert_eq!(log.live_calls().unwrap().len(), BACKLOG_LIMIT - 1);
}

#[test]
fn rows_of_a_moment_share_a_transaction() {
    let place = Place::new();
    let commits = Arc::new(AtomicUsize::new(0));
    let count = commits.clone();
    let options = LogOptions {
        before_commit: Some(Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })),
        ..LogOptions::default()
    };
    let (log, _) = CallLog::open_with(&place.path(), 1, options).unwrap();
    for i in 0..1_000 {
        log.finish(record(i));
    }
    log.flush().unwrap();
    assert!(commits.load(Ordering::SeqCst) < 100);
    assert_eq!(all(&log).len(), 1_000);
}

#[test]
fn lists_filter_and_page_newest_first() {
    let place = Place::new();
    let (log, _) = place.open(1);
    for i in 0..30 {
        let mut record = record(i);
        // Several begin in the same millisecond.
        record.call.started_ms = 1_000 + i / 4;
        if i % 3 == 0 {
            record.call.status = Status::Busy;
        }
        if i == 5 {
            record.call.exophone = n("+914412345679");
        }
        if i == 6 {
            record.call.account = Sid::new(2, 2);
        }
        if i >= 20 {
            record.call.caller = Some(n(B));
            record.call.callee = None;
        }
        log.finish(record);
    }
    log.flush().unwrap();
    let count = |filter: CallFilter| log.list(&filter).unwrap().len();
    let any = CallFilter::default;
    assert_eq!(
        count(CallFilter {
            party: Some(n(B)),
            ..any()
        }),
        30
    );
    assert_eq!(
        count(CallFilter {
            party: Some(n(A)),
            ..any()
        }),
        20
    );
    assert_eq!(
        count(CallFilter {
            party: Some(n(X)),
            ..any()
        }),
        0
    );
    assert_eq!(
        count(CallFilter {
            exophone: Some(n(X)),
            ..any()
        }),
        29
    );
    assert_eq!(
        count(CallFilter {
            status: Some(Status::Busy),
            ..any()
        }),
        10
    );
    assert_eq!(
        count(CallFilter {
            account: Some(Sid::new(2, 2)),
            ..any()
        }),
        1
    );
    assert_eq!(
        count(CallFilter {
            from_ms: Some(1_001),
            to_ms: Some(1_003),
            ..any()
        }),
        8
    );
    let mut page = CallFilter {
        limit: Some(7),
        ..any()
    };
    let mut seen = Vec::new();
    loop {
        let rows = log.list(&page).unwrap();
        let Some(last) = rows.last() else { break };
        page.after = Some(last.call.sid);
        seen.extend(rows.iter().map(|r| r.call.sid));
    }
    assert_eq!(seen, (0..30).rev().map(sid).collect::<Vec<_>>());
}

#[test]
fn reports_count_by_local_day_and_leave_announcements_out_of_talk_time() {
    let place = Place::new();
    let (log, _) = place.open(1);
    let day = Bucket::DAY_MS;
    let offset_ms = 5 * 3_600_000 + 1_800_000;
    let midnight = 10 * day - offset_ms;
    let starts = [midnight - 1, midnight, midnight + day - 1];
    let kinds = [Status::Completed, Status::Busy, Status::Completed];
    for (i, (started_ms, status)) in starts.into_iter().zip(kinds).enumerate() {
        let mut record = record(i as u64);
        record.call.started_ms = started_ms;
        record.call.answered_ms = (status == Status::Completed).then_some(started_ms);
        record.call.status = status;
        record.ended_ms = started_ms + 500;
        log.finish(record);
    }
    let mut announcement = record(9);
    announcement.call.started_ms = midnight;
    announcement.call.announcement = true;
    announcement.call.status = Status::Failed;
    log.finish(announcement);
    log.flush().unwrap();
    let bucket = Bucket {
        width_ms: day,
        offset_ms: offset_ms as i64,
    };
    let rows = log.report_calls(0, u64::MAX, bucket).unwrap();
    let first = ReportRow {
        from_ms: (midnight - day) as i64,
        calls: 1,
        completed: 1,
        talk_ms: 500,
        ..ReportRow::default()
    };
    let second = ReportRow {
        from_ms: midnight as i64,
        calls: 3,
        announcements: 1,
        completed: 1,
        busy: 1,
        talk_ms: 500,
        ..ReportRow::default()
    };
    assert_eq!(rows, [first, second]);
    assert_eq!(
        log.report_calls(midnight, midnight + 1, bucket).unwrap()[0].calls,
        2
    );
}

#[test]
fn the_audit_trail_says_who_changed_what() {
    use crate::store::exophone::Sharing;
    use crate::store::testing::new_exophone;
    use crate::store::{Options, Request, Store};
    let place = Place::new();
    let (log, _) = place.open(1);
    let options = Options {
        hook: Some(audit_hook(log.clone())),
        ..Options::default()
    };
    let (store, _) = Store::open(&place.folder.path().join("data"), options).unwrap();
    let add = Request::AddExoPhone(new_exophone(X, Sharing::Exclusive));
    store.submit_blocking_as("cli", add).unwrap();
    let remove = Request::RemoveExoPhone(n(X));
    store.submit_blocking_as("api", remove).unwrap();
    store.close();
    log.flush().unwrap();
    let filter = AuditFilter {
        object: Some(X.into()),
        ..AuditFilter::default()
    };
    let trail = log.audit_trail(&filter).unwrap();
    let told: Vec<_> = trail.iter().map(|e| (&*e.who, &*e.what)).collect();
    assert_eq!(told, [("api", "exophone_remove"), ("cli", "exophone_add")]);
    assert_eq!(trail[0].before, trail[1].after);
    assert_eq!((&trail[0].after, &trail[1].before), (&None, &None));
    assert_eq!(trail[1].after.as_ref().unwrap()["number"], X);
    let older = AuditFilter {
        before: Some(trail[0].revision),
        ..filter
    };
    assert_eq!(log.audit_trail(&older).unwrap().len(), 1);
}

#[test]
fn a_file_of_something_else_or_of_a_later_version_is_not_touched() {
    let place = Place::new();
    std::fs::write(place.path(), vec![b'x'; 8_192]).unwrap();
    let error = CallLog::open(&place.path(), 1).unwrap_err();
    assert!(matches!(error, Error::Open { .. }), "{error}");
    assert_eq!(std::fs::read(place.path()).unwrap(), vec![b'x'; 8_192]);
    let place = Place::new();
    place.open(1).0.close().unwrap();
    let connection = Connection::open(place.path()).unwrap();
    connection.pragma_update(None, "user_version", 2).unwrap();
    drop(connection);
    let error = CallLog::open(&place.path(), 1).unwrap_err();
    assert!(error.to_string().contains("version 2"), "{error}");
}
