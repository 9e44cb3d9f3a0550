//! What the switch sends: whom it is for, whether it may be said, and where it ends up.

use super::callee::CalleePlan;
use super::directory::PARTIES;
use super::mischief;
use super::net::Parcel;
use super::scene::{self, Line, switch_socket};
use super::ua::{Packet, Part, Ua};
use super::world::{Side, World};
use crate::phone::message::{Message, Start, user};
use crate::switch::event::{Flow, Input, Output};
use std::net::SocketAddr;

impl World {
    /// Sends what the switch says, unless a meddler objects; whose it is.
    pub(super) fn send(&mut self, flow: &Flow, bytes: &mut Vec<u8>) -> Side {
        let call_id = Message::read(bytes).and_then(|m| m.field("Call-ID").map(str::to_owned));
        let intruder = mischief::is_intruder(flow.remote);
        let known = call_id
            .as_ref()
            .filter(|_| !intruder)
            .and_then(|id| self.by_call_id.get(id))
            .copied();
        let side = match known.map(|i| &self.uas[i].part) {
            Some(Part::Caller(_)) => Side::Caller,
            Some(Part::Callee(_)) => Side::Callee,
            None if bytes.starts_with(b"INVITE ") => Side::Callee,
            None => Side::Nobody,
        };
        if let Some(meddler) = self.meddler.take() {
            let pass = meddler(self, side, bytes);
            self.meddler = Some(meddler);
            if !pass {
                return side;
            }
        }
        let Some(message) = Message::read(bytes) else {
            // Garbage may have to be answered with garbage.
            if intruder {
                return side;
            }
            self.problems
                .push(format!("unreadable: {}", String::from_utf8_lossy(bytes)));
            return side;
        };
        let i = known.or_else(|| self.ring(&message, flow.remote));
        if !intruder {
            self.check_sent(i, flow, &message, bytes);
        }
        match self.line(flow.remote) {
            Line::Alive => {}
            Line::Swallows => return side,
            Line::Refuses => {
                self.unreachable.insert((self.now_us + 5_000, flow.remote));
                return side;
            }
        }
        let packet = Packet {
            from: flow.local,
            to: flow.remote,
            bytes: bytes.clone(),
        };
        let parcel = Parcel {
            ua: i,
            inbound: false,
            packet,
            message: Some(message),
        };
        self.net.send(parcel, self.now_us);
        side
    }

    fn line(&self, to: SocketAddr) -> Line {
        let targets = &self.scene.settings.trunks[0].targets;
        let i = targets.iter().position(|t| t.address == to);
        i.map_or(Line::Alive, |i| self.scene.lines[i])
    }

    /// A phone for an INVITE that is on its way.
    fn ring(&mut self, message: &Message, to: SocketAddr) -> Option<usize> {
        let Start::Request { method, uri } = &message.start else {
            return None;
        };
        if method != "INVITE" {
            return None;
        }
        let called = user(uri).unwrap_or_default().to_owned();
        let ends = |who: &u64| {
            let e164 = self.scene.directory.number(*who).e164();
            called.ends_with(&e164[3..])
        };
        let Some(who) = (0..PARTIES).find(ends) else {
            self.problems.push(format!("an INVITE to nobody: {uri}"));
            return None;
        };
        let plan = self.called_plan();
        let style = self.style(who);
        let net = match to.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[1],
            std::net::IpAddr::V6(_) => 0,
        };
        let mut ua = Ua::new(
            Part::Callee(Box::new(plan)),
            style.clone(),
            style.socket(net),
            switch_socket(),
        );
        ua.call_id = message.field("Call-ID").unwrap_or_default().to_owned();
        ua.dialled_us = self.now_us;
        let i = self.uas.len();
        self.by_call_id.insert(ua.call_id.clone(), i);
        self.uas.push(ua);
        self.ledger.dialled(self.now_us, to);
        if self.line(to) != Line::Alive {
            self.uas[i].gone = true;
            self.ledger.dead_end(self.now_us, to);
        }
        Some(i)
    }

    fn called_plan(&mut self) -> CalleePlan {
        self.called += 1;
        let given = self
            .scene
            .called
            .get(self.called - 1)
            .or(self.scene.called.last());
        match given {
            Some(plan) => plan.clone(),
            None => scene::callee(&mut self.rng.fork(self.called as u64)),
        }
    }

    fn check_sent(&mut self, i: Option<usize>, flow: &Flow, message: &Message, bytes: &[u8]) {
        if flow.local != switch_socket() {
            self.problems.push(format!("sent from {}", flow.local));
        }
        let own = i.map(|i| self.uas[i].style.number);
        for who in 0..PARTIES {
            let number = self.scene.directory.number(who);
            let digits = number.e164();
            let tail = &digits.as_bytes()[3..];
            if Some(number) != own && bytes.windows(tail.len()).any(|w| w == tail) {
                self.problems.push(format!(
                    "party {who}'s number in: {}",
                    String::from_utf8_lossy(bytes)
                ));
            }
        }
        if let Some(i) = i {
            let (ours, theirs) = (flow.remote.ip(), self.uas[i].socket.ip());
            if self.scene.settings.trunk_of(ours) != self.scene.settings.trunk_of(theirs) {
                self.problems
                    .push(format!("a message for {theirs} went to {ours}"));
            }
            self.ledger
                .said(i, message, self.now_us, &mut self.problems);
        }
    }
}

/// One line about an input.
pub(super) fn heading(input: &Input<'_>, message: Option<&Message>) -> String {
    match (input, message) {
        (Input::Received { flow, bytes, .. }, _) => {
            let call_id = message.and_then(|m| m.field("Call-ID"));
            let cseq = message.and_then(|m| m.field("CSeq"));
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().next().unwrap_or_default().to_owned();
            format!("{} {line} [{cseq:?} {call_id:?}]", flow.remote)
        }
        (other, _) => format!("{other:?}"),
    }
}

/// One line about an output.
pub(super) fn first_line(output: &Output) -> String {
    match output {
        Output::Send { flow, bytes } => {
            let message = Message::read(bytes);
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().next().unwrap_or_default().to_owned();
            let field = |name| {
                message
                    .as_ref()
                    .and_then(|m| m.field(name))
                    .unwrap_or_default()
            };
            format!(
                "{} {line} [{} {}]",
                flow.remote,
                field("CSeq"),
                field("Call-ID")
            )
        }
        Output::Live(live) => format!("live {:?}", live.status),
        Output::Record(record) => format!("record {:?} {:?}", record.cause, record.ended_by),
        other => format!("{other:?}"),
    }
}
