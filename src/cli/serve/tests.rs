//! The whole server in this process, on loopback ports of its own.

use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::number::Number;
use crate::phone::{self, Carrier, Profile};
use crate::store::Request;
use crate::store::allocation::NewAllocation;
use crate::store::call_log::{CallFilter, CallLog};
use crate::store::exophone::NewExoPhone;
use crate::switch::record::{Cause, EndedBy, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const PATIENCE: Duration = Duration::from_secs(20);

/// The configuration of a server whose one trunk is `carrier`.
fn config(folder: &Path, carrier: SocketAddr) -> Config {
    let table = phone::server::config(carrier, 20).unwrap();
    let text = toml::to_string(&table).unwrap();
    Config::parse(&text, Some(&folder.join("callmask.toml"))).unwrap()
}

fn options(from: SocketAddr) -> String {
    format!(
        "OPTIONS sip:127.0.0.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP {from};branch=z9hG4bK-o1;rport\r\n\
         From: <sip:carrier@127.0.0.1>;tag=c1\r\nTo: <sip:127.0.0.1>\r\n\
         Call-ID: o1\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    )
}

async fn get(api: SocketAddr, path: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(api).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_answers_tells_and_stops() {
    let folder = tempfile::tempdir().unwrap();
    let carrier = UdpSocket::bind("127.0.0.1:0").unwrap();
    carrier.set_read_timeout(Some(PATIENCE)).unwrap();
    let here = carrier.local_addr().unwrap();
    let config = config(folder.path(), here);
    let running = Running::start(&config).await.unwrap();
    let (sip, api) = (running.server.sip[0], running.api);
    let ready = running.ready_line();
    assert_ne!((sip.port(), api.port()), (0, 0));
    assert!(
        ready.starts_with(&format!(
            "callmask ready: sip udp:{sip}, api http://{api}, store /"
        )),
        "{ready}"
    );

    let stranger = UdpSocket::bind("127.0.0.2:0").unwrap();
    let from = stranger.local_addr().unwrap();
    stranger.send_to(options(from).as_bytes(), sip).unwrap();
    carrier.send_to(options(here).as_bytes(), sip).unwrap();
    let mut buffer = [0; 2048];
    let (length, answered_by) = carrier.recv_from(&mut buffer).unwrap();
    let answer = String::from_utf8_lossy(&buffer[..length]);
    assert_eq!(answered_by, sip);
    assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");

    assert!(get(api, "/readyz").await.starts_with("HTTP/1.1 200"));
    let metrics = get(api, "/metrics").await;
    for line in [
        "callmask_calls_live 0",
        "callmask_calls_total{status=\"no-answer\"} 0",
        "callmask_sip_messages_total{direction=\"in\"} 1",
        "callmask_sip_strangers_dropped_total 1",
        "callmask_port_pairs_configured 20",
        "callmask_panics_caught_total 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line}\n{metrics}");
    }

    // A second server on the same store is refused and disturbs nothing.
    let second = Running::start(&config).await.err().unwrap().to_string();
    assert!(second.contains("another callmask"), "{second}");
    let socket = config.admin_socket();
    admin_socket::connect(&socket).unwrap();

    let (signal, mut signals) = mpsc::channel(MAX_SIGNALS);
    signal.send(()).await.unwrap();
    tokio::time::timeout(PATIENCE, running.run(&mut signals))
        .await
        .expect("it did not stop")
        .unwrap();
    assert!(!socket.exists());

    // What it held is free: the next one starts on the same store.
    let again = Running::start(&config).await.unwrap();
    signal.send(()).await.unwrap();
    again.run(&mut signals).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_opened_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let good = config(folder.path(), address);

    let mut bad = good.clone();
    bad.sip.listen = vec![address];
    let error = Running::start(&bad).await.err().unwrap().to_string();
    assert!(error.contains(&format!("udp:{address}")), "{error}");

    let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut bad = good.clone();
    bad.api.listen = tcp.local_addr().unwrap();
    let error = Running::start(&bad).await.err().unwrap().to_string();
    assert!(error.contains(&bad.api.listen.to_string()), "{error}");

    // The failures left nothing behind.
    let running = Running::start(&good).await.unwrap();
    let (signal, mut signals) = mpsc::channel(MAX_SIGNALS);
    signal.send(()).await.unwrap();
    running.run(&mut signals).await.unwrap();
}

const EXOPHONE: &str = "+914412345678";
const CUSTOMER: &str = "+919876543210";
const AGENT: &str = "+919811112222";

async fn allocate(running: &Running) {
    let number = |text| Number::parse_e164(text).unwrap();
    let exophone: NewExoPhone =
        serde_json::from_value(serde_json::json!({ "number": EXOPHONE })).unwrap();
    let allocation: NewAllocation = serde_json::from_value(serde_json::json!({
        "exophone": EXOPHONE, "customer": [CUSTOMER], "agent": [AGENT]
    }))
    .unwrap();
    assert_eq!(allocation.exophone, number(EXOPHONE));
    for request in [Request::AddExoPhone(exophone), Request::Create(allocation)] {
        running.server.store.submit(request).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_signal_ends_live_calls_and_each_has_its_record() {
    let folder = tempfile::tempdir().unwrap();
    let carrier = Carrier::bind([127, 0, 0, 1].into()).unwrap();
    let config = config(folder.path(), carrier.local());
    let running = Running::start(&config).await.unwrap();
    allocate(&running).await;
    let sip = running.server.sip[0];
    let customer = carrier.phone(CUSTOMER, Profile::default());
    let agent = carrier.phone(AGENT, Profile::default());
    let out = customer.place(sip, EXOPHONE).unwrap();
    let inc = agent.next_call(PATIENCE).await.unwrap();
    out.answered().await.unwrap();
    inc.answered().await.unwrap();

    let mut status = running.server.status.clone();
    let api = running.api;
    let (signal, mut signals) = mpsc::channel(MAX_SIGNALS);
    signal.send(()).await.unwrap();
    let stopping = tokio::spawn(async move { running.run(&mut signals).await });
    tokio::time::timeout(PATIENCE, status.wait_for(|s| s.draining))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(status.borrow().unrecorded, 1);
    assert!(get(api, "/readyz").await.starts_with("HTTP/1.1 503"));
    let late = customer.place(sip, EXOPHONE).unwrap();
    assert_eq!(late.final_code(PATIENCE).await.unwrap(), 503);
    assert!(!out.view().ended && !stopping.is_finished());

    signal.send(()).await.unwrap();
    out.ended(PATIENCE).await.unwrap();
    inc.ended(PATIENCE).await.unwrap();
    tokio::time::timeout(PATIENCE, stopping)
        .await
        .expect("it did not stop")
        .unwrap()
        .unwrap();

    let (log, interrupted) = CallLog::open(&config.call_log(), 1).unwrap();
    assert_eq!(interrupted, 0);
    let records = log.list(&CallFilter::default()).unwrap();
    let [record] = records.as_slice() else {
        panic!("{records:?}")
    };
    assert_eq!(
        (record.cause, record.ended_by, record.call.status),
        (Cause::Shutdown, EndedBy::System, Status::Completed)
    );
    log.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_call_log_cannot_write_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let carrier = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = config(folder.path(), carrier.local_addr().unwrap());
    let running = Running::start(&config).await.unwrap();
    assert!(
        get(running.api, "/readyz")
            .await
            .starts_with("HTTP/1.1 200")
    );

    let behind = rusqlite::Connection::open(config.call_log()).unwrap();
    behind.execute_batch("DROP TABLE audit").unwrap();
    allocate(&running).await;
    let log = running.server.call_log.clone();
    let unwritten = tokio::task::spawn_blocking(move || log.flush()).await;
    assert!(unwritten.unwrap().is_err());
    let answer = get(running.api, "/readyz").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");

    let (signal, mut signals) = mpsc::channel(MAX_SIGNALS);
    signal.send(()).await.unwrap();
    let lost = running.run(&mut signals).await;
    assert!(
        lost.is_err(),
        "rows that are on no disk are no success: {lost:?}"
    );
}
