//! A running server seen from outside: its `/metrics`, its memory and its descriptors.

// The scenarios look at a part of this only.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use callmask::phone::server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

/// Longest time for one look at the metrics.
const LOOK_PATIENCE: Duration = Duration::from_secs(10);
/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(100);

/// Where to look.
#[derive(Debug, Clone)]
pub(crate) struct Watch {
    api: SocketAddr,
    pid: u32,
}

/// The metrics at one moment, by name and labels as they are printed.
#[derive(Debug, Clone)]
pub(crate) struct Metrics(BTreeMap<String, u64>);

impl Watch {
    /// Reads the address of the public listener from the server's ready line.
    pub(crate) fn of(server: &Server) -> Result<Watch, String> {
        let lines = server.lines();
        let ready = lines.iter().find(|l| l.contains("callmask ready: "));
        let api = ready
            .and_then(|l| l.split_once(", api http://"))
            .and_then(|(_, rest)| rest.split([',', ' ']).next()?.parse().ok())
            .ok_or("the ready line names no API address")?;
        let pid = server.pid().ok_or("the server has ended")?;
        Ok(Watch { api, pid })
    }

    /// The metrics now.
    pub(crate) async fn look(&self) -> Result<Metrics, String> {
        let asked = async {
            let mut stream = TcpStream::connect(self.api).await?;
            let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request.as_bytes()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await?;
            Ok::<_, std::io::Error>(text)
        };
        let text = timeout(LOOK_PATIENCE, asked)
            .await
            .map_err(|_| "no answer to GET /metrics".to_owned())?
            .map_err(|e| format!("GET /metrics: {e}"))?;
        let (head, body) = text.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        if !head.starts_with("HTTP/1.1 200 ") {
            return Err(format!("GET /metrics: {head}"));
        }
        let rows = body.lines().filter(|l| !l.starts_with('#'));
        let read = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(Metrics(rows.filter_map(read).collect()))
    }

    /// Waits until the metrics are as wanted; the error says what they are instead.
    pub(crate) async fn until(
        &self,
        patience: Duration,
        what: &str,
        wanted: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics, String> {
        let give_up = Instant::now() + patience;
        let mut pace = interval(POLL);
        loop {
            pace.tick().await;
            let metrics = self.look().await?;
            if wanted(&metrics) {
                return Ok(metrics);
            }
            if Instant::now() >= give_up {
                let secs = patience.as_secs();
                return Err(format!("waited {secs} s for {what}; it is {metrics:?}"));
            }
        }
    }

    /// Open descriptors of the process.
    pub(crate) fn descriptors(&self) -> Result<u64, String> {
        let folder = format!("/proc/{}/fd", self.pid);
        let entries = std::fs::read_dir(folder).map_err(|e| e.to_string())?;
        Ok(entries.count() as u64)
    }

    /// Memory in kB by a line of `/proc/PID/status`: `VmRSS`, `RssAnon`.
    pub(crate) fn memory_kb(&self, row: &str) -> Result<u64, String> {
        let file = format!("/proc/{}/status", self.pid);
        let text = std::fs::read_to_string(file).map_err(|e| e.to_string())?;
        text.lines()
            .find_map(|l| l.strip_prefix(row)?.strip_prefix(':'))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .ok_or_else(|| format!("no {row} in the process's status"))
    }
}

impl Metrics {
    /// A value by its name with labels; one that is not there is a mistake of the test.
    pub(crate) fn get(&self, name: &str) -> u64 {
        let value = self.0.get(name);
        *value.unwrap_or_else(|| panic!("there is no metric {name}"))
    }

    /// What the switch holds of one kind.
    pub(crate) fn held(&self, what: &str) -> u64 {
        self.get(&format!("callmask_switch_held{{what=\"{what}\"}}"))
    }

    /// Port pairs in a state.
    pub(crate) fn pairs(&self, state: &str) -> u64 {
        self.get(&format!("callmask_port_pairs{{state=\"{state}\"}}"))
    }

    /// Port pairs whose sockets are open, in whatever state.
    pub(crate) fn pairs_open(&self) -> u64 {
        ["ready", "in_use", "quarantined"]
            .iter()
            .map(|state| self.pairs(state))
            .sum()
    }

    /// What is still there of calls, in words; transactions that only absorb late messages and
    /// their timers are no remains.
    pub(crate) fn left(&self) -> Option<String> {
        let remains = [
            ("live calls", self.get("callmask_calls_live")),
            ("unfinished calls", self.held("calls")),
            ("dialogs", self.held("dialogs")),
            ("port pairs", self.pairs("in_use")),
        ];
        let words: Vec<String> = remains
            .iter()
            .filter(|(_, count)| *count > 0)
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}
