//! callmask under load: production settings, a store of its own, everything on loopback.

use std::fs;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::calls::Ends;
use crate::failure::{Doing, Failure, Outcome};
use crate::numbers::{allocations_csv, exophones_csv};
use crate::process::Process;
use crate::subject::World;

/// Even-numbered first media port; below the range from which the kernel chooses ports.
const FIRST_PORT: u64 = 10_000;
/// Most port pairs, so that the range ends there too.
const MOST_PAIRS: u64 = 11_000;
/// Descriptors that are not media's, and some more.
const RESERVE: u64 = 600;

/// A folder with a configuration and a store.
#[derive(Debug)]
pub(crate) struct Home {
    folder: PathBuf,
    binary: PathBuf,
    /// How long the import took, all rows durable.
    pub(crate) import: Duration,
}

impl Home {
    /// Makes it and imports so many allocations.
    pub(crate) fn new(world: &World, ends: &Ends, name: &str, slots: usize) -> Outcome<Home> {
        let folder = world.folder.join(name);
        fs::create_dir_all(&folder).doing(folder.display())?;
        let pairs = (world.descriptors.saturating_sub(RESERVE) / 2).min(MOST_PAIRS);
        let last = FIRST_PORT + pairs * 2 - 1;
        let (server, caller, callee) = (world.server_ip, ends.caller.local(), ends.callee.local());
        let text = format!(
            "[sip]\nlisten = [\"udp:{server}:0\"]\n\
             [[trunk]]\nname = \"carrier\"\ntargets = [\"udp:{callee}\"]\n\
             accept_from = [\"{}\", \"{}\"]\n\
             [media]\nlisten = [\"{server}\"]\nports = \"{FIRST_PORT}-{last}\"\n\
             [store]\npath = \"data\"\n[api]\nlisten = \"{server}:0\"\n[log]\nlevel = \"warn\"\n",
            caller.ip(),
            callee.ip()
        );
        fs::write(folder.join("callmask.toml"), text)?;
        fs::write(folder.join("exophones.csv"), exophones_csv(slots))?;
        fs::write(folder.join("allocations.csv"), allocations_csv(slots))?;
        let binary = world.binary.clone();
        let mut home = Home {
            folder,
            binary,
            import: Duration::ZERO,
        };
        home.import("exophone", "exophones.csv")?;
        home.import = home.import("allocation", "allocations.csv")?;
        Ok(home)
    }

    fn import(&self, what: &str, file: &str) -> Outcome<Duration> {
        let begun = Instant::now();
        let run = self
            .command()
            .args([what, "import"])
            .arg(self.folder.join(file))
            .output();
        let run = run.doing("callmask")?;
        if !run.status.success() {
            let said = String::from_utf8_lossy(&run.stderr).into_owned();
            return Err(Failure::new(format!("callmask {what} import: {said}")));
        }
        Ok(begun.elapsed())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .arg("--config")
            .arg(self.folder.join("callmask.toml"))
            .stdin(Stdio::null());
        command
    }

    /// Starts the server; its SIP address.
    pub(super) fn serve(&self, world: &World) -> Outcome<(Process, SocketAddrV4)> {
        let mut process = Process::start("callmask", self.command().arg("serve"), &world.cpus)?;
        let sip = process.wait_line(|line| {
            let (_, sip) = line
                .split_once("callmask ready: ")?
                .1
                .split_once("sip udp:")?;
            sip.split([' ', ',']).next()?.parse().ok()
        })?;
        Ok((process, sip))
    }

    /// The file of the call log.
    pub(super) fn call_log(&self) -> PathBuf {
        self.folder.join("data").join("calls.sqlite")
    }

    /// Bytes its store has on disk.
    pub(crate) fn routing_bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder.join("data/routing"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .filter_map(|f| f.metadata().ok())
            .map(|m| m.len())
            .sum()
    }
}
