//! Nothing acknowledged is lost, shown on the whole server: killed under load, watched by a
//! system call trace, and with a disk that fails.

// Clippy's allowance for tests covers functions marked as such, not their helpers.
#![allow(clippy::unwrap_used)]

mod http;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use callmask::phone::server::{Home, Server, config};
use callmask::phone::{Carrier, Profile};
use http::{Admin, Answer};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::{Instant, interval_at, timeout};

/// How often the server is killed.
const KILLS: usize = 20;
/// Clients that change allocations at the same time; each owns one ExoPhone.
const CLIENTS: usize = 4;
/// Time between two changes of one client: together 200 changes a second.
const PACE: Duration = Duration::from_millis(20);
/// How long a condition is awaited.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an allocation was last known to be: `None` = ended, else its agent's number.
type Known = Option<String>;

/// What one client knows of the allocations it made.
#[derive(Default, Clone)]
struct Ledger {
    acknowledged: BTreeMap<String, Known>,
    /// A change that was sent and not answered.
    open: Option<(String, Known)>,
    changes: usize,
}

fn home(binary: &Path) -> Home {
    let config = config("127.0.0.1:9".parse().unwrap(), 2).unwrap();
    Home::new(binary, &config).unwrap()
}

fn callmask() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_callmask"))
}

fn exophone(client: usize) -> String {
    format!("+9144123456{client:02}")
}

fn agent(turn: usize) -> String {
    format!("+9187{:08}", turn % 100_000_000)
}

/// Creates, updates and deactivates until the server is gone.
async fn change(folder: PathBuf, client: usize, ledger: Arc<Mutex<Ledger>>, progress: Arc<Notify>) {
    let Ok(mut admin) = Admin::connect(&folder).await else {
        return;
    };
    let mut pace = interval_at(Instant::now(), PACE);
    let mut current: Option<String> = None;
    loop {
        pace.tick().await;
        let turn = ledger.lock().unwrap().changes;
        let number = agent(turn * CLIENTS + client);
        let (method, path, body, becomes) = match (&current, turn % 3) {
            (Some(id), 1) => {
                let body = json!({ "agent": [number] }).to_string();
                (
                    "PATCH",
                    format!("/allocations/{id}"),
                    body,
                    Some(number.clone()),
                )
            }
            (Some(id), _) => (
                "POST",
                format!("/allocations/{id}/deactivate"),
                "{}".to_owned(),
                None,
            ),
            (None, _) => {
                let body = json!({
                    "exophone": exophone(client),
                    "customer": [format!("+9198{:08}", client)],
                    "agent": [number],
                });
                (
                    "POST",
                    "/allocations".to_owned(),
                    body.to_string(),
                    Some(number.clone()),
                )
            }
        };
        if let Some(id) = &current {
            ledger.lock().unwrap().open = Some((id.clone(), becomes.clone()));
        }
        let Ok(answer) = admin.ask(method, &path, &body).await else {
            return;
        };
        let mut ledger = ledger.lock().unwrap();
        ledger.open = None;
        ledger.changes += 1;
        progress.notify_one();
        match answer.status {
            200 | 201 => {
                let id = answer.body["id"].as_str().unwrap().to_owned();
                current = becomes.is_some().then(|| id.clone());
                ledger.acknowledged.insert(id, becomes);
            }
            // A create that the last kill left unanswered has happened: end it first.
            409 => {
                let blocking = answer.body["error"]["blocking_id"].as_str();
                let id = blocking
                    .expect("a duplicate names what blocks it")
                    .to_owned();
                current = Some(id);
                ledger.changes = 2;
            }
            other => panic!("{method} {path}: {other} {}", answer.body),
        }
    }
}

/// Compares what the store says with what was acknowledged; an unanswered change that has
/// happened counts as known from now on.
async fn compare(admin: &mut Admin, mut ledger: Ledger) -> Ledger {
    let open_change = ledger.open.take();
    for (id, known) in &mut ledger.acknowledged {
        let answer = admin
            .ask("GET", &format!("/allocations/{id}"), "")
            .await
            .unwrap();
        assert_eq!(
            answer.status, 200,
            "allocation {id} was acknowledged and is gone"
        );
        let active = answer.body["state"] == "active";
        let found: Known = active.then(|| answer.body["agent"][0].as_str().unwrap().to_owned());
        let open = open_change
            .as_ref()
            .filter(|(open, _)| open == id)
            .map(|(_, k)| k);
        assert!(
            found == *known || Some(&found) == open,
            "allocation {id}: acknowledged {known:?}, unanswered {open:?}, found {found:?}"
        );
        *known = found;
    }
    ledger
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_twenty_kills() {
    let home = home(&callmask());
    let ledgers: Vec<Arc<Mutex<Ledger>>> = (0..CLIENTS).map(|_| Arc::default()).collect();
    let progress = Arc::new(Notify::new());
    let mut acknowledged = 0;
    for kill in 0..=KILLS {
        let mut server = home.serve().await.unwrap();
        let mut admin = Admin::connect(home.folder()).await.unwrap();
        for (client, ledger) in ledgers.iter().enumerate() {
            if kill == 0 {
                let body = json!({ "number": exophone(client) }).to_string();
                assert!(admin.ask("POST", "/exophones", &body).await.unwrap().status < 300);
            }
            let known = ledger.lock().unwrap().clone();
            let mut known = compare(&mut admin, known).await;
            known.changes = 0;
            // Ended ones were compared once; the rest keeps the test short.
            known.acknowledged.retain(|_, known| known.is_some());
            *ledger.lock().unwrap() = known;
        }
        if kill == KILLS {
            server.terminate().unwrap();
            server.wait_end(PATIENCE).await.unwrap();
            break;
        }
        let clients: Vec<_> = ledgers
            .iter()
            .enumerate()
            .map(|(i, l)| {
                let folder = home.folder().to_owned();
                tokio::spawn(change(folder, i, l.clone(), progress.clone()))
            })
            .collect();
        // Killed after a number of acknowledgements, not after a time: each round gets its load
        // however slow the machine is, and every round stops at another point of the cycle.
        let wanted = 60 + 7 * kill;
        let total = || {
            ledgers
                .iter()
                .map(|l| l.lock().unwrap().changes)
                .sum::<usize>()
        };
        let loaded = async {
            while total() < wanted {
                progress.notified().await;
            }
        };
        timeout(PATIENCE, loaded)
            .await
            .expect("the clients make changes");
        server.kill().await.unwrap();
        for client in clients {
            timeout(PATIENCE, client)
                .await
                .expect("the client notices")
                .unwrap();
        }
        acknowledged += total();
    }
    assert!(
        acknowledged >= KILLS * 60,
        "only {acknowledged} changes were acknowledged"
    );
}

/// A server under strace, and where the trace goes.
struct Traced {
    _home: Home,
    server: Server,
    admin: Admin,
    trace: PathBuf,
}

async fn traced() -> Traced {
    let scratch = tempfile::tempdir().unwrap().keep();
    let (script, trace) = (scratch.join("callmask"), scratch.join("trace"));
    let text = format!(
        "#!/bin/sh\ncase \" $* \" in *' serve '*|*' serve') \
         exec strace -f -y -qq -s 64 -e trace=fdatasync,write,writev,sendto,sendmsg -o {} {} \"$@\";; \
         esac\nexec {} \"$@\"\n",
        trace.display(),
        callmask().display(),
        callmask().display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).unwrap();
    let home = home(&script);
    let server = home
        .serve()
        .await
        .expect("strace is installed and may trace");
    let admin = Admin::connect(home.folder()).await.unwrap();
    Traced {
        _home: home,
        server,
        admin,
        trace,
    }
}

#[tokio::test]
async fn no_acknowledgement_leaves_before_its_fdatasync() {
    let Traced {
        _home,
        server,
        mut admin,
        trace,
    } = traced().await;
    let mut asked = 0;
    for turn in 0..40 {
        let body = json!({ "number": format!("+91441234{turn:04}") }).to_string();
        let answer = admin.ask("POST", "/exophones", &body).await.unwrap();
        assert!(answer.status < 300, "{}", answer.body);
        asked += 1;
    }
    // The tracer ends with the server, and the server with its signal.
    let tracer = server.pid().expect("the tracer runs");
    let tracee = std::fs::read_to_string(format!("/proc/{tracer}/task/{tracer}/children")).unwrap();
    let tracee: i32 = tracee.trim().parse().expect("strace has one child");
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(tracee),
        nix::sys::signal::SIGTERM,
    )
    .unwrap();
    let mut server = server;
    server.wait_end(PATIENCE).await.unwrap();

    let text = std::fs::read_to_string(&trace).unwrap();
    let _ = std::fs::remove_dir_all(trace.parent().unwrap());
    // -f writes one line per call, or "<unfinished ...>" and "<... resumed>" when another thread
    // comes between; the synced file stands in the first half.
    let mut syncing: BTreeMap<&str, bool> = BTreeMap::new();
    let mut synced_since_answer = 0;
    let mut answers = 0;
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ') else {
            continue;
        };
        let call = call.trim_start();
        let is_state = |call: &str| call.contains("/data/") && call.contains("/db>");
        if call.starts_with("fdatasync(") {
            if call.contains("unfinished") {
                syncing.insert(pid, is_state(call));
            } else if is_state(call) && call.ends_with("= 0") {
                synced_since_answer += 1;
            }
        } else if call.starts_with("<... fdatasync resumed>") {
            if syncing.remove(pid) == Some(true) && call.ends_with("= 0") {
                synced_since_answer += 1;
            }
        } else if call.contains("HTTP/1.1 20") {
            assert!(
                synced_since_answer > 0,
                "answer {answers} left before any fdatasync: {line}"
            );
            synced_since_answer = 0;
            answers += 1;
        }
    }
    assert_eq!(answers, asked, "every answer is in the trace");
}

/// Makes every fdatasync of a process fail for as long as it lives.
async fn fail_fdatasync(pid: u32) -> Child {
    let mut strace = Command::new("strace")
        .args([
            "-f",
            "-e",
            "trace=fdatasync",
            "-e",
            "inject=fdatasync:error=EIO",
            "-p",
        ])
        .arg(pid.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("strace is installed");
    let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
    let attached = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("attached") {
                return;
            }
        }
        panic!("strace could not attach");
    };
    timeout(PATIENCE, attached).await.expect("strace attaches");
    // The pipe must be read on, or strace would wait for room in it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    strace
}

#[tokio::test]
async fn a_failing_fdatasync_is_an_error_and_never_an_acknowledgement() {
    let home = home(&callmask());
    let mut server = home.serve().await.unwrap();
    let mut admin = Admin::connect(home.folder()).await.unwrap();
    let add = |n: usize| json!({ "number": format!("+91441234{n:04}") }).to_string();
    assert!(
        admin
            .ask("POST", "/exophones", &add(1))
            .await
            .unwrap()
            .status
            < 300
    );

    let mut strace = fail_fdatasync(server.pid().unwrap()).await;
    for n in 2..6 {
        let Answer { status, body } = admin.ask("POST", "/exophones", &add(n)).await.unwrap();
        assert!(status >= 500, "{status} {body}");
        assert!(!body["error"]["remedy"].as_str().unwrap().is_empty());
        let listed = admin.ask("GET", "/exophones", "").await.unwrap();
        assert_eq!(
            listed.body.as_array().unwrap().len(),
            1,
            "a refused change shows nowhere"
        );
    }
    let tracer = nix::unistd::Pid::from_raw(strace.id().unwrap() as i32);
    nix::sys::signal::kill(tracer, nix::sys::signal::SIGINT).unwrap();
    timeout(PATIENCE, strace.wait()).await.unwrap().unwrap();

    // What the kernel still holds of the failed writes is unknown, so the store wants a restart.
    server.kill().await.unwrap();
    let mut server = home.serve().await.unwrap();
    let mut admin = Admin::connect(home.folder()).await.unwrap();
    let listed = admin.ask("GET", "/exophones", "").await.unwrap();
    let numbers: Vec<&str> = listed
        .body
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["number"].as_str())
        .collect();
    assert!(
        numbers.contains(&"+914412340001"),
        "the acknowledged one is there: {numbers:?}"
    );
    assert!(
        admin
            .ask("POST", "/exophones", &add(9))
            .await
            .unwrap()
            .status
            < 300
    );
    server.kill().await.unwrap();
}

#[tokio::test]
async fn a_call_that_the_crash_cut_has_its_record() {
    let (customer, agent, exophone) = ("+919876543210", "+919811112222", "+914412345678");
    let carrier = Carrier::bind(std::net::Ipv4Addr::LOCALHOST.into()).unwrap();
    let home = Home::new(&callmask(), &config(carrier.local(), 4).unwrap()).unwrap();
    let mut server = home.serve().await.unwrap();
    home.ask(&["exophone", "add", exophone]).await.unwrap();
    let parties = ["--customer", customer, "--agent", agent];
    let create = ["allocation", "create", "--exophone", exophone];
    home.ask(&[&create[..], &parties].concat()).await.unwrap();
    let caller = carrier.phone(customer, Profile::default());
    let callee = carrier.phone(agent, Profile::default());
    let out = caller.place(server.sip(), exophone).unwrap();
    callee
        .next_call(PATIENCE)
        .await
        .unwrap()
        .answered()
        .await
        .unwrap();
    out.answered().await.unwrap();

    // Live rows are written in groups; the crash is to come after this one.
    let live = home.folder().join("data/calls.sqlite");
    let written = async {
        loop {
            let rows = rusqlite::Connection::open(&live).and_then(|c| {
                c.query_row("SELECT count(*) FROM live", [], |row| row.get::<_, i64>(0))
            });
            if rows.is_ok_and(|n| n == 1) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, written)
        .await
        .expect("the live row is written");
    server.kill().await.unwrap();

    let mut server = home.serve().await.unwrap();
    let records = home.ask_json(&["call", "list"]).await.unwrap();
    let records = records.as_array().unwrap();
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0]["cause"], "interrupted");
    assert_eq!(records[0]["status"], "failed");
    assert_eq!(records[0]["caller"], customer);
    assert_eq!(records[0]["callee"], agent);
    assert_eq!(home.ask_json(&["call", "live"]).await.unwrap(), json!([]));
    server.terminate().unwrap();
    server.wait_end(PATIENCE).await.unwrap();
}
