//! One shard: a switch and the loop that feeds it.
//!
//! The loop takes turns: datagrams, undeliverables, media events, wishes, timers, each up to a
//! named batch, so that none can starve another; when a whole turn found nothing it sleeps until
//! something comes. `handle` is called in line and its outputs are performed in order before the
//! next input is looked at. Nothing in the loop waits for the network or the disk.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::io::bucket::Bucket;
use crate::io::calls::Wishes;
use crate::io::clock::Clock;
use crate::io::contain::contain;
use crate::io::door::{Door, Knock};
use crate::io::metrics::Counters;
use crate::io::udp::{Endpoint, MAX_DATAGRAM, Received, Sent, Undeliverable};
use crate::sip::Transport;
use crate::switch::admission::Admission;
use crate::switch::event::{Flow, Input, Now, Output};
use crate::switch::media::{MediaCommand, MediaEvent};
use crate::switch::plan::Directory;
use crate::switch::record::{CallRecord, LiveCall};
use crate::switch::{self, Switch};

/// Datagrams read from one socket in a turn.
const DATAGRAMS_PER_TURN: usize = 64;
/// Entries read from one socket's error queue in a turn.
const ERRORS_PER_TURN: usize = 16;
/// Media events taken in a turn.
const EVENTS_PER_TURN: usize = 256;
/// Unreachable addresses remembered within a turn. They are distinct trunk targets, so the
/// bound is never met by an honest configuration; beyond it timer B or F speaks instead.
const MAX_UNREACHABLE: usize = 64;
/// Rest of the timers after a panic, so that one that panics each time cannot take the thread.
const TIMER_REST_US: u64 = 100_000;

/// Lines a second about a network that does not do what it should: peers can cause them.
const TROUBLE_LINES_PER_SEC: u32 = 1;

/// The state machine a shard runs. The switch; in tests of the loop, something simpler.
pub trait Machine {
    /// Takes one input and says what is to be done.
    fn handle(
        &mut self,
        input: Input<'_>,
        now: Now,
        directory: &dyn Directory,
        admission: &dyn Admission,
        out: &mut Vec<Output>,
    );
    /// When it wants `Input::Timeout`, on the monotonic clock (microseconds).
    fn next_timeout(&self) -> Option<u64>;
    /// Calls that are not finished, those included whose legs only linger.
    fn live_calls(&self) -> usize;
    /// How much it holds now.
    fn held(&self) -> switch::Held;
    /// What it counted since the start.
    fn counters(&self) -> switch::Counters;
}

impl Machine for Switch {
    fn handle(
        &mut self,
        input: Input<'_>,
        now: Now,
        directory: &dyn Directory,
        admission: &dyn Admission,
        out: &mut Vec<Output>,
    ) {
        Switch::handle(self, input, now, directory, admission, out);
    }

    fn next_timeout(&self) -> Option<u64> {
        Switch::next_timeout(self)
    }

    fn live_calls(&self) -> usize {
        Switch::live_calls(self)
    }

    fn held(&self) -> switch::Held {
        Switch::held(self)
    }

    fn counters(&self) -> switch::Counters {
        Switch::counters(self)
    }
}

/// What a shard acts on.
pub trait World {
    /// Where allocations are looked up.
    fn directory(&self) -> &dyn Directory;
    /// Who grants room.
    fn admission(&self) -> &dyn Admission;
    /// Queues a command for the media plane.
    fn media(&self, command: MediaCommand);
    /// A call began or changed.
    fn live(&self, call: LiveCall);
    /// A call ended.
    fn finished(&self, record: CallRecord);
    /// Calls that have begun and have no record yet.
    fn unrecorded(&self) -> usize;
}

/// What others may know of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Calls that have begun and have no record yet.
    pub unrecorded: usize,
    /// Calls that are not finished; after the record the last answers of a leg may be awaited.
    pub unfinished: usize,
    /// Whether new calls are refused.
    pub draining: bool,
    /// What its switch counted.
    pub counters: switch::Counters,
    /// What its switch holds.
    pub held: switch::Held,
}

/// What a shard is made of.
#[derive(Debug)]
pub struct Parts<M, W> {
    /// The switch.
    pub machine: M,
    /// What it acts on.
    pub world: W,
    /// Its sockets.
    pub endpoints: Vec<Endpoint>,
    /// Who may come in.
    pub door: Door,
    /// The process's clock.
    pub clock: Clock,
    /// What the media plane reports. The channel needs no bound of its own: every event answers
    /// a command of ours, at most one `Played` a `Play`, one `Silent` a `Bridge` and one `Closed`
    /// a pair, so no more can wait than a few for each port pair. None is ever lost.
    pub events: mpsc::UnboundedReceiver<MediaEvent>,
    /// What is asked of it.
    pub wishes: Arc<Wishes>,
    /// Where it tells how it is.
    pub status: watch::Sender<Status>,
    /// What it counts.
    pub counters: Arc<Counters>,
}

/// A shard at work.
#[derive(Debug)]
pub struct Shard<M, W> {
    parts: Parts<M, W>,
    out: Vec<Output>,
    buffer: Vec<u8>,
    unreachable: VecDeque<SocketAddr>,
    timers_rest_until_us: u64,
    draining: bool,
    trouble: Bucket,
}

impl<M: Machine, W: World> Shard<M, W> {
    /// A shard that has handled nothing yet.
    pub fn new(parts: Parts<M, W>) -> Shard<M, W> {
        Shard {
            parts,
            out: Vec::with_capacity(64),
            buffer: vec![0; MAX_DATAGRAM],
            unreachable: VecDeque::with_capacity(MAX_UNREACHABLE),
            timers_rest_until_us: 0,
            draining: false,
            trouble: Bucket::per_sec(TROUBLE_LINES_PER_SEC),
        }
    }

    /// Runs until it is asked to stop.
    pub async fn run(mut self) {
        loop {
            let mut found = self.read_sockets();
            found |= self.take_unreachable();
            found |= self.take_events();
            let asked = self.parts.wishes.take();
            if asked.stop {
                return;
            }
            self.draining |= asked.drain.is_some();
            for command in asked.commands() {
                found = true;
                self.handle(Input::Command(command));
            }
            found |= self.fire_timers();
            self.publish();
            if found {
                // Lets the runtime look at its sockets and clocks.
                tokio::task::yield_now().await;
            } else {
                self.sleep().await;
            }
        }
    }

    fn read_sockets(&mut self) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut found = false;
        for index in 0..self.parts.endpoints.len() {
            for _ in 0..DATAGRAMS_PER_TURN {
                let Some(endpoint) = self.parts.endpoints.get(index) else {
                    break;
                };
                let local = endpoint.local();
                match endpoint.receive(&mut buffer) {
                    Ok(Received::Datagram(length, from)) => {
                        found = true;
                        self.received(local, from, buffer.get(..length).unwrap_or_default());
                    }
                    Ok(Received::Empty) => break,
                    Err(error) => {
                        self.tell(format_args!("cannot read from udp:{local}: {error}"));
                        break;
                    }
                }
            }
            found |= self.read_errors(index);
        }
        self.buffer = buffer;
        found
    }

    fn read_errors(&mut self, index: usize) -> bool {
        let mut found = false;
        for _ in 0..ERRORS_PER_TURN {
            let Some(endpoint) = self.parts.endpoints.get(index) else {
                break;
            };
            match endpoint.undeliverable() {
                Ok(Undeliverable::To(peer)) => {
                    found = true;
                    self.note_unreachable(peer);
                }
                Ok(Undeliverable::Other) => found = true,
                Ok(Undeliverable::Empty) => break,
                Err(error) => {
                    let local = endpoint.local();
                    self.tell(format_args!(
                        "cannot read the error queue of udp:{local}: {error}"
                    ));
                    break;
                }
            }
        }
        found
    }

    fn received(&mut self, local: SocketAddr, from: SocketAddr, bytes: &[u8]) {
        let now = self.parts.clock.now();
        let flow = Flow {
            transport: Transport::Udp,
            local,
            remote: from,
            connection: 0,
            peer_name: None,
        };
        match self.parts.door.knock(from, bytes, now.mono_us) {
            Knock::Trunk(trunk) => {
                self.parts.counters.sip_in.add();
                trace_message("received from", from, bytes);
                self.handle_at(
                    Input::Received {
                        flow: &flow,
                        trunk,
                        bytes,
                    },
                    now,
                );
            }
            Knock::Stranger => {}
            Knock::Answer(bytes, remote) => self.send(&Flow { remote, ..flow }, &bytes),
        }
    }

    fn take_unreachable(&mut self) -> bool {
        let mut found = false;
        // What handling one brings up waits for the next turn.
        for _ in 0..self.unreachable.len() {
            let Some(remote) = self.unreachable.pop_front() else {
                break;
            };
            found = true;
            self.parts.counters.sip_undeliverable.add();
            self.tell(format_args!("udp:{remote} cannot be reached"));
            self.handle(Input::Undeliverable {
                remote,
                transport: Transport::Udp,
            });
        }
        found
    }

    fn take_events(&mut self) -> bool {
        let mut found = false;
        for _ in 0..EVENTS_PER_TURN {
            let Ok(event) = self.parts.events.try_recv() else {
                break;
            };
            found = true;
            self.handle(Input::Media(event));
        }
        found
    }

    fn fire_timers(&mut self) -> bool {
        let now = self.parts.clock.now();
        let due = self
            .next_timeout()
            .is_some_and(|at_us| at_us <= now.mono_us);
        if due {
            self.handle_at(Input::Timeout, now);
        }
        due
    }

    /// When the switch wants to be woken, put off while timers rest.
    fn next_timeout(&self) -> Option<u64> {
        self.parts
            .machine
            .next_timeout()
            .map(|at_us| at_us.max(self.timers_rest_until_us))
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = self.parts.clock.now();
        self.handle_at(input, now);
    }

    fn handle_at(&mut self, input: Input<'_>, now: Now) {
        let mut out = std::mem::take(&mut self.out);
        let parts = &mut self.parts;
        // A defect met in one message must not end every call. The switch's tables stay usable:
        // they are plain data, and a half-changed call is ended by its own timers at the latest.
        let outcome = contain(|| {
            let world = &parts.world;
            parts
                .machine
                .handle(input, now, world.directory(), world.admission(), &mut out);
        });
        if outcome.is_err() {
            self.parts.counters.panics.add();
            self.timers_rest_until_us = now.mono_us.saturating_add(TIMER_REST_US);
        }
        for output in out.drain(..) {
            self.perform(output);
        }
        self.out = out;
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Send { flow, bytes } => self.send(&flow, &bytes),
            Output::Media(command) => self.parts.world.media(command),
            Output::Live(call) => self.parts.world.live(*call),
            Output::Record(record) => {
                self.parts.counters.call_ended(record.call.status);
                self.parts.world.finished(*record);
            }
        }
    }

    fn send(&mut self, flow: &Flow, bytes: &[u8]) {
        let counters = &self.parts.counters;
        let endpoint = self
            .parts
            .endpoints
            .iter()
            .find(|e| e.local() == flow.local && flow.transport == Transport::Udp);
        let Some(endpoint) = endpoint else {
            counters.sip_refused.add();
            self.tell(format_args!(
                "no {} socket on {} to send from",
                flow.transport, flow.local
            ));
            return;
        };
        trace_message("sent to", flow.remote, bytes);
        match endpoint.send(bytes, flow.remote) {
            Sent::Taken => counters.sip_out.add(),
            Sent::Full => counters.sip_full.add(),
            Sent::Unreachable => self.note_unreachable(flow.remote),
            Sent::Refused(errno) => {
                counters.sip_refused.add();
                self.tell(format_args!(
                    "{} bytes to udp:{} were refused: {errno}",
                    bytes.len(),
                    flow.remote
                ));
            }
        }
    }

    /// Logs trouble with the network, as often as that may be; the counters miss nothing.
    fn tell(&self, what: std::fmt::Arguments<'_>) {
        if self.trouble.take(self.parts.clock.mono_us()) {
            tracing::warn!("{what}");
        }
    }

    /// RFC 3261 §18.4: whoever sent must hear of it, but in an input of its own.
    fn note_unreachable(&mut self, remote: SocketAddr) {
        if self.unreachable.len() < MAX_UNREACHABLE
            && !self.unreachable.contains(&remote)
            && self.parts.door.knows(remote.ip())
        {
            self.unreachable.push_back(remote);
        }
    }

    fn publish(&self) {
        let status = Status {
            unrecorded: self.parts.world.unrecorded(),
            unfinished: self.parts.machine.live_calls(),
            draining: self.draining,
            counters: self.parts.machine.counters(),
            held: self.parts.machine.held(),
        };
        self.parts.status.send_if_modified(|known| {
            let changed = *known != status;
            *known = status;
            changed
        });
    }

    async fn sleep(&mut self) {
        let deadline = self
            .next_timeout()
            .map(|at_us| self.parts.clock.instant_at(at_us).into());
        let parts = &mut self.parts;
        let event = tokio::select! {
            biased;
            () = any_woken(&parts.endpoints) => None,
            event = parts.events.recv(), if !parts.events.is_closed() => event,
            () = parts.wishes.asked() => None,
            () = sleep_until(deadline) => None,
        };
        if let Some(event) = event {
            self.handle(Input::Media(event));
        }
    }
}

/// Waits for whichever socket has something first.
async fn any_woken(endpoints: &[Endpoint]) {
    let mut waits: Vec<_> = endpoints.iter().map(|e| Box::pin(e.woken())).collect();
    std::future::poll_fn(|cx| {
        let ready = waits.iter_mut().any(|w| w.as_mut().poll(cx).is_ready());
        if ready {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn sleep_until(deadline: Option<tokio::time::Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Whole messages, numbers and all, are for `trace` alone (`telemetry` warns when it is on).
fn trace_message(what: &str, peer: SocketAddr, bytes: &[u8]) {
    tracing::trace!("{what} udp:{peer}\n{}", String::from_utf8_lossy(bytes));
}

#[cfg(test)]
#[path = "shard_tests.rs"]
mod tests;
