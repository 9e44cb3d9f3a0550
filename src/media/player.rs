//! Playout of a sound from memory, one packet each packet time, against absolute deadlines so
//! that it never drifts.

use std::sync::Arc;

use crate::media::sounds::Clip;
use crate::rtp::g711;
use crate::rtp::header::{self, FIXED_LEN};
use crate::rtp::line::{Line, PLAYOUT};
use crate::sdp::{CodecKind, Format};
use crate::switch::media::Remote;

/// RTP clock of G.711, in hertz.
const CLOCK: u32 = 8000;
/// Packet time when the party names none we can keep, in milliseconds (RFC 3551 §4.2).
const DEFAULT_PTIME_MS: u32 = 20;
/// Longest packet time we play with, in milliseconds.
const MAX_PTIME_MS: u32 = 60;
/// When the worker is later than this, the missed time is not made up by a burst. In
/// microseconds.
const MAX_LATE_US: u64 = 200_000;
/// Longest packet a player makes.
pub(super) const MAX_PACKET: usize = FIXED_LEN + (MAX_PTIME_MS * CLOCK / 1000) as usize;

/// How we speak to a party: a G.711 law under the party's payload type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Voice {
    payload_type: u8,
    law: Law,
    /// Samples a packet.
    frame: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Law {
    Mu,
    A,
}

impl Voice {
    /// The first G.711 format the party takes; `None`: it takes none.
    pub(super) fn of(remote: &Remote) -> Option<Voice> {
        let law = |f: &Format| match f.codec.kind {
            CodecKind::Pcmu => Some((f.payload_type, Law::Mu)),
            CodecKind::Pcma => Some((f.payload_type, Law::A)),
            _ => None,
        };
        let (payload_type, law) = remote.send.iter().find_map(law)?;
        let ptime_ms = match remote.ptime_ms {
            asked @ 10..=MAX_PTIME_MS => asked / 10 * 10,
            _ => DEFAULT_PTIME_MS,
        };
        Some(Voice {
            payload_type,
            law,
            frame: (ptime_ms * CLOCK / 1000) as usize,
        })
    }

    fn packet_us(self) -> u64 {
        self.frame as u64 * 1_000_000 / u64::from(CLOCK)
    }
}

/// A sound being played.
#[derive(Debug)]
pub(super) struct Player {
    /// Echoed in `Played`.
    pub(super) id: u32,
    clip: Arc<Clip>,
    /// Next sample.
    position: usize,
    /// When the next packet is due.
    pub(super) due_us: u64,
    /// Sequence number and timestamp of the next packet while the playout is unbroken.
    next: Option<(u16, u32)>,
}

/// What a player has to say at its deadline.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tick {
    /// Send the first so many bytes of the buffer.
    Packet(usize),
    /// Nothing may be sent now; the sound goes on unheard.
    Mute,
    /// The last packet's time is over.
    End,
}

impl Player {
    pub(super) fn new(id: u32, clip: Arc<Clip>, now_us: u64) -> Player {
        Player {
            id,
            clip,
            position: 0,
            due_us: now_us,
            next: None,
        }
    }

    /// Whether the sound never comes to an end.
    pub(super) fn endless(&self) -> bool {
        self.clip.endless
    }

    /// Writes the next packet. `mute`: the party does not want to receive.
    pub(super) fn tick(
        &mut self,
        voice: Voice,
        mute: bool,
        line: &mut Line,
        now_us: u64,
        buffer: &mut [u8; MAX_PACKET],
    ) -> Tick {
        let samples = match voice.law {
            Law::Mu => &self.clip.pcmu,
            Law::A => &self.clip.pcma,
        };
        if self.position >= samples.len() && !self.clip.endless {
            return Tick::End;
        }
        let packet_us = voice.packet_us();
        self.due_us = match now_us.saturating_sub(self.due_us) > MAX_LATE_US {
            true => now_us + packet_us,
            false => self.due_us + packet_us,
        };
        let (head, payload) = buffer.split_at_mut(FIXED_LEN);
        let payload = payload.get_mut(..voice.frame).unwrap_or_default();
        self.position = match self.clip.endless {
            true => fill_endless(payload, samples, self.position),
            false => fill(payload, samples, self.position, voice.law),
        };
        if mute {
            self.next = None;
            return Tick::Mute;
        }
        let unbroken = self.next.filter(|_| line.writer == PLAYOUT);
        let (sequence, timestamp) = unbroken.unwrap_or_else(|| line.resume(now_us, CLOCK));
        // RFC 3551 §4.1: the marker begins a talk spurt.
        let marker = unbroken.is_none();
        head.copy_from_slice(&header::print(
            marker,
            voice.payload_type,
            sequence,
            timestamp,
            line.ssrc,
        ));
        line.sent(PLAYOUT, sequence, timestamp, payload.len(), now_us, CLOCK);
        self.next = Some((
            sequence.wrapping_add(1),
            timestamp.wrapping_add(payload.len() as u32),
        ));
        Tick::Packet(FIXED_LEN + payload.len())
    }
}

/// Copies a packet's worth from `position`, padded with silence at the end; the new position.
fn fill(payload: &mut [u8], samples: &[u8], position: usize, law: Law) -> usize {
    payload.fill(match law {
        Law::Mu => g711::ULAW_SILENCE,
        Law::A => g711::ALAW_SILENCE,
    });
    let rest = samples.get(position..).unwrap_or_default();
    for (to, from) in payload.iter_mut().zip(rest) {
        *to = *from;
    }
    position + payload.len()
}

/// Copies a packet's worth from `position`, beginning again at the end; the new position.
fn fill_endless(payload: &mut [u8], samples: &[u8], position: usize) -> usize {
    let rest = samples.get(position..).unwrap_or_default();
    let round = rest.iter().chain(samples.iter().cycle());
    for (to, from) in payload.iter_mut().zip(round) {
        *to = *from;
    }
    (position + payload.len())
        .checked_rem(samples.len())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdp::{Codec, Direction};

    fn remote(send: &[(u8, CodecKind)], ptime_ms: u32) -> Remote {
        let format = |(payload_type, kind): &(u8, CodecKind)| Format {
            payload_type: *payload_type,
            codec: Codec {
                kind: *kind,
                clock: CLOCK,
                param: None,
            },
        };
        Remote {
            rtp: "192.0.2.1:4000".parse().unwrap(),
            rtcp: "192.0.2.1:4001".parse().unwrap(),
            receive: Vec::new(),
            send: send.iter().map(format).collect(),
            ptime_ms,
            direction: Direction::SendRecv,
        }
    }

    fn clip(len: usize, endless: bool) -> Arc<Clip> {
        Arc::new(Clip {
            pcmu: (0..len).map(|n| n as u8).collect(),
            pcma: (0..len).map(|n| !(n as u8)).collect(),
            endless,
        })
    }

    fn pcmu() -> Voice {
        Voice::of(&remote(&[(0, CodecKind::Pcmu)], 20)).unwrap()
    }

    #[test]
    fn the_voice_is_the_partys_first_g711() {
        let voice = |send: &[(u8, CodecKind)], ptime| Voice::of(&remote(send, ptime));
        let both = [
            (9, CodecKind::G722),
            (8, CodecKind::Pcma),
            (0, CodecKind::Pcmu),
        ];
        let chosen = voice(&both, 30).unwrap();
        assert_eq!(
            (chosen.payload_type, chosen.law, chosen.frame),
            (8, Law::A, 240)
        );
        assert_eq!(voice(&[(18, CodecKind::G729)], 20), None);
        for (asked, frame) in [
            (0, 160),
            (10, 80),
            (25, 160),
            (60, 480),
            (70, 160),
            (u32::MAX, 160),
        ] {
            assert_eq!(voice(&both, asked).unwrap().frame, frame, "{asked}");
        }
    }

    #[test]
    fn a_sound_is_played_whole_and_ends_after_its_last_packet() {
        let mut player = Player::new(1, clip(400, false), 1_000_000);
        let mut line = Line::new(9, 65535, 0);
        let mut buffer = [0; MAX_PACKET];
        let mut played = Vec::new();
        for n in 0..3_u64 {
            assert_eq!(player.due_us, 1_000_000 + n * 20_000);
            // Woken a little late each time: the deadlines do not move.
            let now_us = player.due_us + 900;
            let Tick::Packet(len) = player.tick(pcmu(), false, &mut line, now_us, &mut buffer)
            else {
                panic!("packet {n}");
            };
            let header = header::parse(&buffer[..len]).unwrap();
            assert_eq!(header.marker, n == 0);
            assert_eq!(header.sequence, 65535_u16.wrapping_add(n as u16));
            assert_eq!(header.timestamp, n as u32 * 160);
            played.extend_from_slice(&buffer[header.payload]);
        }
        let end = player.tick(pcmu(), false, &mut line, 1_060_000, &mut buffer);
        assert_eq!(end, Tick::End);
        assert_eq!(played[..400], clip(400, false).pcmu[..]);
        assert_eq!(played[400..], [g711::ULAW_SILENCE; 80]);
    }

    #[test]
    fn an_endless_sound_goes_round() {
        let mut player = Player::new(1, clip(250, true), 0);
        let mut line = Line::new(9, 0, 0);
        let mut buffer = [0; MAX_PACKET];
        let mut played = Vec::new();
        for _ in 0..100 {
            let now_us = player.due_us;
            let Tick::Packet(len) = player.tick(pcmu(), false, &mut line, now_us, &mut buffer)
            else {
                panic!("it has no end");
            };
            played.extend_from_slice(&buffer[FIXED_LEN..len]);
        }
        assert!(
            played
                .iter()
                .enumerate()
                .all(|(n, b)| *b == (n % 250) as u8)
        );
    }

    #[test]
    fn held_is_unheard_and_the_line_has_no_gap() {
        let mut player = Player::new(1, clip(16_000, false), 0);
        let mut line = Line::new(9, 0, 0);
        let mut buffer = [0; MAX_PACKET];
        let mut tick =
            |mute, now_us| match player.tick(pcmu(), mute, &mut line, now_us, &mut buffer) {
                Tick::Packet(len) => {
                    let header = header::parse(&buffer[..len]).unwrap();
                    Some((
                        header.sequence,
                        header.timestamp,
                        header.marker,
                        buffer[FIXED_LEN],
                    ))
                }
                _ => None,
            };
        assert_eq!(tick(false, 0), Some((0, 0, true, 0)));
        assert_eq!(tick(true, 20_000), None);
        assert_eq!(tick(true, 40_000), None);
        assert_eq!(tick(false, 60_000), Some((1, 480, true, (480 % 256) as u8)));
        assert_eq!(
            tick(false, 80_000),
            Some((2, 640, false, (640 % 256) as u8))
        );
    }

    #[test]
    fn a_long_delay_is_not_made_up_by_a_burst() {
        let mut player = Player::new(1, clip(16_000, false), 0);
        let mut line = Line::new(9, 0, 0);
        let mut buffer = [0; MAX_PACKET];
        player.tick(pcmu(), false, &mut line, 0, &mut buffer);
        player.tick(pcmu(), false, &mut line, 150_000, &mut buffer);
        assert_eq!(player.due_us, 40_000, "130 ms are made up");
        player.tick(pcmu(), false, &mut line, 400_000, &mut buffer);
        assert_eq!(player.due_us, 420_000, "360 ms are not");
    }
}
