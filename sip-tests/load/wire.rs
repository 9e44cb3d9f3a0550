//! UDP for a generator that must cost little: datagrams are gathered and sent with `sendmmsg`,
//! read with `recvmmsg`, and stamped by the kernel at the moment they arrive.

use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg, setsockopt,
    sockopt,
};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};
use socket2::SockRef;

use crate::failure::{Doing, Outcome};

/// Datagrams of one system call.
const BATCH: usize = 64;
/// Bytes kept of a datagram; loopback carries no longer ones here.
const LONGEST: usize = 2_048;
/// Socket buffers asked of the kernel, which grants what its limits allow.
const BUFFER: usize = 8 << 20;

/// A socket with what is waiting to be sent. Two halves, so that whoever reads may answer.
pub(crate) struct Wire {
    /// Reads.
    pub(crate) rx: Receiver,
    /// Gathers and sends.
    pub(crate) tx: Outbox,
    local: SocketAddrV4,
}

/// The reading half.
pub(crate) struct Receiver {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrIn>,
    buffer: Vec<u8>,
}

/// The sending half.
pub(crate) struct Outbox {
    socket: UdpSocket,
    headers: MultiHeaders<SockaddrIn>,
    bytes: Vec<u8>,
    ranges: Vec<Range<usize>>,
    addresses: Vec<Option<SockaddrIn>>,
    begun: usize,
    /// Datagrams the kernel did not take.
    pub(crate) refused: u64,
}

/// A datagram that came.
pub(crate) struct Arrived<'a> {
    /// Its bytes.
    pub(crate) bytes: &'a [u8],
    /// When the kernel had it, in nanoseconds since 1970; 0 without a stamp.
    pub(crate) at_ns: u64,
}

impl Wire {
    /// Binds to a port the kernel chooses.
    pub(crate) fn bind(ip: Ipv4Addr) -> Outcome<Wire> {
        let socket = UdpSocket::bind((ip, 0)).doing(format!("bind {ip}"))?;
        socket.set_nonblocking(true)?;
        let options = SockRef::from(&socket);
        // Smaller buffers only lose earlier, and loss is counted.
        let _ = options.set_recv_buffer_size(BUFFER);
        let _ = options.set_send_buffer_size(BUFFER);
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true).doing("time stamps")?;
        let port = socket.local_addr()?.port();
        Ok(Wire {
            rx: Receiver {
                socket: socket.try_clone()?,
                headers: MultiHeaders::preallocate(BATCH, Some(cmsg_space!(TimeSpec))),
                buffer: vec![0; BATCH * LONGEST],
            },
            tx: Outbox {
                socket,
                headers: MultiHeaders::preallocate(BATCH, None),
                bytes: Vec::with_capacity(BATCH * LONGEST),
                ranges: Vec::with_capacity(BATCH),
                addresses: Vec::with_capacity(BATCH),
                begun: 0,
                refused: 0,
            },
            local: SocketAddrV4::new(ip, port),
        })
    }

    /// Its address.
    pub(crate) fn local(&self) -> SocketAddrV4 {
        self.local
    }

    /// From now on it speaks with this peer only, and what others sent is gone.
    pub(crate) fn connect(&mut self, peer: SocketAddrV4) -> Outcome<()> {
        self.tx
            .socket
            .connect(peer)
            .doing(format!("connect to {peer}"))?;
        while self.rx.receive(|_| {}) > 0 {}
        Ok(())
    }
}

impl Receiver {
    /// Hands out what has come, at most a batch; how many there were.
    pub(crate) fn receive(&mut self, mut take: impl FnMut(Arrived<'_>)) -> usize {
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = {
            let mut pieces = self.buffer.chunks_mut(LONGEST);
            std::array::from_fn(|_| [IoSliceMut::new(pieces.next().unwrap_or_default())])
        };
        let descriptor = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        // Also ECONNREFUSED, which tells of an earlier datagram: its call fails by being late.
        let Ok(messages) = recvmmsg(descriptor, &mut self.headers, &mut slices, flags, None) else {
            return 0;
        };
        let mut count = 0;
        for message in messages {
            count += 1;
            let mut stamps = message.cmsgs().into_iter().flatten();
            let at_ns = stamps.find_map(|stamp| match stamp {
                ControlMessageOwned::ScmTimestampns(at) => Some(nanos(at)),
                _ => None,
            });
            take(Arrived {
                bytes: message.iovs().next().unwrap_or_default(),
                at_ns: at_ns.unwrap_or(0),
            });
        }
        count
    }
}

impl Outbox {
    /// Where the next datagram is written, behind those that wait.
    pub(crate) fn open(&mut self) -> &mut Vec<u8> {
        self.begun = self.bytes.len();
        &mut self.bytes
    }

    /// Ends the datagram begun with [`Outbox::open`]; without an address it goes to the peer.
    pub(crate) fn close(&mut self, to: Option<SocketAddrV4>) {
        self.ranges.push(self.begun..self.bytes.len());
        self.addresses.push(to.map(SockaddrIn::from));
        if self.ranges.len() == BATCH {
            self.flush();
        }
    }

    /// Sends all that waits.
    pub(crate) fn flush(&mut self) {
        let mut from = 0;
        while from < self.ranges.len() {
            let waiting = self.ranges.get(from..).unwrap_or_default();
            let slices: Vec<[IoSlice<'_>; 1]> = waiting
                .iter()
                .map(|r| [IoSlice::new(self.bytes.get(r.clone()).unwrap_or_default())])
                .collect();
            let sent = sendmmsg(
                self.socket.as_raw_fd(),
                &mut self.headers,
                &slices,
                self.addresses.get(from..).unwrap_or_default(),
                [],
                MsgFlags::MSG_DONTWAIT,
            );
            from += match sent {
                Ok(results) => results.count().max(1),
                Err(Errno::EINTR) => 0,
                // One datagram is given up: full buffer, or the word on an earlier one.
                Err(_) => {
                    self.refused += 1;
                    1
                }
            };
        }
        self.bytes.clear();
        self.ranges.clear();
        self.addresses.clear();
    }
}

/// Waits until one of both has something to read, at most so long.
pub(crate) fn wait(one: &Wire, two: &Wire, most: Duration) {
    let interest = |wire| PollFd::new(AsFd::as_fd(wire), PollFlags::POLLIN);
    let mut both = [interest(&one.rx.socket), interest(&two.rx.socket)];
    // Whatever ends the wait, the caller looks at its clock and its sockets.
    let _ = ppoll(&mut both, Some(TimeSpec::from_duration(most)), None);
}

/// Nanoseconds since 1970 by the clock that stamps datagrams.
pub(crate) fn now_ns() -> u64 {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, nanos)
}

fn nanos(at: TimeSpec) -> u64 {
    at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64
}
