//! Both RTP ends of every call, in one thread: packets leave by the clock, spread evenly over the
//! 20 ms between two packets of a stream, and carry what is needed to judge them on arrival
//! (RFC 3550 §5.1).

use std::net::SocketAddrV4;
use std::time::Duration;

use crate::wire::{Arrived, Wire, now_ns, wait};

/// Between two packets of a stream.
const PTIME_NS: u64 = 20_000_000;
/// Most moments into which those 20 ms are divided.
const MOMENTS: usize = 100;
/// RTP header and 20 ms of G.711.
const PACKET: usize = 12 + 160;
const SAMPLES: u32 = 160;
/// Marks our payloads.
const MAGIC: [u8; 4] = *b"load";
/// How long what is under way may take to arrive.
const DRAIN: Duration = Duration::from_millis(300);

/// Where a call's audio goes: the caller's, the callee's.
pub(crate) type Stream = [SocketAddrV4; 2];

/// What came of some seconds of audio.
#[derive(Debug, Default, Clone)]
pub(crate) struct Heard {
    /// Packets sent.
    pub(crate) sent: u64,
    /// Packets that arrived at the right end.
    pub(crate) received: u64,
    /// Packets that arrived with another SSRC than they left with.
    pub(crate) fresh: u64,
    /// Packets that arrived at the wrong end, or are none of ours.
    pub(crate) strange: u64,
    /// Sent to arrived, kernel stamp, in nanoseconds.
    pub(crate) delay_ns: Vec<u64>,
    /// How far the generator itself fell behind at most.
    pub(crate) behind_ns: u64,
}

/// The streams of some calls.
pub(crate) struct Audio<'a> {
    caller: &'a mut Wire,
    callee: &'a mut Wire,
    streams: Vec<Stream>,
    sequence: u32,
    phase: u8,
}

impl<'a> Audio<'a> {
    /// Nothing is sent yet.
    pub(crate) fn new(
        caller: &'a mut Wire,
        callee: &'a mut Wire,
        streams: Vec<Stream>,
    ) -> Audio<'a> {
        Audio {
            caller,
            callee,
            streams,
            sequence: 0,
            phase: 0,
        }
    }

    /// Sends for so long and then waits for what is under way.
    pub(crate) fn run(&mut self, length: Duration) -> Heard {
        self.phase = self.phase.wrapping_add(1);
        let mut heard = Heard::default();
        let rounds = length.as_nanos() as u64 / PTIME_NS;
        heard
            .delay_ns
            .reserve(rounds as usize * self.streams.len() * 2);
        let moments = self.streams.len().clamp(1, MOMENTS);
        let step = PTIME_NS / moments as u64;
        let start = now_ns();
        for moment in 0..rounds * moments as u64 {
            let due = start + moment * step;
            loop {
                let now = now_ns();
                if now >= due {
                    heard.behind_ns = heard.behind_ns.max(now - due);
                    break;
                }
                if !self.listen(&mut heard) {
                    wait(self.caller, self.callee, Duration::from_nanos(due - now));
                }
            }
            let group = (moment % moments as u64) as usize;
            if group == 0 {
                self.sequence += 1;
            }
            self.send(group, moments, &mut heard);
            self.listen(&mut heard);
        }
        let end = now_ns() + DRAIN.as_nanos() as u64;
        while now_ns() < end && heard.received < heard.sent {
            if !self.listen(&mut heard) {
                wait(self.caller, self.callee, Duration::from_millis(5));
            }
        }
        heard
    }

    fn send(&mut self, group: usize, moments: usize, heard: &mut Heard) {
        for (side, wire) in [&mut *self.caller, &mut *self.callee]
            .into_iter()
            .enumerate()
        {
            for (index, stream) in self.streams.iter().enumerate().skip(group).step_by(moments) {
                let Some(to) = stream.get(side) else { continue };
                let packet = Packet {
                    side: side as u8,
                    phase: self.phase,
                    index: index as u32,
                };
                packet.write(wire.tx.open(), self.sequence);
                wire.tx.close(Some(*to));
                heard.sent += 1;
            }
            wire.tx.flush();
        }
    }

    /// Takes what has come; whether anything had.
    fn listen(&mut self, heard: &mut Heard) -> bool {
        let phase = self.phase;
        let mut found = 0;
        for (side, wire) in [&mut *self.caller, &mut *self.callee]
            .into_iter()
            .enumerate()
        {
            // What the caller hears, the callee has said.
            let speaker = 1 - side as u8;
            found += wire
                .rx
                .receive(|message| take(&message, speaker, phase, heard));
        }
        found > 0
    }
}

/// What a packet says of itself.
struct Packet {
    side: u8,
    phase: u8,
    index: u32,
}

impl Packet {
    fn ssrc(&self) -> u32 {
        0x6c00_0000 | (u32::from(self.side) << 20) | self.index
    }

    fn write(&self, into: &mut Vec<u8>, sequence: u32) {
        let begin = into.len();
        into.extend_from_slice(&[0x80, 0]);
        into.extend_from_slice(&(sequence as u16).to_be_bytes());
        into.extend_from_slice(&sequence.wrapping_mul(SAMPLES).to_be_bytes());
        into.extend_from_slice(&self.ssrc().to_be_bytes());
        into.extend_from_slice(&MAGIC);
        into.extend_from_slice(&[self.side, self.phase, 0, 0]);
        into.extend_from_slice(&self.index.to_be_bytes());
        into.extend_from_slice(&now_ns().to_be_bytes());
        into.resize(begin + PACKET, 0xd5);
    }
}

fn take(message: &Arrived<'_>, speaker: u8, phase: u8, heard: &mut Heard) {
    let part = |at: usize, length: usize| message.bytes.get(at..at + length).unwrap_or_default();
    let word = |at| part(at, 4).try_into().map_or(0, u32::from_be_bytes);
    if part(12, 4) != MAGIC || part(16, 1) != [speaker] {
        // RTCP has ports of its own, so nothing else belongs here.
        heard.strange += 1;
        return;
    }
    if part(17, 1) != [phase] {
        return;
    }
    heard.received += 1;
    let packet = Packet {
        side: speaker,
        phase,
        index: word(20),
    };
    heard.fresh += u64::from(word(8) != packet.ssrc());
    let sent = part(24, 8).try_into().map_or(0, u64::from_be_bytes);
    heard.delay_ns.push(message.at_ns.saturating_sub(sent));
}
