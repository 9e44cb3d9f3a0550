//! What the log shows of a call at debug: each leg's way from state to state, and what moved it.
//! Methods, codes and timers only: nothing a party wrote.

use std::fmt;

use super::call::Call;
use super::leg::LegState;
use super::timers::Timer;
use super::transaction::Unanswered;
use crate::sip::{Essentials, Message};

/// What the present input is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cue {
    /// A request, by its method.
    Request(&'static str),
    /// A response: its code, and the method it answers.
    Response(u16, &'static str),
    /// A timer.
    Timer(Timer),
    /// A request of ours stays without an answer.
    Unanswered(Unanswered),
    /// The media plane reports.
    Media,
    /// An administrator's command.
    Command,
}

impl Cue {
    /// The cue of a message.
    pub(super) fn of(message: &Message<'_>, e: &Essentials<'_>) -> Cue {
        match message.status() {
            Some(status) => Cue::Response(status, e.cseq.method.as_str()),
            None => Cue::Request(e.cseq.method.as_str()),
        }
    }
}

impl fmt::Display for Cue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cue::Request(method) => f.write_str(method),
            Cue::Response(status, method) => write!(f, "{status} {method}"),
            Cue::Timer(timer) => write!(f, "timer {timer:?}"),
            Cue::Unanswered(how) => write!(f, "{how:?}"),
            Cue::Media => f.write_str("media"),
            Cue::Command => f.write_str("command"),
        }
    }
}

/// The states of a call's legs, when somebody is to read of changes.
pub(super) fn states(call: &Call) -> Option<Vec<LegState>> {
    let wanted = tracing::enabled!(tracing::Level::DEBUG);
    wanted.then(|| call.legs.iter().map(|leg| leg.state).collect())
}

/// Tells which legs are no longer in the state they were in `before`.
pub(super) fn tell(call: &Call, before: Option<&[LegState]>, cue: Cue) {
    let Some(before) = before else { return };
    for (index, leg) in call.legs.iter().enumerate() {
        let (name, to) = (if index == 0 { 'a' } else { 'b' }, leg.state);
        match before.get(index) {
            Some(from) if *from == to => {}
            Some(from) => {
                tracing::debug!(call = %call.live.sid, leg = %name, "{from:?} → {to:?} ({cue})");
            }
            None => tracing::debug!(call = %call.live.sid, leg = %name, "→ {to:?} ({cue})"),
        }
    }
}
