//! Child processes: started on the subject's CPU, awaited by what they say, ended by their ids.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::failure::{Doing, Failure, Outcome};
use crate::machine::{Cpus, cpu_ns, family, pss_bytes};

/// How long a process may take to come up.
const START: Duration = Duration::from_secs(60);
/// How long it may take to end before it is killed.
const END: Duration = Duration::from_secs(10);
/// Between two looks at a process that ends.
const GLANCE: Duration = Duration::from_millis(20);
/// Lines kept for an error.
const KEPT: usize = 12;

/// A running process; dropping it ends it and all its children.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    heard: Vec<String>,
}

impl Process {
    /// Starts it and reads what it writes, on both outputs.
    pub(crate) fn start(name: &str, command: &mut Command, cpus: &Cpus) -> Outcome<Process> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = cpus.as_subject(|| command.spawn())?;
        let mut child = child.doing(format!("start {name}"))?;
        let (tell, lines) = channel();
        let outputs: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|o| Box::new(o) as _),
            child.stderr.take().map(|o| Box::new(o) as _),
        ];
        for output in outputs.into_iter().flatten() {
            let tell = tell.clone();
            // Reads to the end, so that the process never blocks on a full pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    let _ = tell.send(line);
                }
            });
        }
        Ok(Process {
            name: name.to_owned(),
            child,
            lines,
            heard: Vec::new(),
        })
    }

    /// Waits for a line that `find` finds something in.
    pub(crate) fn wait_line<T>(&mut self, find: impl Fn(&str) -> Option<T>) -> Outcome<T> {
        let deadline = Instant::now() + START;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    let found = find(&line);
                    self.heard.push(line);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.complaint("is not ready")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.complaint("has ended")),
            }
        }
    }

    /// Waits until `ready` holds.
    pub(crate) fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Outcome<()> {
        let deadline = Instant::now() + START;
        while !ready() {
            if Instant::now() > deadline {
                return Err(self.complaint("is not ready"));
            }
            if self.child.try_wait()?.is_some() {
                return Err(self.complaint("has ended"));
            }
            std::thread::sleep(GLANCE);
        }
        Ok(())
    }

    /// CPU time of it and its children since their start.
    pub(crate) fn cpu_ns(&self) -> Outcome<u64> {
        family(self.child.id()).into_iter().map(cpu_ns).sum()
    }

    /// Memory of it and its children.
    pub(crate) fn pss_bytes(&self) -> Outcome<u64> {
        family(self.child.id()).into_iter().map(pss_bytes).sum()
    }

    /// Its id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn complaint(&mut self, what: &str) -> Failure {
        self.heard.extend(self.lines.try_iter());
        let last = self.heard.len().saturating_sub(KEPT);
        let said = self.heard.get(last..).unwrap_or_default().join("\n  ");
        Failure::new(format!("{} {what}; it said:\n  {said}", self.name))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let members = family(self.child.id());
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        let deadline = Instant::now() + END;
        while Instant::now() < deadline {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(GLANCE),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // Children first: once their parent is gone, nobody else ends them.
        for pid in members.into_iter().rev() {
            let _ = kill(Pid::from_raw(pid as i32), Signal::SIGKILL);
        }
        let _ = self.child.wait();
    }
}
