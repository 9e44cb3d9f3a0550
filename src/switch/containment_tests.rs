//! A defect costs the call it is in, and nothing else.

use std::cell::Cell;

use super::Switch;
use super::admission::{Admission, Full};
use super::event::{Flow, Input, Now, Output};
use super::media::{LegStats, MediaCommand, MediaEvent, PortPair};
use super::plan::{Announce, Directory, Plan};
use super::record::{CallRecord, Cause};
use super::settings::{
    AnnouncementMode, Cidr, EarlyMedia, IdentityHeader, Listener, NumberFormat, Settings, Trunk,
    TrunkId,
};
use crate::number::{Number, NumberPlan};
use crate::sid::Sid;
use crate::sip::Transport;

struct Nobody;

impl Directory for Nobody {
    fn resolve(&self, exophone: Number, _: Option<Number>, _: u64) -> Plan {
        Plan::Announce(Box::new(Announce {
            account: Sid::new(1, 1),
            exophone,
            allocation: None,
            cause: Cause::NoAllocation,
            announcement: None,
        }))
    }
}

/// Grants everything; the call whose turn it is meets a defect when it asks for ports.
#[derive(Default)]
struct Defective {
    fails: Cell<bool>,
    taken: Cell<u32>,
    calls: Cell<i32>,
    announcements: Cell<i32>,
}

impl Admission for Defective {
    fn take_call(&self, _: TrunkId, _: Now) -> Result<(), Full> {
        self.calls.set(self.calls.get() + 1);
        Ok(())
    }

    fn release_call(&self, _: TrunkId) {
        self.calls.set(self.calls.get() - 1);
    }

    fn take_announcement(&self) -> Result<(), Full> {
        self.announcements.set(self.announcements.get() + 1);
        Ok(())
    }

    fn release_announcement(&self) {
        self.announcements.set(self.announcements.get() - 1);
    }

    fn take_ports(&self) -> Option<PortPair> {
        assert!(!self.fails.get(), "the defect");
        let slot = self.taken.get();
        self.taken.set(slot + 1);
        let address = [127, 0, 0, 1].into();
        Some(PortPair {
            slot,
            address,
            port: 20_000 + 2 * slot as u16,
        })
    }
}

fn settings() -> Settings {
    let trunk = Trunk {
        name: "carrier".to_owned(),
        targets: Vec::new(),
        accept_from: vec![Cidr::parse("127.0.0.1").unwrap()],
        identity_order: vec![IdentityHeader::From],
        number_format: NumberFormat::E164,
        announcement_mode: None,
    };
    Settings {
        listeners: vec![Listener {
            transport: Transport::Udp,
            local: ([127, 0, 0, 1], 5060).into(),
            advertised: "127.0.0.1:5060".to_owned(),
        }],
        domain: "127.0.0.1".to_owned(),
        plan: NumberPlan::new("91").unwrap(),
        trunks: vec![trunk],
        ring_timeout_secs: 45,
        max_call_secs: 3600,
        early_media: EarlyMedia::Hide,
        announcement_mode: AnnouncementMode::Answer,
        media_timeout_secs: 0,
    }
}

/// A switch with what surrounds it.
struct Bench {
    switch: Switch,
    admission: Defective,
    mono_us: u64,
    records: Vec<CallRecord>,
    sent: Vec<String>,
    closed: Vec<u32>,
}

impl Bench {
    fn new() -> Bench {
        Bench {
            switch: Switch::new(settings(), [7; 32]),
            admission: Defective::default(),
            mono_us: 0,
            records: Vec::new(),
            sent: Vec::new(),
            closed: Vec::new(),
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        self.mono_us += 1000;
        let now = Now {
            mono_us: self.mono_us,
            wall_ms: self.mono_us / 1000,
        };
        let mut out = Vec::new();
        self.switch
            .handle(input, now, &Nobody, &self.admission, &mut out);
        for output in out {
            match output {
                Output::Send { bytes, .. } => self.sent.push(String::from_utf8(bytes).unwrap()),
                Output::Record(record) => self.records.push(*record),
                Output::Media(MediaCommand::Close { slot }) => self.closed.push(slot),
                Output::Media(_) | Output::Live(_) => {}
            }
        }
    }

    fn invite(&mut self, n: u32) {
        let flow = Flow {
            transport: Transport::Udp,
            local: ([127, 0, 0, 1], 5060).into(),
            remote: ([127, 0, 0, 1], 5080).into(),
            connection: 0,
            peer_name: None,
        };
        let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 8\r\n";
        let text = format!(
            "INVITE sip:+914412345678@x SIP/2.0\r\n\
             Via: SIP/2.0/UDP 127.0.0.1:5080;branch=z9hG4bK{n}\r\n\
             From: <sip:+919876543210@x>;tag={n}\r\nTo: <sip:+914412345678@x>\r\n\
             Call-ID: call-{n}\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n\
             Contact: <sip:a@127.0.0.1:5080>\r\nContent-Type: application/sdp\r\n\
             Content-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        );
        self.handle(Input::Received {
            flow: &flow,
            trunk: 0,
            bytes: text.as_bytes(),
        });
    }

    /// Lets all time pass that anything could wait for.
    fn run_out(&mut self) {
        for slot in std::mem::take(&mut self.closed) {
            let stats = LegStats::default();
            self.handle(Input::Media(MediaEvent::Closed { slot, stats }));
        }
        while let Some(at) = self.switch.next_timeout() {
            self.mono_us = self.mono_us.max(at);
            self.handle(Input::Timeout);
        }
    }
}

#[test]
fn a_panic_costs_its_own_call_which_is_refused_and_recorded() {
    let mut bench = Bench::new();
    bench.invite(1);
    assert_eq!(bench.switch.live_calls(), 1);
    bench.admission.fails.set(true);
    bench.invite(2);
    bench.admission.fails.set(false);
    bench.invite(3);
    assert_eq!(bench.switch.counters().panics, 1);
    assert_eq!(
        bench.switch.live_calls(),
        2,
        "the calls before and after go on"
    );
    let causes: Vec<Cause> = bench.records.iter().map(|r| r.cause).collect();
    assert_eq!(causes, [Cause::Internal]);
    assert!(
        bench
            .sent
            .iter()
            .any(|m| m.starts_with("SIP/2.0 500 ") && m.contains("call-2"))
    );
    assert_eq!(bench.admission.calls.get(), 2, "its grants are given back");
    assert_eq!(bench.admission.announcements.get(), 2);
}

#[test]
fn after_a_panic_nothing_is_left_behind() {
    let mut bench = Bench::new();
    bench.admission.fails.set(true);
    bench.invite(1);
    bench.admission.fails.set(false);
    bench.invite(2);
    // The second caller never acknowledges: its call ends by AckWait, 64·T1.
    bench.run_out();
    bench.run_out();
    assert!(bench.switch.is_idle(), "{:?}", bench.switch);
    assert_eq!(bench.records.len(), 2);
    assert_eq!(bench.admission.calls.get(), 0);
    assert_eq!(bench.admission.announcements.get(), 0);
}
