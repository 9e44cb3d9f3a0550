//! SIPp scripts: fragments and names put in, and the process that plays one.

use std::net::{IpAddr, SocketAddr, UdpSocket};
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
/// Longest play of one script, and of one with long timers.
const PLAY: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(200)];
/// What SIPp itself is given of that, in seconds.
const PLAY_SIPP_SECS: [u32; 2] = [50, 180];
/// Longest time for ports to become free.
const LEAVE: Duration = Duration::from_secs(2);
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
    /// Its own ports.
    pub(crate) seat: Seat,
    /// Where a caller sends to; `None` for a callee.
    pub(crate) server: Option<SocketAddr>,
    /// What to put in for `{{NAME}}`.
    pub(crate) values: &'a [(&'a str, String)],
    /// SIPp repeats nothing by itself.
    pub(crate) exact: bool,
    /// It has long timers to wait for.
    pub(crate) long: bool,
}

/// A SIPp that plays a script.
pub(crate) struct Player {
    child: Child,
    name: String,
    folder: PathBuf,
    play: Duration,
}

/// A message on a side's wire.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    /// Received, or else sent.
    pub(crate) received: bool,
    /// The message, and perhaps a line end.
    pub(crate) text: String,
}

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
                None => filled.push_str(&fragment(name, fragments)?),
            }
            rest = behind;
        }
        filled.push_str(rest);
        text = filled;
    }
    Err("fragments nest too deep".to_owned())
}

/// The fragment that `name key=value …` asks for, its own `{{key}}`s filled in.
fn fragment(asked: &str, fragments: &Path) -> Result<String, String> {
    let mut words = asked.split_whitespace();
    let name = words.next().unwrap_or_default();
    let file = fragments.join(format!("{name}.xml"));
    let text = std::fs::read_to_string(&file)
        .map_err(|_| format!("no value and no fragment named {name}"))?;
    words.try_fold(text.trim_end().to_owned(), |text, word| {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| format!("{{{{{asked}}}}}: {word} is no key=value"))?;
        let place = format!("{{{{{key}}}}}");
        if !text.contains(&place) {
            return Err(format!("the fragment {name} has no {place}"));
        }
        Ok(text.replace(&place, value))
    })
}

/// The values of all regular expressions of a script.
fn attributes(script: &str) -> impl Iterator<Item = &str> {
    script
        .split("regexp=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
}

/// Ports for one SIPp, kept bound so that nobody else takes them until it starts.
pub(crate) struct Seat {
    address: SocketAddr,
    held: Vec<UdpSocket>,
}

/// Ports that one SIPp binds: SIP, audio at `MEDIA` with RTCP, video with RTCP behind it, and
/// its remote control at `CONTROL`.
const BLOCK: u16 = 8;
/// Where the audio port stands in a block.
const MEDIA: u16 = 2;
/// Where the control port stands in a block.
const CONTROL: u16 = 6;

impl Seat {
    /// A block of ports of this address that nobody uses and that was given to nobody else here.
    pub(crate) fn take(ip: &str) -> Result<Seat, String> {
        static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
        let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
        let ip: IpAddr = ip.parse().map_err(|e| format!("{ip}: {e}"))?;
        let mut seed = [0_u8; 2];
        getrandom::fill(&mut seed).map_err(|e| e.to_string())?;
        let blocks = PORTS.step_by(usize::from(BLOCK));
        let start = usize::from(u16::from_le_bytes(seed)) % blocks.len();
        for port in blocks.clone().cycle().skip(start).take(blocks.len()) {
            if given.contains(&port) {
                continue;
            }
            let held: std::io::Result<Vec<_>> = (port..port + BLOCK)
                .map(|p| UdpSocket::bind((ip, p)))
                .collect();
            if let Ok(held) = held {
                given.push(port);
                return Ok(Seat {
                    address: SocketAddr::new(ip, port),
                    held,
                });
            }
        }
        Err(format!("no free ports on {ip}"))
    }

    /// The SIP address.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket of the SIP address, still bound.
    pub(crate) fn into_socket(self) -> Option<UdpSocket> {
        self.held.into_iter().next()
    }

    /// Frees the ports; returns when the kernel has: a process that is just being started holds
    /// copies of our sockets until its own program runs.
    pub(crate) async fn leave(self) {
        let address = self.address;
        drop(self);
        let mut look = tokio::time::interval(LOOK);
        let freed = async {
            while is_open(address) {
                look.tick().await;
            }
        };
        // When it is not free after all, SIPp says so itself.
        let _ = timeout(LEAVE, freed).await;
    }
}

impl Script<'_> {
    /// Fills the script in and starts SIPp; returns when its socket is open.
    pub(crate) async fn play(self, fragments: &Path) -> Result<Player, String> {
        let text = std::fs::read_to_string(&self.source)
            .map_err(|e| format!("{}: {e}", self.source.display()))?;
        let text = fill(&text, self.values, fragments)?;
        // SIPp ends the scenario there without a word, and all that follows is never played.
        if let Some(bad) = attributes(&text).find(|value| value.contains('<')) {
            return Err(format!("{}.xml: write < as . in \"{bad}\"", self.name));
        }
        let file = self.folder.join(format!("{}.xml", self.name));
        std::fs::write(&file, text).map_err(|e| e.to_string())?;
        let log = |what: &str| self.folder.join(format!("{}.{what}", self.name));
        let output = std::fs::File::create(log("out")).map_err(|e| e.to_string())?;
        let local = self.seat.address;
        let mut command = Command::new("sipp");
        command
            .args(["-m", "1", "-nostdin", "-trace_msg", "-trace_err"])
            .arg("-timeout")
            .arg(format!("{}s", PLAY_SIPP_SECS[usize::from(self.long)]))
            .args(["-timeout_error", "-max_retrans", "8"])
            .args(self.exact.then_some("-nr"))
            .arg("-sf")
            .arg(&file)
            .arg("-message_file")
            .arg(log("messages"))
            .arg("-error_file")
            .arg(log("errors"))
            .args(["-cid_str", &format!("canary-{}-%u-%p", self.name)])
            .args(["-i", &local.ip().to_string()])
            .args(["-p", &local.port().to_string()])
            .args(["-mp", &(local.port() + MEDIA).to_string()])
            .args(["-cp", &(local.port() + CONTROL).to_string()])
            .args(self.server.map(|s| s.to_string()))
            .env("TERM", "dumb")
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(|e| e.to_string())?)
            .stderr(output)
            .kill_on_drop(true);
        // From here to SIPp's own bind nobody holds the ports.
        self.seat.leave().await;
        let mut child = command.spawn().map_err(|e| {
            format!("SIPp does not start ({e}); install it: apt-get install sip-tester")
        })?;
        let mut look = tokio::time::interval(LOOK);
        while !is_open(local) && matches!(child.try_wait(), Ok(None)) {
            look.tick().await;
        }
        Ok(Player {
            child,
            name: self.name.to_owned(),
            folder: self.folder.to_owned(),
            play: PLAY[usize::from(self.long)],
        })
    }
}

impl Player {
    /// Waits for the end of the script; an error says how it failed.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        let status = match timeout(self.play, self.child.wait()).await {
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

    /// The messages it sent and received.
    pub(crate) fn log(&self) -> Result<Vec<Logged>, String> {
        let file = self.folder.join(format!("{}.messages", self.name));
        match std::fs::read(file) {
            Ok(bytes) => Ok(cut(&String::from_utf8_lossy(&bytes))),
            // SIPp makes the file with the first message.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e.to_string()),
        }
    }
}

/// Cuts SIPp's message log into messages.
fn cut(log: &str) -> Vec<Logged> {
    let entries = log.split("-----------------------------------------------");
    entries
        .filter_map(|entry| {
            let (head, text) = entry.split_once("\n\n").or(entry.split_once("\r\n\r\n"))?;
            let received = head.contains("message received");
            (received || head.contains("message sent")).then(|| Logged {
                received,
                text: text.to_owned(),
            })
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
