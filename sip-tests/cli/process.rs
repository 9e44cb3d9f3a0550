//! `serve` as a process: what may happen to it from outside while it runs.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStderr, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::home::{Home, binary};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);

/// A server of the shipped binary on free ports; killed when dropped.
struct Serve {
    child: Child,
    stderr: Option<Lines<BufReader<ChildStderr>>>,
}

impl Serve {
    /// Started, and read up to its ready line.
    fn start(home: &Home) -> Serve {
        let trunk = "[[trunk]]\nname = \"carrier\"\ntargets = [\"udp:127.0.0.1:9\"]\n\
                     accept_from = [\"127.0.0.1\"]\n";
        let mut serve = Serve::spawn(home, trunk);
        serve.read_until("callmask ready: ");
        serve
    }

    fn spawn(home: &Home, trunks: &str) -> Serve {
        let config = "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n[api]\nlisten = \"127.0.0.1:0\"\n\
                      [media]\nports = \"40000-40003\"\n";
        let config = home.write("serve.toml", &format!("{config}{trunks}"));
        let mut child = binary()
            .args(["--config", &config, "serve"])
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Serve {
            child,
            stderr: Some(stderr),
        }
    }

    fn read_until(&mut self, part: &str) {
        let lines = self.stderr.as_mut().expect("its log is read");
        let found = lines.map_while(Result::ok).any(|line| line.contains(part));
        assert!(found, "the log ended without {part:?}");
    }

    fn send(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        kill(pid, signal).unwrap();
    }

    /// How it ended, as the shell words it.
    fn end(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.to_string();
            }
            std::thread::sleep(POLL);
        }
        panic!("it did not end");
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_log_that_nobody_reads_any_more_stops_no_server() {
    let home = Home::new();
    let mut serve = Serve::start(&home);
    serve.stderr = None;
    // Draining writes several lines, each into the broken pipe.
    serve.send(Signal::SIGTERM);
    assert_eq!(serve.end(), "exit status: 0");
}

#[test]
fn a_hangup_signal_ends_no_calls() {
    let home = Home::new();
    let mut serve = Serve::start(&home);
    serve.send(Signal::SIGHUP);
    serve.read_until("SIGHUP changes nothing");
    serve.send(Signal::SIGTERM);
    assert_eq!(serve.end(), "exit status: 0");
}

#[test]
fn a_server_without_a_trunk_warns_and_serves() {
    let home = Home::new();
    let mut serve = Serve::spawn(&home, "");
    serve.read_until("no trunk is configured");
    serve.read_until("callmask ready: ");
}
