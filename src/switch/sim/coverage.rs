//! What a run has met: which event, in which state of the leg it is about, with the call's other
//! leg in which state.

use std::collections::BTreeMap;
use std::fmt;

use crate::phone::message::{Message, Start};
use crate::switch::Switch;
use crate::switch::event::{Command, Input};
use crate::switch::leg::LegState;
use crate::switch::media::MediaEvent;
use crate::switch::timers::Owner;

/// One leg as it stands.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub call: u64,
    pub leg: u16,
    /// Whether its party sent the INVITE.
    pub caller: bool,
    pub state: LegState,
    pub call_id: Vec<u8>,
}

/// A leg, its state, what happened, and the other leg's state.
pub(super) type Crossing = (bool, LegState, String, Option<LegState>);

/// How often each crossing was met.
#[derive(Debug, Clone, Default)]
pub(super) struct Coverage(pub BTreeMap<Crossing, u64>);

impl Coverage {
    /// Adds what another run has met.
    pub(super) fn add(&mut self, other: Coverage) {
        for (crossing, count) in other.0 {
            *self.0.entry(crossing).or_insert(0) += count;
        }
    }

    /// Whether a leg of the caller (or of the callee) met this event in this state, whatever
    /// the other leg was doing.
    pub(super) fn has(&self, caller: bool, state: LegState, event: &str) -> bool {
        self.0
            .keys()
            .any(|(c, s, e, _)| (*c, *s, e.as_str()) == (caller, state, event))
    }

    /// The same with the other leg in `other`.
    pub(super) fn has_pair(
        &self,
        caller: bool,
        state: LegState,
        event: &str,
        other: LegState,
    ) -> bool {
        self.0
            .contains_key(&(caller, state, event.to_owned(), Some(other)))
    }

    /// Notes what is about to happen.
    pub(super) fn note(
        &mut self,
        switch: &Switch,
        views: &[View],
        input: &Input<'_>,
        message: Option<&Message>,
        now_us: u64,
    ) {
        match input {
            Input::Received { .. } => {
                let Some(message) = message else { return };
                let id = message.field("Call-ID").unwrap_or_default().as_bytes();
                for view in views.iter().filter(|v| v.call_id == id) {
                    self.met(views, view, name(message));
                }
            }
            Input::Timeout => {
                for (owner, timer) in switch.core.timers.due(now_us) {
                    let id = match owner {
                        Owner::Leg(call, leg) => Some((call, leg)),
                        Owner::Call(call) => Some((call, 0)),
                        Owner::Transaction(tx) => switch
                            .core
                            .transactions
                            .owner_of(tx)
                            .map(|id| (id.call, id.leg)),
                    };
                    let view = views.iter().find(|v| Some((v.call, v.leg)) == id);
                    if let Some(view) = view {
                        self.met(views, view, format!("timer {timer:?}"));
                    }
                }
            }
            Input::Media(event) => {
                let (slot, name) = match event {
                    MediaEvent::Played { slot, .. } => (slot, "played"),
                    MediaEvent::Silent { slot } => (slot, "silent"),
                    MediaEvent::Closed { slot, .. } => (slot, "closed"),
                };
                let id = switch.core.slots.get(slot).copied();
                let view = views
                    .iter()
                    .find(|v| id.is_some_and(|id| (id.call, id.leg) == (v.call, v.leg)));
                if let Some(view) = view {
                    self.met(views, view, name.to_owned());
                }
            }
            Input::Command(command) => {
                let name = match command {
                    Command::Hangup { .. } => "hangup",
                    Command::Drain { .. } => "drain",
                    Command::EndAll => "end all",
                };
                for view in views {
                    self.met(views, view, name.to_owned());
                }
            }
            Input::Undeliverable { .. } => {
                for view in views {
                    self.met(views, view, "unreachable".to_owned());
                }
            }
        }
    }

    fn met(&mut self, views: &[View], view: &View, event: String) {
        // The other leg: the caller's for an attempt, the newest attempt for the caller's.
        let mut others = views
            .iter()
            .filter(|v| v.call == view.call && v.leg != view.leg);
        let other = if view.leg == 0 {
            others.next_back()
        } else {
            others.next()
        };
        let crossing = (view.caller, view.state, event, other.map(|v| v.state));
        *self.0.entry(crossing).or_insert(0) += 1;
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: BTreeMap<(bool, LegState), BTreeMap<&str, u64>> = BTreeMap::new();
        for ((caller, state, event, _), count) in &self.0 {
            let row = rows.entry((*caller, *state)).or_default();
            *row.entry(event).or_insert(0) += count;
        }
        let pairs: usize = rows.values().map(BTreeMap::len).sum();
        writeln!(
            f,
            "{pairs} of (leg state × event), {} with the other leg's state",
            self.0.len()
        )?;
        for ((caller, state), events) in rows {
            write!(f, "{} {state:?}:", if caller { "caller" } else { "callee" })?;
            for (event, count) in events {
                write!(f, " {event}={count}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn name(message: &Message) -> String {
    let method = message.cseq().map(|c| c.1).unwrap_or_default();
    match &message.start {
        Start::Request { method, .. } => method.clone(),
        Start::Response { code, .. } => match (method, code) {
            ("INVITE", 183) if !message.body.is_empty() => "183 with SDP".to_owned(),
            ("INVITE", 100 | 180 | 183) => code.to_string(),
            ("INVITE", 200) => "200".to_owned(),
            ("INVITE", _) => format!("{}xx", code / 100),
            _ => format!("{method} {}xx", code / 100),
        },
    }
}
