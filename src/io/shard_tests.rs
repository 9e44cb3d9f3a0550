//! The loop on real loopback sockets, with a small machine in the switch's place.

use std::net::UdpSocket;
use std::sync::Mutex;
use std::time::Duration;

use super::*;
use crate::io::door::tests::settings_trusting;
use crate::io::udp::Bound;
use crate::number::Number;
use crate::sid::Sid;
use crate::switch::admission::Full;
use crate::switch::event::Command;
use crate::switch::media::PortPair;
use crate::switch::plan::Plan;
use crate::switch::settings::TrunkId;

/// Far longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers what it is told to, and remembers what it was given.
struct Parrot {
    local: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    timeout: Option<u64>,
    last: Option<Flow>,
}

impl Parrot {
    fn see(&self, text: impl Into<String>) {
        self.seen.lock().unwrap().push(text.into());
    }
}

impl Machine for Parrot {
    fn handle(
        &mut self,
        input: Input<'_>,
        now: Now,
        _: &dyn Directory,
        _: &dyn Admission,
        out: &mut Vec<Output>,
    ) {
        match input {
            Input::Received { flow, bytes, .. } => {
                let text = String::from_utf8_lossy(bytes).into_owned();
                self.see(format!("received {text}"));
                self.last = Some(flow.clone());
                match text.split_once(' ') {
                    Some(("send", to)) => out.push(Output::Send {
                        flow: Flow {
                            remote: to.parse().unwrap(),
                            local: self.local,
                            ..flow.clone()
                        },
                        bytes: b"parcel".to_vec(),
                    }),
                    _ if text == "panic" => panic!("told to"),
                    _ if text == "later" => self.timeout = Some(now.mono_us + 20_000),
                    _ => out.push(Output::Send {
                        flow: flow.clone(),
                        bytes: bytes.to_vec(),
                    }),
                }
            }
            Input::Undeliverable { remote, .. } => {
                self.see(format!("undeliverable {remote}"));
                out.extend(self.last.clone().map(|flow| Output::Send {
                    flow,
                    bytes: b"undeliverable".to_vec(),
                }));
            }
            Input::Timeout => {
                assert!(self.timeout.is_some_and(|at| at <= now.mono_us));
                self.timeout = None;
                self.see("timeout");
                out.extend(self.last.clone().map(|flow| Output::Send {
                    flow,
                    bytes: b"timeout".to_vec(),
                }));
            }
            Input::Media(event) => self.see(format!("{event:?}")),
            Input::Command(command) => self.see(format!("{command:?}")),
        }
    }

    fn next_timeout(&self) -> Option<u64> {
        self.timeout
    }

    fn live_calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    fn held(&self) -> switch::Held {
        switch::Held::default()
    }

    fn counters(&self) -> switch::Counters {
        switch::Counters::default()
    }
}

struct Nothing;

impl Directory for Nothing {
    fn resolve(&self, _: Number, _: Option<Number>, _: u64) -> Plan {
        Plan::Refuse
    }
}

impl Admission for Nothing {
    fn take_call(&self, _: TrunkId, _: Now) -> Result<(), Full> {
        Ok(())
    }
    fn release_call(&self, _: TrunkId) {}
    fn take_announcement(&self) -> Result<(), Full> {
        Ok(())
    }
    fn release_announcement(&self) {}
    fn take_ports(&self) -> Option<PortPair> {
        None
    }
}

impl World for Nothing {
    fn directory(&self) -> &dyn Directory {
        self
    }
    fn admission(&self) -> &dyn Admission {
        self
    }
    fn media(&self, _: MediaCommand) {}
    fn live(&self, _: LiveCall) {}
    fn finished(&self, _: CallRecord) {}
    fn unrecorded(&self) -> usize {
        0
    }
}

/// A shard on a loopback port whose only trunk is 127.0.0.1.
struct Bench {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    events: mpsc::UnboundedSender<MediaEvent>,
    wishes: Arc<Wishes>,
    status: watch::Receiver<Status>,
    counters: Arc<Counters>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn start() -> Bench {
        let endpoint = Bound::bind("127.0.0.1:0".parse().unwrap())
            .unwrap()
            .open()
            .unwrap();
        let address = endpoint.local();
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let counters: Arc<Counters> = Arc::default();
        let wishes: Arc<Wishes> = Arc::default();
        let (events, receiver) = mpsc::unbounded_channel();
        let (status, watched) = watch::channel(Status::default());
        let shard = Shard::new(Parts {
            machine: Parrot {
                local: address,
                seen: seen.clone(),
                timeout: None,
                last: None,
            },
            world: Nothing,
            endpoints: vec![endpoint],
            door: Door::new(
                Arc::new(settings_trusting("127.0.0.1")),
                false,
                [1; 16],
                counters.clone(),
            ),
            clock: Clock::start(),
            events: receiver,
            wishes: wishes.clone(),
            status,
            counters: counters.clone(),
        });
        Bench {
            address,
            seen,
            events,
            wishes,
            status: watched,
            counters,
            task: tokio::spawn(shard.run()),
        }
    }

    /// What the machine has seen, once it is this many things.
    async fn seen(&mut self, count: usize) -> Vec<String> {
        let wait = self.status.wait_for(|s| s.unfinished >= count);
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the machine saw less")
            .expect("the shard is gone");
        self.seen.lock().unwrap().clone()
    }

    async fn stop(self) {
        self.wishes.stop();
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("the shard did not stop")
            .expect("the shard panicked");
    }
}

fn phone(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Reads one datagram; never called on the shard's thread.
fn hear(socket: &UdpSocket) -> String {
    let mut buffer = [0; 128];
    let (length, _) = socket.recv_from(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_is_answered_and_a_stranger_is_not() {
    let mut bench = Bench::start();
    let stranger = phone("127.0.0.2");
    stranger.send_to(b"let me in", bench.address).unwrap();
    let trunk = phone("127.0.0.1");
    trunk.send_to(b"hello", bench.address).unwrap();
    assert_eq!(hear(&trunk), "hello");
    assert_eq!(bench.seen(1).await, ["received hello"]);
    assert_eq!(bench.counters.strangers.get(), 1);
    assert_eq!(bench.counters.sip_in.get(), 1);
    assert_eq!(bench.counters.sip_out.get(), 1);
    stranger.set_nonblocking(true).unwrap();
    assert!(stranger.recv_from(&mut [0; 8]).is_err());
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_costs_one_message() {
    let mut bench = Bench::start();
    let trunk = phone("127.0.0.1");
    trunk.send_to(b"panic", bench.address).unwrap();
    trunk.send_to(b"still there?", bench.address).unwrap();
    assert_eq!(hear(&trunk), "still there?");
    assert_eq!(bench.counters.panics.get(), 1);
    assert_eq!(
        bench.seen(2).await,
        ["received panic", "received still there?"]
    );
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn timers_fire_while_nothing_else_happens() {
    let mut bench = Bench::start();
    let trunk = phone("127.0.0.1");
    trunk.send_to(b"later", bench.address).unwrap();
    assert_eq!(hear(&trunk), "timeout");
    assert_eq!(bench.seen(2).await, ["received later", "timeout"]);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_trunk_target_is_reported_at_once() {
    let mut bench = Bench::start();
    let trunk = phone("127.0.0.1");
    let dead = phone("127.0.0.1").local_addr().unwrap();
    let order = format!("send {dead}");
    trunk.send_to(order.as_bytes(), bench.address).unwrap();
    assert_eq!(hear(&trunk), "undeliverable");
    assert_eq!(
        bench.seen(2).await,
        [format!("received {order}"), format!("undeliverable {dead}")]
    );
    assert_eq!(bench.counters.sip_undeliverable.get(), 1);
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn media_events_and_wishes_reach_the_machine() {
    let mut bench = Bench::start();
    let event = MediaEvent::Silent { slot: 4 };
    bench.events.send(event.clone()).unwrap();
    assert_eq!(bench.seen(1).await, [format!("{event:?}")]);
    let call = Sid::new(1, 2);
    bench.wishes.hangup(call);
    let seen = bench.seen(2).await;
    assert_eq!(seen[1], format!("{:?}", Command::Hangup { call }));
    bench.stop().await;
}
