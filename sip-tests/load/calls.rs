//! Caller and callee of every call, in one thread: calls begin by the clock, whether or not the
//! server keeps up, and each is judged by what both ends received.
//!
//! The generator never sends anything twice, so a lost datagram fails its call; what the server
//! sends again is answered again and counted.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddrV4;
use std::time::Duration;

use crate::failure::Outcome;
use crate::numbers::{CALLEE_MARK, Slot};
use crate::random::hex;
use crate::sip::{Answer, Names, Scan, is_masked, session};
use crate::wire::{Arrived, Outbox, Wire, now_ns, wait};

/// How long what is under way may take to end once no call is begun any more.
const PATIENCE: Duration = Duration::from_secs(3);
/// Longest wait between two looks at the clock.
const NAP: Duration = Duration::from_millis(20);
/// The callee's Contact and tag, up to the slot.
const CALLEE_CONTACT: &[u8] = b"sip:b";
/// Call-IDs, up to the serial number, which stands behind the run.
const CALL_ID: &str = "load-";

/// How calls are made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// New calls a second.
    pub(crate) rate: f64,
    /// Calls in all.
    pub(crate) calls: usize,
    /// How long a call is held before the caller hangs up; `None` until [`Calls::release`].
    pub(crate) hold: Option<Duration>,
    /// Slots to take numbers from, one after the other with this stride.
    pub(crate) slots: usize,
    /// Distance between the slots of successive calls; coprime to `slots`.
    pub(crate) stride: usize,
}

/// Addresses of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// Where the caller sends, and whom it hears.
    pub(crate) caller_peer: SocketAddrV4,
    /// Whom the callee hears.
    pub(crate) callee_peer: SocketAddrV4,
    /// The caller's audio.
    pub(crate) caller_audio: SocketAddrV4,
    /// The callee's audio.
    pub(crate) callee_audio: SocketAddrV4,
    /// Whether the caller dials the callee's own number instead of the ExoPhone.
    pub(crate) bare: bool,
}

/// The two signalling ends.
pub(crate) struct Ends {
    /// The caller's socket.
    pub(crate) caller: Wire,
    /// The callee's.
    pub(crate) callee: Wire,
}

/// One call.
#[derive(Debug, Default)]
pub(crate) struct Call {
    slot: usize,
    invited_ns: u64,
    arrived_ns: u64,
    answered_ns: u64,
    /// The BYE to be sent.
    bye: Vec<u8>,
    seen: Seen,
    /// Where the server wants the caller's audio.
    pub(crate) caller_audio: Option<SocketAddrV4>,
    /// Where it wants the callee's.
    pub(crate) callee_audio: Option<SocketAddrV4>,
}

/// What was seen of a call.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    masked: bool,
    new_sdp_callee: bool,
    new_sdp_caller: bool,
    ack: bool,
    bye: bool,
    over: bool,
    refused: bool,
}

impl Call {
    fn is_complete(&self) -> bool {
        self.seen.over && self.seen.ack && self.seen.bye
    }
}

/// What came of a run.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    /// Calls begun.
    pub(crate) begun: usize,
    /// Calls set up, acknowledged at the callee, ended by BYE at the callee and 200 at the caller.
    pub(crate) completed: usize,
    /// Calls whose INVITE reached the callee with the ExoPhone as caller and the caller's number
    /// nowhere.
    pub(crate) masked: usize,
    /// Calls in which both ends were given an audio address that is not the other end's.
    pub(crate) new_sdp: usize,
    /// Calls whose ACK reached the callee.
    pub(crate) acknowledged: usize,
    /// Refusals by code.
    pub(crate) refusals: BTreeMap<u16, usize>,
    /// Messages that fitted nothing, or came again.
    pub(crate) surplus: u64,
    /// INVITE sent to INVITE arrived, kernel stamp, in nanoseconds.
    pub(crate) in_out_ns: Vec<u64>,
    /// INVITE sent to 200 arrived at the caller, in nanoseconds.
    pub(crate) set_up_ns: Vec<u64>,
    /// Longest delay of a call's begin: how far the generator itself fell behind.
    pub(crate) behind_ns: u64,
    /// From the first INVITE to the last begin.
    pub(crate) offered_ns: u64,
}

/// Calls of one run.
pub(crate) struct Calls<'a> {
    ends: &'a mut Ends,
    state: State,
    plan: Plan,
}

struct State {
    names: Names,
    addresses: Addresses,
    calls: Vec<Call>,
    /// Which call uses a slot.
    users: Vec<Option<usize>>,
    byes: VecDeque<(u64, usize)>,
    hold_ns: Option<u64>,
    open: usize,
    mark: Vec<u8>,
    result: Tally,
}

impl<'a> Calls<'a> {
    /// Joins the ends to the server.
    pub(crate) fn new(ends: &'a mut Ends, addresses: Addresses, plan: Plan) -> Outcome<Calls<'a>> {
        ends.caller.connect(addresses.caller_peer)?;
        ends.callee.connect(addresses.callee_peer)?;
        let run = hex(4)?;
        let names = Names {
            caller: ends.caller.local().to_string(),
            callee: ends.callee.local().to_string(),
            server: addresses.caller_peer.to_string(),
            offer: session(addresses.caller_audio),
            answer: session(addresses.callee_audio),
            bare: addresses.bare,
            run: run.clone(),
        };
        let mut result = Tally::default();
        result.in_out_ns.reserve(plan.calls);
        result.set_up_ns.reserve(plan.calls);
        let state = State {
            names,
            addresses,
            calls: Vec::with_capacity(plan.calls),
            users: vec![None; plan.slots],
            byes: VecDeque::new(),
            hold_ns: plan.hold.map(|h| h.as_nanos() as u64),
            open: 0,
            mark: format!("{CALL_ID}{run}-").into_bytes(),
            result,
        };
        Ok(Calls { ends, state, plan })
    }

    /// Begins all calls by the clock and waits until each has ended, or is held.
    pub(crate) fn run(&mut self) {
        let start = now_ns();
        let step = 1e9 / self.plan.rate;
        let due = |index: usize| start + (index as f64 * step) as u64;
        let mut next = 0;
        let mut slot = 0;
        let mut deadline = u64::MAX;
        loop {
            let now = now_ns();
            while next < self.plan.calls && due(next) <= now {
                slot = (slot + self.plan.stride) % self.plan.slots;
                self.state.begin(next, slot, &mut self.ends.caller.tx);
                let behind = now_ns().saturating_sub(due(next));
                self.state.result.behind_ns = self.state.result.behind_ns.max(behind);
                next += 1;
                if next == self.plan.calls {
                    self.state.result.offered_ns = now_ns() - start;
                    deadline = now_ns()
                        + (self.plan.hold.unwrap_or_default() + PATIENCE).as_nanos() as u64;
                }
            }
            let found = self.turn(now);
            if next == self.plan.calls && (self.is_settled() || now > deadline) {
                return;
            }
            if !found {
                self.rest(if next < self.plan.calls {
                    due(next)
                } else {
                    u64::MAX
                });
            }
        }
    }

    /// Hangs up all held calls at the plan's rate and waits until they have ended.
    pub(crate) fn release(&mut self) {
        let step = 1e9 / self.plan.rate;
        let start = now_ns();
        let held: Vec<usize> = (0..self.state.calls.len())
            .filter(|i| self.state.calls.get(*i).is_some_and(|c| !c.bye.is_empty()))
            .collect();
        for (place, index) in held.iter().enumerate() {
            let at = start + (place as f64 * step) as u64;
            self.state.byes.push_back((at, *index));
        }
        self.state.hold_ns = Some(0);
        let deadline = start + (held.len() as f64 * step) as u64 + PATIENCE.as_nanos() as u64;
        loop {
            let now = now_ns();
            let found = self.turn(now);
            if self.is_settled() || now > deadline {
                return;
            }
            if !found {
                self.rest(u64::MAX);
            }
        }
    }

    /// The calls.
    pub(crate) fn calls(&self) -> &[Call] {
        &self.state.calls
    }

    /// Calls that are up: answered, acknowledged at the callee, not hung up.
    pub(crate) fn held(&self) -> usize {
        let up = |c: &&Call| !c.bye.is_empty() && c.seen.ack && !c.seen.over;
        self.state.calls.iter().filter(up).count()
    }

    /// What came of it.
    pub(crate) fn finish(mut self) -> Tally {
        let result = &mut self.state.result;
        result.begun = self.state.calls.len();
        for call in &self.state.calls {
            result.completed += usize::from(call.is_complete());
            result.masked += usize::from(call.seen.masked);
            result.new_sdp += usize::from(call.seen.new_sdp_caller && call.seen.new_sdp_callee);
            result.acknowledged += usize::from(call.seen.ack);
            if call.arrived_ns > 0 {
                result
                    .in_out_ns
                    .push(call.arrived_ns.saturating_sub(call.invited_ns));
            }
            if call.answered_ns > 0 {
                result
                    .set_up_ns
                    .push(call.answered_ns.saturating_sub(call.invited_ns));
            }
        }
        std::mem::take(result)
    }

    fn is_settled(&self) -> bool {
        let state = &self.state;
        match state.hold_ns {
            Some(_) => state.open == 0,
            None => state
                .calls
                .iter()
                .all(|c| c.seen.refused || (c.seen.ack && !c.bye.is_empty())),
        }
    }

    /// Sends the BYEs that are due and takes what has come; whether anything had.
    fn turn(&mut self, now: u64) -> bool {
        let (state, ends) = (&mut self.state, &mut *self.ends);
        while let Some((_, index)) = state.byes.front().copied().filter(|(at, _)| *at <= now) {
            state.byes.pop_front();
            state.hang_up(index, &mut ends.caller.tx);
        }
        ends.caller.tx.flush();
        let (tx, rx) = (&mut ends.callee.tx, &mut ends.callee.rx);
        let mut found = rx.receive(|message| state.callee(&message, tx));
        tx.flush();
        let (tx, rx) = (&mut ends.caller.tx, &mut ends.caller.rx);
        found += rx.receive(|message| state.caller(&message, tx));
        tx.flush();
        found > 0
    }

    fn rest(&self, next: u64) {
        let bye = self.state.byes.front().map_or(u64::MAX, |(at, _)| *at);
        let left = next.min(bye).saturating_sub(now_ns());
        if left > 0 {
            wait(
                &self.ends.caller,
                &self.ends.callee,
                Duration::from_nanos(left).min(NAP),
            );
        }
    }
}

impl State {
    fn begin(&mut self, index: usize, slot: usize, tx: &mut Outbox) {
        let mut call = Call {
            slot,
            ..Call::default()
        };
        let free = self.users.get(slot).is_some_and(Option::is_none);
        if free {
            if let Some(user) = self.users.get_mut(slot) {
                *user = Some(index);
            }
            self.names.invite(tx.open(), index, Slot(slot));
            tx.close(None);
            call.invited_ns = now_ns();
            tx.flush();
            self.open += 1;
        } else {
            // Its former call hangs: this one fails without having been offered.
            call.seen.refused = true;
        }
        self.calls.push(call);
    }

    fn hang_up(&mut self, index: usize, tx: &mut Outbox) {
        if let Some(call) = self.calls.get_mut(index) {
            tx.open().extend_from_slice(&call.bye);
            tx.close(None);
        }
    }

    /// What reached the caller.
    fn caller(&mut self, message: &Arrived<'_>, tx: &mut Outbox) {
        let scan = Scan::read(message.bytes);
        let index = scan.serial(&self.mark);
        let (Some(code), Some(index)) = (scan.code(), index) else {
            // A request: the server hangs up, which fails the call.
            self.result.surplus += 1;
            if index.is_some() && !scan.first.starts_with(b"ACK") {
                self.names.respond(tx.open(), &scan, Answer::Agreed);
                tx.close(None);
            }
            return;
        };
        let Some(call) = self.calls.get_mut(index) else {
            self.result.surplus += 1;
            return;
        };
        let slot = Slot(call.slot);
        match code {
            100..200 => {}
            200..300 if scan.is_about("BYE") => {
                if !call.seen.over {
                    call.seen.over = true;
                    self.settle(index);
                }
            }
            200..300 => {
                self.names.within(tx.open(), index, slot, &scan, "ACK");
                tx.close(None);
                if call.answered_ns > 0 {
                    self.result.surplus += 1;
                    return;
                }
                call.answered_ns = message.at_ns;
                call.caller_audio = scan.audio().and_then(|a| a.address());
                call.seen.new_sdp_caller = call.caller_audio.is_some()
                    && call.caller_audio != Some(self.addresses.callee_audio);
                self.names.within(&mut call.bye, index, slot, &scan, "BYE");
                if let Some(hold) = self.hold_ns {
                    self.byes.push_back((now_ns() + hold, index));
                }
            }
            _ => {
                if scan.is_about("INVITE") {
                    self.names.ack_refusal(tx.open(), index, slot, &scan);
                    tx.close(None);
                }
                *self.result.refusals.entry(code).or_default() += 1;
                if !call.seen.refused {
                    call.seen.refused = true;
                    self.give_up(index);
                }
            }
        }
    }

    /// What reached the callee.
    fn callee(&mut self, message: &Arrived<'_>, tx: &mut Outbox) {
        let scan = Scan::read(message.bytes);
        let invite = scan.first.starts_with(b"INVITE ");
        let slot = if invite {
            scan.number_in_uri(CALLEE_MARK).and_then(Slot::of_callee)
        } else {
            scan.number_in_uri(CALLEE_CONTACT).map(Slot)
        };
        let user = slot.and_then(|slot| *self.users.get(slot.0)?);
        let call = user.and_then(|index| self.calls.get_mut(index));
        let (Some(slot), Some(index), Some(call)) = (slot, user, call) else {
            // Of a call that was given up; a BYE or CANCEL wants its answer all the same.
            self.result.surplus += 1;
            if scan.first.starts_with(b"BYE ") || scan.first.starts_with(b"CANCEL ") {
                self.names.respond(tx.open(), &scan, Answer::Agreed);
                tx.close(None);
            }
            return;
        };
        if invite {
            if call.arrived_ns > 0 {
                self.result.surplus += 1;
            } else {
                call.arrived_ns = message.at_ns;
                call.seen.masked = is_masked(message.bytes, &scan, slot);
                call.callee_audio = scan.audio().and_then(|a| a.address());
                call.seen.new_sdp_callee = call.callee_audio.is_some()
                    && call.callee_audio != Some(self.addresses.caller_audio);
            }
            for answer in [Answer::Ringing(slot.0), Answer::Answered(slot.0)] {
                self.names.respond(tx.open(), &scan, answer);
                tx.close(None);
            }
        } else if scan.first.starts_with(b"ACK ") {
            call.seen.ack = true;
            self.settle(index);
        } else {
            if scan.first.starts_with(b"BYE ") {
                call.seen.bye = true;
            }
            self.names.respond(tx.open(), &scan, Answer::Agreed);
            tx.close(None);
            self.settle(index);
        }
    }

    /// Frees the slot of a call that is complete.
    fn settle(&mut self, index: usize) {
        if self.calls.get(index).is_some_and(Call::is_complete) {
            self.give_up(index);
        }
    }

    fn give_up(&mut self, index: usize) {
        let slot = self.calls.get(index).map(|c| c.slot);
        if let Some(user) = slot.and_then(|s| self.users.get_mut(s))
            && *user == Some(index)
        {
            *user = None;
            self.open -= 1;
        }
    }
}
