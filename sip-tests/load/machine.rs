//! The machine: which CPU who runs on, what processes cost, what stands in the report's head.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::failure::{Doing, Outcome};

/// Descriptors asked for: the server's media sockets are most of them.
const DESCRIPTORS: u64 = 65_536;

/// Two CPUs of those we may run on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cpus {
    /// The generator's and the subject's; `None`: there is but one, nothing is pinned.
    split: Option<(usize, usize)>,
}

impl Cpus {
    /// Pins this thread to its CPU and remembers the other for subjects.
    pub(crate) fn split() -> Outcome<Cpus> {
        let set = sched_getaffinity(Pid::from_raw(0))?;
        let mut ours = (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu).unwrap_or(false));
        let split = ours.next().zip(ours.next());
        let cpus = Cpus { split };
        match split {
            Some((own, _)) => pin(own).doing("pin the generator")?,
            None => eprintln!("note: one CPU only: nothing is pinned, latencies say little"),
        }
        Ok(cpus)
    }

    /// Does something whose child processes shall run on the subject's CPU.
    pub(crate) fn as_subject<T>(&self, work: impl FnOnce() -> T) -> Outcome<T> {
        let Some((own, other)) = self.split else {
            return Ok(work());
        };
        // Children inherit the affinity of the thread that starts them.
        pin(other).doing("pin the subject")?;
        let done = work();
        pin(own).doing("pin the generator")?;
        Ok(done)
    }
}

fn pin(cpu: usize) -> nix::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    sched_setaffinity(Pid::from_raw(0), &set)
}

/// Raises the descriptor limits as far as allowed; children inherit them.
pub(crate) fn raise_descriptors() -> Outcome<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let more = hard.max(DESCRIPTORS);
    // Only the superuser may raise the hard limit.
    if setrlimit(Resource::RLIMIT_NOFILE, more, more).is_ok() {
        return Ok(more);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).doing("raise the descriptor limit")?;
    Ok(hard)
}

/// A process and all its descendants.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let mut pairs = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // The name in brackets may hold anything; the parent is the second field behind it.
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if let Some(parent) = parent.and_then(|p| p.parse::<u32>().ok()) {
            pairs.push((pid, parent));
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(
            pairs
                .iter()
                .filter(|(_, p)| *p == parent)
                .map(|(pid, _)| *pid),
        );
    }
    found
}

/// CPU time of a process since its start, user and system, ended threads included.
pub(crate) fn cpu_ns(pid: u32) -> Outcome<u64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid as i32)).doing("the CPU clock")?;
    let spent = clock.now().doing("the CPU clock")?;
    Ok(spent.tv_sec() as u64 * 1_000_000_000 + spent.tv_nsec() as u64)
}

/// Proportional set size of a process in bytes.
pub(crate) fn pss_bytes(pid: u32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).doing(&path)?;
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:"));
    let kib = line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.map(|k| k * 1024)
        .ok_or_else(|| crate::failure::Failure::new(format!("{path} has no Pss")))
}

/// The average number of processes that want a CPU; 0.0 when unknown.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ')
        .next()
        .and_then(|t| t.parse().ok())
        .unwrap_or_default()
}

/// What this machine is, for the report's head.
pub(crate) fn description() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let line_of = |text: &str, key: &str| {
        let line = text
            .lines()
            .find(|l| l.starts_with(key))
            .unwrap_or_default();
        line.split_once(':')
            .map(|(_, v)| v.trim().to_owned())
            .unwrap_or_default()
    };
    let cpus = read("/proc/cpuinfo")
        .lines()
        .filter(|l| l.starts_with("processor"))
        .count();
    let model = line_of(&read("/proc/cpuinfo"), "model name");
    let system = read("/etc/os-release");
    let system = system.lines().find_map(|l| l.strip_prefix("PRETTY_NAME="));
    vec![
        ("cpu", format!("{cpus} × {model}")),
        ("memory", line_of(&read("/proc/meminfo"), "MemTotal")),
        (
            "kernel",
            read("/proc/sys/kernel/osrelease").trim().to_owned(),
        ),
        (
            "system",
            system.unwrap_or_default().trim_matches('"').to_owned(),
        ),
        ("load", format!("{:.2}", load_average())),
    ]
}
