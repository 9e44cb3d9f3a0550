//! The world around one switch: a clock, phones, a network, a media plane, an administrator and
//! people who mean no good. It runs until nothing is left to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::callee::CalleePlan;
use super::coverage::{Coverage, View};
use super::judge::{Ledger, judge};
use super::mischief;
use super::net::{Net, Parcel};
use super::plane::{Due, Plane, Pool};
use super::rng::Rng;
use super::scene::{self, Action, Line, PARTIES, Scene, switch_socket};
use super::style::Style;
use super::ua::{Chore, Packet, Part, SECOND_US, Talk, Ua};
use crate::phone::message::{Message, Start, user};
use crate::sip::Transport;
use crate::switch::Switch;
use crate::switch::event::{Command, Flow, Input, Now, Output};
use crate::switch::leg::Role;

/// The longest a scene can last, in microseconds.
const END_US: u64 = 1_500 * SECOND_US;
/// Unix milliseconds at time 0.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// Whom an output concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Caller,
    Callee,
    Nobody,
}

/// One output of the switch.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Traced {
    pub at_us: u64,
    pub side: Side,
    pub output: Output,
}

/// Changes what the switch says before it leaves: a defect made on purpose.
pub(super) type Meddler = Box<dyn FnMut(&World, Side, &mut Vec<u8>) -> bool>;

/// What came of a run.
pub(super) struct Outcome {
    pub problems: Vec<String>,
    pub coverage: Coverage,
    pub trace: Vec<Traced>,
    pub ended_us: u64,
}

/// One run.
pub(super) struct World {
    pub now_us: u64,
    pub switch: Switch,
    pub scene: Scene,
    pub pool: Pool,
    pub plane: Plane,
    pub uas: Vec<Ua>,
    pub ledger: Ledger,
    pub coverage: Coverage,
    pub problems: Vec<String>,
    pub trace: Vec<Traced>,
    /// Whether to keep every output.
    pub tracing: bool,
    /// Whether to print what is delivered.
    pub talkative: bool,
    /// `false` from it: the message is lost on purpose.
    pub meddler: Option<Meddler>,
    net: Net,
    rng: Rng,
    restorer: Rng,
    by_call_id: BTreeMap<String, usize>,
    sides: BTreeMap<u32, Side>,
    called: usize,
    draining: bool,
    unreachable: BTreeSet<(u64, SocketAddr)>,
}

impl World {
    pub(super) fn new(scene: Scene) -> World {
        let rng = Rng::new(scene.seed);
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&scene.seed.to_be_bytes());
        let mut plane = Plane::new(rng.fork(2));
        (plane.mute, plane.silent) = (scene.mute, scene.silent);
        let mut world = World {
            now_us: SECOND_US,
            switch: Switch::new(scene.settings.clone(), seed),
            pool: Pool::new(scene.slots, scene.most_calls, scene.most_announcements),
            plane,
            uas: Vec::new(),
            ledger: Ledger::default(),
            coverage: Coverage::default(),
            problems: Vec::new(),
            trace: Vec::new(),
            tracing: false,
            talkative: false,
            meddler: None,
            net: Net::new(scene.weather, rng.fork(3)),
            rng: rng.fork(4),
            restorer: rng.fork(5),
            by_call_id: BTreeMap::new(),
            sides: BTreeMap::new(),
            called: 0,
            draining: false,
            unreachable: BTreeSet::new(),
            scene,
        };
        for calling in world.scene.calling.clone() {
            let net = if calling.who >= 5 { 2 } else { 1 };
            let style = world.style(calling.who);
            let socket = style.socket(net);
            let mut ua = Ua::new(
                Part::Caller(Box::new(calling.plan)),
                style,
                socket,
                switch_socket(),
            );
            ua.plan(world.now_us + calling.at_us, Chore::Invite);
            world.uas.push(ua);
        }
        let mut actions = std::mem::take(&mut world.scene.actions);
        actions.iter_mut().for_each(|a| a.0 += world.now_us);
        actions.sort_by_key(|a| a.0);
        world.scene.actions = actions;
        world
    }

    /// Runs to the end and judges.
    pub(super) fn run(mut self) -> Outcome {
        while let Some(at_us) = self.next_us() {
            if at_us > END_US {
                self.problems.push("it never ends".to_owned());
                break;
            }
            self.now_us = self.now_us.max(at_us);
            self.step();
            if self.scene.restore > 0 && self.restorer.chance(self.scene.restore) {
                restore(&mut self.switch);
            }
        }
        let mut problems = std::mem::take(&mut self.problems);
        problems.extend(judge(&self));
        Outcome {
            problems,
            coverage: self.coverage,
            trace: self.trace,
            ended_us: self.now_us,
        }
    }

    fn style(&self, who: u64) -> Style {
        let seed = self.scene.seed.wrapping_mul(1_000_003) + self.uas.len() as u64;
        Style::new(seed, who, self.scene.directory.flavour(who))
    }

    fn next_us(&self) -> Option<u64> {
        let phones = self.uas.iter().filter_map(Ua::next_us).min();
        let others = [
            self.net.next_us(),
            self.plane.next_us(),
            self.switch.next_timeout(),
            self.scene.actions.first().map(|a| a.0),
            self.unreachable.first().map(|u| u.0),
        ];
        others.into_iter().flatten().chain(phones).min()
    }

    fn step(&mut self) {
        let now = self.now_us;
        let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
        if due(self.net.next_us()) {
            let parcel = self.net.take().unwrap();
            self.deliver(parcel);
        } else if due(self.plane.next_us()) {
            match self.plane.take().unwrap() {
                Due::Event(event) => self.feed(Input::Media(event), None),
                Due::Rested(slot) => self.pool.give_back(slot),
            }
        } else if due(self.switch.next_timeout()) {
            self.feed(Input::Timeout, None);
        } else if due(self.scene.actions.first().map(|a| a.0)) {
            let (_, action) = self.scene.actions.remove(0);
            self.act(action);
        } else if due(self.unreachable.first().map(|u| u.0)) {
            let (_, remote) = self.unreachable.pop_first().unwrap();
            self.feed(
                Input::Undeliverable {
                    remote,
                    transport: Transport::Udp,
                },
                None,
            );
        } else {
            for i in 0..self.uas.len() {
                self.uas[i].wake(now);
                self.collect(i);
            }
        }
    }

    /// Takes what a phone has written.
    fn collect(&mut self, i: usize) {
        let ua = &mut self.uas[i];
        if !ua.call_id.is_empty() {
            self.by_call_id.entry(ua.call_id.clone()).or_insert(i);
        }
        for packet in std::mem::take(&mut ua.out) {
            let message = Message::read(&packet.bytes);
            let parcel = Parcel {
                ua: Some(i),
                inbound: true,
                packet,
                message,
            };
            self.net.send(parcel, self.now_us);
        }
    }

    fn deliver(&mut self, parcel: Parcel) {
        if parcel.inbound {
            self.ledger_note(&parcel);
            let refused = self.pool.refused();
            self.feed_packet(&parcel.packet, parcel.message.as_ref());
            if let Some(i) = parcel.ua.filter(|_| self.pool.refused() > refused) {
                self.ledger.refused(i);
            }
            return;
        }
        let (Some(i), Some(message)) = (parcel.ua, parcel.message) else {
            return;
        };
        let ua = &mut self.uas[i];
        if ua.invite.is_none() && matches!(ua.part, Part::Callee(_)) {
            ua.take(&message, self.now_us);
        } else {
            ua.receive(&message, self.now_us);
        }
        self.collect(i);
    }

    fn ledger_note(&mut self, parcel: &Parcel) {
        let Some(i) = parcel.ua else { return };
        let ua = &self.uas[i];
        let is_invite = parcel
            .message
            .as_ref()
            .is_some_and(|m| m.method() == Some("INVITE") && m.to_tag().is_none());
        if let Part::Caller(plan) = &ua.part
            && is_invite
        {
            let known = self.scene.directory.has(plan.dials);
            self.ledger.arrived(i, plan.flaw, known && !self.draining);
        }
    }

    fn feed_packet(&mut self, packet: &Packet, message: Option<&Message>) {
        let Some(trunk) = self.scene.settings.trunk_of(packet.from.ip()) else {
            return;
        };
        let flow = Flow {
            transport: Transport::Udp,
            local: switch_socket(),
            remote: packet.from,
            connection: 0,
            peer_name: None,
        };
        self.feed(
            Input::Received {
                flow: &flow,
                trunk,
                bytes: &packet.bytes,
            },
            message,
        );
    }

    fn feed(&mut self, input: Input<'_>, message: Option<&Message>) {
        if self.talkative {
            println!("{:>11} {}", self.now_us, heading(&input, message));
        }
        let views = self.views();
        self.coverage
            .note(&self.switch, &views, &input, message, self.now_us);
        let now = Now {
            mono_us: self.now_us,
            wall_ms: EPOCH_MS + self.now_us / 1_000,
        };
        let mut out = Vec::new();
        self.switch
            .handle(input, now, &self.scene.directory, &self.pool, &mut out);
        for output in out {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        let side = match &output {
            Output::Send { flow, bytes } => self.send(flow, bytes.clone()),
            Output::Media(command) => {
                self.plane.perform(command, self.now_us);
                self.media_side(command)
            }
            Output::Live(live) => {
                self.ledger.live(live);
                Side::Nobody
            }
            Output::Record(record) => {
                self.ledger.record(record);
                Side::Nobody
            }
        };
        if self.talkative {
            println!("            -> {side:?} {}", first_line(&output));
        }
        if self.tracing {
            self.trace.push(Traced {
                at_us: self.now_us,
                side,
                output,
            });
        }
    }

    fn media_side(&mut self, command: &crate::switch::media::MediaCommand) -> Side {
        use crate::switch::media::MediaCommand as M;
        let (M::Open { slot, .. }
        | M::Remote { slot, .. }
        | M::Unbridge { slot }
        | M::Play { slot, .. }
        | M::Stop { slot }
        | M::Close { slot }
        | M::Bridge { a: slot, .. }) = command;
        if let Some(leg) = self.switch.core.slots.get(slot) {
            let side = if leg.leg == 0 {
                Side::Caller
            } else {
                Side::Callee
            };
            self.sides.insert(*slot, side);
        }
        match command {
            M::Bridge { .. } => Side::Nobody,
            _ => self.sides.get(slot).copied().unwrap_or(Side::Nobody),
        }
    }

    fn send(&mut self, flow: &Flow, mut bytes: Vec<u8>) -> Side {
        let call_id = Message::read(&bytes).and_then(|m| m.field("Call-ID").map(str::to_owned));
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
        if let Some(mut meddler) = self.meddler.take() {
            let pass = meddler(self, side, &mut bytes);
            self.meddler = Some(meddler);
            if !pass {
                return side;
            }
        }
        let Some(message) = Message::read(&bytes) else {
            // Garbage may have to be answered with garbage.
            if intruder {
                return side;
            }
            self.problems
                .push(format!("unreadable: {}", String::from_utf8_lossy(&bytes)));
            return side;
        };
        let i = known.or_else(|| self.ring(&message, flow.remote));
        if !intruder {
            self.check_sent(i, flow, &message, &bytes);
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
            bytes,
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
        let i = self.uas.len();
        self.by_call_id.insert(ua.call_id.clone(), i);
        self.uas.push(ua);
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
            let tail = digits[3..].as_bytes();
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

    fn act(&mut self, action: Action) {
        match action {
            Action::Hangup => {
                let newest = self.switch.calls.keys().max().copied();
                let call = newest
                    .and_then(|key| self.switch.calls.get(&key))
                    .map(|call| call.live.sid);
                if let Some(call) = call {
                    self.feed(Input::Command(Command::Hangup { call }), None);
                }
            }
            Action::Drain => {
                self.draining = true;
                self.feed(
                    Input::Command(Command::Drain {
                        retry_after_secs: 30,
                    }),
                    None,
                );
            }
            Action::EndAll => self.feed(Input::Command(Command::EndAll), None),
            Action::Garbage(seed) => {
                let bytes = mischief::garbage(seed);
                let from = mischief::intruder(1);
                self.feed_packet(
                    &Packet {
                        from,
                        to: switch_socket(),
                        bytes,
                    },
                    None,
                );
            }
            Action::Options | Action::Unknown => {
                let method = if action == Action::Options {
                    "OPTIONS"
                } else {
                    "FROB"
                };
                let packet = mischief::out_of_dialog(method, self.now_us);
                self.feed_packet(&packet, None);
            }
            Action::ThirdParty(what) => self.third_party(what),
            Action::Stray => {
                let packet = mischief::stray(self.now_us);
                self.strictly(&packet, None);
            }
        }
    }

    /// Somebody behind the other trunk knows everything about a call and says `what`.
    fn third_party(&mut self, what: &str) {
        let alive = |ua: &&Ua| {
            ua.invite.is_some() && ua.dialogs.first().is_some_and(|d| d.talk != Talk::Over)
        };
        let count = self.uas.iter().filter(alive).count() as u64;
        if count == 0 {
            return;
        }
        let nth = self.rng.below(count) as usize;
        let Some(ua) = self.uas.iter().filter(alive).nth(nth) else {
            return;
        };
        let other = if self.scene.settings.trunk_of(ua.socket.ip()) == Some(0) {
            2
        } else {
            1
        };
        let from = mischief::intruder(other);
        let packet = mischief::forge(ua, what, from);
        self.strictly(&packet, Some(from));
    }

    /// A message that must have no effect but an answer to its sender.
    fn strictly(&mut self, packet: &Packet, answer_to: Option<SocketAddr>) {
        let (before, tracing) = (self.trace.len(), self.tracing);
        self.tracing = true;
        let views = self.views();
        self.feed_packet(packet, None);
        self.tracing = tracing;
        let after = self.views();
        let states = |views: &[View]| {
            views
                .iter()
                .map(|v| (v.call, v.leg, v.state))
                .collect::<Vec<_>>()
        };
        let allowed = |traced: &Traced| matches!(&traced.output, Output::Send { flow, .. } if Some(flow.remote) == answer_to);
        let wrong =
            self.trace[before..].iter().any(|t| !allowed(t)) || states(&views) != states(&after);
        if wrong {
            self.problems.push(format!(
                "a stranger had an effect with {}",
                String::from_utf8_lossy(&packet.bytes)
            ));
        }
        if !tracing {
            self.trace.truncate(before);
        }
    }

    pub(super) fn views(&self) -> Vec<View> {
        let mut views: Vec<View> = self
            .switch
            .calls
            .values()
            .flat_map(|call| {
                call.legs.iter().map(|leg| View {
                    call: leg.id.call,
                    leg: leg.id.leg,
                    caller: matches!(leg.role, Role::Uas(_)),
                    state: leg.state,
                    call_id: leg.dialog.call_id.clone(),
                })
            })
            .collect();
        views.sort_by_key(|v| (v.call, v.leg));
        views
    }
}

fn heading(input: &Input<'_>, message: Option<&Message>) -> String {
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

fn first_line(output: &Output) -> String {
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

/// All calls and transactions as plain data and back: what a hand-over would do.
fn restore(switch: &mut Switch) {
    for call in switch.calls.values_mut() {
        let text = serde_json::to_string(&**call).unwrap();
        **call = serde_json::from_str(&text).unwrap();
    }
    switch.core.transactions.reserialise();
}
