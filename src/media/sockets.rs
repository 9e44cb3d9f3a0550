//! The plane of kernel sockets: what the rest of the program holds of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use crate::media::mailbox::{Letter, Mailbox};
use crate::media::ports::{Ports, Taken};
use crate::media::sounds::Sounds;
use crate::media::totals::Totals;
use crate::media::worker::Worker;
use crate::media::{Error, MediaConfig, Plane, PlaneCounters};
use crate::switch::media::{MediaCommand, MediaEvent, PortPair};

/// A media plane on UDP sockets, with a worker thread of its own.
#[derive(Debug)]
pub struct SocketsPlane {
    ports: Arc<Ports>,
    mailbox: Arc<Mailbox>,
    totals: Arc<Totals>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl SocketsPlane {
    /// Checks the configuration, binds the first pairs and starts the worker. `events` is called
    /// on the worker's thread and must neither block nor call the plane.
    pub fn start(
        config: MediaConfig,
        events: Box<dyn Fn(MediaEvent) + Send>,
    ) -> Result<SocketsPlane, Error> {
        let ports = Arc::new(Ports::new(&config)?);
        ports.check_addresses()?;
        let mailbox = Arc::new(Mailbox::new()?);
        let totals = Arc::new(Totals::default());
        let (sounds, loader) = Sounds::new(&config, mailbox.clone(), totals.clone())?;
        let mut worker = Worker::new(
            ports.clone(),
            mailbox.clone(),
            totals.clone(),
            sounds,
            events,
            config.quarantine_ms,
        )?;
        let thread = std::thread::Builder::new()
            .name(String::from("media"))
            .spawn(move || worker.run())?;
        Ok(SocketsPlane {
            ports,
            mailbox,
            totals,
            threads: Mutex::new(vec![thread, loader]),
        })
    }
}

impl Plane for SocketsPlane {
    fn take_ports(&self) -> Option<PortPair> {
        if self.mailbox.is_closed() {
            return None;
        }
        let taken = self.ports.take();
        if self.ports.low() {
            self.mailbox.ring();
        }
        let slot = match taken? {
            Taken::Ready(slot) => slot,
            Taken::Bound(bound) => {
                let slot = bound.slot;
                self.mailbox.send(Letter::Adopt(bound));
                slot
            }
        };
        Some(self.ports.pair(slot))
    }

    fn perform(&self, command: MediaCommand) {
        self.mailbox.send(Letter::Command(command));
    }

    fn counters(&self) -> PlaneCounters {
        self.totals.snapshot(&self.ports)
    }

    fn close(&self) {
        self.mailbox.send(Letter::Shutdown);
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a media thread had panicked");
            }
        }
    }
}

impl Drop for SocketsPlane {
    fn drop(&mut self) {
        self.close();
    }
}
