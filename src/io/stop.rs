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
/// How long ended calls may take to become records: the media plane reports, BYEs are answered.
pub const ENDING: Duration = Duration::from_secs(5);
/// How long the last answers of a leg are awaited once all records are there. Timer F would take
/// 32 s; what has not come after a few retransmissions will not matter to anyone.
pub const LINGERING: Duration = Duration::from_secs(2);

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
    drain: Duration,
    signals: &mut mpsc::Receiver<()>,
) -> Stopped {
    wishes.drain(RETRY_AFTER_SECS);
    let calm = |s: &Status| s.draining && s.unrecorded == 0;
    let mut ended_by_us = false;
    let mut patient = wait(status, calm, drain, signals).await;
    if !calm(&status.borrow()) {
        ended_by_us = true;
        tracing::info!("{} calls are still up and end now", unrecorded(status));
        wishes.end_all();
        patient = wait(status, calm, ENDING, signals).await;
    }
    if patient && unrecorded(status) == 0 {
        wait(status, |s| s.unfinished == 0, LINGERING, signals).await;
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

    /// Plays the shard: performs wishes by rules on a table of calls, on a paused clock.
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

    const DRAIN: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn without_calls_it_stops_at_once() {
        let (wishes, mut status, play) = Play::start(0, true);
        tokio::spawn(play.act());
        let (_signal, mut signals) = mpsc::channel(4);
        let began = tokio::time::Instant::now();
        let stopped = stop(&wishes, &mut status, DRAIN, &mut signals).await;
        assert_eq!((stopped, began.elapsed()), (Stopped::Drained, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn live_calls_go_on_until_they_end() {
        let (wishes, mut status, play) = Play::start(3, true);
        let told = play.told.clone();
        tokio::spawn(play.act());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(20)).await;
            told.send_modify(|s| s.unrecorded = 0);
            tokio::time::sleep(Duration::from_secs(1)).await;
            told.send_modify(|s| s.unfinished = 0);
        });
        let (_signal, mut signals) = mpsc::channel(4);
        let began = tokio::time::Instant::now();
        let stopped = stop(&wishes, &mut status, DRAIN, &mut signals).await;
        assert_eq!(stopped, Stopped::Drained);
        assert_eq!(began.elapsed(), Duration::from_secs(21));
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_deadline_calls_are_ended() {
        let (wishes, mut status, play) = Play::start(3, true);
        tokio::spawn(play.act());
        let (_signal, mut signals) = mpsc::channel(4);
        let began = tokio::time::Instant::now();
        let stopped = stop(&wishes, &mut status, DRAIN, &mut signals).await;
        assert_eq!((stopped, began.elapsed()), (Stopped::Ended, DRAIN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_ends_calls_at_once_and_a_third_gives_up() {
        let (wishes, mut status, play) = Play::start(3, true);
        tokio::spawn(play.act());
        let (signal, mut signals) = mpsc::channel(4);
        signal.send(()).await.unwrap();
        let began = tokio::time::Instant::now();
        let stopped = stop(&wishes, &mut status, DRAIN, &mut signals).await;
        assert_eq!((stopped, began.elapsed()), (Stopped::Ended, Duration::ZERO));

        let (wishes, mut status, play) = Play::start(3, false);
        tokio::spawn(play.act());
        signal.send(()).await.unwrap();
        signal.send(()).await.unwrap();
        let began = tokio::time::Instant::now();
        let stopped = stop(&wishes, &mut status, DRAIN, &mut signals).await;
        assert_eq!(stopped, Stopped::GivenUp { calls: 3 });
        assert_eq!(began.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_will_not_end_hold_it_up_for_seconds_only() {
        let (wishes, mut status, play) = Play::start(2, false);
        tokio::spawn(play.act());
        let (_signal, mut signals) = mpsc::channel(4);
        let began = tokio::time::Instant::now();
        let stopped = stop(&wishes, &mut status, DRAIN, &mut signals).await;
        assert_eq!(stopped, Stopped::GivenUp { calls: 2 });
        assert_eq!(began.elapsed(), DRAIN + ENDING);
    }
}
