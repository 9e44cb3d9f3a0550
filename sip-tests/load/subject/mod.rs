//! What is measured: callmask, Debian's Kamailio and rtpengine, and the floors below which no
//! server on this kernel can get. Every subject is one or more processes on the subject's CPU.

mod callmask;
pub(crate) mod floor;
mod kamailio;
mod ng;
mod rtpengine;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::calls::{Addresses, Ends};
use crate::failure::{Failure, Outcome};
use crate::machine::Cpus;
use crate::process::Process;

pub(crate) use callmask::Home;
pub(crate) use ng::Session;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The server of this repository.
    Callmask,
    /// Kamailio as a masking proxy; audio goes past it.
    Kamailio,
    /// The same, with rtpengine in the path of the audio.
    KamailioRtpengine,
    /// rtpengine alone, told by its ng protocol.
    Rtpengine,
    /// A loop that passes every datagram on, byte for byte.
    Forwarder,
    /// A loop that passes audio on, one socket a leg.
    Relay,
    /// The generator's ends back to back, with nothing between them.
    Direct,
}

/// What a subject promises, and a row therefore checks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promise {
    /// The callee sees the ExoPhone as the caller.
    pub(crate) masked: bool,
    /// Both ends get an audio address of the server.
    pub(crate) new_sdp: bool,
    /// Each call leaves a record on disk.
    pub(crate) records: bool,
}

impl Kind {
    /// Its name in tables.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Callmask => "callmask",
            Kind::Kamailio => "kamailio",
            Kind::KamailioRtpengine => "kamailio+rtpengine",
            Kind::Rtpengine => "rtpengine",
            Kind::Forwarder => "floor: forwarder",
            Kind::Relay => "floor: relay loop",
            Kind::Direct => "floor: no server",
        }
    }

    /// What it promises.
    pub(crate) fn promise(self) -> Promise {
        let (masked, new_sdp, records) = match self {
            Kind::Callmask => (true, true, true),
            Kind::Kamailio => (true, false, false),
            Kind::KamailioRtpengine => (true, true, false),
            Kind::Rtpengine | Kind::Relay => (false, true, false),
            Kind::Forwarder | Kind::Direct => (false, false, false),
        };
        Promise {
            masked,
            new_sdp,
            records,
        }
    }
}

/// Where everything of one invocation of the tool lives.
pub(crate) struct World {
    /// Who runs where.
    pub(crate) cpus: Cpus,
    /// The server under test.
    pub(crate) binary: PathBuf,
    /// Configurations, stores, logs; removed at the end unless kept.
    pub(crate) folder: PathBuf,
    /// Descriptors a process may open.
    pub(crate) descriptors: u64,
    /// Allocations of the ordinary store.
    pub(crate) slots: usize,
    /// The address of all subjects.
    pub(crate) server_ip: Ipv4Addr,
    /// The caller's audio socket.
    pub(crate) caller_audio: SocketAddrV4,
    /// The callee's.
    pub(crate) callee_audio: SocketAddrV4,
}

/// A running subject.
pub(crate) struct Subject {
    kind: Kind,
    processes: Vec<Process>,
    addresses: Addresses,
    ng: Option<SocketAddrV4>,
    /// Audio ports of a relay loop, two a call: the caller's, the callee's.
    ports: Vec<u16>,
    /// Its call log.
    log: Option<PathBuf>,
}

impl World {
    /// Starts a subject. `home` is callmask's store; `calls` how many a relay loop carries.
    pub(crate) fn start(
        &self,
        kind: Kind,
        ends: &Ends,
        home: &Home,
        calls: usize,
    ) -> Outcome<Subject> {
        let direct = Addresses {
            caller_peer: ends.callee.local(),
            callee_peer: ends.caller.local(),
            caller_audio: self.caller_audio,
            callee_audio: self.callee_audio,
            bare: !kind.promise().masked,
        };
        let mut subject = Subject {
            kind,
            processes: Vec::new(),
            addresses: direct,
            ng: None,
            ports: Vec::new(),
            log: None,
        };
        match kind {
            Kind::Direct => {}
            Kind::Callmask => {
                let (process, sip) = home.serve(self)?;
                subject.joined(process, sip);
                subject.log = Some(home.call_log());
            }
            Kind::Kamailio => {
                let (process, sip) = kamailio::start(self, ends, None)?;
                subject.joined(process, sip);
            }
            Kind::KamailioRtpengine => {
                let (relay, ng) = rtpengine::start(self)?;
                let (proxy, sip) = kamailio::start(self, ends, Some(ng))?;
                subject.joined(proxy, sip);
                subject.processes.push(relay);
                subject.ng = Some(ng);
            }
            Kind::Rtpengine => {
                let (process, ng) = rtpengine::start(self)?;
                subject.processes.push(process);
                subject.ng = Some(ng);
            }
            Kind::Forwarder => {
                let to = [ends.caller.local(), ends.callee.local()];
                let (process, ports) = self.floor("forward", &to.map(|a| a.to_string()))?;
                subject.processes.push(process);
                let [one, two] = ports[..] else {
                    return Err(Failure::new("the forwarder names no two ports"));
                };
                subject.addresses.caller_peer = SocketAddrV4::new(self.server_ip, one);
                subject.addresses.callee_peer = SocketAddrV4::new(self.server_ip, two);
            }
            Kind::Relay => {
                let to = [direct.caller_audio, direct.callee_audio].map(|a| a.to_string());
                let arguments = [calls.to_string()]
                    .into_iter()
                    .chain(to)
                    .collect::<Vec<_>>();
                let (process, ports) = self.floor("relay", &arguments)?;
                subject.processes.push(process);
                subject.ports = ports;
            }
        }
        Ok(subject)
    }

    /// Runs a floor: this program again, in another role.
    fn floor(&self, role: &str, arguments: &[String]) -> Outcome<(Process, Vec<u16>)> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg(floor::ROLE)
            .arg(role)
            .arg(self.server_ip.to_string())
            .args(arguments);
        let mut process = Process::start(role, &mut command, &self.cpus)?;
        let ports = process.wait_line(|line| {
            let list = line.strip_prefix(floor::PORTS)?;
            Some(
                list.split_whitespace()
                    .filter_map(|p| p.parse().ok())
                    .collect(),
            )
        })?;
        Ok((process, ports))
    }
}

impl Subject {
    fn joined(&mut self, process: Process, sip: SocketAddrV4) {
        self.processes.push(process);
        self.addresses.caller_peer = sip;
        self.addresses.callee_peer = sip;
    }

    /// What it is.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Where the ends send.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// CPU time of all its processes since their start.
    pub(crate) fn cpu_ns(&self) -> Outcome<u64> {
        self.processes.iter().map(Process::cpu_ns).sum()
    }

    /// Memory of all its processes.
    pub(crate) fn pss_bytes(&self) -> Outcome<u64> {
        self.processes.iter().map(Process::pss_bytes).sum()
    }

    /// The audio ports of a relay loop.
    pub(crate) fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// Where it takes ng commands.
    pub(crate) fn ng(&self) -> Option<SocketAddrV4> {
        self.ng
    }

    /// Its call log.
    pub(crate) fn log(&self) -> Option<&Path> {
        self.log.as_deref()
    }

    /// The main process's id, for a profiler.
    pub(crate) fn id(&self) -> Option<u32> {
        self.processes.first().map(Process::id)
    }
}
