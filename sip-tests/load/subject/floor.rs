//! The floors: what the kernel alone costs. This program runs itself in one of these roles.
//!
//! Both wait in `epoll_wait` and move one datagram a turn of a socket with `recvfrom` and
//! `sendto`, as a server with a socket for each leg has to; they look at nothing.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use socket2::SockRef;

use crate::failure::{Failure, Outcome};

/// The first argument of a floor.
pub(crate) const ROLE: &str = "__floor";
/// Begins the line in which a floor names its ports.
pub(crate) const PORTS: &str = "ports ";
/// Receive buffer of the forwarder: all calls go through one socket.
const BUFFER: usize = 8 << 20;
/// Sockets of one turn.
const EVENTS: usize = 256;
const LONGEST: usize = 2_048;

/// A socket, the socket what it hears leaves from, and where to.
struct Way {
    socket: UdpSocket,
    out: usize,
    to: SocketAddrV4,
}

/// Runs until it is killed.
pub(crate) fn run(arguments: &[String]) -> Outcome<()> {
    let usage = || Failure::new("a floor's arguments are wrong");
    let [role, ip, rest @ ..] = arguments else {
        return Err(usage());
    };
    let ip: Ipv4Addr = ip.parse().map_err(|_| usage())?;
    let address = |text: &String| text.parse::<SocketAddrV4>().map_err(|_| usage());
    let (pairs, caller, callee) = match (role.as_str(), rest) {
        ("forward", [caller, callee]) => (1, address(caller)?, address(callee)?),
        ("relay", [calls, caller, callee]) => (
            calls.parse().map_err(|_| usage())?,
            address(caller)?,
            address(callee)?,
        ),
        _ => return Err(usage()),
    };
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut ways = Vec::with_capacity(pairs * 2);
    for index in 0..pairs * 2 {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_nonblocking(true)?;
        if pairs == 1 {
            let _ = SockRef::from(&socket).set_recv_buffer_size(BUFFER);
        }
        epoll.add(
            socket.as_fd(),
            EpollEvent::new(EpollFlags::EPOLLIN, index as u64),
        )?;
        let to = if index % 2 == 0 { callee } else { caller };
        ways.push(Way {
            socket,
            out: index ^ 1,
            to,
        });
    }
    let ports: Result<Vec<String>, std::io::Error> = ways
        .iter()
        .map(|w| Ok(w.socket.local_addr()?.port().to_string()))
        .collect();
    println!("{PORTS}{}", ports?.join(" "));
    std::io::stdout().flush()?;
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut buffer = [0; LONGEST];
    loop {
        let count = epoll.wait(&mut events, EpollTimeout::NONE).unwrap_or(0);
        for event in events.iter().take(count) {
            let Some(way) = ways.get(event.data() as usize) else {
                continue;
            };
            let Ok((length, _)) = way.socket.recv_from(&mut buffer) else {
                continue;
            };
            let (Some(out), Some(bytes)) = (ways.get(way.out), buffer.get(..length)) else {
                continue;
            };
            // What the kernel does not take is lost, and counted where it should have arrived.
            let _ = out.socket.send_to(bytes, way.to);
        }
    }
}
