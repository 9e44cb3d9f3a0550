//! A phone's audio: one RTP and one RTCP socket (RFC 3550 §11), a sender that keeps the 20 ms
//! pace, and a record of every packet that arrived.

use std::net::{IpAddr, SocketAddr, UdpSocket as StdSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rtp_rs::RtpReader;
use tokio::net::UdpSocket;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::bell::Bell;
use super::sdp::Description;
use super::sound::{self, FRAME};
use super::{Error, random_hex};

/// Most packets one phone keeps of a call: ten minutes of 20 ms packets.
pub const PACKET_LIMIT: usize = 30_000;
/// Tries to find an even port whose odd neighbour is free too.
const BIND_TRIES: usize = 64;
/// Largest packet a phone reads.
const LARGEST_PACKET: usize = 2_048;
/// Samples looked at when listening for a tone: 400 ms.
const LISTEN_SAMPLES: usize = 20 * FRAME;
/// Share of the power that must lie at a tone's frequency for it to count as heard.
const HEARD: f64 = 0.9;

/// What a phone sends.
#[derive(Debug, Clone)]
pub enum Source {
    /// No packets.
    Silent,
    /// A sine of this many hertz, until told otherwise.
    Tone(f64),
    /// These payloads, one a packet and each once, then silence.
    Frames(Vec<Vec<u8>>),
}

/// A packet that arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// Its source address.
    pub from: SocketAddr,
    /// Whether it came to the RTCP port.
    pub rtcp: bool,
    /// All of it.
    pub bytes: Vec<u8>,
}

impl Received {
    /// The packet as RTP; `None` when it came to the RTCP port or is malformed.
    pub fn rtp(&self) -> Option<RtpReader<'_>> {
        (!self.rtcp)
            .then(|| RtpReader::new(&self.bytes).ok())
            .flatten()
    }
}

/// The audio of one call.
#[derive(Debug)]
pub struct Media {
    shared: Arc<Shared>,
    local: SocketAddr,
    tasks: [AbortHandle; 3],
}

#[derive(Debug)]
struct Shared {
    rtp: StdSocket,
    rtcp: StdSocket,
    state: Mutex<State>,
    bell: Bell,
}

#[derive(Debug)]
struct State {
    source: Source,
    /// Where and with which payload types to send.
    remote: Option<Description>,
    received: Vec<Received>,
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    sent: u64,
    /// Phase of the tone, in samples.
    phase: usize,
}

impl Media {
    /// Binds an even RTP port and the RTCP port above it on `ip`, and starts to record and send.
    ///
    /// # Errors
    /// When no such pair is free.
    pub fn bind(ip: IpAddr) -> Result<Media, Error> {
        let (rtp, rtcp) = bind_pair(ip)?;
        let local = rtp.local_addr()?;
        let shared = Arc::new(Shared {
            rtp: rtp.try_clone()?,
            rtcp: rtcp.try_clone()?,
            state: Mutex::new(State {
                source: Source::Silent,
                remote: None,
                received: Vec::new(),
                // RFC 3550 §5.1: random, so that the relay's own line cannot equal it by chance.
                ssrc: u32::from_str_radix(&random_hex(4)?, 16).unwrap_or(1),
                sequence: u16::from_str_radix(&random_hex(2)?, 16).unwrap_or(1),
                timestamp: u32::from_str_radix(&random_hex(4)?, 16).unwrap_or(1),
                sent: 0,
                phase: 0,
            }),
            bell: Bell::new(),
        });
        let tasks = [
            tokio::spawn(record(UdpSocket::from_std(rtp)?, shared.clone(), false)).abort_handle(),
            tokio::spawn(record(UdpSocket::from_std(rtcp)?, shared.clone(), true)).abort_handle(),
            tokio::spawn(keep_pace(shared.clone())).abort_handle(),
        ];
        Ok(Media {
            shared,
            local,
            tasks,
        })
    }

    /// The RTP address, for SDP.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Where the other side wants its audio, once signalling said so.
    pub fn remote(&self) -> Option<SocketAddr> {
        self.shared.lock().remote.as_ref().map(|r| r.rtp)
    }

    pub(super) fn set_remote(&self, remote: Description) {
        self.shared.lock().remote = Some(remote);
        self.shared.bell.ring();
    }

    /// Changes what is sent, from the next packet on.
    pub fn play(&self, source: Source) {
        self.shared.lock().source = source;
    }

    /// Sends one packet now, in this phone's own RTP stream, under the payload type that the
    /// other side's SDP gives `encoding`.
    ///
    /// # Errors
    /// [`Error::WrongState`] when the other side's SDP has not come or lacks the encoding.
    pub fn send(&self, encoding: &str, marker: bool, payload: &[u8]) -> Result<(), Error> {
        let mut state = self.shared.lock();
        let payload_type = state
            .remote
            .as_ref()
            .and_then(|r| r.payload_type(encoding))
            .ok_or(Error::WrongState("the other side takes no such encoding"))?;
        self.shared.send(&mut state, payload_type, marker, payload);
        Ok(())
    }

    /// Sends these bytes to the other side's RTP address as they are.
    ///
    /// # Errors
    /// When the other side's address is unknown or the socket fails.
    pub fn send_raw(&self, bytes: &[u8]) -> Result<(), Error> {
        let to = self
            .remote()
            .ok_or(Error::WrongState("the other side's address is unknown"))?;
        self.shared.rtp.send_to(bytes, to)?;
        Ok(())
    }

    /// Sends these bytes to the other side's RTCP port (RFC 3550 §11) as they are.
    ///
    /// # Errors
    /// When the other side's address is unknown or the socket fails.
    pub fn send_rtcp(&self, bytes: &[u8]) -> Result<(), Error> {
        let mut to = self
            .remote()
            .ok_or(Error::WrongState("the other side's address is unknown"))?;
        to.set_port(to.port().wrapping_add(1));
        self.shared.rtcp.send_to(bytes, to)?;
        Ok(())
    }

    /// Everything that arrived, RTP and RTCP, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.shared.lock().received.clone()
    }

    /// RTP packets sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.lock().sent
    }

    /// The payloads of the RTP packets that arrived under this payload type.
    pub fn payloads(&self, payload_type: u8) -> Vec<Vec<u8>> {
        let state = self.shared.lock();
        let packets = state.received.iter().filter_map(Received::rtp);
        packets
            .filter(|p| p.payload_type() == payload_type)
            .map(|p| p.payload().to_vec())
            .collect()
    }

    /// What was heard: the PCMU payloads (payload type 0), decoded, in order of arrival.
    pub fn heard(&self) -> Vec<i16> {
        let payloads = self.payloads(0);
        payloads
            .iter()
            .flatten()
            .map(|c| sound::linear(*c))
            .collect()
    }

    /// Waits until `enough` packets satisfy `wanted`.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn wait_packets(
        &self,
        patience: Duration,
        enough: usize,
        wanted: impl Fn(&Received) -> bool,
    ) -> Result<(), Error> {
        let what = format!("{enough} packets of audio");
        self.shared
            .bell
            .wait(patience, &what, || {
                let state = self.shared.lock();
                let count = state.received.iter().filter(|r| wanted(r)).count();
                (count >= enough).then_some(())
            })
            .await
    }

    /// Waits until the newest 400 ms of what was heard are a tone of `hertz`.
    ///
    /// # Errors
    /// [`Error::TooLate`].
    pub async fn wait_tone(&self, patience: Duration, hertz: f64) -> Result<(), Error> {
        self.shared
            .bell
            .wait(patience, &format!("a tone of {hertz:.0} Hz"), || {
                let heard = self.heard();
                let newest = heard.get(heard.len().checked_sub(LISTEN_SAMPLES)?..)?;
                (sound::share_at(newest, hertz) > HEARD).then_some(())
            })
            .await
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the header (RFC 3550 §5.1) and sends; a full socket buffer is a lost packet.
    fn send(&self, state: &mut State, payload_type: u8, marker: bool, payload: &[u8]) {
        let Some(remote) = &state.remote else { return };
        let mut packet = Vec::with_capacity(12 + payload.len());
        packet.push(0x80);
        packet.push(payload_type & 0x7f | if marker { 0x80 } else { 0 });
        packet.extend(state.sequence.to_be_bytes());
        packet.extend(state.timestamp.to_be_bytes());
        packet.extend(state.ssrc.to_be_bytes());
        packet.extend(payload);
        let _ = self.rtp.send_to(&packet, remote.rtp);
        state.sequence = state.sequence.wrapping_add(1);
        state.sent += 1;
    }

    /// One 20 ms step of the sender.
    fn tick(&self) {
        let mut state = self.lock();
        let Some(pcmu) = state
            .remote
            .as_ref()
            .and_then(|r| r.payload_type("PCMU/8000"))
        else {
            return;
        };
        let phase = state.phase;
        let payload = match &mut state.source {
            Source::Silent => return,
            Source::Tone(hertz) => {
                let step = std::f64::consts::TAU * *hertz / f64::from(sound::SAMPLE_RATE);
                (phase..phase + FRAME)
                    .map(|n| sound::ulaw(((n as f64 * step).sin() * 10_000.0) as i16))
                    .collect()
            }
            Source::Frames(frames) if frames.is_empty() => return,
            Source::Frames(frames) => frames.remove(0),
        };
        state.phase += FRAME;
        let first = state.sent == 0;
        self.send(&mut state, pcmu, first, &payload);
        state.timestamp = state.timestamp.wrapping_add(FRAME as u32);
    }
}

async fn keep_pace(shared: Arc<Shared>) {
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        shared.tick();
    }
}

async fn record(socket: UdpSocket, shared: Arc<Shared>, rtcp: bool) {
    let mut buffer = [0_u8; LARGEST_PACKET];
    loop {
        // An ICMP error of an earlier send is reported here; the socket stays usable.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        {
            let mut state = shared.lock();
            if state.received.len() < PACKET_LIMIT {
                state.received.push(Received {
                    at: Instant::now(),
                    from,
                    rtcp,
                    bytes: buffer.get(..length).unwrap_or_default().to_vec(),
                });
            }
        }
        shared.bell.ring();
    }
}

fn bind_pair(ip: IpAddr) -> Result<(StdSocket, StdSocket), Error> {
    let mut last = std::io::Error::other("no even port with a free neighbour");
    // Ports of the wrong parity are kept until the end, so that the kernel offers others.
    let mut odd = Vec::new();
    for _ in 0..BIND_TRIES {
        let rtp = StdSocket::bind((ip, 0))?;
        let port = rtp.local_addr()?.port();
        if port % 2 == 1 {
            odd.push(rtp);
            continue;
        }
        match StdSocket::bind((ip, port + 1)) {
            Ok(rtcp) => {
                rtp.set_nonblocking(true)?;
                rtcp.set_nonblocking(true)?;
                return Ok((rtp, rtcp));
            }
            Err(e) => last = e,
        }
    }
    Err(last.into())
}
