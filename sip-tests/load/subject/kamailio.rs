//! Kamailio as Debian packages it, doing the part of callmask's work that a proxy can do: it
//! finds the other party in a table by ExoPhone and asserted caller, puts the ExoPhone into From
//! and P-Asserted-Identity (and back in what follows), hides Via, Contact and Call-ID, and passes
//! the call on. It keeps no record and, without rtpengine, leaves the session description as it
//! is.

use std::fs;
use std::net::{SocketAddrV4, UdpSocket};
use std::process::Command;
use std::time::Duration;

use crate::calls::Ends;
use crate::failure::{Doing, Outcome};
use crate::numbers::SHARED;
use crate::process::Process;
use crate::subject::World;

/// Receivers: with one CPU, more only take turns.
const CHILDREN: usize = 2;
const PORT: u16 = 5060;
/// Shared and private memory in MiB.
const MEMORY: [&str; 2] = ["256", "16"];
/// How long one probe waits for its answer.
const PROBE: Duration = Duration::from_millis(100);

const CONFIG: &str = include_str!("kamailio.cfg");
const MEDIA_MODULE: &str = "loadmodule \"rtpengine.so\"\n\
    modparam(\"rtpengine\", \"rtpengine_sock\", \"udp:NG\")\n";
const MEDIA_OFFER: &str = "rtpengine_manage(\"replace-origin replace-session-connection ICE=remove\"); t_on_reply(\"MEDIA\");";
const MEDIA_END: &str = "if (is_method(\"BYE\")) rtpengine_delete();";

/// Starts it; with `ng` audio goes through that rtpengine.
pub(super) fn start(
    world: &World,
    ends: &Ends,
    ng: Option<SocketAddrV4>,
) -> Outcome<(Process, SocketAddrV4)> {
    let sip = SocketAddrV4::new(world.server_ip, PORT);
    let media = |text: &str| {
        ng.map(|ng| text.replace("NG", &ng.to_string()))
            .unwrap_or_default()
    };
    let config = CONFIG
        .replace("@MEDIA_MODULE@", &media(MEDIA_MODULE))
        .replace("@MEDIA_OFFER@", &media(MEDIA_OFFER))
        .replace("@MEDIA_END@", &media(MEDIA_END))
        .replace("@SIP@", &sip.to_string())
        .replace("@CALLEE@", &ends.callee.local().to_string())
        .replace("@CHILDREN@", &CHILDREN.to_string())
        .replace("@SLOTS@", &world.slots.to_string())
        .replace("@SHARED@", &SHARED.to_string());
    let config = if ng.is_some() {
        config
            + "\nonreply_route[MEDIA] { if (has_body(\"application/sdp\")) rtpengine_manage(\"replace-origin replace-session-connection ICE=remove\"); }\n"
    } else {
        config
    };
    let file = world.folder.join("kamailio.cfg");
    fs::write(&file, config)?;
    let mut command = Command::new("kamailio");
    // The default memory manager looks for errors of its users and wrecks every figure.
    command.args([
        "-DD", "-E", "-x", "fm", "-X", "fm", "-m", MEMORY[0], "-M", MEMORY[1], "-f",
    ]);
    command.arg(&file).arg("-Y").arg(&world.folder);
    let mut process = Process::start("kamailio", &mut command, &world.cpus)?;
    let probe = UdpSocket::bind((*ends.caller.local().ip(), 0)).doing("a probe")?;
    probe.set_read_timeout(Some(PROBE))?;
    probe.connect(sip)?;
    let local = probe.local_addr()?;
    let options = format!(
        "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bKprobe\r\n\
         From: <sip:probe@{local}>;tag=1\r\nTo: <sip:{sip}>\r\nCall-ID: probe@{local}\r\n\
         CSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
    );
    process.wait_until(|| {
        let mut answer = [0; 2048];
        probe.send(options.as_bytes()).is_ok()
            && probe
                .recv(&mut answer)
                .is_ok_and(|n| n > 12 && answer.starts_with(b"SIP/2.0 200"))
    })?;
    Ok((process, sip))
}
