//! Non-interference of audio: what the switch settles for two legs drives the relay's rewrite,
//! and packets that differ in everything a source chooses become the same packets (RFC 3550
//! §5.1), and so do the reports about them (§6). `rtp` proves it for random packets; here payload types come from real negotiations.

use super::callee::CalleePlan;
use super::caller::CallerPlan;
use super::directory::exophone;
use super::interference::{other, play};
use super::scene::Scene;
use super::style::Flavour;
use super::ua::SECOND_US;
use super::world::{Side, Traced};
use crate::rtp::flow::{Flow, Mapping, Verdict, pass};
use crate::rtp::header;
use crate::rtp::latch::Latch;
use crate::rtp::line::Line;
use crate::rtp::rtcp::{Moment, Session};
use crate::switch::event::Output;
use crate::switch::media::{MediaCommand, Remote, StreamLine};

/// What a source chooses for itself.
#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    csrcs: &'static [u32],
    extension: &'static [u8],
    padding: u8,
    cname: &'static str,
}

const PLAIN: Source = Source {
    ssrc: 0x1111_1111,
    sequence: 7,
    timestamp: 1_000,
    csrcs: &[],
    extension: b"",
    padding: 0,
    cname: "customer@192.0.2.1",
};

const ODD: Source = Source {
    ssrc: 0xeeee_eeee,
    sequence: 65_530,
    timestamp: 4_294_966_000,
    csrcs: &[0xc0ff_ee01, 0xc0ff_ee02],
    extension: b"who I am",
    padding: 12,
    cname: "Somebody Else@[2001:db8::7]",
};

/// One packet: everything about it that may cross.
struct Talk {
    at_ms: u32,
    event: bool,
    marker: bool,
    payload: &'static [u8],
}

const TALK: [Talk; 6] = [
    Talk {
        at_ms: 0,
        event: false,
        marker: true,
        payload: &[0x55; 160],
    },
    Talk {
        at_ms: 20,
        event: false,
        marker: false,
        payload: &[0x2a; 160],
    },
    Talk {
        at_ms: 60,
        event: false,
        marker: false,
        payload: &[0xd5; 160],
    },
    Talk {
        at_ms: 80,
        event: true,
        marker: true,
        payload: &[5, 10, 0, 160],
    },
    Talk {
        at_ms: 100,
        event: true,
        marker: false,
        payload: &[5, 0x8a, 1, 64],
    },
    Talk {
        at_ms: 400,
        event: false,
        marker: true,
        payload: &[0x11; 160],
    },
];

impl Source {
    fn packet(&self, talk: &Talk, payload_type: u8) -> Vec<u8> {
        let step = (talk.at_ms / 20) as u16;
        let timestamp = self.timestamp.wrapping_add(talk.at_ms * 8);
        let sequence = self.sequence.wrapping_add(step);
        let mut bytes =
            header::print(talk.marker, payload_type, sequence, timestamp, self.ssrc).to_vec();
        bytes[0] |= self.csrcs.len() as u8;
        bytes.extend(self.csrcs.iter().flat_map(|csrc| csrc.to_be_bytes()));
        if !self.extension.is_empty() {
            bytes[0] |= 0x10;
            bytes.extend([0xbe, 0xde, 0, (self.extension.len() / 4) as u8]);
            bytes.extend(self.extension);
        }
        bytes.extend(talk.payload);
        if self.padding > 0 {
            bytes[0] |= 0x20;
            bytes.extend(vec![0x77; usize::from(self.padding) - 1]);
            bytes.push(self.padding);
        }
        bytes
    }
}

impl Source {
    /// RR and SDES with a CNAME (RFC 3550 §6.4.2, §6.5.1).
    fn report(&self) -> Vec<u8> {
        let ssrc = self.ssrc.to_be_bytes();
        let mut bytes = [&[0x80, 201, 0, 1][..], &ssrc].concat();
        let mut items = vec![1, self.cname.len() as u8];
        items.extend(self.cname.as_bytes());
        items.push(0);
        items.resize(items.len().next_multiple_of(4), 0);
        bytes.extend([0x81, 202, 0, (items.len() / 4 + 1) as u8]);
        bytes.extend(ssrc);
        bytes.extend(items);
        bytes
    }
}

fn settled(trace: &[Traced], side: Side) -> (StreamLine, Remote) {
    let mut commands = trace.iter().filter(|t| t.side == side).map(|t| &t.output);
    let line = commands.clone().find_map(|output| match output {
        Output::Media(MediaCommand::Open { line, .. }) => Some(*line),
        _ => None,
    });
    let remote = commands.find_map(|output| match output {
        Output::Media(MediaCommand::Remote { remote, .. }) => Some((**remote).clone()),
        _ => None,
    });
    (line.expect("an open pair"), remote.expect("an agreement"))
}

/// Leaves something of the source in a packet that goes out.
type Defect = fn(&Source, &mut Vec<u8>);

/// What the other side hears when `side` speaks, with something left in it by `defect`.
fn heard(side: Side, flavour: Flavour, defect: Defect) -> Vec<(u32, Vec<u8>)> {
    let caller = CallerPlan::plain(exophone(0), Some(20 * SECOND_US));
    let scene = Scene::one_call(21, caller, CalleePlan::plain());
    let trace = play(scene, side, flavour, None);
    let (own, speaker) = settled(&trace, side);
    let (stream, listener) = settled(&trace, other(side));
    let mut flow = Flow::new(1);
    flow.latch = Latch::on(speaker.rtp);
    let number = |event: bool| {
        let wanted = |f: &&crate::sdp::Format| f.codec.kind.is_audio() != event;
        let from = speaker.receive.iter().find(wanted).expect("agreed");
        let to = listener
            .send
            .iter()
            .find(|f| f.codec.matches(&from.codec))
            .expect("shared");
        (from.payload_type, to.payload_type)
    };
    for event in [false, true] {
        let (from, out) = number(event);
        flow.map[usize::from(from)] = Mapping {
            clock: 8_000,
            max_payload: 320,
            out,
            event,
        };
    }
    let mut line = Line::new(stream.ssrc, stream.sequence, stream.timestamp);
    let source = if flavour == Flavour::Plain {
        PLAIN
    } else {
        ODD
    };
    let mut heard = Vec::new();
    for talk in &TALK {
        let mut bytes = source.packet(talk, number(talk.event).0);
        let now_us = u64::from(talk.at_ms) * 1_000;
        match pass(&mut flow, Some(&mut line), now_us, speaker.rtp, &mut bytes) {
            Verdict::Forward(range) => {
                let mut packet = bytes[range].to_vec();
                defect(&source, &mut packet);
                heard.push((talk.at_ms, packet));
            }
            verdict => panic!("{verdict:?}"),
        }
    }
    // RTCP ends at each leg: what the speaker's says stays in the speaker's own session.
    let at = Moment {
        now_us: 1_000_000,
        unix_us: 1_700_000_000_000_000,
    };
    assert!(Session::new(own.cname).read(&source.report(), own.ssrc, at));
    let mut reception = Flow::new(1).reception;
    let report = Session::new(stream.cname).print(&line, &mut reception, at, false);
    let mut report = report.expect("the line has spoken");
    defect(&source, &mut report);
    heard.push((1_000, report));
    heard
}

#[test]
fn audio_tells_nobody_who_speaks() {
    for side in [Side::Caller, Side::Callee] {
        let plain = heard(side, Flavour::Plain, |_, _| {});
        assert_eq!(plain.len(), TALK.len() + 1, "every packet, and a report");
        assert_eq!(plain, heard(side, Flavour::Odd, |_, _| {}));
    }
}

#[test]
fn every_header_field_that_is_copied_shows() {
    let defects: [(&str, Defect); 6] = [
        ("CNAME", |source, packet| {
            packet.extend(source.cname.as_bytes())
        }),
        ("SSRC", |source, packet| {
            packet[8..12].copy_from_slice(&source.ssrc.to_be_bytes())
        }),
        ("sequence number", |source, packet| {
            packet[2..4].copy_from_slice(&source.sequence.to_be_bytes())
        }),
        ("timestamp", |source, packet| {
            packet[4..8].copy_from_slice(&source.timestamp.to_be_bytes())
        }),
        ("extension", |source, packet| {
            packet.extend(source.extension)
        }),
        ("padding", |source, packet| {
            packet.extend(vec![0; usize::from(source.padding)])
        }),
    ];
    for (name, defect) in defects {
        let plain = heard(Side::Caller, Flavour::Plain, defect);
        assert_ne!(plain, heard(Side::Caller, Flavour::Odd, defect), "{name}");
    }
}
