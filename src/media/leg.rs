//! One open pair: what was agreed with its party, who hears whom, and what is to be reported.

use std::net::SocketAddr;

use crate::media::mapping::{between, impairment, we_receive, we_send};
use crate::media::player::{Player, Voice};
use crate::rtp::flow::Flow;
use crate::rtp::latch::Latch;
use crate::rtp::line::Line;
use crate::rtp::mos;
use crate::rtp::rtcp::Session;
use crate::sdp::{Direction, Format};
use crate::switch::media::{LegStats, Remote, Slot, StreamLine};

/// An open pair.
#[derive(Debug)]
pub(super) struct Leg {
    /// What we send.
    pub(super) line: Line,
    /// What we receive.
    pub(super) flow: Flow,
    pub(super) rtcp: Session,
    pub(super) rtcp_latch: Latch,
    pub(super) remote: Option<Remote>,
    pub(super) voice: Option<Voice>,
    pub(super) playing: Option<Playing>,
    /// The other side of the bridge.
    pub(super) partner: Option<Slot>,
    /// The first-named side of a bridge watches for silence.
    pub(super) watch: Option<Watch>,
    /// When the party last sent RTP or RTCP.
    pub(super) heard_us: u64,
    /// When the next report is due; `None` before the party is known.
    pub(super) rtcp_due_us: Option<u64>,
}

/// What a leg plays.
#[derive(Debug)]
pub(super) enum Playing {
    /// Its file is being read.
    Soon { id: u32, name: String },
    /// It sounds.
    Now(Player),
}

impl Playing {
    /// Whether this is the playout's deadline and not one of an earlier sound.
    pub(super) fn due_at(&self, at_us: u64) -> bool {
        matches!(self, Playing::Now(player) if player.due_us == at_us)
    }
}

/// A bridge's media timeout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch {
    pub(super) timeout_us: u64,
    /// Silence before this moment does not count: the bridge, or a side's direction, is newer.
    pub(super) since_us: u64,
    pub(super) due_us: u64,
}

impl Leg {
    pub(super) fn new(slot: Slot, line: StreamLine) -> Leg {
        Leg {
            line: Line::new(line.ssrc, line.sequence, line.timestamp),
            flow: Flow::new(slot),
            rtcp: Session::new(line.cname),
            rtcp_latch: Latch::default(),
            remote: None,
            voice: None,
            playing: None,
            partner: None,
            watch: None,
            heard_us: 0,
            rtcp_due_us: None,
        }
    }

    /// Takes what the signalling agreed on, for the first time or anew.
    pub(super) fn agree(&mut self, remote: Remote, now_us: u64) {
        self.flow.latch = Latch::on(remote.rtp);
        self.rtcp_latch = Latch::on(remote.rtcp);
        self.voice = Voice::of(&remote);
        self.remote = Some(remote);
        if self.rtcp_due_us.is_none() {
            self.rtcp_due_us = Some(now_us + self.rtcp.next_interval_us());
        }
    }

    /// Reads payload types as this leg's SDP numbers them and calls them as the partner's does.
    pub(super) fn map_to(&mut self, send: &[Format]) {
        let receive = self.remote.as_ref().map(|r| r.receive.as_slice());
        self.flow.map = between(receive.unwrap_or_default(), send);
    }

    pub(super) fn send_formats(&self) -> Vec<Format> {
        self.remote
            .as_ref()
            .map(|r| r.send.clone())
            .unwrap_or_default()
    }

    /// Where our RTP goes; `None` while the party does not want any (RFC 3264 §5.1, §8.4).
    pub(super) fn rtp_target(&self) -> Option<SocketAddr> {
        let remote = self.remote.as_ref()?;
        (we_send(remote.direction) && reachable(remote.rtp)).then_some(remote.rtp)
    }

    /// Where our RTCP goes; also while held (RFC 3264 §5.1).
    pub(super) fn rtcp_target(&self) -> Option<SocketAddr> {
        let remote = self.remote.as_ref()?;
        reachable(remote.rtcp).then_some(remote.rtcp)
    }

    /// Whether what the party sends may be passed on.
    pub(super) fn may_speak(&self) -> bool {
        self.remote
            .as_ref()
            .is_some_and(|r| we_receive(r.direction))
    }

    /// Whether silence of this party means something.
    pub(super) fn both_ways(&self) -> bool {
        self.remote
            .as_ref()
            .is_some_and(|r| r.direction == Direction::SendRecv)
    }

    pub(super) fn stats(&self) -> LegStats {
        let counters = self.flow.counters;
        let reception = &self.flow.reception;
        let expected = reception.received() + reception.lost();
        let mos = (counters.accepted > 0).then(|| {
            let receive = self.remote.as_ref().map(|r| r.receive.as_slice());
            mos::estimate(
                impairment(receive.unwrap_or_default()),
                reception.lost() as f32 / expected.max(1) as f32,
                reception.jitter_ms(),
                self.rtcp.round_trip_ms().unwrap_or(0.0),
            )
        });
        LegStats {
            packets_in: counters.accepted,
            packets_out: self.line.packets,
            lost: reception.lost(),
            dropped: counters.wrong_source + counters.refused,
            jitter_ms: reception.jitter_ms(),
            mos,
        }
    }
}

/// Whether something can be sent there: a held party may give 0.0.0.0 (RFC 3264 §8.4) and a
/// refused stream port 0.
fn reachable(address: SocketAddr) -> bool {
    !address.ip().is_unspecified() && address.port() != 0
}
