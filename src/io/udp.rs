//! SIP over UDP (RFC 3261 §18): one socket, read in batches, written without waiting, with the
//! network's refusals read from the kernel's error queue (RFC 3261 §18.4).
//!
//! An unconnected socket learns nothing of "port unreachable" unless it asks with `IP_RECVERR`;
//! then the kernel queues each ICMP error together with the address the datagram had gone to. So
//! a dead trunk fails a call at once, not after timer B's 32 seconds.

use std::io;
use std::io::IoSliceMut;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::io::Interest;

/// The longest UDP datagram; a bigger buffer is never filled.
pub const MAX_DATAGRAM: usize = 65_535;
/// Receive buffer asked of the kernel: a second of 2,000 calls/s at setup. The kernel grants
/// what `net.core.rmem_max` allows.
pub const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;
/// Send buffer asked of the kernel.
pub const SEND_BUFFER: usize = 4 * 1024 * 1024;

/// A bound socket that is not read yet.
#[derive(Debug)]
pub struct Bound {
    socket: UdpSocket,
    local: SocketAddr,
}

/// What [`Endpoint::receive`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A datagram of this length from there.
    Datagram(usize, SocketAddr),
    /// Nothing more for now.
    Empty,
}

/// What [`Endpoint::undeliverable`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undeliverable {
    /// Datagrams to this address do not arrive.
    To(SocketAddr),
    /// An entry that says less, as "time exceeded".
    Other,
    /// Nothing more for now.
    Empty,
}

/// What became of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The kernel took it.
    Taken,
    /// The socket's buffer is full: dropped, SIP retransmits.
    Full,
    /// There is no way there (RFC 3261 §18.4).
    Unreachable,
    /// The kernel refused it for a reason of its own: too long, not permitted.
    Refused(Errno),
}

impl Bound {
    /// Binds; port 0 lets the kernel choose.
    pub fn bind(address: SocketAddr) -> io::Result<Bound> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            // One socket, one family: peers are then written the way trunks list them.
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        }
        // Best effort: the kernel caps both, and smaller buffers only drop earlier.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let local = socket.local_addr()?;
        Ok(Bound { socket, local })
    }

    /// The address with its real port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Registers with the current tokio runtime.
    pub fn open(self) -> io::Result<Endpoint> {
        Ok(Endpoint {
            socket: tokio::net::UdpSocket::from_std(self.socket)?,
            local: self.local,
        })
    }
}

/// A socket in use. Reading and writing never wait; [`Endpoint::woken`] does.
#[derive(Debug)]
pub struct Endpoint {
    socket: tokio::net::UdpSocket,
    local: SocketAddr,
}

impl Endpoint {
    /// Our own address, as bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits until there is something for [`Endpoint::receive`] or [`Endpoint::undeliverable`].
    /// Returns at once, without giving other tasks a turn, until both have answered "empty".
    pub async fn woken(&self) -> io::Result<()> {
        self.socket
            .ready(Interest::READABLE | Interest::ERROR)
            .await?;
        Ok(())
    }

    /// Reads one datagram.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            let read = self.socket.try_recv_from(buffer);
            match read {
                Ok((length, from)) => return Ok(Received::Datagram(length, from)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Received::Empty),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // An earlier datagram's ICMP error, told once to whoever calls next; the error
                // queue says whose it was.
                Err(e) if is_network_error(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Sends one datagram without waiting.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) -> Sent {
        // Straight to the kernel: tokio's own try_send would call a socket full that it has not
        // yet been told is writable.
        let socket = SockRef::from(&self.socket);
        let address = to.into();
        // The first refusal may belong to an earlier datagram (see `receive`) and has kept this
        // one from leaving; the second is this one's own.
        let mut own = false;
        loop {
            match socket.send_to(bytes, &address) {
                Ok(_) => return Sent::Taken,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Sent::Full,
                Err(e) if e.raw_os_error() == Some(libc::ENOBUFS) => return Sent::Full,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if is_network_error(&e) => {
                    if own {
                        return Sent::Unreachable;
                    }
                    own = true;
                }
                Err(e) => return Sent::Refused(Errno::from_raw(e.raw_os_error().unwrap_or(0))),
            }
        }
    }

    /// Collects one entry of the kernel's error queue (RFC 3261 §18.4).
    pub fn undeliverable(&self) -> io::Result<Undeliverable> {
        let entry = self
            .socket
            .try_io(Interest::ERROR, || self.read_error_queue());
        match entry {
            Ok(Some(peer)) => Ok(Undeliverable::To(peer)),
            Ok(None) => Ok(Undeliverable::Other),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(Undeliverable::Empty),
            Err(e) => Err(e),
        }
    }

    fn read_error_queue(&self) -> io::Result<Option<SocketAddr>> {
        // The kernel returns the head of our datagram as payload; we want only whose it was.
        let mut payload = [0u8; 1];
        let mut parts = [IoSliceMut::new(&mut payload)];
        let mut control = cmsg_space!(libc::sock_extended_err, libc::sockaddr_in6);
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut control),
            MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT,
        )?;
        let unreachable = message.cmsgs()?.any(|c| match c {
            ControlMessageOwned::Ipv4RecvErr(e, _) => is_unreachable_v4(e.ee_origin, e.ee_type),
            ControlMessageOwned::Ipv6RecvErr(e, _) => is_unreachable_v6(e.ee_origin, e.ee_type),
            _ => false,
        });
        let peer = message.address.as_ref().and_then(peer_address);
        Ok(peer.filter(|_| unreachable))
    }
}

// Origins in linux/errqueue.h.
const ORIGIN_ICMP: u8 = 2;
const ORIGIN_ICMP6: u8 = 3;

/// RFC 3261 §18.4: destination unreachable and parameter problem are failures of the transport;
/// source quench and time exceeded are ignored.
fn is_unreachable_v4(origin: u8, kind: u8) -> bool {
    const DESTINATION_UNREACHABLE: u8 = 3;
    const PARAMETER_PROBLEM: u8 = 12;
    origin == ORIGIN_ICMP && matches!(kind, DESTINATION_UNREACHABLE | PARAMETER_PROBLEM)
}

/// The same by ICMPv6's numbers (RFC 4443 §3.1, §3.4).
fn is_unreachable_v6(origin: u8, kind: u8) -> bool {
    const DESTINATION_UNREACHABLE: u8 = 1;
    const PARAMETER_PROBLEM: u8 = 4;
    origin == ORIGIN_ICMP6 && matches!(kind, DESTINATION_UNREACHABLE | PARAMETER_PROBLEM)
}

fn is_network_error(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EPROTO
        )
    )
}

fn peer_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::new(IpAddr::V4(v4.ip()), v4.port()));
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddr::new(IpAddr::V6(v6.ip()), v6.port()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn loopback() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    /// Far longer than anything on loopback takes; only a failing test waits for it.
    const PATIENCE: Duration = Duration::from_secs(20);

    async fn next(endpoint: &Endpoint, buffer: &mut [u8]) -> (usize, SocketAddr) {
        loop {
            if let Received::Datagram(length, from) = endpoint.receive(buffer).unwrap() {
                return (length, from);
            }
            while endpoint.undeliverable().unwrap() != Undeliverable::Empty {}
            tokio::time::timeout(PATIENCE, endpoint.woken())
                .await
                .expect("nothing arrived")
                .unwrap();
        }
    }

    #[tokio::test]
    async fn datagrams_go_both_ways() {
        let a = Bound::bind(loopback()).unwrap().open().unwrap();
        let b = Bound::bind(loopback()).unwrap().open().unwrap();
        assert_ne!(a.local().port(), 0);
        let mut buffer = [0u8; 64];
        assert_eq!(a.receive(&mut buffer).unwrap(), Received::Empty);
        assert_eq!(b.send(b"one", a.local()), Sent::Taken);
        assert_eq!(b.send(b"three", a.local()), Sent::Taken);
        assert_eq!(next(&a, &mut buffer).await, (3, b.local()));
        assert_eq!(next(&a, &mut buffer).await, (5, b.local()));
        assert_eq!(&buffer[..5], b"three");
        assert_eq!(a.receive(&mut buffer).unwrap(), Received::Empty);
    }

    #[tokio::test]
    async fn a_closed_port_is_reported_and_costs_others_nothing() {
        let a = Bound::bind(loopback()).unwrap().open().unwrap();
        let b = Bound::bind(loopback()).unwrap().open().unwrap();
        let dead = Bound::bind(loopback()).unwrap().local();
        assert_eq!(a.send(b"anyone?", dead), Sent::Taken);
        let reported = loop {
            match a.undeliverable().unwrap() {
                Undeliverable::To(peer) => break peer,
                Undeliverable::Other => {}
                Undeliverable::Empty => tokio::time::timeout(PATIENCE, a.woken())
                    .await
                    .expect("no ICMP error came")
                    .unwrap(),
            }
        };
        assert_eq!(reported, dead);
        assert_eq!(a.undeliverable().unwrap(), Undeliverable::Empty);

        // The pending error of a second failure neither stops the next datagram nor the reading.
        assert_eq!(a.send(b"anyone now?", dead), Sent::Taken);
        assert_eq!(a.send(b"hello", b.local()), Sent::Taken);
        let mut buffer = [0u8; 64];
        assert_eq!(next(&b, &mut buffer).await, (5, a.local()));
        assert_eq!(b.send(b"hi", a.local()), Sent::Taken);
        assert_eq!(next(&a, &mut buffer).await, (2, b.local()));
    }

    #[tokio::test]
    async fn a_datagram_that_cannot_exist_is_refused() {
        let a = Bound::bind(loopback()).unwrap().open().unwrap();
        let b = Bound::bind(loopback()).unwrap();
        let long = vec![0u8; MAX_DATAGRAM + 1];
        assert_eq!(a.send(&long, b.local()), Sent::Refused(Errno::EMSGSIZE));
    }

    #[test]
    fn only_the_errors_of_the_rfc_count() {
        assert!(is_unreachable_v4(2, 3) && is_unreachable_v4(2, 12));
        assert!(!is_unreachable_v4(2, 4) && !is_unreachable_v4(2, 11) && !is_unreachable_v4(1, 3));
        assert!(is_unreachable_v6(3, 1) && is_unreachable_v6(3, 4));
        assert!(!is_unreachable_v6(3, 2) && !is_unreachable_v6(3, 3));
    }
}
