//! rtpengine as Debian packages it, in user space and with no delay before a call's ports are
//! given back: its defaults keep them, which no load that repeats calls can be measured with.

use std::net::SocketAddrV4;
use std::process::Command;

use crate::failure::Outcome;
use crate::process::Process;
use crate::subject::{World, ng};

const PORT: u16 = 2223;
/// Media ports: as many as callmask is given.
const PORTS: [&str; 2] = ["10000", "31999"];
/// Seconds without audio that end a call: longer than any measurement.
const TIMEOUT: &str = "3600";

/// Starts it; where it takes ng commands.
pub(super) fn start(world: &World) -> Outcome<(Process, SocketAddrV4)> {
    let control = SocketAddrV4::new(world.server_ip, PORT);
    let ip = world.server_ip.to_string();
    let mut command = Command::new("rtpengine");
    command.args([
        "--foreground",
        "--log-stderr",
        "--log-level=3",
        "--config-file=none",
    ]);
    command.args(["--table=-1", "--delete-delay=0", "--num-threads=1"]);
    command.args([
        format!("--interface={ip}"),
        format!("--listen-ng={control}"),
    ]);
    command.args(["--port-min", PORTS[0], "--port-max", PORTS[1]]);
    command.args(["--timeout", TIMEOUT, "--silent-timeout", TIMEOUT]);
    let mut process = Process::start("rtpengine", &mut command, &world.cpus)?;
    let client = ng::Client::new(control)?;
    process.wait_until(|| client.ping())?;
    Ok((process, control))
}
