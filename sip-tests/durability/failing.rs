//! A disk that fails: the change is refused, never acknowledged, and what a later start finds is
//! consistent.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use callmask::number::Number;
use callmask::sid::Sid;
use callmask::store::allocation::{NewAllocation, RecordPolicy, Usage};
use callmask::store::exophone::{NewExoPhone, Sharing};
use callmask::store::{Error, Options, Reply, Request, Store};

use crate::random::Random;

const ROUNDS: usize = 10;
const THREADS: u64 = 4;
/// A disk fails at the latest at this sync.
const MOST_SYNCS: u64 = 40;
/// Creates of a thread by which the disk must have failed: a commit holds at least one of them.
const MOST_CREATES: u64 = 2 * MOST_SYNCS;
/// EIO, as the kernel says it of a medium that fails.
const EIO: i32 = 5;

/// The proof.
pub(crate) fn a_failing_fdatasync_is_never_acknowledged() -> Result<String, String> {
    let (mut random, seed) = Random::new(None);
    let (mut kept, mut refused) = (0, 0);
    for round in 1..=ROUNDS {
        let syncs = 2 + random.below(MOST_SYNCS);
        let (k, r) = fail_after(syncs)
            .map_err(|why| format!("round {round}, sync {syncs} (seed {seed}): {why}"))?;
        kept += k;
        refused += r;
    }
    Ok(format!(
        "{ROUNDS} disks failed, {kept} acknowledged changes kept, {refused} answered with an error"
    ))
}

/// Lets the disk fail for good after `syncs`; returns how many changes were acknowledged and how
/// many were answered with an error.
fn fail_after(syncs: u64) -> Result<(usize, usize), String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let left = Arc::new(AtomicU64::new(syncs));
    let options = Options {
        sync: Arc::new(move |file| {
            left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .map_err(|_| io::Error::from_raw_os_error(EIO))?;
            file.sync_data()
        }),
        ..Options::default()
    };
    let (store, _) = Store::open(folder.path(), options).map_err(|e| e.to_string())?;
    let threads: Vec<_> = (0..THREADS)
        .map(|t| {
            let store = store.clone();
            thread::spawn(move || until_error(&store, t))
        })
        .collect();
    let mut acknowledged = Vec::new();
    for thread in threads {
        acknowledged.extend(thread.join().map_err(|_| "a thread panicked")??);
    }
    // Every thread ended with an error; from then on there is nothing else.
    for _ in 0..3 {
        match store.submit_blocking(Request::Sweep) {
            Err(Error::Disk(_)) => {}
            other => return Err(format!("after the failure: {other:?}")),
        }
    }
    let before: Vec<Sid> = ids(&store);
    if before.iter().any(|id| !acknowledged.contains(id)) {
        return Err("readers saw a change that was never acknowledged".to_owned());
    }
    store.close();
    check(folder.path(), &acknowledged)?;
    let errors = usize::try_from(THREADS).unwrap_or(0) + 3;
    Ok((acknowledged.len(), errors))
}

/// Creates allocations until the store says that it cannot; returns the acknowledged ones.
fn until_error(store: &Store, thread: u64) -> Result<Vec<Sid>, String> {
    let mut acknowledged = Vec::new();
    for i in 0..MOST_CREATES {
        let exophone = number(44, thread, i)?;
        let add = Request::AddExoPhone(NewExoPhone {
            number: exophone,
            account: None,
            trunk: None,
            pool: None,
            region: None,
            max_calls: None,
            sharing: Sharing::Exclusive,
            announcement: None,
            record: false,
        });
        let create = Request::Create(NewAllocation {
            account: None,
            exophone,
            customer: vec![number(90, thread, i)?],
            agent: vec![number(80, thread, i)?],
            expires_ms: None,
            record: RecordPolicy::Inherit,
            max_call_secs: None,
            usage: Usage::Twoway,
            custom: None,
        });
        for request in [add, create] {
            match store.submit_blocking(request).map(|c| c.reply) {
                Ok(Reply::Allocation(a)) => acknowledged.push(a.id),
                Ok(_) => {}
                Err(Error::Disk(_)) => return Ok(acknowledged),
                Err(other) => return Err(other.to_string()),
            }
        }
    }
    Err("changes are acknowledged although the disk fails".to_owned())
}

fn check(folder: &Path, acknowledged: &[Sid]) -> Result<(), String> {
    let (store, report) = Store::open(folder, Options::default()).map_err(|e| e.to_string())?;
    if report.restored.is_some() || !store.verify().map_err(|e| e.to_string())?.sound {
        return Err(format!("the store is not sound: {report:?}"));
    }
    let found = ids(&store);
    match acknowledged.iter().find(|id| !found.contains(id)) {
        Some(id) => Err(format!("allocation {id} was acknowledged and is gone")),
        None => Ok(()),
    }
}

fn ids(store: &Store) -> Vec<Sid> {
    let all = store.directory().allocations(&Default::default());
    all.iter().map(|a| a.id).collect()
}

fn number(prefix: u64, thread: u64, i: u64) -> Result<Number, String> {
    Number::from_digits(&format!("91{prefix}{thread}{i:07}")).map_err(|e| e.to_string())
}
