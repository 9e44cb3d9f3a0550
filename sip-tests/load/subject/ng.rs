//! rtpengine's ng protocol: a cookie and a bencoded dictionary in one datagram, answered alike.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use crate::failure::{Doing, Failure, Outcome};
use crate::random::hex;
use crate::sip::{Scan, session};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest answer.
const LONGEST: usize = 8_192;

/// Sends commands, one at a time.
pub(super) struct Client {
    socket: UdpSocket,
}

impl Client {
    pub(super) fn new(to: SocketAddrV4) -> Outcome<Client> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to).doing("the ng port")?;
        Ok(Client { socket })
    }

    /// Whether it answers.
    pub(super) fn ping(&self) -> bool {
        self.ask(&[("command", "ping")]).is_ok()
    }

    /// Sends a command; its whole answer when it is a good one.
    fn ask(&self, pairs: &[(&str, &str)]) -> Outcome<String> {
        let cookie = hex(6)?;
        let mut text = format!("{cookie} d");
        for (key, value) in pairs {
            text += &format!("{}:{key}{}:{value}", key.len(), value.len());
        }
        text += "e";
        self.socket.send(text.as_bytes()).doing("an ng command")?;
        let mut buffer = [0; LONGEST];
        loop {
            let length = self.socket.recv(&mut buffer).doing("an ng answer")?;
            let answer = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default());
            // The answer of a command that was given up has another cookie.
            let Some(answer) = answer.strip_prefix(&cookie) else {
                continue;
            };
            if ["6:result2:ok", "6:result4:pong"]
                .iter()
                .any(|good| answer.contains(good))
            {
                return Ok(answer.to_owned());
            }
            return Err(Failure::new(format!("rtpengine refuses: {answer}")));
        }
    }
}

/// Calls made by ng commands.
pub(crate) struct Session {
    client: Client,
    run: String,
    calls: usize,
}

impl Session {
    /// Makes so many calls between both ends; where each wants the caller's and the callee's
    /// audio.
    pub(crate) fn open(
        control: SocketAddrV4,
        calls: usize,
        caller: SocketAddrV4,
        callee: SocketAddrV4,
    ) -> Outcome<(Session, Vec<[SocketAddrV4; 2]>)> {
        let session_ = Session {
            client: Client::new(control)?,
            run: hex(4)?,
            calls,
        };
        let mut streams = Vec::with_capacity(calls);
        for index in 0..calls {
            let for_callee = session_.command("offer", index, &session(caller))?;
            let for_caller = session_.command("answer", index, &session(callee))?;
            streams.push([for_caller, for_callee]);
        }
        Ok((session_, streams))
    }

    fn command(&self, command: &str, index: usize, sdp: &str) -> Outcome<SocketAddrV4> {
        let id = format!("load-{}-{index}", self.run);
        let mut pairs = vec![
            ("command", command),
            ("call-id", id.as_str()),
            ("from-tag", "a"),
            ("ICE", "remove"),
            ("sdp", sdp),
        ];
        if command == "answer" {
            pairs.push(("to-tag", "b"));
        }
        let answer = self.client.ask(&pairs)?;
        let body = answer.split_once("3:sdp").map_or("", |(_, rest)| rest);
        let scan = Scan {
            body: body.as_bytes(),
            ..Scan::default()
        };
        let audio = scan.audio().and_then(|a| a.address());
        audio.ok_or_else(|| Failure::new(format!("rtpengine names no audio: {answer}")))
    }

    /// Ends all of them.
    pub(crate) fn close(self) -> Outcome<()> {
        for index in 0..self.calls {
            let id = format!("load-{}-{index}", self.run);
            self.client
                .ask(&[("command", "delete"), ("call-id", &id), ("from-tag", "a")])?;
        }
        Ok(())
    }
}
