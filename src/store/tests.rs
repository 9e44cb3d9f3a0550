//! The store with its disk: races, failing disks, damage, reopening.

use std::fs;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use super::allocation::{Allocation, State};
use super::exophone::Sharing;
use super::sled::SledEngine;
use super::testing::{
    A, B, C, D, X, Y, allocation, clock, n, new_allocation, new_exophone, open, options, view,
};
use super::view::View;
use super::*;
use crate::switch::plan::{Directory, Plan};

fn add_exophone(store: &Store, number: &str, sharing: Sharing) {
    let request = Request::AddExoPhone(new_exophone(number, sharing));
    store.submit_blocking(request).unwrap();
}

fn create(store: &Store, exophone: &str, customer: &str, agent: &str) -> Allocation {
    let request = Request::Create(new_allocation(exophone, customer, agent));
    allocation(store.submit_blocking(request).unwrap().reply)
}

fn connects(store: &Store, exophone: &str, caller: &str) -> bool {
    let plan = store
        .directory()
        .resolve(n(exophone), Some(n(caller)), 1_000);
    matches!(plan, Plan::Connect(_))
}

// ---- opening ----

#[test]
fn the_first_start_makes_the_default_account_and_later_ones_keep_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, report) = open(folder.path());
    assert!(report.created);
    assert_eq!((report.accounts, report.revision), (1, 1));
    let sid = store.directory().default_account().unwrap();
    store.close();
    let (store, report) = open(folder.path());
    assert!(!report.created);
    assert_eq!(store.directory().default_account(), Some(sid));
}

#[test]
fn a_store_is_held_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let second = Store::open(folder.path(), options(&clock()));
    assert!(matches!(second, Err(OpenError::Locked(_))));
    assert!(matches!(
        verify_folder(folder.path()),
        Err(OpenError::Locked(_))
    ));
    drop(store);
    open(folder.path());
}

#[test]
fn after_close_everything_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    let clone = store.clone();
    store.close();
    let request = Request::AddExoPhone(new_exophone(X, Sharing::Exclusive));
    assert_eq!(clone.submit_blocking(request), Err(Error::Closed));
}

#[test]
fn a_later_format_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).0.close();
    let routing = folder.path().join("routing");
    let sync = Options::default().sync;
    let mut engine = SledEngine::open(&routing, sync).unwrap();
    engine.commit(&[codec::encode_newer(b"{}")]).unwrap();
    drop(engine);
    let error = Store::open(folder.path(), options(&clock())).unwrap_err();
    assert!(matches!(error, OpenError::Newer(_)), "{error}");
}

// ---- one writer ----

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_creates_at_once_one_wins_and_63_name_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    add_exophone_async(&store).await;
    let mut tasks = Vec::new();
    for i in 0..64 {
        let store = store.clone();
        let (customer, agent) = (format!("+9180{i:08}"), format!("+9181{i:08}"));
        let new = new_allocation(X, &customer, &agent);
        tasks.push(tokio::spawn(async move {
            store.submit(Request::Create(new)).await
        }));
    }
    let mut winners = Vec::new();
    let mut blockers = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(committed) => winners.push(allocation(committed.reply).id),
            Err(Error::Refused(refusal)) => {
                assert_eq!(refusal.code, "exophone_taken");
                blockers.push(refusal.blocking_id);
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(winners.len(), 1);
    assert_eq!(blockers, vec![Some(winners[0]); 63]);
}

async fn add_exophone_async(store: &Store) {
    let request = Request::AddExoPhone(new_exophone(X, Sharing::Exclusive));
    store.submit(request).await.unwrap();
}

#[test]
fn the_hook_sees_every_change_in_order_before_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let seen: Arc<Mutex<Vec<CommittedChange>>> = Arc::default();
    let notes = seen.clone();
    let mut options = options(&clock());
    options.hook = Some(Box::new(move |change| {
        notes.lock().unwrap().push(change.clone());
    }));
    let (store, _) = Store::open(folder.path(), options).unwrap();
    let add = Request::AddExoPhone(new_exophone(X, Sharing::Exclusive));
    let done = store.submit_blocking_as("admin", add).unwrap();
    let entry = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(entry.revision, done.revision);
    assert_eq!((&*entry.who, entry.what), ("admin", "exophone_add"));
    assert_eq!(entry.before, None);
    let a = create(&store, X, A, B);
    let end = Request::Deactivate(a.id);
    let done = store.submit_blocking(end).unwrap();
    let entry = seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(entry.before, Some(Change::Allocation(Arc::new(a))));
    let revisions: Vec<_> = seen.lock().unwrap().iter().map(|c| c.revision).collect();
    assert_eq!(revisions, (2..=done.revision).collect::<Vec<_>>());
}

#[test]
fn a_full_queue_refuses_and_what_was_queued_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let (at_sync, synced) = mpsc::channel::<()>();
    let (release, released) = mpsc::channel::<()>();
    let gate = Mutex::new((at_sync, released));
    let armed = Arc::new(AtomicBool::new(false));
    let arm = armed.clone();
    let mut options = options(&clock());
    options.sync = Arc::new(move |file| {
        if arm.swap(false, Ordering::SeqCst) {
            let gate = gate.lock().unwrap();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
        }
        file.sync_data()
    });
    let (store, _) = Store::open(folder.path(), options).unwrap();
    armed.store(true, Ordering::SeqCst);
    let mut waiting = vec![store.submit(Request::AddExoPhone(new_exophone(X, Sharing::Exclusive)))];
    synced.recv().unwrap();
    let mut busy = None;
    for _ in 0..=writer::QUEUE_LIMIT {
        let future = store.submit(Request::Sweep);
        // The last one finds the queue full and is answered at once.
        waiting.push(future);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let last = waiting.pop().unwrap();
    busy.replace(runtime.block_on(last));
    assert_eq!(busy, Some(Err(Error::Busy(writer::QUEUE_LIMIT))));
    release.send(()).unwrap();
    for one in waiting {
        runtime.block_on(one).unwrap();
    }
}

// ---- failing disk ----

#[test]
fn a_failing_sync_acknowledges_nothing_and_stops_all_writing() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Arc::new(AtomicBool::new(false));
    let fails = failing.clone();
    let mut options = options(&clock());
    options.sync = Arc::new(move |file| {
        if fails.load(Ordering::SeqCst) {
            return Err(io::Error::from_raw_os_error(5));
        }
        file.sync_data()
    });
    let (store, _) = Store::open(folder.path(), options).unwrap();
    add_exophone(&store, X, Sharing::Exclusive);
    add_exophone(&store, Y, Sharing::Exclusive);
    let kept = create(&store, X, A, B);
    let before = view(&store);
    failing.store(true, Ordering::SeqCst);
    let lost = Request::Create(new_allocation(Y, C, D));
    let error = store.submit_blocking(lost).unwrap_err();
    assert!(
        matches!(&error, Error::Disk(why) if why.contains("fdatasync")),
        "{error}"
    );
    assert_eq!(view(&store), before, "readers see nothing of it");
    assert!(!connects(&store, Y, C));
    // The disk works again, but nobody knows what the last write left behind.
    failing.store(false, Ordering::SeqCst);
    for request in [
        Request::Deactivate(kept.id),
        Request::Create(new_allocation(X, C, D)),
        Request::Sweep,
    ] {
        let error = store.submit_blocking(request).unwrap_err();
        assert!(matches!(error, Error::Disk(_)), "{error}");
    }
    assert!(connects(&store, X, A), "reading goes on");
    assert!(matches!(store.verify(), Err(Error::Disk(_))));
    store.close();
    let (store, report) = open(folder.path());
    assert!(connects(&store, X, A));
    assert!(report.problems.is_empty() && report.unreadable.is_empty());
    assert!(store.verify().unwrap().sound);
    let at_most_the_lost_one = report.allocations == 1 || report.allocations == 2;
    assert!(at_most_the_lost_one, "{report:?}");
    let ok = store.submit_blocking(Request::Deactivate(kept.id));
    assert_eq!(allocation(ok.unwrap().reply).state, State::Deactivated);
}

// ---- damage ----

/// A store with one deactivated and one active allocation, closed, so that its export is whole.
fn closed_store(folder: &Path) -> View {
    let (store, _) = open(folder);
    add_exophone(&store, X, Sharing::Exclusive);
    let a = create(&store, X, A, B);
    store.submit_blocking(Request::Deactivate(a.id)).unwrap();
    create(&store, X, C, D);
    let view = view(&store);
    store.close();
    view
}

fn restores(damage: impl Fn(&Path)) -> Restored {
    let folder = tempfile::tempdir().unwrap();
    let before = closed_store(folder.path());
    damage(&folder.path().join("routing"));
    let (store, report) = open(folder.path());
    assert_eq!(view(&store), before);
    assert!(store.verify().unwrap().sound);
    add_exophone(&store, Y, Sharing::Exclusive);
    let changed = view(&store);
    store.close();
    let (store, again) = open(folder.path());
    assert_eq!(again.restored, None, "the restored store is a store");
    assert_eq!(view(&store), changed);
    let restored = report.restored.expect("it was damaged");
    assert_eq!(restored.revision, before.revision);
    if let Some(kept) = &restored.kept {
        assert!(kept.exists(), "{kept:?}");
    }
    restored
}

#[test]
fn a_store_full_of_junk_is_kept_and_restored() {
    let restored = restores(|routing| {
        let db = routing.join("db");
        let length = fs::metadata(&db).unwrap().len();
        fs::write(&db, vec![0xa5; usize::try_from(length).unwrap()]).unwrap();
    });
    assert!(restored.kept.is_some());
}

#[test]
fn a_damaged_snapshot_or_settings_file_does_no_harm_unseen() {
    restores(|routing| {
        fs::write(routing.join("conf"), b"nonsense that is long enough").unwrap();
    });
}

#[test]
fn an_emptied_store_is_noticed_and_restored() {
    restores(|routing| {
        for entry in fs::read_dir(routing).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                fs::write(path, b"").unwrap();
            }
        }
    });
}

#[test]
fn a_lost_folder_is_noticed_and_restored() {
    let restored = restores(|routing| fs::remove_dir_all(routing).unwrap());
    assert_eq!(restored.kept, None);
}

#[test]
fn an_export_that_was_cut_off_is_passed_over_for_an_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let before = closed_store(folder.path());
    let exports = folder.path().join("export");
    let whole = exporter::list(&exports).unwrap()[0].1.clone();
    let text = fs::read_to_string(&whole).unwrap();
    let cut = exports.join(format!("routing-{:020}.jsonl", before.revision + 1));
    fs::write(cut, &text[..text.len() / 2]).unwrap();
    let (store, report) = open(folder.path());
    assert_eq!(view(&store), before);
    assert_eq!(report.restored.unwrap().export, whole);
}

#[test]
fn damage_without_an_export_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    closed_store(folder.path());
    fs::remove_dir_all(folder.path().join("export")).unwrap();
    let db = folder.path().join("routing").join("db");
    fs::write(&db, vec![0xa5; 600_000]).unwrap();
    for _ in 0..2 {
        let error = Store::open(folder.path(), options(&clock())).unwrap_err();
        assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
    }
    assert!(db.exists());
}

#[test]
fn acknowledged_changes_that_are_gone_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _) = open(folder.path());
    add_exophone(&store, X, Sharing::Exclusive);
    let old = folder.path().join("old");
    let routing = folder.path().join("routing");
    copy(&routing, &old);
    let a = create(&store, X, A, B);
    store.submit_blocking(Request::Deactivate(a.id)).unwrap();
    let acknowledged = store.directory().revision();
    store.close();
    fs::remove_dir_all(folder.path().join("export")).unwrap();
    fs::remove_dir_all(&routing).unwrap();
    fs::rename(&old, &routing).unwrap();
    let (store, report) = open(folder.path());
    let said = &report.problems;
    assert!(
        said.len() == 1 && said[0].contains("changes 3 to 4"),
        "{said:?}"
    );
    assert_eq!(report.allocations, 0);
    assert_eq!(
        store.directory().revision(),
        acknowledged,
        "no number twice"
    );
    assert!(store.verify().unwrap().sound);
    store.close();
    assert!(open(folder.path()).1.problems.is_empty(), "said once");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn one_unreadable_row_is_left_out_and_reported() {
    let folder = tempfile::tempdir().unwrap();
    let before = closed_store(folder.path());
    let routing = folder.path().join("routing");
    let sync = Options::default().sync;
    let mut engine = SledEngine::open(&routing, sync).unwrap();
    let junk = Write::Put(b"Ljunk".to_vec(), b"junk".to_vec());
    engine.commit(&[junk]).unwrap();
    drop(engine);
    assert!(!verify_folder(folder.path()).unwrap().sound);
    let (store, report) = open(folder.path());
    assert_eq!(report.unreadable.len(), 1);
    assert_eq!(view(&store), before);
    assert!(!store.verify().unwrap().sound);
}

// ---- exports ----

#[test]
fn exports_are_written_as_changes_come_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&clock());
    options.export_every = 1;
    let (store, _) = Store::open(folder.path(), options).unwrap();
    let exports = folder.path().join("export");
    fs::write(exports.join("routing-7.jsonl.tmp"), b"half").unwrap();
    add_exophone(&store, X, Sharing::Exclusive);
    for _ in 0..6 {
        let a = create(&store, X, A, B);
        store.submit_blocking(Request::Deactivate(a.id)).unwrap();
    }
    let revision = store.directory().revision();
    store.close();
    let kept = exporter::list(&exports).unwrap();
    assert_eq!(kept[0].0, revision);
    assert!((1..=3).contains(&kept.len()), "{kept:?}");
    open(folder.path());
    assert!(!exports.join("routing-7.jsonl.tmp").exists());
}

#[test]
fn an_export_fills_another_store_and_twice_is_once() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    closed_store(from.path());
    let (from, _) = open(from.path());
    let mut file = Vec::new();
    from.export(&mut file).unwrap();
    let mut other = options(&clock());
    other.seed = Some([8; 32]);
    let (to, _) = Store::open(to.path(), other).unwrap();
    let ours = to.directory().default_account().unwrap();
    assert_ne!(from.directory().default_account(), Some(ours));
    let report = to.import("test", Cursor::new(&file)).unwrap();
    assert_eq!((report.added, report.unchanged), (3, 1));
    assert!(report.complete && report.refused.is_empty());
    assert!(connects(&to, X, C) && !connects(&to, X, A));
    let moved = to.directory().exophone(n(X)).unwrap();
    assert_eq!(moved.account, ours);
    let again = to.import("test", Cursor::new(&file)).unwrap();
    assert_eq!((again.added, again.unchanged), (0, 4));
    assert!(to.verify().unwrap().sound);
}

#[test]
fn an_import_says_which_lines_it_refused() {
    let folder = tempfile::tempdir().unwrap();
    closed_store(folder.path());
    let (store, _) = open(folder.path());
    let mut file = Vec::new();
    store.export(&mut file).unwrap();
    let rival = serde_json::json!({"allocation": {
        "id": crate::sid::Sid::new(5, 5),
        "account": store.directory().default_account().unwrap(),
        "exophone": X, "agent_exophone": X, "customer": [A], "agent": [B],
        "state": "active", "created_ms": 5, "updated_ms": 5, "expires_ms": null,
        "record": "inherit", "max_call_secs": null, "usage": "twoway", "custom": null,
        "version": 1,
    }});
    let text = format!(
        "{rival}\nno json\n\n{}\n{{\"end\":{{\"rows\":9}}}}",
        "x".repeat(70_000)
    );
    let report = store.import("test", Cursor::new(text)).unwrap();
    let codes: Vec<_> = report
        .refused
        .iter()
        .map(|r| (r.line, r.reason.code.as_str()))
        .collect();
    assert_eq!(
        codes,
        [(1, "exophone_taken"), (2, "malformed"), (4, "malformed")]
    );
    assert!(!report.complete);
    assert!(report.refused[0].reason.blocking_id.is_some());
}
