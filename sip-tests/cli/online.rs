//! Commands through the admin socket of a server that holds the store.

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use callmask::api::{Calls, State, admin, serve_unix};
use callmask::config::Config;
use callmask::number::Number;
use callmask::sid::Sid;
use callmask::store::call_log::CallLog;
use callmask::store::{Options, Store};
use callmask::switch::plan::Direction;
use callmask::switch::record::{CallRecord, Cause, EndedBy, LiveCall, Origin, Status};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::home::{AGENT, CUSTOMER, EXOPHONE, Home, binary, create};

const PATIENCE: Duration = Duration::from_secs(20);

/// A server as the command line sees it: the store, one call, and the socket.
struct Server {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    calls: Arc<OneCall>,
    log: CallLog,
}

struct OneCall {
    live: LiveCall,
    ended: Mutex<Vec<Sid>>,
}

impl Calls for OneCall {
    fn live(&self) -> Vec<LiveCall> {
        vec![self.live.clone()]
    }

    fn hangup(&self, call: Sid) -> bool {
        self.ended.lock().unwrap().push(call);
        call == self.live.sid
    }
}

fn live() -> LiveCall {
    let number = |text| Number::parse_e164(text).unwrap();
    LiveCall {
        sid: Sid::new(1_769_847_330_250, 7),
        account: Sid::new(1, 1),
        allocation: None,
        exophone: number(EXOPHONE),
        caller: Some(number(CUSTOMER)),
        callee: Some(number(AGENT)),
        origin: Origin::Inbound,
        direction: Direction::CustomerToAgent,
        status: Status::InProgress,
        announcement: false,
        trunk_in: "carrier".into(),
        trunk_out: Some("carrier".into()),
        started_ms: 1_769_847_330_250,
        rang_ms: Some(1_769_847_331_250),
        answered_ms: Some(1_769_847_332_250),
        custom: Some("order 7".into()),
    }
}

impl Server {
    fn start(config: &Path) -> Server {
        let config = Config::load(Some(config)).unwrap();
        let (store, _) = Store::open(&config.store.path, Options::default()).unwrap();
        let (log, _) = CallLog::open(&config.call_log(), 0).unwrap();
        let calls = Arc::new(OneCall {
            live: live(),
            ended: Mutex::default(),
        });
        let state = State::new(&config, store.clone(), log.clone(), calls.clone());
        let socket = callmask::io::admin_socket::listen(&config.admin_socket()).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async move {
                let (listener, file) = socket;
                let listener = tokio::net::UnixListener::from_std(listener).unwrap();
                let stopped = async move {
                    let _ = stopped.await;
                };
                serve_unix(listener, admin::router(state), stopped).await;
                file.remove().unwrap();
            });
            store.close();
        });
        Server {
            stop: Some(stop),
            thread: Some(thread),
            calls,
            log,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn commands_go_through_the_socket_and_find_the_store_afterwards() {
    let home = Home::new();
    let server = Server::start(&home.path("callmask.toml"));
    home.ok(&["exophone", "add", EXOPHONE]);
    let id = home.allocation();
    let error = home.refused(&create(EXOPHONE, "+919876543212", "+919876543213"));
    assert_eq!(
        (&error["code"], &error["blocking_id"]),
        (&json!("exophone_taken"), &json!(id))
    );
    let trunks = home.json(&["trunk", "list"]);
    assert_eq!(trunks[0]["live_calls"], 1);
    assert!(
        home.ok(&["store", "export"])
            .lines()
            .last()
            .unwrap()
            .contains("\"rows\":3")
    );
    drop(server);
    assert_eq!(home.json(&["allocation", "show", &id])["state"], "active");
}

#[test]
fn live_calls_are_shown_and_ended() {
    let home = Home::new();
    let server = Server::start(&home.path("callmask.toml"));
    let sid = live().sid.to_string();
    let listed = home.json(&["call", "live"]);
    let call = &listed[0];
    assert_eq!(
        (&call["sid"], &call["status"]),
        (&json!(sid), &json!("in-progress"))
    );
    assert_eq!(
        (&call["caller"], &call["callee"]),
        (&json!(CUSTOMER), &json!(AGENT))
    );
    assert_eq!(call["started"], "2026-01-31T08:15:30.250Z");
    assert_eq!(
        (&call["ended"], &call["cause"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(&home.json(&["call", "show", &sid])["sid"], &json!(sid));
    assert!(home.ok(&["call", "live"]).contains(CUSTOMER));
    home.ok(&["call", "hangup", &sid]);
    assert_eq!(*server.calls.ended.lock().unwrap(), [live().sid]);
}

#[test]
fn records_have_every_field_and_can_be_filtered() {
    let home = Home::new();
    let server = Server::start(&home.path("callmask.toml"));
    let stats = callmask::switch::media::LegStats {
        packets_in: 97,
        packets_out: 100,
        lost: 3,
        dropped: 0,
        jitter_ms: 1.234,
        mos: Some(4.406),
    };
    let record = CallRecord {
        call: LiveCall {
            sid: Sid::new(1_769_847_330_250, 8),
            status: Status::Completed,
            ..live()
        },
        ended_ms: 1_769_847_344_750,
        cause: Cause::Normal,
        ended_by: EndedBy::Callee,
        sip_code: 200,
        q850: 16,
        codec: Some("PCMU".into()),
        caller_media: Some(stats),
        callee_media: None,
        recording: None,
    };
    let sid = record.call.sid.to_string();
    server.log.finish(record);
    server.log.flush().unwrap();
    let listed = home.json(&["call", "list"]);
    assert_eq!(
        listed.as_array().unwrap().len(),
        1,
        "live calls are not listed"
    );
    let wanted = json!({
        "sid": sid, "account": Sid::new(1, 1).to_string(), "allocation": null,
        "exophone": EXOPHONE, "caller": CUSTOMER, "callee": AGENT, "origin": "inbound",
        "direction": "customer_to_agent", "status": "completed", "cause": "normal",
        "ended_by": "callee", "started": "2026-01-31T08:15:30.250Z",
        "rang": "2026-01-31T08:15:31.250Z", "answered": "2026-01-31T08:15:32.250Z",
        "ended": "2026-01-31T08:15:44.750Z", "duration_secs": 12.5, "sip_code": 200, "q850": 16,
        "codec": "PCMU",
        "caller_media": {
            "packets_in": 97, "packets_out": 100, "lost": 3, "loss_percent": 3.0, "dropped": 0,
            "jitter_ms": 1.23, "mos": 4.41,
        },
        "callee_media": null, "recording": null, "announcement": false, "trunk_in": "carrier",
        "trunk_out": "carrier", "custom": "order 7",
    });
    assert_eq!(listed[0], wanted);
    assert_eq!(home.json(&["call", "show", &sid]), wanted);
    let found = |args: &[&str]| {
        let args: Vec<&str> = ["call", "list"].iter().chain(args).copied().collect();
        home.json(&args).as_array().unwrap().len()
    };
    assert_eq!(
        found(&[
            "--party",
            AGENT,
            "--status",
            "completed",
            "--exophone",
            EXOPHONE
        ]),
        1
    );
    assert_eq!(found(&["--status", "busy"]), 0);
    assert_eq!(found(&["--to", "2026-01-31T08:15:30.250Z"]), 0);
    let span = [
        "--from",
        "2026-01-31T00:00:00+05:30",
        "--to",
        "2026-02-01T00:00:00+05:30",
    ];
    let args: Vec<&str> = ["report", "calls", "--utc-offset", "+05:30"]
        .into_iter()
        .chain(span)
        .collect();
    let report = home.json(&args);
    assert_eq!(report[0]["from"], "2026-01-30T18:30:00.000Z");
    assert_eq!(
        (&report[0]["completed"], &report[0]["talk_secs"]),
        (&json!(1), &json!(12.5))
    );
}

#[test]
fn a_socket_that_nobody_listens_on_is_passed_by() {
    let home = Home::with_exophone();
    drop(UnixListener::bind(home.path("data/admin.sock")).unwrap());
    assert!(home.path("data/admin.sock").exists());
    assert_eq!(home.json(&["exophone", "list"])[0]["number"], EXOPHONE);
}

#[test]
fn a_store_that_somebody_holds_is_told_clearly() {
    let home = Home::with_exophone();
    let (store, _) = Store::open(&home.path("data"), Options::default()).unwrap();
    let error = home.refused(&["exophone", "list"]);
    assert_eq!(error["code"], "store_locked");
    assert!(
        error["message"].as_str().unwrap().contains("admin.sock"),
        "{error}"
    );
    store.close();
    home.ok(&["exophone", "list"]);
}

#[test]
fn an_import_may_be_longer_than_any_other_request() {
    let home = Home::new();
    let server = Server::start(&home.path("callmask.toml"));
    let line = format!("{{\"note\":\"{}\"}}\n", "x".repeat(1_000));
    let said = home.run_with(&["store", "import", "-", "--json"], &line.repeat(6_000));
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &report["refused_count"]), (1, &json!(6_000)));
    drop(server);
}

#[test]
fn a_long_path_is_no_obstacle() {
    let home = Home::new();
    let deep = "d".repeat(120);
    std::fs::create_dir(home.path(&deep)).unwrap();
    home.write("callmask.toml", &format!("[store]\npath = \"{deep}\"\n"));
    let server = Server::start(&home.path("callmask.toml"));
    assert_eq!(home.json(&["call", "live"]).as_array().unwrap().len(), 1);
    drop(server);
}

#[test]
fn a_server_that_hangs_is_told_while_its_answer_is_awaited() {
    let home = Home::with_exophone();
    let hanging = UnixListener::bind(home.path("data/admin.sock")).unwrap();
    let mut child = binary()
        .args(["--config", home.path("callmask.toml").to_str().unwrap()])
        .args(["exophone", "list"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let (said, lines) = mpsc::channel();
    std::thread::spawn(move || stderr.map_while(Result::ok).try_for_each(|l| said.send(l)));
    let told = lines.recv_timeout(PATIENCE);
    if told.is_err() {
        child.kill().unwrap();
    }
    let told = told.unwrap();
    assert!(told.contains("admin.sock"), "{told}");
    // Closing the connections is an answer of a kind.
    drop(hanging);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let ended = lines.recv_timeout(PATIENCE).unwrap();
    assert!(ended.contains("the server did not answer"), "{ended}");
}
