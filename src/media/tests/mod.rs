//! The plane over real sockets on the loopback: each test has an address of its own in 127/8, so
//! that no other program or test has its ports.

mod playout;
mod pool;
mod relay;
mod reports;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use crate::media::{MediaConfig, Plane, PlaneCounters, SocketsPlane};
use crate::rtp::header;
use crate::sdp::{Codec, CodecKind, Direction, Format};
use crate::switch::media::{
    LegStats, MediaCommand, MediaEvent, PortPair, Remote, Slot, Sound, StreamLine,
};

/// Nothing on this machine takes longer unless it is broken.
const PATIENCE: Duration = Duration::from_secs(20);
const PCMU: CodecKind = CodecKind::Pcmu;
const PCMA: CodecKind = CodecKind::Pcma;
const EVENT: CodecKind = CodecKind::TelephoneEvent;

/// A plane and what it reported.
struct Bench {
    plane: SocketsPlane,
    events: Receiver<MediaEvent>,
    address: IpAddr,
}

impl Bench {
    fn new(ports: RangeInclusive<u16>) -> Bench {
        Bench::with(ports, |_| {})
    }

    fn with(ports: RangeInclusive<u16>, change: impl FnOnce(&mut MediaConfig)) -> Bench {
        let address = own_address();
        let mut config = MediaConfig::on(address, ports);
        change(&mut config);
        let (sender, events) = channel();
        let report = Box::new(move |event| {
            let _ = sender.send(event);
        });
        Bench {
            plane: SocketsPlane::start(config, report).unwrap(),
            events,
            address,
        }
    }

    /// Takes a pair and opens it for a party.
    fn open(&self, party: &Party, line: StreamLine, remote: Remote) -> PortPair {
        let pair = self.plane.take_ports().unwrap();
        assert_eq!(party.rtp.local_addr().unwrap(), remote.rtp);
        self.plane.perform(MediaCommand::Open {
            slot: pair.slot,
            line,
        });
        self.agree(pair.slot, remote);
        pair
    }

    fn agree(&self, slot: Slot, remote: Remote) {
        self.plane.perform(MediaCommand::Remote {
            slot,
            remote: Box::new(remote),
        });
    }

    fn bridge(&self, a: PortPair, b: PortPair, timeout_ms: u32) {
        self.plane.perform(MediaCommand::Bridge {
            a: a.slot,
            b: b.slot,
            timeout_ms,
        });
    }

    fn play(&self, pair: PortPair, id: u32, sound: Sound) {
        self.plane.perform(MediaCommand::Play {
            slot: pair.slot,
            id,
            sound,
        });
    }

    fn stop(&self, pair: PortPair) {
        self.plane.perform(MediaCommand::Stop { slot: pair.slot });
    }

    fn event(&self) -> MediaEvent {
        self.events.recv_timeout(PATIENCE).unwrap()
    }

    /// Closes a pair; its statistics.
    fn close(&self, pair: PortPair) -> LegStats {
        self.plane.perform(MediaCommand::Close { slot: pair.slot });
        match self.event() {
            MediaEvent::Closed { slot, stats } if slot == pair.slot => stats,
            other => panic!("{other:?}"),
        }
    }

    /// Waits until the counters say so.
    fn until(&self, wanted: impl Fn(PlaneCounters) -> bool) -> PlaneCounters {
        wait_for(|| Some(self.plane.counters()).filter(|c| wanted(*c)))
    }

    /// Every command so far has been performed.
    fn settle(&self) {
        let ignored = self.plane.counters().commands_ignored;
        self.plane.perform(MediaCommand::Stop { slot: Slot::MAX });
        self.until(|c| c.commands_ignored > ignored);
    }
}

/// Polls until there is a value.
fn wait_for<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn own_address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let process = std::process::id();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    let [.., high, low] = process.to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(127, high | 0x80, low, next))
}

/// A phone's two sockets.
struct Party {
    rtp: UdpSocket,
    rtcp: UdpSocket,
}

impl Party {
    fn new() -> Party {
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Party {
            rtp: socket(),
            rtcp: socket(),
        }
    }

    fn remote(&self, receive: &[(u8, CodecKind)], send: &[(u8, CodecKind)]) -> Remote {
        Remote {
            rtp: self.rtp.local_addr().unwrap(),
            rtcp: self.rtcp.local_addr().unwrap(),
            receive: formats(receive),
            send: formats(send),
            ptime_ms: 20,
            direction: Direction::SendRecv,
        }
    }

    fn say(&self, to: PortPair, packet: &[u8]) {
        self.rtp.send_to(packet, at(to, 0)).unwrap();
    }

    fn report(&self, to: PortPair, packet: &[u8]) {
        self.rtcp.send_to(packet, at(to, 1)).unwrap();
    }

    /// The next RTP packet and its sender.
    fn hear(&self) -> (header::Header, Vec<u8>, SocketAddr) {
        let mut bytes = [0; 2000];
        let (len, from) = self.rtp.recv_from(&mut bytes).unwrap();
        let packet = bytes[..len].to_vec();
        assert_eq!(packet[0], 0x80, "no CSRC, extension or padding");
        (header::parse(&packet).unwrap(), packet[12..].to_vec(), from)
    }

    fn hear_report(&self) -> Vec<u8> {
        let mut bytes = [0; 2000];
        let (len, _) = self.rtcp.recv_from(&mut bytes).unwrap();
        bytes[..len].to_vec()
    }
}

fn at(pair: PortPair, offset: u16) -> SocketAddr {
    SocketAddr::new(pair.address, pair.port + offset)
}

fn formats(list: &[(u8, CodecKind)]) -> Vec<Format> {
    list.iter()
        .map(|(payload_type, kind)| Format {
            payload_type: *payload_type,
            codec: Codec {
                kind: *kind,
                clock: 8000,
                param: None,
            },
        })
        .collect()
}

fn line(seed: u8) -> StreamLine {
    StreamLine {
        ssrc: u32::from_be_bytes([seed; 4]),
        sequence: u16::from(seed).wrapping_mul(1000),
        timestamp: u32::from(seed) * 1_000_000,
        cname: [seed; 12],
    }
}

/// An RTP packet of a phone with a will of its own.
fn spoken(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let timestamp = 77_000 + u32::from(sequence) * 160;
    let mut packet = header::print(false, payload_type, sequence, timestamp, 0x5eed).to_vec();
    packet.extend(payload);
    packet
}
