//! A callmask of its own for one demo or one test: throw-away folder, configuration with
//! kernel-chosen ports, `serve` as a child process, administration through the command line.
//!
//! The child dies with its [`Server`]; the folder goes with its [`Home`] unless it is kept.

use std::fs::DirBuilder;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use toml::{Table, Value};

use super::bell::Bell;
use super::{Error, random_hex};

/// How long a server may take to open its store and its sockets.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How long one command may take.
const COMMAND_PATIENCE: Duration = Duration::from_secs(20);
/// Most lines of a server's standard error that are kept.
const LINES_LIMIT: usize = 20_000;
/// Begins the line that says that every socket is open.
const READY: &str = "callmask ready: ";
/// Where media ports are looked for: below the range from which kernels choose.
const MEDIA_RANGE: std::ops::Range<u16> = 10_000..32_000;
/// Places in the range that are tried.
const RANGE_TRIES: usize = 200;

/// A folder with a configuration and a store, and the binary that works on them.
#[derive(Debug)]
pub struct Home {
    binary: PathBuf,
    folder: PathBuf,
    keep: bool,
}

/// What a command said.
#[derive(Debug, Clone)]
pub struct Said {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// A running `callmask serve`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    sip: SocketAddr,
    lines: Arc<Lines>,
}

#[derive(Debug)]
struct Lines {
    kept: Mutex<Vec<String>>,
    closed: Mutex<bool>,
    bell: Bell,
}

/// The configuration of a server on loopback ports that the kernel chooses, with one trunk whose
/// calls come from 127.0.0.1 and go to `target`, and `pairs` port pairs for media.
///
/// # Errors
/// When no free ports are found for media.
pub fn config(target: SocketAddr, pairs: u16) -> Result<Table, Error> {
    let (first, last) = free_ports(target.ip(), pairs)?;
    let text = format!(
        "[sip]\nlisten = [\"udp:127.0.0.1:0\"]\n\
         [[trunk]]\nname = \"carrier\"\ntargets = [\"udp:{target}\"]\n\
         accept_from = [\"127.0.0.1\"]\n\
         [media]\nlisten = [\"127.0.0.1\"]\nports = \"{first}-{last}\"\n\
         [store]\npath = \"data\"\n\
         [api]\nlisten = \"127.0.0.1:0\"\n"
    );
    text.parse()
        .map_err(|e: toml::de::Error| Error::Server(e.to_string()))
}

/// Puts `over`'s keys into `base`, tables key by key, everything else whole.
pub fn merge(base: &mut Table, over: &Table) {
    for (key, value) in over {
        match (base.get_mut(key), value) {
            (Some(Value::Table(inner)), Value::Table(more)) => merge(inner, more),
            _ => {
                base.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `pairs` successive even/odd port pairs that nobody uses at the moment.
fn free_ports(ip: IpAddr, pairs: u16) -> Result<(u16, u16), Error> {
    let wanted = pairs.saturating_mul(2);
    let room = MEDIA_RANGE.len().saturating_sub(usize::from(wanted));
    for _ in 0..RANGE_TRIES {
        let random = u32::from_str_radix(&random_hex(3)?, 16).unwrap_or_default() as usize;
        let first = MEDIA_RANGE.start + (random % room.max(1)) as u16 / 2 * 2;
        let last = first + wanted - 1;
        let sockets: std::io::Result<Vec<_>> =
            (first..=last).map(|p| UdpSocket::bind((ip, p))).collect();
        if sockets.is_ok() {
            return Ok((first, last));
        }
    }
    Err(Error::Server(format!("no {wanted} free ports in a row")))
}

impl Home {
    /// Makes a folder that only this user may read and writes the configuration into it.
    ///
    /// # Errors
    /// When the folder or the file cannot be made.
    pub fn new(binary: &Path, config: &Table) -> Result<Home, Error> {
        let name = format!("callmask-{}", random_hex(6)?);
        let folder = std::env::temp_dir().join(name);
        DirBuilder::new().mode(0o700).create(&folder)?;
        let home = Home {
            binary: binary.to_owned(),
            folder,
            keep: false,
        };
        std::fs::write(home.config(), config.to_string())?;
        Ok(home)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.join("callmask.toml")
    }

    /// Leaves the folder when this is dropped.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// Runs `callmask --config … ARGS` to its end.
    ///
    /// # Errors
    /// When it cannot be started or does not end in time.
    pub async fn run(&self, args: &[&str]) -> Result<Said, Error> {
        let run = self.command().args(args).stdin(Stdio::null()).output();
        let output = timeout(COMMAND_PATIENCE, run)
            .await
            .map_err(|_| Error::TooLate {
                what: format!("callmask {}", args.join(" ")),
                waited_ms: COMMAND_PATIENCE.as_millis() as u64,
            })??;
        Ok(Said {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Runs a command that must succeed and returns its standard output, trimmed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn ask(&self, args: &[&str]) -> Result<String, Error> {
        let said = self.run(args).await?;
        if said.code == Some(0) {
            return Ok(said.out.trim().to_owned());
        }
        let (command, code) = (args.join(" "), said.code.unwrap_or(-1));
        let told = said.err.trim();
        Err(Error::Server(format!("`{command}` exits {code}: {told}")))
    }

    /// Runs a command with `--json` that must succeed and reads what it prints.
    ///
    /// # Errors
    /// When it fails or prints no JSON.
    pub async fn ask_json(&self, args: &[&str]) -> Result<serde_json::Value, Error> {
        let args: Vec<&str> = args.iter().copied().chain(["--json"]).collect();
        let text = self.ask(&args).await?;
        serde_json::from_str(&text).map_err(|e| Error::Server(format!("`{}`: {e}", args.join(" "))))
    }

    /// Starts `serve` and waits until it says that its sockets are open.
    ///
    /// # Errors
    /// When it ends or stays silent instead, with its last lines.
    pub async fn serve(&self) -> Result<Server, Error> {
        let mut child = self
            .command()
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let lines = Arc::new(Lines {
            kept: Mutex::default(),
            closed: Mutex::new(false),
            bell: Bell::new(),
        });
        if let Some(err) = child.stderr.take() {
            tokio::spawn(collect(err, lines.clone()));
        }
        let ready = lines.bell.wait(START_PATIENCE, "the ready line", || {
            let ready = lines.all().iter().find_map(|l| sip_of(l));
            ready
                .map(Some)
                .or_else(|| lines.is_closed().then_some(None))
        });
        match ready.await {
            Ok(Some(sip)) => Ok(Server { child, sip, lines }),
            Ok(None) => Err(Error::Server(format!(
                "`serve` ended before it was ready:\n{}",
                lines.last(10)
            ))),
            Err(e) => Err(Error::Server(format!("{e}; it said:\n{}", lines.last(10)))),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.config());
        command.kill_on_drop(true);
        command
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed lies in the temporary folder, where it does no harm.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

impl Server {
    /// Its SIP address.
    pub fn sip(&self) -> SocketAddr {
        self.sip
    }

    /// What it wrote to standard error so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.all()
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM: the first begins the drain, the second ends it.
    ///
    /// # Errors
    /// When the process has ended already.
    pub fn terminate(&self) -> Result<(), Error> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok());
        let pid = pid.ok_or(Error::WrongState("the server has ended already"))?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).map_err(|e| Error::Socket(e.into()))
    }

    /// Its process id, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Ends it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub async fn kill(&mut self) -> Result<(), Error> {
        Ok(self.child.kill().await?)
    }

    /// Waits for the process to end by itself, and kills it when it does not.
    ///
    /// # Errors
    /// [`Error::TooLate`] when it had to be killed.
    pub async fn wait_end(&mut self, patience: Duration) -> Result<ExitStatus, Error> {
        if let Ok(status) = timeout(patience, self.child.wait()).await {
            return Ok(status?);
        }
        self.child.kill().await?;
        Err(Error::TooLate {
            what: format!("the server's end; it said:\n{}", self.lines.last(10)),
            waited_ms: patience.as_millis() as u64,
        })
    }
}

impl Drop for Server {
    /// Kills the process and waits until it is gone, so that it writes nothing more into a folder
    /// that is being removed. Reaping stays tokio's affair.
    fn drop(&mut self) {
        let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        let _ = self.child.start_kill();
        let end = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        let _ = waitid(Id::Pid(Pid::from_raw(pid)), end);
    }
}

impl Lines {
    fn all(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clone()
    }

    fn last(&self, count: usize) -> String {
        let all = self.all();
        let from = all.len().saturating_sub(count);
        all.get(from..).unwrap_or_default().join("\n")
    }

    fn is_closed(&self) -> bool {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads to the end, so that the server never blocks on a full pipe.
async fn collect(from: impl AsyncRead + Unpin, lines: Arc<Lines>) {
    let mut reader = BufReader::new(from).lines();
    while let Ok(Some(line)) = reader.next_line().await {
        {
            let mut kept = lines.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < LINES_LIMIT {
                kept.push(line);
            }
        }
        lines.bell.ring();
    }
    *lines.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    lines.bell.ring();
}

/// The first UDP socket in the SIP part of a ready line.
fn sip_of(line: &str) -> Option<SocketAddr> {
    let (_, sip) = line.split_once(READY)?.1.split_once("sip ")?;
    sip.split([' ', ','])
        .map(|word| word.trim_start_matches("udp:"))
        .find_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_names_the_sip_socket() {
        let line = "callmask ready: sip udp:127.0.0.1:40001, api 127.0.0.1:40002, store /x";
        assert_eq!(sip_of(line), Some("127.0.0.1:40001".parse().unwrap()));
        assert_eq!(sip_of("callmask starts: sip udp:127.0.0.1:40001"), None);
    }

    #[test]
    fn configurations_merge_key_by_key() {
        let mut base = config("127.0.0.1:5070".parse().unwrap(), 4).unwrap();
        let over = "[media]\nquarantine_ms = 100\n[calls]\nring_timeout_secs = 2\n";
        merge(&mut base, &over.parse().unwrap());
        let media = base["media"].as_table().unwrap();
        assert!(media.contains_key("ports"));
        assert_eq!(media["quarantine_ms"].as_integer(), Some(100));
        assert_eq!(base["calls"]["ring_timeout_secs"].as_integer(), Some(2));
    }

    #[tokio::test]
    async fn a_server_that_ends_at_once_is_an_error_and_the_folder_goes() {
        let home = Home::new(Path::new("/bin/false"), &Table::new()).unwrap();
        let folder = home.folder().to_owned();
        let error = home.serve().await.unwrap_err();
        assert!(error.to_string().contains("before it was ready"), "{error}");
        assert_eq!(home.run(&["x"]).await.unwrap().code, Some(1));
        assert!(folder.is_dir());
        drop(home);
        assert!(!folder.exists());
    }
}
