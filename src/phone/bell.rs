//! Waiting for a condition: whoever changes something rings, whoever waits looks again.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::Error;

/// Wakes everyone who waits for a change of shared state.
#[derive(Debug)]
pub(super) struct Bell(watch::Sender<u64>);

impl Bell {
    /// A bell that has not rung.
    pub(super) fn new() -> Bell {
        Bell(watch::Sender::new(0))
    }

    /// Something changed.
    pub(super) fn ring(&self) {
        self.0.send_modify(|n| *n = n.wrapping_add(1));
    }

    /// Follows the rings from now on.
    pub(super) fn follow(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }

    /// Waits until `look` finds something, looking again at every ring, for `patience` at most.
    pub(super) async fn wait<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + patience;
        let mut rings = self.0.subscribe();
        loop {
            // Marked as seen before looking, so that a change after the look wakes us.
            rings.borrow_and_update();
            if let Some(found) = look() {
                return Ok(found);
            }
            if timeout_at(deadline, rings.changed()).await.is_err() {
                return Err(Error::TooLate {
                    what: what.to_owned(),
                    waited_ms: patience.as_millis() as u64,
                });
            }
        }
    }
}
