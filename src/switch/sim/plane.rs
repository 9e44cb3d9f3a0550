//! A media plane without media: it checks what it is told, plays announcements by the clock and
//! reports what a real one would; and the port pairs it lends out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::rng::Rng;
use super::ua::SECOND_US;
use crate::switch::admission::{Admission, Full};
use crate::switch::event::Now;
use crate::switch::media::{LegStats, MediaCommand, MediaEvent, PortPair, Slot};
use crate::switch::settings::TrunkId;

/// How long the announcement is.
const ANNOUNCEMENT_US: u64 = 4 * SECOND_US;
/// How long a closed pair rests.
pub(super) const QUARANTINE_US: u64 = 2 * SECOND_US;

/// Limits and ports, as the shell would keep them.
#[derive(Debug)]
pub(super) struct Pool(RefCell<Inner>);

#[derive(Debug)]
struct Inner {
    free: VecDeque<Slot>,
    lent: BTreeSet<Slot>,
    calls: i64,
    most_calls: i64,
    announcements: i64,
    most_announcements: i64,
    refused: u64,
}

impl Pool {
    pub(super) fn new(slots: u32, most_calls: i64, most_announcements: i64) -> Pool {
        Pool(RefCell::new(Inner {
            free: (0..slots).collect(),
            lent: BTreeSet::new(),
            calls: 0,
            most_calls,
            announcements: 0,
            most_announcements,
            refused: 0,
        }))
    }

    /// Calls that `take_call` refused.
    pub(super) fn refused(&self) -> u64 {
        self.0.borrow().refused
    }

    /// A pair's rest is over.
    pub(super) fn give_back(&self, slot: Slot) {
        let mut inner = self.0.borrow_mut();
        inner.lent.remove(&slot);
        inner.free.push_back(slot);
    }

    /// What has not come back, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let inner = self.0.borrow();
        let mut missing = Vec::new();
        if inner.calls != 0 {
            missing.push(format!("{} trunk calls were not given back", inner.calls));
        }
        if inner.announcements != 0 {
            missing.push(format!(
                "{} announcements were not given back",
                inner.announcements
            ));
        }
        if !inner.lent.is_empty() {
            missing.push(format!("port pairs {:?} were never closed", inner.lent));
        }
        missing
    }
}

impl Admission for Pool {
    fn take_call(&self, _trunk: TrunkId, _now: Now) -> Result<(), Full> {
        let mut inner = self.0.borrow_mut();
        if inner.calls >= inner.most_calls {
            inner.refused += 1;
            return Err(Full::Trunk);
        }
        inner.calls += 1;
        Ok(())
    }

    fn release_call(&self, _trunk: TrunkId) {
        self.0.borrow_mut().calls -= 1;
    }

    fn take_announcement(&self) -> Result<(), Full> {
        let mut inner = self.0.borrow_mut();
        if inner.announcements >= inner.most_announcements {
            return Err(Full::Announcements);
        }
        inner.announcements += 1;
        Ok(())
    }

    fn release_announcement(&self) {
        self.0.borrow_mut().announcements -= 1;
    }

    fn take_ports(&self) -> Option<PortPair> {
        let mut inner = self.0.borrow_mut();
        let slot = inner.free.pop_front()?;
        inner.lent.insert(slot);
        Some(PortPair {
            slot,
            address: IpAddr::from([10, 0, 0, 1]),
            port: 20_000 + 2 * slot as u16,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Closing,
}

/// What happens in the plane at a time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Due {
    Event(MediaEvent),
    /// The pair may be lent out again.
    Rested(Slot),
}

/// The plane.
#[derive(Debug)]
pub(super) struct Plane {
    slots: BTreeMap<Slot, State>,
    due: BTreeMap<(u64, u64), Due>,
    count: u64,
    rng: Rng,
    /// Percentage of closed pairs that never report.
    pub mute: u64,
    /// Whether nobody ever sends audio.
    pub silent: bool,
    pub problems: Vec<String>,
}

impl Plane {
    pub(super) fn new(rng: Rng) -> Plane {
        Plane {
            slots: BTreeMap::new(),
            due: BTreeMap::new(),
            count: 0,
            rng,
            mute: 0,
            silent: false,
            problems: Vec::new(),
        }
    }

    pub(super) fn next_us(&self) -> Option<u64> {
        self.due.first_key_value().map(|(key, _)| key.0)
    }

    pub(super) fn take(&mut self) -> Option<Due> {
        let due = self.due.pop_first()?.1;
        if let Due::Rested(slot) = due {
            self.slots.remove(&slot);
        }
        Some(due)
    }

    fn at(&mut self, at_us: u64, due: Due) {
        self.count += 1;
        self.due.insert((at_us, self.count), due);
    }

    fn drop_events(&mut self, slot: Slot, which: impl Fn(&MediaEvent) -> bool) {
        self.due.retain(|_, due| match due {
            Due::Event(event) => {
                let (MediaEvent::Played { slot: s, .. }
                | MediaEvent::Silent { slot: s }
                | MediaEvent::Closed { slot: s, .. }) = event;
                *s != slot || !which(event)
            }
            Due::Rested(_) => true,
        });
    }

    /// Performs one command.
    pub(super) fn perform(&mut self, command: &MediaCommand, now_us: u64) {
        let slot = match command {
            MediaCommand::Open { slot, .. }
            | MediaCommand::Remote { slot, .. }
            | MediaCommand::Unbridge { slot }
            | MediaCommand::Play { slot, .. }
            | MediaCommand::Stop { slot }
            | MediaCommand::Close { slot }
            | MediaCommand::Bridge { a: slot, .. } => *slot,
        };
        let state = self.slots.get(&slot).copied();
        match command {
            MediaCommand::Open { .. } if state.is_none() => {
                self.slots.insert(slot, State::Open);
                return;
            }
            // A pair that was granted and not needed is closed without having been opened.
            MediaCommand::Close { .. } if state != Some(State::Closing) => {
                return self.close(slot, now_us);
            }
            _ if state == Some(State::Open) => {}
            _ => {
                return self
                    .problems
                    .push(format!("{command:?} for a pair that is {state:?}"));
            }
        }
        match command {
            MediaCommand::Bridge { b, timeout_ms, .. } => {
                if self.slots.get(b) != Some(&State::Open) {
                    self.problems
                        .push(format!("bridge to pair {b}, which is not open"));
                }
                if self.silent && *timeout_ms > 0 {
                    let event = MediaEvent::Silent { slot };
                    self.at(now_us + u64::from(*timeout_ms) * 1_000, Due::Event(event));
                }
            }
            MediaCommand::Play { id, .. } => {
                let event = MediaEvent::Played { slot, id: *id };
                self.at(now_us + ANNOUNCEMENT_US, Due::Event(event));
            }
            MediaCommand::Stop { .. } => {
                self.drop_events(slot, |e| matches!(e, MediaEvent::Played { .. }))
            }
            _ => {}
        }
    }

    fn close(&mut self, slot: Slot, now_us: u64) {
        self.slots.insert(slot, State::Closing);
        self.drop_events(slot, |_| true);
        let report_us = now_us + self.rng.between(1_000, SECOND_US);
        if !self.rng.chance(self.mute) {
            let stats = LegStats {
                packets_in: self.rng.below(1_000),
                jitter_ms: 0.25,
                mos: Some(4.5),
                ..LegStats::default()
            };
            self.at(report_us, Due::Event(MediaEvent::Closed { slot, stats }));
        }
        self.at(report_us + QUARANTINE_US, Due::Rested(slot));
    }
}
