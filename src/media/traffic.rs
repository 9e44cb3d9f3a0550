//! Packets through the worker: the relay, playout, RTCP, and silence.

use std::net::{SocketAddr, UdpSocket};

use crate::media::leg::{Leg, Playing};
use crate::media::player::{MAX_PACKET, Tick};
use crate::media::timers::Due;
use crate::media::worker::{Pair, Worker};
use crate::rtp::flow::{self, Reason, Verdict};
use crate::rtp::rtcp::Moment;
use crate::switch::media::{MediaEvent, Slot};

/// Free bytes before and behind a packet, for what SRTP adds.
const HEAD_ROOM: usize = 64;
/// Longest datagram that is read whole; longer ones are cut and so exceed every codec's bound.
const MAX_DATAGRAM: usize = 1600;
/// Where one packet at a time lies.
pub(super) const BUFFER: usize = HEAD_ROOM + MAX_DATAGRAM + HEAD_ROOM;
/// Datagrams thrown away in one turn of a socket that nobody uses.
const DRAIN_BURST: usize = 32;
/// Datagrams thrown away when a pair is offered again: more than a socket's buffer holds of RTP.
const FLUSH: usize = 4096;

impl Worker {
    /// A socket for RTP is readable: takes one packet. Level-triggered waiting comes back for
    /// more, so no socket can keep the others waiting.
    pub(super) fn rtp_arrived(&mut self, slot: usize) {
        let Some(Some(pair)) = self.pairs.get_mut(slot) else {
            return;
        };
        let Some(leg) = pair.leg.as_deref_mut() else {
            for _ in 0..drain(&pair.rtp, DRAIN_BURST) {
                self.totals.packets_dropped_source.count();
            }
            return;
        };
        let Some(room) = self.buffer.get_mut(HEAD_ROOM..HEAD_ROOM + MAX_DATAGRAM) else {
            return;
        };
        let Ok((len, source)) = pair.rtp.recv_from(room) else {
            return;
        };
        let Some(packet) = room.get_mut(..len) else {
            return;
        };
        let partner = leg.partner.map(|p| p as usize);
        let places = match partner {
            Some(partner) => self.pairs.get_disjoint_mut([slot, partner]).ok(),
            None => None,
        };
        let verdict = match places {
            Some([Some(from), Some(to)]) => relay(from, to, self.now_us, source, packet),
            _ => match self.pairs.get_mut(slot) {
                Some(Some(Pair { leg: Some(leg), .. })) => {
                    Some(flow::pass(&mut leg.flow, None, self.now_us, source, packet))
                }
                _ => None,
            },
        };
        match verdict {
            Some(Verdict::Forward(_)) => self.totals.packets_relayed.count(),
            Some(Verdict::Dropped(Reason::Source)) => {
                self.totals.packets_dropped_source.count();
                return;
            }
            Some(Verdict::Dropped(_)) => self.totals.packets_dropped_other.count(),
            Some(Verdict::Kept) => self.totals.packets_withheld.count(),
            None => self.totals.packets_unsent.count(),
        }
        let now_us = self.now_us;
        if let Some(leg) = self.leg(slot as Slot) {
            leg.heard_us = now_us;
        }
    }

    /// A socket for RTCP is readable: takes one packet for statistics.
    pub(super) fn rtcp_arrived(&mut self, slot: usize) {
        let at = self.moment();
        let Some(Some(pair)) = self.pairs.get_mut(slot) else {
            return;
        };
        let Some(leg) = pair.leg.as_deref_mut() else {
            for _ in 0..drain(&pair.rtcp, DRAIN_BURST) {
                self.totals.packets_dropped_source.count();
            }
            return;
        };
        let Ok((len, source)) = pair.rtcp.recv_from(self.buffer.as_mut_slice()) else {
            return;
        };
        if !leg.rtcp_latch.accepts(source) {
            self.totals.packets_dropped_source.count();
            return;
        }
        let packet = self.buffer.get(..len).unwrap_or_default();
        if leg.rtcp.read(packet, leg.line.ssrc, at) {
            leg.heard_us = at.now_us;
            self.totals.rtcp_received.count();
        } else {
            self.totals.packets_dropped_other.count();
        }
    }

    /// Performs every deadline that has come.
    pub(super) fn run_due(&mut self) {
        while let Some((at_us, slot, due)) = self.timers.pop(self.now_us) {
            match due {
                Due::Playout => self.play(slot, at_us),
                Due::Report => self.report(slot, at_us),
                Due::Silence => self.listen(slot, at_us),
            }
        }
    }

    /// The next packet of a sound.
    fn play(&mut self, slot: Slot, at_us: u64) {
        let now_us = self.now_us;
        let Some(Some(Pair {
            rtp,
            leg: Some(leg),
            ..
        })) = self.pairs.get_mut(slot as usize)
        else {
            return;
        };
        let target = leg.rtp_target();
        let Some(Playing::Now(player)) = leg.playing.as_mut().filter(|p| p.due_at(at_us)) else {
            return;
        };
        let id = player.id;
        let mut buffer = [0; MAX_PACKET];
        let tick = leg
            .voice
            .map(|voice| player.tick(voice, target.is_none(), &mut leg.line, now_us, &mut buffer));
        let again_us = player.due_us;
        match tick {
            Some(Tick::Packet(len)) => {
                let packet = buffer.get(..len).unwrap_or_default();
                match target.map(|to| rtp.send_to(packet, to)) {
                    Some(Ok(_)) => self.totals.packets_played.count(),
                    _ => self.totals.packets_unsent.count(),
                }
                self.timers.add(again_us, slot, Due::Playout);
            }
            Some(Tick::Mute) => self.timers.add(again_us, slot, Due::Playout),
            Some(Tick::End) => {
                leg.playing = None;
                (self.events)(MediaEvent::Played { slot, id });
            }
            // A new answer took G.711 away.
            None => {
                let endless = player.endless();
                leg.playing = None;
                self.unplayable(slot, id, endless);
            }
        }
    }

    /// A sound that this party cannot be played: announcements count as played, so that the call
    /// goes on; ringback has no end to report.
    pub(super) fn unplayable(&self, slot: Slot, id: u32, endless: bool) {
        self.totals.sounds_unplayable.count();
        if !endless {
            (self.events)(MediaEvent::Played { slot, id });
        }
    }

    /// The next RTCP report of a leg.
    fn report(&mut self, slot: Slot, at_us: u64) {
        let at = self.moment();
        let Some(Some(Pair {
            rtcp,
            leg: Some(leg),
            ..
        })) = self.pairs.get_mut(slot as usize)
        else {
            return;
        };
        if leg.rtcp_due_us != Some(at_us) {
            return;
        }
        if send_report(rtcp, leg, at, false) {
            self.totals.rtcp_sent.count();
        }
        let next = self.now_us + leg.rtcp.next_interval_us();
        leg.rtcp_due_us = Some(next);
        self.timers.add(next, slot, Due::Report);
    }

    /// The last RTCP packet of a leg.
    pub(super) fn say_bye(&mut self, slot: Slot) {
        let at = self.moment();
        if let Some(Some(Pair {
            rtcp,
            leg: Some(leg),
            ..
        })) = self.pairs.get_mut(slot as usize)
            && send_report(rtcp, leg, at, true)
        {
            self.totals.rtcp_sent.count();
        }
    }

    /// Whether a bridge has been silent too long. While a side is held silence means nothing.
    fn listen(&mut self, slot: Slot, at_us: u64) {
        let now_us = self.now_us;
        let Some((watch, partner)) = self
            .leg(slot)
            .and_then(|leg| Some((leg.watch.filter(|w| w.due_us == at_us)?, leg.partner?)))
        else {
            return;
        };
        let state = |leg: &mut Leg| (leg.both_ways(), leg.heard_us);
        let (Some((one, heard)), Some((two, other_heard))) =
            (self.leg(slot).map(state), self.leg(partner).map(state))
        else {
            return;
        };
        let since = heard.max(other_heard).max(watch.since_us);
        let due_us = match one && two {
            true if now_us.saturating_sub(since) >= watch.timeout_us => {
                if let Some(leg) = self.leg(slot) {
                    leg.watch = None;
                }
                (self.events)(MediaEvent::Silent { slot });
                return;
            }
            true => since + watch.timeout_us,
            false => now_us + watch.timeout_us,
        };
        if let Some(watch) = self.leg(slot).and_then(|leg| leg.watch.as_mut()) {
            watch.due_us = due_us;
        }
        self.timers.add(due_us, slot, Due::Silence);
    }

    /// Throws away what the kernel kept of an earlier use of this pair.
    pub(super) fn flush(&mut self, slot: Slot) {
        if let Some(Some(pair)) = self.pairs.get(slot as usize) {
            for socket in [&pair.rtp, &pair.rtcp] {
                for _ in 0..drain(socket, FLUSH) {
                    self.totals.packets_dropped_source.count();
                }
            }
        }
    }
}

/// Takes a packet in on one leg and sends it out on the other. `None`: the kernel did not take
/// it, or a leg is gone.
fn relay(
    from: &mut Pair,
    to: &mut Pair,
    now_us: u64,
    source: SocketAddr,
    packet: &mut [u8],
) -> Option<Verdict> {
    let (speaker, hearer) = (from.leg.as_deref_mut()?, to.leg.as_deref_mut()?);
    // Our own playout has the line while it lasts.
    let free = speaker.may_speak() && hearer.playing.is_none();
    let target = hearer.rtp_target().filter(|_| free);
    let line = target.is_some().then_some(&mut hearer.line);
    let verdict = flow::pass(&mut speaker.flow, line, now_us, source, packet);
    if let (Verdict::Forward(range), Some(target)) = (&verdict, target) {
        let out = packet.get(range.clone())?;
        to.rtp.send_to(out, target).ok()?;
    }
    Some(verdict)
}

fn send_report(socket: &UdpSocket, leg: &mut Leg, at: Moment, last: bool) -> bool {
    let Some(target) = leg.rtcp_target() else {
        return false;
    };
    let report = leg.rtcp.print(&leg.line, &mut leg.flow.reception, at, last);
    report.is_some_and(|packet| socket.send_to(&packet, target).is_ok())
}

/// Reads and forgets at most so many datagrams; how many there were.
fn drain(socket: &UdpSocket, most: usize) -> usize {
    let mut scrap = [0; 1];
    (0..most)
        .take_while(|_| socket.recv_from(&mut scrap).is_ok())
        .count()
}
