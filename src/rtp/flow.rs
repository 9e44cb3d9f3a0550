//! The relay's packet path: one pure function over plain data. What a party sends comes in with
//! its own header and leaves under the other leg's: our SSRC, our sequence and timestamp line,
//! the other leg's payload type, and nothing else. CSRCs, extensions and padding never cross
//! (RFC 3550 §5.1, §7.1; RFC 3711 aside). Only the payload, the marker and what lies *between*
//! packets passes: gaps, reordering, timestamp steps.
//!
//! `Flow` and `Line` are `#[repr(C)]`, so that another plane (a worker, a kernel program) can
//! take over a live call by copying them.

use std::net::SocketAddr;
use std::ops::Range;

use crate::rtp::dtmf::{EVENT_LEN, Event};
use crate::rtp::header::{self, FIXED_LEN, Header};
use crate::rtp::latch::Latch;
use crate::rtp::line::{Line, units};
use crate::rtp::reception::{Place, Reception};

/// A payload type without a counterpart.
pub const NO_PAYLOAD_TYPE: u8 = 255;

/// A timestamp step further than this beyond the time that passed, in seconds, is a new line of
/// the source and not a pause.
const MAX_LEAP_SECS: u64 = 2;

/// What one payload type of a source means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Mapping {
    /// RTP clock in hertz; 0: the payload type was not agreed on.
    pub clock: u32,
    /// Longest payload that passes, in bytes.
    pub max_payload: u16,
    /// Payload type on the other leg; [`NO_PAYLOAD_TYPE`]: dropped.
    pub out: u8,
    /// Whether the payload is a telephone event, which is read and printed anew.
    pub event: bool,
}

impl Mapping {
    /// A payload type that was not agreed on.
    pub const UNKNOWN: Mapping = Mapping {
        clock: 0,
        max_payload: 0,
        out: NO_PAYLOAD_TYPE,
        event: false,
    };
}

/// What happened to the packets of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Counters {
    /// Accepted from the party, passed on or not.
    pub accepted: u64,
    /// Passed on.
    pub relayed: u64,
    /// Dropped: not from the signalled address.
    pub wrong_source: u64,
    /// Dropped: malformed, payload type, length, order.
    pub refused: u64,
}

/// One receiving port and how its packets continue on the other leg's line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[repr(C)]
pub struct Flow {
    /// From whom packets are accepted.
    pub latch: Latch,
    /// What was received.
    pub reception: Reception,
    /// What happened to it.
    pub counters: Counters,
    /// Our timestamp and sequence number are the source's plus these.
    timestamp_offset: u32,
    sequence_offset: u16,
    /// Whether the offsets hold.
    in_step: bool,
    /// The first packet the offsets hold for.
    oldest: i64,
    /// The source's newest timestamp, and when it moved there.
    timestamp: u32,
    timestamp_us: u64,
    /// This flow's number as a writer of lines.
    number: u32,
    /// By the source's payload type.
    pub map: [Mapping; 128],
}

/// Why a packet was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not from the signalled address.
    Source,
    /// Not RTP, or contradicting itself.
    Malformed,
    /// Not agreed on, or without a counterpart on the other leg.
    PayloadType,
    /// Empty, longer than its codec makes it, or no event.
    Payload,
    /// From before the flow began or so far off that the source may have restarted.
    Order,
}

/// What is to be done with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Send this part of the buffer.
    Forward(Range<usize>),
    /// Accepted; there is no line to send it on.
    Kept,
    /// Dropped and counted.
    Dropped(Reason),
}

impl Flow {
    /// A flow that accepts nobody yet. `number` tells the writers of a line apart: one's own
    /// slot.
    pub fn new(number: u32) -> Flow {
        Flow {
            latch: Latch::default(),
            reception: Reception::default(),
            counters: Counters::default(),
            timestamp_offset: 0,
            sequence_offset: 0,
            in_step: false,
            oldest: 0,
            timestamp: 0,
            timestamp_us: 0,
            number,
            map: [Mapping::UNKNOWN; 128],
        }
    }
}

/// Takes one packet as it arrived and, when `line` is given, turns it in place into the packet
/// for the other leg.
pub fn pass(
    flow: &mut Flow,
    line: Option<&mut Line>,
    now_us: u64,
    source: SocketAddr,
    packet: &mut [u8],
) -> Verdict {
    if !flow.latch.accepts(source) {
        flow.counters.wrong_source += 1;
        return Verdict::Dropped(Reason::Source);
    }
    let outcome = accept(flow, now_us, packet).and_then(|accepted| match line {
        Some(line) => forward(flow, line, now_us, packet, accepted).map(Some),
        None => {
            // What is not passed on must not show later as a gap.
            flow.in_step = false;
            Ok(None)
        }
    });
    match outcome {
        Ok(Some(range)) => {
            flow.counters.relayed += 1;
            Verdict::Forward(range)
        }
        Ok(None) => Verdict::Kept,
        Err(reason) => {
            flow.counters.refused += 1;
            Verdict::Dropped(reason)
        }
    }
}

/// A packet that is in order and agreed on.
struct Accepted {
    header: Header,
    place: Place,
    mapping: Mapping,
}

fn accept(flow: &mut Flow, now_us: u64, packet: &[u8]) -> Result<Accepted, Reason> {
    let header = header::parse(packet).ok_or(Reason::Malformed)?;
    // Placed before its payload type is judged: a packet we cannot use has not been lost.
    let place = flow
        .reception
        .place(header.ssrc, header.sequence)
        .ok_or(Reason::Order)?;
    // A new source's numbers have nothing to do with the old one's.
    flow.in_step &= !place.first;
    let mapping = flow
        .map
        .get(usize::from(header.payload_type))
        .copied()
        .filter(|m| m.clock != 0)
        .ok_or(Reason::PayloadType)?;
    if header.payload.is_empty() || header.payload.len() > usize::from(mapping.max_payload) {
        return Err(Reason::Payload);
    }
    // Event packets repeat the timestamp of their start; that is no jitter (RFC 4733 §2.2).
    if !mapping.event {
        flow.reception
            .note_timing(now_us, header.timestamp, mapping.clock);
    }
    flow.counters.accepted += 1;
    Ok(Accepted {
        header,
        place,
        mapping,
    })
}

fn forward(
    flow: &mut Flow,
    line: &mut Line,
    now_us: u64,
    packet: &mut [u8],
    accepted: Accepted,
) -> Result<Range<usize>, Reason> {
    let Accepted {
        header,
        place,
        mapping,
    } = accepted;
    if mapping.out == NO_PAYLOAD_TYPE {
        return Err(Reason::PayloadType);
    }
    let start = header.payload.start;
    let mut end = header.payload.end;
    if mapping.event {
        let payload = packet.get_mut(start..end).ok_or(Reason::Malformed)?;
        let event = Event::parse(payload).ok_or(Reason::Payload)?;
        let anew = payload
            .first_chunk_mut::<EVENT_LEN>()
            .ok_or(Reason::Payload)?;
        *anew = event.print();
        end = start + EVENT_LEN;
    }

    let switched = !flow.in_step || line.writer != flow.number;
    if switched {
        let (sequence, timestamp) = line.resume(now_us, mapping.clock);
        flow.sequence_offset = sequence.wrapping_sub(place.index as u16);
        flow.timestamp_offset = timestamp.wrapping_sub(header.timestamp);
        flow.oldest = place.index;
        flow.in_step = true;
    } else if leaps(flow, now_us, &header, mapping.clock) {
        // The sequence shows the source's gaps as ever; the timestamp goes on without a jump.
        // A late packet of the old timestamp line has no place on the new one.
        if !place.newest {
            return Err(Reason::Order);
        }
        let (_, timestamp) = line.resume(now_us, mapping.clock);
        flow.timestamp_offset = timestamp.wrapping_sub(header.timestamp);
    } else if place.index < flow.oldest {
        // Its number on our line belongs to what was sent before the switch.
        return Err(Reason::Order);
    }
    if switched || place.newest {
        if switched || header.timestamp != flow.timestamp {
            flow.timestamp_us = now_us;
        }
        flow.timestamp = header.timestamp;
    }

    let sequence = flow.sequence_offset.wrapping_add(place.index as u16);
    let timestamp = flow.timestamp_offset.wrapping_add(header.timestamp);
    let fresh = header::print(
        header.marker || switched,
        mapping.out,
        sequence,
        timestamp,
        line.ssrc,
    );
    // The new header ends where the payload begins; CSRCs and extension lie under or before it.
    let begin = start.checked_sub(FIXED_LEN).ok_or(Reason::Malformed)?;
    packet
        .get_mut(begin..start)
        .ok_or(Reason::Malformed)?
        .copy_from_slice(&fresh);
    line.sent(
        flow.number,
        sequence,
        timestamp,
        end - start,
        now_us,
        mapping.clock,
    );
    Ok(begin..end)
}

/// Whether the source's timestamp went back, or on by more than the time that passed, further
/// than any pause or reordering explains.
fn leaps(flow: &Flow, now_us: u64, header: &Header, clock: u32) -> bool {
    let tolerance = (MAX_LEAP_SECS * u64::from(clock)) as i64;
    let step = i64::from(header.timestamp.wrapping_sub(flow.timestamp) as i32);
    let passed = units(now_us.saturating_sub(flow.timestamp_us), clock) as i64;
    step < -tolerance || step > passed.saturating_add(tolerance)
}

#[cfg(test)]
#[path = "flow_tests.rs"]
mod tests;
