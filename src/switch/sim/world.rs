//! The world around one switch: a clock, phones, a network, a media plane, an administrator and
//! people who mean no good. It runs until nothing is left to happen.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::coverage::{Coverage, View};
use super::judge::{Ledger, judge};
use super::net::{Net, Parcel};
use super::plane::{Due, Plane, Pool};
use super::rng::Rng;
use super::scene::{Scene, switch_socket};
use super::style::Style;
use super::ua::{Chore, Packet, Part, SECOND_US, Ua};
use super::wire::{first_line, heading};
use crate::phone::message::Message;
use crate::sip::Transport;
use crate::switch::Switch;
use crate::switch::event::{Flow, Input, Now, Output};
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
pub(super) type Meddler = Box<dyn Fn(&World, Side, &mut Vec<u8>) -> bool>;

/// What came of a run.
pub(super) struct Outcome {
    pub problems: Vec<String>,
    pub coverage: Coverage,
    pub trace: Vec<Traced>,
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
    /// The latest message of each side.
    pub heard: BTreeMap<Side, Message>,
    pub(super) net: Net,
    pub(super) rng: Rng,
    restorer: Rng,
    pub(super) by_call_id: BTreeMap<String, usize>,
    sides: BTreeMap<u32, Side>,
    pub(super) called: usize,
    pub(super) draining: bool,
    pub(super) unreachable: BTreeSet<(u64, SocketAddr)>,
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
            switch: Switch::shard(scene.settings.clone(), seed, scene.shard.0, scene.shard.1),
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
            heard: BTreeMap::new(),
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
        }
    }

    pub(super) fn style(&self, who: u64) -> Style {
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
            if let Some(i) = parcel.ua {
                self.uas[i].reached_us.get_or_insert(self.now_us);
            }
            self.hear(&parcel);
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

    fn hear(&mut self, parcel: &Parcel) {
        let (Some(i), Some(message)) = (parcel.ua, &parcel.message) else {
            return;
        };
        let side = match self.uas[i].part {
            Part::Caller(_) => Side::Caller,
            Part::Callee(_) => Side::Callee,
        };
        self.heard.insert(side, message.clone());
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

    pub(super) fn feed_packet(&mut self, packet: &Packet, message: Option<&Message>) {
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

    pub(super) fn feed(&mut self, input: Input<'_>, message: Option<&Message>) {
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

    fn perform(&mut self, mut output: Output) {
        if self.talkative {
            println!("            -> {}", first_line(&output));
        }
        let side = match &mut output {
            Output::Send { flow, bytes } => self.send(flow, bytes),
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

/// All calls and transactions as plain data and back: what a hand-over would do.
fn restore(switch: &mut Switch) {
    for call in switch.calls.values_mut() {
        let text = serde_json::to_string(&**call).unwrap();
        **call = serde_json::from_str(&text).unwrap();
    }
    switch.core.transactions.reserialise();
}
