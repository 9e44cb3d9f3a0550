//! Marks allocations whose time is over as expired. Only house-keeping: every lookup judges
//! expiry by itself, so a late sweep can never connect a call.

use std::time::Duration;

use crate::io::clock::wall_ms;
use crate::store::{Request, Store};

/// How often the next expiry is looked at; also how long a sweep can be late.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Sweeps for as long as the store is open.
pub async fn sweep(store: Store) {
    let directory = store.directory();
    let mut failing = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        while directory
            .next_expiry_ms()
            .is_some_and(|at_ms| at_ms <= wall_ms())
        {
            match store.submit_as("expiry", Request::Sweep).await {
                Ok(_) => failing = false,
                Err(crate::store::Error::Closed) => return,
                Err(error) => {
                    // Once for each time it begins to fail; it is tried again every second.
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!("expired allocations cannot be marked yet: {error}");
                    }
                    break;
                }
            }
        }
    }
}
