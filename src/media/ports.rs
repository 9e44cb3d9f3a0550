//! The pool of port pairs: which ports a slot has, the queue of pairs ready to be taken, and
//! binding. Shared by the worker and by everybody who takes pairs; taking one is a pop from a
//! lock-free queue. A pair once bound stays bound: descriptors grow to the peak of calls and no
//! further.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_queue::ArrayQueue;
use socket2::SockRef;

use crate::media::{Error, MediaConfig, pairs_in};
use crate::switch::media::{PortPair, Slot};

/// How many bound pairs the worker keeps at hand.
pub(super) const READY_AHEAD: usize = 32;
/// After this time a pair that another program holds is tried again.
const RETRY_BIND: Duration = Duration::from_secs(5);
/// How many pairs are tried for one that can be bound.
const BIND_TRIES: usize = 64;
/// DSCP EF in the upper six bits of the traffic class (RFC 4594 §4.1, telephony).
const EXPEDITED_FORWARDING: u32 = 46 << 2;

/// A pair with its sockets.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) slot: Slot,
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
}

/// A pair just taken.
#[derive(Debug)]
pub(super) enum Taken {
    /// The worker has its sockets.
    Ready(Slot),
    /// The worker must be given its sockets.
    Bound(Bound),
}

/// The pool.
#[derive(Debug)]
pub(super) struct Ports {
    /// Bound and advertised.
    addresses: Vec<(IpAddr, IpAddr)>,
    first_port: u16,
    total: Slot,
    /// Refill below this many.
    low_water: usize,
    ready: ArrayQueue<Slot>,
    taken: Box<[AtomicBool]>,
    unbound: Mutex<Unbound>,
    pub(super) in_use: AtomicU64,
    pub(super) quarantined: AtomicU64,
}

/// Pairs without sockets.
#[derive(Debug)]
struct Unbound {
    /// Slots from here on have never been tried.
    fresh: Slot,
    /// Slots that could not be bound, with the time of the next try; oldest first.
    refused: VecDeque<(Instant, Slot)>,
}

impl Ports {
    pub(super) fn new(config: &MediaConfig) -> Result<Ports, Error> {
        if config.addresses.is_empty() {
            return Err(Error::NoAddress);
        }
        let total = config.pairs();
        if pairs_in(&config.ports) == 0 {
            return Err(Error::NoPorts(*config.ports.start(), *config.ports.end()));
        }
        Ok(Ports {
            addresses: config.addresses.clone(),
            first_port: (*config.ports.start()).max(2).next_multiple_of(2),
            // At most 32,767 pairs an address: far below u32 for any list of addresses.
            total: Slot::try_from(total).unwrap_or(Slot::MAX),
            low_water: READY_AHEAD.min(total.div_ceil(4)),
            ready: ArrayQueue::new(total),
            taken: (0..total).map(|_| AtomicBool::new(false)).collect(),
            unbound: Mutex::new(Unbound {
                fresh: 0,
                refused: VecDeque::new(),
            }),
            in_use: AtomicU64::new(0),
            quarantined: AtomicU64::new(0),
        })
    }

    /// Fails when an address is not this machine's. That another program holds a port does not
    /// matter: the next pair is tried.
    pub(super) fn check_addresses(&self) -> Result<(), Error> {
        for (address, _) in &self.addresses {
            UdpSocket::bind((*address, 0)).map_err(|source| Error::Address {
                address: *address,
                source,
            })?;
        }
        Ok(())
    }

    pub(super) fn total(&self) -> Slot {
        self.total
    }

    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Whether the worker should bind or release pairs.
    pub(super) fn low(&self) -> bool {
        self.ready.len() < self.low_water
    }

    /// Takes a ready pair, or binds one when a burst of calls has outrun the worker. `None`: the
    /// range is exhausted.
    pub(super) fn take(&self) -> Option<Taken> {
        if let Some(slot) = self.pop() {
            return Some(Taken::Ready(slot));
        }
        let mut unbound = self.unbound();
        // The worker offers what it binds under this lock: nothing is between the two.
        if let Some(slot) = self.pop() {
            return Some(Taken::Ready(slot));
        }
        let bound = self.bind_next(&mut unbound)?;
        self.mark_taken(bound.slot);
        Some(Taken::Bound(bound))
    }

    /// Binds a pair and offers it. The caller must adopt it before it reads its next letter,
    /// because the pair may be taken at once.
    pub(super) fn bind_ahead(&self) -> Option<Bound> {
        let mut unbound = self.unbound();
        let bound = self.bind_next(&mut unbound)?;
        self.push(bound.slot);
        Some(bound)
    }

    fn pop(&self) -> Option<Slot> {
        let slot = self.ready.pop()?;
        self.mark_taken(slot);
        Some(slot)
    }

    fn mark_taken(&self, slot: Slot) {
        if let Some(taken) = self.taken.get(slot as usize) {
            taken.store(true, Ordering::SeqCst);
            self.in_use.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether the pair is taken.
    pub(super) fn is_taken(&self, slot: Slot) -> bool {
        self.taken
            .get(slot as usize)
            .is_some_and(|t| t.load(Ordering::SeqCst))
    }

    /// Ends the taking; whether it was taken.
    pub(super) fn unmark_taken(&self, slot: Slot) -> bool {
        let was = self
            .taken
            .get(slot as usize)
            .is_some_and(|t| t.swap(false, Ordering::SeqCst));
        if was {
            self.in_use.fetch_sub(1, Ordering::Relaxed);
        }
        was
    }

    /// Offers a bound and rested pair.
    pub(super) fn push(&self, slot: Slot) {
        // The queue holds every slot there is, each at most once: it cannot be full.
        let pushed = self.ready.push(slot);
        debug_assert!(pushed.is_ok(), "slot {slot} offered twice");
    }

    /// The pair as the switch sees it.
    pub(super) fn pair(&self, slot: Slot) -> PortPair {
        let (_, advertised) = self.address(slot);
        PortPair {
            slot,
            address: advertised,
            port: self.port(slot),
        }
    }

    /// Neighbouring slots lie on different addresses, so that load spreads.
    fn address(&self, slot: Slot) -> (IpAddr, IpAddr) {
        let index = slot as usize % self.addresses.len();
        self.addresses
            .get(index)
            .copied()
            .expect("the list is not empty and the index is below its length")
    }

    fn port(&self, slot: Slot) -> u16 {
        let pair = slot as usize / self.addresses.len();
        self.first_port.saturating_add((2 * pair) as u16)
    }

    /// Binds the next pair that can be bound. `None`: there is none now.
    fn bind_next(&self, unbound: &mut Unbound) -> Option<Bound> {
        for _ in 0..BIND_TRIES {
            let now = Instant::now();
            let slot = match unbound.refused.front() {
                _ if unbound.fresh < self.total => {
                    unbound.fresh += 1;
                    unbound.fresh - 1
                }
                Some((again, slot)) if *again <= now => {
                    let slot = *slot;
                    unbound.refused.pop_front();
                    slot
                }
                _ => return None,
            };
            match self.bind(slot) {
                Ok(bound) => return Some(bound),
                Err(error) => {
                    unbound.refused.push_back((now + RETRY_BIND, slot));
                    if error.kind() != io::ErrorKind::AddrInUse {
                        // Out of descriptors or buffers: another port would fare no better.
                        tracing::warn!(
                            port = self.port(slot),
                            "cannot bind a media port: {error}; raise the limit of open files \
                             or narrow media.ports"
                        );
                        return None;
                    }
                }
            }
        }
        None
    }

    /// When a pair that could not be bound may be tried again; `None`: nothing is left to bind.
    pub(super) fn next_bind(&self) -> Option<Instant> {
        let unbound = self.unbound();
        if unbound.fresh < self.total {
            return Some(Instant::now());
        }
        unbound.refused.front().map(|(again, _)| *again)
    }

    fn bind(&self, slot: Slot) -> io::Result<Bound> {
        let (address, _) = self.address(slot);
        let port = self.port(slot);
        // RFC 3550 §11: RTP on the even port, RTCP on the next.
        let rtp = socket(SocketAddr::new(address, port))?;
        let rtcp = socket(SocketAddr::new(address, port + 1))?;
        Ok(Bound { slot, rtp, rtcp })
    }

    fn unbound(&self) -> MutexGuard<'_, Unbound> {
        // Every state between two statements above is a valid one.
        self.unbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn socket(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    let reference = SockRef::from(&socket);
    // A network that does not know the mark carries the packet all the same.
    let _ = match address {
        SocketAddr::V4(_) => reference.set_tos_v4(EXPEDITED_FORWARDING),
        SocketAddr::V6(_) => reference.set_tclass_v6(EXPEDITED_FORWARDING),
    };
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn on(ports: std::ops::RangeInclusive<u16>) -> MediaConfig {
        MediaConfig::on(IpAddr::V4(Ipv4Addr::LOCALHOST), ports)
    }

    #[test]
    fn slots_lie_on_even_ports_and_alternate_between_addresses() {
        let mut config = on(20_001..=20_007);
        let second: IpAddr = "127.0.0.2".parse().unwrap();
        let outside: IpAddr = "203.0.113.2".parse().unwrap();
        config.addresses.push((second, outside));
        let ports = Ports::new(&config).unwrap();
        assert_eq!(ports.total(), 6);
        let all: Vec<(IpAddr, u16)> = (0..6)
            .map(|s| ports.pair(s))
            .map(|p| (p.address, p.port))
            .collect();
        let first = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(
            all,
            [
                (first, 20_002),
                (outside, 20_002),
                (first, 20_004),
                (outside, 20_004),
                (first, 20_006),
                (outside, 20_006),
            ]
        );
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let mut none = on(20_000..=20_009);
        none.addresses.clear();
        assert!(matches!(Ports::new(&none), Err(Error::NoAddress)));
        assert!(matches!(
            Ports::new(&on(20_001..=20_002)),
            Err(Error::NoPorts(20_001, 20_002))
        ));
        let foreign = MediaConfig::on("203.0.113.1".parse().unwrap(), 20_000..=20_009);
        let refused = Ports::new(&foreign).unwrap().check_addresses();
        assert!(matches!(refused, Err(Error::Address { .. })), "{refused:?}");
    }

    #[test]
    fn taking_is_marked_once() {
        let ports = Ports::new(&on(20_000..=20_009)).unwrap();
        ports.push(3);
        assert!(matches!(ports.take(), Some(Taken::Ready(3))));
        assert!(ports.is_taken(3));
        assert!(ports.unmark_taken(3));
        assert!(!ports.unmark_taken(3));
        assert!(!ports.unmark_taken(99));
    }
}
