//! The media worker: one dedicated thread that owns the sockets and every open pair. It waits in
//! `epoll_wait` for packets, letters and deadlines, and for nothing else; per packet it neither
//! allocates nor locks. There is one worker today; several would split the slots among them.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::media::Error;
use crate::media::leg::Leg;
use crate::media::mailbox::{Letter, Mailbox};
use crate::media::ports::{Bound, Ports};
use crate::media::rest::Rest;
use crate::media::sounds::Sounds;
use crate::media::timers::Timers;
use crate::media::totals::Totals;
use crate::media::traffic::BUFFER;
use crate::rtp::rtcp::Moment;
use crate::switch::media::{MediaEvent, Slot};

/// Sockets looked after in one turn.
const EVENTS: usize = 256;
/// Letters read in one turn, so that packets do not wait for a burst of calls.
const LETTERS: usize = 256;
/// Pairs bound in one turn; each takes some tens of microseconds.
const REFILL_BATCH: usize = 8;
/// Longest sleep, in milliseconds.
const MAX_SLEEP_MS: u64 = 60_000;
/// The bell's token; sockets have twice their slot, plus one for RTCP.
const BELL: u64 = u64::MAX;

/// What a plane's user hears of.
pub(super) type Events = Box<dyn Fn(MediaEvent) + Send>;

/// A bound pair, open or not.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
    /// The open leg; `None` while the pair is ready, taken but not opened, or resting.
    pub(super) leg: Option<Box<Leg>>,
}

/// The worker's whole state.
pub(super) struct Worker {
    pub(super) ports: Arc<Ports>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) totals: Arc<Totals>,
    pub(super) sounds: Sounds,
    pub(super) events: Events,
    pub(super) pairs: Vec<Option<Pair>>,
    pub(super) timers: Timers,
    pub(super) rest: Rest,
    /// Slots whose sound is being read.
    pub(super) waiting: Vec<Slot>,
    pub(super) buffer: Box<[u8; BUFFER]>,
    /// Read once a turn.
    pub(super) now_us: u64,
    epoll: Epoll,
    epoch: Instant,
    /// Not before this time is there anything to bind.
    bind_again_us: u64,
    ending: bool,
}

impl Worker {
    pub(super) fn new(
        ports: Arc<Ports>,
        mailbox: Arc<Mailbox>,
        totals: Arc<Totals>,
        sounds: Sounds,
        events: Events,
        quarantine_ms: u64,
    ) -> Result<Worker, Error> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map_err(std::io::Error::from)?;
        epoll
            .add(&*mailbox, EpollEvent::new(EpollFlags::EPOLLIN, BELL))
            .map_err(std::io::Error::from)?;
        let pairs = (0..ports.total()).map(|_| None).collect();
        let mut worker = Worker {
            ports,
            mailbox,
            totals,
            sounds,
            events,
            pairs,
            timers: Timers::default(),
            rest: Rest::new(quarantine_ms),
            waiting: Vec::new(),
            buffer: Box::new([0; BUFFER]),
            now_us: 0,
            epoll,
            epoch: Instant::now(),
            bind_again_us: 0,
            ending: false,
        };
        // The first pairs are at hand before the first call is.
        while worker.tend_pairs() {}
        Ok(worker)
    }

    /// Works until `Shutdown`.
    pub(super) fn run(&mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.ending {
            let more = self.tend_pairs() || !self.mailbox.is_empty();
            self.run_due();
            let timeout = if more { 0 } else { self.sleep_ms() };
            let timeout = EpollTimeout::try_from(timeout).unwrap_or(EpollTimeout::ZERO);
            let count = match self.epoll.wait(&mut events, timeout) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!("the media worker cannot wait for packets: {error}");
                    break;
                }
            };
            self.now_us = self.clock_us();
            let woken = events.get(..count).unwrap_or_default();
            if woken.iter().any(|e| e.data() == BELL) {
                self.mailbox.hush();
            }
            // Letters first: a packet that follows its call's signalling finds it performed.
            self.read_letters();
            for event in woken.iter().filter(|e| e.data() != BELL) {
                let slot = (event.data() / 2) as usize;
                match event.data() % 2 {
                    0 => self.rtp_arrived(slot),
                    _ => self.rtcp_arrived(slot),
                }
            }
        }
        for slot in 0..self.ports.total() {
            if self.ports.is_taken(slot) {
                self.close(slot);
            }
        }
    }

    /// The clocks of this turn.
    pub(super) fn moment(&self) -> Moment {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        Moment {
            now_us: self.now_us,
            unix_us: unix.map_or(0, |d| d.as_micros() as u64),
        }
    }

    pub(super) fn leg(&mut self, slot: Slot) -> Option<&mut Leg> {
        let pair = self.pairs.get_mut(slot as usize)?.as_mut()?;
        pair.leg.as_deref_mut()
    }

    pub(super) fn clock_us(&self) -> u64 {
        self.epoch.elapsed().as_micros() as u64
    }

    fn read_letters(&mut self) {
        for _ in 0..LETTERS {
            match self.mailbox.next() {
                Some(Letter::Command(command)) => self.perform(command),
                Some(Letter::Adopt(bound)) => self.adopt(bound),
                Some(Letter::Loaded { name, clip }) => self.sound_loaded(name, clip),
                Some(Letter::Shutdown) => self.ending = true,
                None => return,
            }
        }
    }

    /// Milliseconds to the next deadline, rounded up.
    fn sleep_ms(&self) -> i32 {
        let pressed = self.pressed();
        let refill = self.ports.low().then_some(self.bind_again_us);
        let next = [self.timers.next_us(), self.rest.next_us(pressed), refill]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(u64::MAX);
        let wait_us = next.saturating_sub(self.clock_us());
        wait_us.div_ceil(1000).min(MAX_SLEEP_MS) as i32
    }

    /// Whether pairs run short and none is left to bind.
    fn pressed(&self) -> bool {
        self.ports.low() && self.bind_again_us > self.now_us
    }

    /// Offers what has rested, and binds ahead. Whether there is more to do at once.
    fn tend_pairs(&mut self) -> bool {
        while let Some(slot) = self.rest.pop(false, self.now_us) {
            self.offer(slot);
        }
        for _ in 0..REFILL_BATCH {
            if !self.ports.low() {
                return false;
            }
            if self.bind_again_us <= self.now_us {
                match self.ports.bind_ahead() {
                    Some(bound) => self.adopt(bound),
                    None => {
                        let again = self.ports.next_bind();
                        let at = again.map(|at| at.saturating_duration_since(self.epoch));
                        // Not at once again: what cannot be bound now cannot be a moment later.
                        let least = self.now_us + 100_000;
                        self.bind_again_us =
                            at.map_or(u64::MAX, |at| (at.as_micros() as u64).max(least));
                    }
                }
            } else if let Some(slot) = self.rest.pop(true, self.now_us) {
                self.offer(slot);
            } else {
                return false;
            }
        }
        self.ports.low()
    }

    fn offer(&mut self, slot: Slot) {
        // Here and not when the pair is opened: the party may speak before a busy machine lets
        // this thread perform `Open`, and what it says then is the new call's.
        self.flush(slot);
        self.ports
            .quarantined
            .store(self.rest.len() as u64, Ordering::Relaxed);
        self.ports.push(slot);
    }

    /// Lays a closed pair to rest.
    pub(super) fn lay_to_rest(&mut self, slot: Slot) {
        // The clock and not the turn's beginning: the rest is never shorter than promised.
        self.rest.push(slot, self.clock_us());
        self.ports
            .quarantined
            .store(self.rest.len() as u64, Ordering::Relaxed);
    }

    fn adopt(&mut self, bound: Bound) {
        let Bound { slot, rtp, rtcp } = bound;
        let token = u64::from(slot) * 2;
        for (socket, token) in [(&rtp, token), (&rtcp, token + 1)] {
            let interest = EpollEvent::new(EpollFlags::EPOLLIN, token);
            if let Err(error) = self.epoll.add(socket.as_fd(), interest) {
                // The pair stays in the pool: its call is deaf, and its next one may not be.
                tracing::error!(slot, "cannot watch a media socket: {error}");
            }
        }
        if let Some(place) = self.pairs.get_mut(slot as usize) {
            *place = Some(Pair {
                rtp,
                rtcp,
                leg: None,
            });
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Also when the thread panics: nobody must wait for it or be granted a dead pair.
        self.mailbox.close();
    }
}
