//! SIPp scripts: fragments and names put in, and the process that plays one.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Deepest nesting of fragments.
const DEPTH: usize = 5;
/// Ports for SIPp: below those that kernels choose and those that servers get for media.
const PORTS: std::ops::Range<u16> = 5_100..9_900;
/// Longest play of one script.
const PLAY: Duration = Duration::from_secs(60);
/// How often a starting SIPp's socket is looked for.
const LOOK: Duration = Duration::from_millis(10);

/// What SIPp is asked to play.
pub(crate) struct Script<'a> {
    /// The script as it stands in the case.
    pub(crate) source: PathBuf,
    /// Where the played text and SIPp's logs go.
    pub(crate) folder: &'a Path,
    /// `caller`, `callee`, …
    pub(crate) name: &'a str,
    /// Its own address.
    pub(crate) local: SocketAddr,
    /// Where a caller sends to; `None` for a callee.
    pub(crate) server: Option<SocketAddr>,
    /// What to put in for `{{NAME}}`.
    pub(crate) values: &'a [(&'a str, String)],
}

/// A SIPp that plays a script.
pub(crate) struct Player {
    child: Child,
    name: String,
    folder: PathBuf,
}

/// A message that SIPp received.
#[derive(Debug, Clone)]
pub(crate) struct Heard(pub(crate) String);

/// Puts in every `{{name}}` from the fragments folder and every `{{NAME}}` from `values`.
pub(crate) fn fill(
    text: &str,
    values: &[(&str, String)],
    fragments: &Path,
) -> Result<String, String> {
    let mut text = text.to_owned();
    for _ in 0..DEPTH {
        let Some(_) = text.find("{{") else {
            return Ok(text);
        };
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("{{") {
            let (name, behind) = after.split_once("}}").ok_or("{{ without }}")?;
            filled.push_str(before);
            match values.iter().find(|(n, _)| *n == name) {
                Some((_, value)) => filled.push_str(value),
                None => {
                    let file = fragments.join(format!("{name}.xml"));
                    let fragment = std::fs::read_to_string(&file)
                        .map_err(|_| format!("no value and no fragment named {name}"))?;
                    filled.push_str(fragment.trim_end());
                }
            }
            rest = behind;
        }
        filled.push_str(rest);
        text = filled;
    }
    Err("fragments nest too deep".to_owned())
}

/// A UDP port of this address that nobody uses and that was given to nobody else here.
pub(crate) fn port(ip: &str) -> Result<SocketAddr, String> {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seed = [0_u8; 2];
    getrandom::fill(&mut seed).map_err(|e| e.to_string())?;
    let start = usize::from(u16::from_le_bytes(seed)) % PORTS.len();
    let candidates = PORTS.cycle().skip(start).take(PORTS.len());
    for port in candidates.filter(|p| p % 2 == 0) {
        if given.contains(&port) {
            continue;
        }
        let address = format!("{ip}:{port}");
        if UdpSocket::bind(&address).is_ok() {
            given.push(port);
            return address.parse().map_err(|e| format!("{address}: {e}"));
        }
    }
    Err(format!("no free port on {ip}"))
}

impl Script<'_> {
    /// Fills the script in and starts SIPp; returns when its socket is open.
    pub(crate) async fn play(&self, fragments: &Path) -> Result<Player, String> {
        let text = std::fs::read_to_string(&self.source)
            .map_err(|e| format!("{}: {e}", self.source.display()))?;
        let text = fill(&text, self.values, fragments)?;
        let file = self.folder.join(format!("{}.xml", self.name));
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        let log = |what: &str| self.folder.join(format!("{}.{what}", self.name));
        let output = std::fs::File::create(log("out")).map_err(|e| e.to_string())?;
        let media = port(&self.local.ip().to_string())?;
        let mut command = Command::new("sipp");
        command
            .args(["-m", "1", "-nostdin", "-trace_msg", "-trace_err"])
            .args(["-timeout", "50s", "-timeout_error", "-max_retrans", "8"])
            .arg("-sf")
            .arg(&file)
            .arg("-message_file")
            .arg(log("messages"))
            .arg("-error_file")
            .arg(log("errors"))
            .args(["-cid_str", &format!("canary-{}-%u-%p", self.name)])
            .args(["-i", &self.local.ip().to_string()])
            .args(["-p", &self.local.port().to_string()])
            .args(["-mp", &media.port().to_string()])
            .args(self.server.map(|s| s.to_string()))
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(|e| e.to_string())?)
            .stderr(output)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| {
            format!("SIPp does not start ({e}); install it: apt-get install sip-tester")
        })?;
        let mut look = tokio::time::interval(LOOK);
        while !is_open(self.local) && matches!(child.try_wait(), Ok(None)) {
            look.tick().await;
        }
        Ok(Player {
            child,
            name: self.name.to_owned(),
            folder: self.folder.to_owned(),
        })
    }
}

impl Player {
    /// Waits for the end of the script; an error says how it failed.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        let status = match timeout(PLAY, self.child.wait()).await {
            Ok(status) => status.map_err(|e| e.to_string())?,
            Err(_) => {
                let _ = self.child.kill().await;
                return Err(format!("{}.xml does not end", self.name));
            }
        };
        if status.success() {
            return Ok(());
        }
        let file = self.folder.join(format!("{}.errors", self.name));
        let errors = std::fs::read_to_string(file).unwrap_or_default();
        let first: Vec<&str> = errors
            .lines()
            .filter(|l| !l.trim().is_empty())
            .take(12)
            .collect();
        Err(format!(
            "{}.xml: {status}: {}",
            self.name,
            first.join(" / ")
        ))
    }

    /// The messages it received.
    pub(crate) fn heard(&self) -> Result<Vec<Heard>, String> {
        let file = self.folder.join(format!("{}.messages", self.name));
        match std::fs::read(file) {
            Ok(bytes) => Ok(received(&String::from_utf8_lossy(&bytes))),
            // SIPp makes the file with the first message.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// Cuts SIPp's message log into the messages it received.
pub(crate) fn received(log: &str) -> Vec<Heard> {
    let entries = log.split("-----------------------------------------------");
    entries
        .filter_map(|entry| {
            let (head, message) = entry.split_once("\n\n").or(entry.split_once("\r\n\r\n"))?;
            head.contains("message received")
                .then(|| Heard(message.to_owned()))
        })
        .collect()
}

/// Whether somebody has bound this UDP address, as the kernel lists it.
fn is_open(address: SocketAddr) -> bool {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap_or_default();
    let port = format!(":{:04X}", address.port());
    table
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .any(|local| local.ends_with(&port))
}
