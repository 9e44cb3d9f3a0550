//! The calls that are up, as the API sees them, and the queue of what it asks of the shard.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::mpsc;

use crate::sid::Sid;
use crate::switch::event::Command;
use crate::switch::record::LiveCall;

/// Commands that may wait for the shard. When full, whoever asks waits in turn: they come from
/// the API, the command line and the shutdown, never from the network.
pub const MAX_CONTROLS: usize = 256;

/// What the shard is told besides messages, media events and time.
#[derive(Debug)]
pub enum Control {
    /// For the switch.
    Command(Command),
    /// Stop; nothing is handled any more.
    Stop,
}

/// What a new state of a call means to somebody who reads the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A call nobody knew.
    Started,
    /// Both parties are connected now.
    Answered,
    /// Something else.
    Other,
}

/// The table of live calls. The switch bounds it: each call holds a place that admission gave.
#[derive(Debug)]
pub struct LiveCalls {
    calls: Mutex<HashMap<Sid, LiveCall>>,
    controls: mpsc::Sender<Control>,
}

impl LiveCalls {
    /// An empty table and the shard's end of the queue.
    pub fn new() -> (LiveCalls, mpsc::Receiver<Control>) {
        let (controls, receiver) = mpsc::channel(MAX_CONTROLS);
        let calls = Mutex::new(HashMap::new());
        (LiveCalls { calls, controls }, receiver)
    }

    /// Adds or replaces a call.
    pub fn put(&self, call: LiveCall) -> Change {
        let answered = call.answered_ms.is_some();
        match self.lock().insert(call.sid, call) {
            None => Change::Started,
            Some(before) if before.answered_ms.is_none() && answered => Change::Answered,
            Some(_) => Change::Other,
        }
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

    /// One call.
    pub fn get(&self, sid: Sid) -> Option<LiveCall> {
        self.lock().get(&sid).cloned()
    }

    /// Asks for the end of a call; false when it is not up (or the shard is gone). That the call
    /// has ended shows in its record.
    pub async fn hangup(&self, sid: Sid) -> bool {
        if !self.lock().contains_key(&sid) {
            return false;
        }
        self.command(Command::Hangup { call: sid }).await
    }

    /// Queues a command; false when the shard is gone.
    pub async fn command(&self, command: Command) -> bool {
        self.controls.send(Control::Command(command)).await.is_ok()
    }

    /// Stops the shard; false when it is gone already.
    pub async fn stop(&self) -> bool {
        self.controls.send(Control::Stop).await.is_ok()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Sid, LiveCall>> {
        match self.calls.lock() {
            Ok(guard) => guard,
            // Each change is one insert or remove, so the table is whole whoever panicked.
            Err(poisoned) => poisoned.into_inner(),
        }
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
    fn a_call_starts_is_answered_and_leaves() {
        let (calls, _controls) = LiveCalls::new();
        let mut one = call(1);
        assert_eq!(calls.put(one.clone()), Change::Started);
        one.rang_ms = Some(5);
        assert_eq!(calls.put(one.clone()), Change::Other);
        one.answered_ms = Some(6);
        assert_eq!(calls.put(one.clone()), Change::Answered);
        assert_eq!(calls.put(one.clone()), Change::Other);
        calls.put(call(0));
        let listed: Vec<Sid> = calls.list().iter().map(|c| c.sid).collect();
        assert_eq!(listed, [call(0).sid, one.sid]);
        calls.remove(one.sid);
        assert_eq!(calls.get(one.sid), None);
        assert_eq!(calls.count(), 1);
    }

    #[tokio::test]
    async fn hanging_up_reaches_the_shard_only_for_live_calls() {
        let (calls, mut controls) = LiveCalls::new();
        calls.put(call(1));
        assert!(!calls.hangup(call(2).sid).await);
        assert!(calls.hangup(call(1).sid).await);
        let Some(Control::Command(command)) = controls.recv().await else {
            panic!("no command")
        };
        assert_eq!(command, Command::Hangup { call: call(1).sid });
        assert!(controls.try_recv().is_err());
        drop(controls);
        assert!(!calls.hangup(call(1).sid).await);
    }
}
