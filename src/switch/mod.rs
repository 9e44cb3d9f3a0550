//! The switch: calls, legs, dialogs and transactions as one pure state machine.
//!
//! `handle` takes one input and appends what the shell must do to `out`; nothing in it waits.
//! Time, randomness, allocations, limits and ports are arguments.

pub mod admission;
mod announce;
mod bridge;
mod call;
#[cfg(test)]
mod containment_tests;
mod cx;
mod dialog;
pub mod event;
mod guard;
mod identity;
mod ids;
mod inbound;
mod leg;
mod mask;
pub mod media;
pub mod plan;
mod receive;
pub mod record;
mod router;
pub mod settings;
#[cfg(test)]
mod sim;
mod timers;
mod trail;
mod transaction;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::sid::Sid;
use admission::Admission;
use call::Call;
use cx::{Core, Cx};
pub use cx::{Counters, Held};
use event::{Command, Flow, Input, Now, Output};
use ids::{Mint, Table};
use media::MediaEvent;
use plan::Directory;
use record::{Cause, EndedBy};
pub use router::Router;
use settings::Settings;
use timers::{Owner, Timer, TimerQueue};
use trail::Cue;
use transaction::Lapse;

/// One shard of the switch.
#[derive(Debug)]
pub struct Switch {
    core: Core,
    calls: Table<u64, Box<Call>>,
    last_call: u64,
    drain: Option<u32>,
    /// The call that the present input is about: the one a panic costs.
    current: Option<u64>,
    /// What the present input is, for the log.
    cue: Cue,
}

impl Switch {
    /// The only shard. `seed` is secret and random.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Switch {
        Switch::shard(settings, seed, 0, 1)
    }

    /// One of several shards that share a seed; `shard` < `shards`.
    pub fn shard(settings: Settings, seed: [u8; 32], shard: u16, shards: u16) -> Switch {
        let core = Core {
            settings,
            mint: Mint::new(seed, shard, shards),
            timers: TimerQueue::default(),
            transactions: transaction::Transactions::default(),
            dialogs: Table::default(),
            slots: Table::default(),
            busy: std::collections::BTreeMap::new(),
            counters: Counters::default(),
        };
        let calls = Table::default();
        Switch {
            core,
            calls,
            last_call: 0,
            drain: None,
            current: None,
            cue: Cue::Command,
        }
    }

    /// When `Input::Timeout` is due next, in `Now::mono_us`.
    pub fn next_timeout(&self) -> Option<u64> {
        self.core.timers.next()
    }

    /// Calls that are not finished, the lingering ones included.
    pub fn live_calls(&self) -> usize {
        self.calls.len()
    }

    /// Whether nothing is left: no call, no transaction, no timer.
    pub fn is_idle(&self) -> bool {
        self.calls.is_empty()
            && self.core.transactions.is_empty()
            && self.core.timers.is_empty()
            && self.core.dialogs.is_empty()
            && self.core.slots.is_empty()
            && self.core.busy.is_empty()
    }

    /// What it holds: all zero when nothing is left of any call.
    pub fn held(&self) -> Held {
        Held {
            calls: self.calls.len(),
            dialogs: self.core.dialogs.len(),
            transactions: self.core.transactions.len(),
            timers: self.core.timers.len(),
        }
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        self.core.counters
    }

    /// Handles one input. Outputs are to be performed in order.
    pub fn handle(
        &mut self,
        input: Input<'_>,
        now: Now,
        directory: &dyn Directory,
        admission: &dyn Admission,
        out: &mut Vec<Output>,
    ) {
        let world = &mut World {
            now,
            directory,
            admission,
            out,
        };
        match input {
            Input::Received { flow, trunk, bytes } => {
                self.contained(world, |switch, world| {
                    switch.received(flow, trunk, bytes, world);
                });
            }
            Input::Undeliverable { remote, transport } => {
                let hit = |flow: &Flow| flow.remote == remote && flow.transport == transport;
                let (transactions, _, mut fx) = world.cx(&mut self.core).into_transactions();
                for lapse in transactions.undeliverable(hit, &mut fx) {
                    self.contained(world, |switch, world| switch.lapsed(lapse, world));
                }
            }
            Input::Timeout => {
                while let Some((owner, timer)) = self.core.timers.pop_due(now.mono_us) {
                    self.contained(world, |switch, world| switch.fire(owner, timer, world));
                }
            }
            Input::Media(event) => {
                self.contained(world, |switch, world| switch.media(event, world));
            }
            Input::Command(command) => self.command(command, world),
        }
    }

    /// One call's share of an input. A panic in it costs that call alone: what it had said so
    /// far is taken back, the call is taken out of every table, and its record is written.
    fn contained(&mut self, world: &mut World<'_>, act: impl FnOnce(&mut Switch, &mut World<'_>)) {
        let before = world.out.len();
        self.current = None;
        if catch_unwind(AssertUnwindSafe(|| act(self, world))).is_err() {
            world.out.truncate(before);
            self.core.counters.panics += 1;
            tracing::error!("a defect ended one call; please report it with the lines above");
            if let Some(mut call) = self.current.and_then(|key| self.calls.remove(&key)) {
                call.condemn(&mut world.cx(&mut self.core));
            }
        }
    }

    fn lapsed(&mut self, lapse: Lapse, world: &mut World<'_>) {
        let Lapse { tx, owner, how } = lapse;
        self.cue = Cue::Unanswered(how);
        self.with_call(owner.call, world, |call, cx| {
            let Some(leg) = call.legs.get_mut(usize::from(owner.leg)) else {
                return;
            };
            if let Some(event) = leg.unanswered(tx, how, cx) {
                call.heard(owner.leg, event, cx);
            }
        });
    }

    fn fire(&mut self, owner: Owner, timer: Timer, world: &mut World<'_>) {
        self.cue = Cue::Timer(timer);
        match owner {
            Owner::Transaction(tx) => {
                let lapse = {
                    let (transactions, _, mut fx) = world.cx(&mut self.core).into_transactions();
                    transactions.fire(tx, timer, &mut fx)
                };
                if let Some(lapse) = lapse {
                    self.lapsed(lapse, world);
                }
            }
            Owner::Leg(key, index) => self.with_call(key, world, |call, cx| {
                let Some(leg) = call.legs.get_mut(usize::from(index)) else {
                    return;
                };
                if let Some(event) = leg.fire(timer, cx) {
                    call.heard(index, event, cx);
                }
            }),
            Owner::Call(key) => self.with_call(key, world, |call, cx| call.fire(timer, cx)),
        }
    }

    fn media(&mut self, event: MediaEvent, world: &mut World<'_>) {
        let (MediaEvent::Played { slot, .. }
        | MediaEvent::Silent { slot }
        | MediaEvent::Closed { slot, .. }) = event;
        let Some(id) = self.core.slots.get(&slot).copied() else {
            return;
        };
        self.cue = Cue::Media;
        self.with_call(id.call, world, |call, cx| match event {
            MediaEvent::Played { id, .. } => call.played(id, cx),
            MediaEvent::Silent { .. } => call.end(EndedBy::System, Cause::MediaTimeout, cx),
            MediaEvent::Closed { stats, .. } => call.media_closed(id.leg, stats, cx),
        });
    }

    fn command(&mut self, command: Command, world: &mut World<'_>) {
        let (keys, by, cause) = match command {
            Command::Drain { retry_after_secs } => {
                self.drain = Some(retry_after_secs);
                return;
            }
            Command::Hangup { call } => {
                let keys = self.key_of(call).into_iter().collect();
                (keys, EndedBy::Admin, Cause::AdminHangup)
            }
            Command::EndAll => {
                let mut keys: Vec<u64> = self.calls.keys().copied().collect();
                // A table has no order of its own; the wire is to have one.
                keys.sort_unstable();
                (keys, EndedBy::System, Cause::Shutdown)
            }
        };
        self.cue = Cue::Command;
        for key in keys {
            self.contained(world, |switch, world| {
                switch.with_call(key, world, |call, cx| call.end(by, cause, cx));
            });
        }
    }

    fn key_of(&self, sid: Sid) -> Option<u64> {
        self.calls
            .iter()
            .find(|(_, call)| call.live.sid == sid)
            .map(|(key, _)| *key)
    }

    fn with_call(
        &mut self,
        key: u64,
        world: &mut World<'_>,
        act: impl FnOnce(&mut Call, &mut Cx<'_>),
    ) {
        self.current = Some(key);
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let before = trail::states(call);
        act(call, &mut world.cx(&mut self.core));
        trail::tell(call, before.as_deref(), self.cue);
        if call.is_finished() {
            self.calls.remove(&key);
        }
    }
}

/// What `handle` was given.
struct World<'a> {
    now: Now,
    directory: &'a dyn Directory,
    admission: &'a dyn Admission,
    out: &'a mut Vec<Output>,
}

impl World<'_> {
    fn cx<'b>(&'b mut self, core: &'b mut Core) -> Cx<'b> {
        Cx {
            core,
            now: self.now,
            admission: self.admission,
            out: self.out,
        }
    }
}
