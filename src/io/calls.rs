//! The calls that are up, as the API sees them, and what is asked of the shard.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::sid::Sid;
use crate::switch::event::Command;
use crate::switch::record::LiveCall;

/// The table of live calls. The switch bounds it: each call holds a place that admission gave.
#[derive(Debug, Default)]
pub struct LiveCalls {
    calls: Mutex<HashMap<Sid, LiveCall>>,
}

impl LiveCalls {
    /// Adds or replaces a call.
    pub fn put(&self, call: LiveCall) {
        self.lock().insert(call.sid, call);
    }

    /// Takes an ended call out.
    pub fn remove(&self, sid: Sid) {
        self.lock().remove(&sid);
    }

    /// How many calls are up.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// Every call, oldest first.
    pub fn list(&self) -> Vec<LiveCall> {
        let mut calls: Vec<LiveCall> = self.lock().values().cloned().collect();
        calls.sort_by_key(|c| c.sid);
        calls
    }

    /// Whether this call is up.
    pub fn contains(&self, sid: Sid) -> bool {
        self.lock().contains_key(&sid)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sid, LiveCall>> {
        // Each change is one insert or remove, so the table is whole whoever panicked.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is asked of the shard besides messages, media events and time. Nothing asked is lost,
/// and nothing grows without bound: each call is in the set of hang-ups once, and the other
/// wishes are one place each.
#[derive(Debug, Default)]
pub struct Wishes {
    wishes: Mutex<Asked>,
    notify: Notify,
}

/// What has been asked since the shard last looked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Calls to end; at most the live ones.
    pub hangups: BTreeSet<Sid>,
    /// Retry-After of the 503 that new calls get from now on, in seconds.
    pub drain: Option<u32>,
    /// End every call.
    pub end_all: bool,
    /// Stop: nothing is handled any more.
    pub stop: bool,
}

impl Asked {
    /// As commands of the switch, in the order in which they make sense.
    pub fn commands(self) -> impl Iterator<Item = Command> {
        let drain = self
            .drain
            .map(|retry_after_secs| Command::Drain { retry_after_secs });
        let hangups = self
            .hangups
            .into_iter()
            .map(|call| Command::Hangup { call });
        let end_all = self.end_all.then_some(Command::EndAll);
        drain.into_iter().chain(hangups).chain(end_all)
    }
}

impl Wishes {
    /// Asks for the end of a call.
    pub fn hangup(&self, call: Sid) {
        self.ask(|asked| {
            asked.hangups.insert(call);
        });
    }

    /// Asks to refuse new calls.
    pub fn drain(&self, retry_after_secs: u32) {
        self.ask(|asked| asked.drain = Some(retry_after_secs));
    }

    /// Asks to end every call.
    pub fn end_all(&self) {
        self.ask(|asked| asked.end_all = true);
    }

    /// Asks the shard to stop.
    pub fn stop(&self) {
        self.ask(|asked| asked.stop = true);
    }

    /// Takes what has been asked.
    pub fn take(&self) -> Asked {
        std::mem::take(&mut *self.lock())
    }

    /// Waits until something has been asked since the last wait.
    pub async fn asked(&self) {
        self.notify.notified().await;
    }

    fn ask(&self, change: impl FnOnce(&mut Asked)) {
        change(&mut self.lock());
        self.notify.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Asked> {
        // Each wish is one assignment or insert.
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::number::Number;
    use crate::switch::plan::Direction;
    use crate::switch::record::{Origin, Status};

    pub(crate) fn call(n: u64) -> LiveCall {
        LiveCall {
            sid: Sid::new(1_700_000_000_000 + n, u128::from(n)),
            account: Sid::new(1, 1),
            allocation: None,
            exophone: Number::from_digits("914412345678").unwrap(),
            caller: None,
            callee: None,
            origin: Origin::Inbound,
            direction: Direction::None,
            status: Status::Ringing,
            announcement: false,
            trunk_in: "carrier".into(),
            trunk_out: None,
            started_ms: 1_700_000_000_000 + n,
            rang_ms: None,
            answered_ms: None,
            custom: None,
        }
    }

    #[test]
    fn a_call_comes_changes_and_leaves() {
        let calls = LiveCalls::default();
        let mut one = call(1);
        calls.put(one.clone());
        one.answered_ms = Some(6);
        calls.put(one.clone());
        calls.put(call(0));
        assert_eq!(calls.list(), [call(0), one.clone()]);
        calls.remove(one.sid);
        assert!(!calls.contains(one.sid));
        assert_eq!(calls.count(), 1);
    }

    #[tokio::test]
    async fn wishes_are_kept_until_taken_and_held_once() {
        let wishes = Wishes::default();
        for _ in 0..1000 {
            wishes.hangup(call(1).sid);
        }
        wishes.end_all();
        wishes.drain(30);
        wishes.asked().await;
        let asked = wishes.take();
        assert!(!asked.stop);
        let commands: Vec<Command> = asked.commands().collect();
        assert_eq!(
            commands,
            [
                Command::Drain {
                    retry_after_secs: 30
                },
                Command::Hangup { call: call(1).sid },
                Command::EndAll,
            ]
        );
        assert_eq!(wishes.take(), Asked::default());
    }
}
