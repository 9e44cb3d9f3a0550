//! Stopping: refuse new calls, let the ones that are up go on until the deadline, end the rest,
//! then wait a moment for the last answers. A second signal ends the calls at once; a third stops
//! waiting altogether.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::io::calls::Wishes;
use crate::io::shard::Status;

/// Retry-After of the 503 to new calls, in seconds: another process usually takes over sooner,
/// and carriers take a trunk out of service for longer than they are told.
pub const RETRY_AFTER_SECS: u32 = 10;

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For the calls that are up to end by themselves.
    pub drain: Duration,
    /// For ended calls to become records: the media plane reports, BYEs are answered.
    pub ending: Duration,
    /// For the last answers of a leg once all records are there. Timer F would take 32 s; what
    /// has not come after a few retransmissions will not matter to anyone.
    pub lingering: Duration,
}

impl Patience {
    /// The usual one for this deadline.
    pub fn with_drain(drain: Duration) -> Patience {
        Patience {
            drain,
            ending: Duration::from_secs(5),
            lingering: Duration::from_secs(2),
        }
    }
}

/// How a server came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every call ended by itself.
    Drained,
    /// Calls were ended by us, and each has its record.
    Ended,
    /// Some calls had no record when we gave up: they get one, `interrupted`, at the next start.
    GivenUp {
        /// How many.
        calls: usize,
    },
}

/// Stops the shard's calls. `signals` brings one item for each further signal.
pub async fn stop(
    wishes: &Arc<Wishes>,
    status: &mut watch::Receiver<Status>,
    patience: Patience,
    signals: &mut mpsc::Receiver<()>,
) -> Stopped {
    wishes.drain(RETRY_AFTER_SECS);
    let calm = |s: &Status| s.draining && s.unrecorded == 0;
    let mut ended_by_us = false;
    let mut unhurried = wait(status, calm, patience.drain, signals).await;
    if !calm(&status.borrow()) {
        ended_by_us = true;
        tracing::info!("{} calls are still up and end now", unrecorded(status));
        wishes.end_all();
        unhurried = wait(status, calm, patience.ending, signals).await;
    }
    if unhurried && unrecorded(status) == 0 {
        wait(status, |s| s.unfinished == 0, patience.lingering, signals).await;
    }
    match unrecorded(status) {
        0 if ended_by_us => Stopped::Ended,
        0 => Stopped::Drained,
        calls => Stopped::GivenUp { calls },
    }
}

/// Waits until the shard is as wanted, or is gone; not longer than `longest`, and not after the
/// next signal. Whether it was not a signal that ended the waiting.
async fn wait(
    status: &mut watch::Receiver<Status>,
    wanted: impl Fn(&Status) -> bool,
    longest: Duration,
    signals: &mut mpsc::Receiver<()>,
) -> bool {
    tokio::select! {
        biased;
        _ = timeout(longest, status.wait_for(|s| wanted(s))) => true,
        Some(()) = signals.recv() => false,
    }
}

fn unrecorded(status: &watch::Receiver<Status>) -> usize {
    status.borrow().unrecorded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::event::Command;

    /// Plays the shard: performs wishes by rules on a number of calls.
    struct Play {
        wishes: Arc<Wishes>,
        told: watch::Sender<Status>,
        /// Whether calls end when they are told to.
        obedient: bool,
    }

    impl Play {
        fn start(calls: usize, obedient: bool) -> (Arc<Wishes>, watch::Receiver<Status>, Play) {
            let wishes: Arc<Wishes> = Arc::default();
            let first = Status {
                unrecorded: calls,
                unfinished: calls,
                ..Status::default()
            };
            let (told, status) = watch::channel(first);
            let play = Play {
                wishes: wishes.clone(),
                told,
                obedient,
            };
            (wishes, status, play)
        }

        async fn act(self) {
            loop {
                self.wishes.asked().await;
                for command in self.wishes.take().commands() {
                    self.told.send_modify(|s| match command {
                        Command::Drain { .. } => s.draining = true,
                        Command::EndAll if self.obedient => {
                            s.unrecorded = 0;
                            s.unfinished = 0;
                        }
                        _ => {}
                    });
                }
            }
        }
    }

    /// Far longer than any test: a step that takes it has failed.
    const FOREVER: Duration = Duration::from_secs(3600);
    /// Only a failing test waits for it.
    const LIMIT: Duration = Duration::from_secs(20);

    fn patience(drain: Duration, ending: Duration) -> Patience {
        Patience {
            drain,
            ending,
            lingering: FOREVER,
        }
    }

    async fn stopped(
        (wishes, mut status, play): (Arc<Wishes>, watch::Receiver<Status>, Play),
        patience: Patience,
        signals_sent: usize,
    ) -> Stopped {
        tokio::spawn(play.act());
        let (signal, mut signals) = mpsc::channel(4);
        for _ in 0..signals_sent {
            signal.send(()).await.unwrap();
        }
        let stopping = stop(&wishes, &mut status, patience, &mut signals);
        timeout(LIMIT, stopping).await.expect("it did not stop")
    }

    #[tokio::test]
    async fn without_calls_it_stops_at_once() {
        let play = Play::start(0, true);
        let stopped = stopped(play, patience(FOREVER, FOREVER), 0).await;
        assert_eq!(stopped, Stopped::Drained);
    }

    #[tokio::test]
    async fn live_calls_go_on_until_they_end_and_the_last_answers_are_awaited() {
        let play = Play::start(3, true);
        let mut watched = play.1.clone();
        let told = play.2.told.clone();
        tokio::spawn(async move {
            watched.wait_for(|s| s.draining).await.unwrap();
            told.send_modify(|s| s.unrecorded = 0);
            tokio::task::yield_now().await;
            told.send_modify(|s| s.unfinished = 0);
        });
        let stopped = stopped(play, patience(FOREVER, Duration::ZERO), 0).await;
        assert_eq!(stopped, Stopped::Drained);
    }

    #[tokio::test]
    async fn at_the_deadline_calls_are_ended() {
        let drain = Duration::from_millis(50);
        let began = std::time::Instant::now();
        let stopped = stopped(Play::start(3, true), patience(drain, FOREVER), 0).await;
        assert_eq!(stopped, Stopped::Ended);
        assert!(began.elapsed() >= drain);
    }

    #[tokio::test]
    async fn a_second_signal_ends_calls_at_once() {
        let stopped = stopped(Play::start(3, true), patience(FOREVER, FOREVER), 1).await;
        assert_eq!(stopped, Stopped::Ended);
    }

    #[tokio::test]
    async fn a_third_signal_gives_up() {
        let stopped = stopped(Play::start(3, false), patience(FOREVER, FOREVER), 2).await;
        assert_eq!(stopped, Stopped::GivenUp { calls: 3 });
    }

    #[tokio::test]
    async fn calls_that_will_not_end_hold_it_up_for_a_while_only() {
        let short = Duration::from_millis(20);
        let stopped = stopped(Play::start(2, false), patience(short, short), 0).await;
        assert_eq!(stopped, Stopped::GivenUp { calls: 2 });
    }
}
