//! A bench for one call: the test speaks for both parties, moves the clock, and reads what each
//! was told and when.

use std::net::SocketAddr;

use super::directory::exophone;
use super::plane::Pool;
use super::scene::{Scene, switch_socket};
use crate::phone::message::{Message, print};
use crate::phone::sdp::{Codec, Description};
use crate::sid::Sid;
use crate::sip::Transport;
use crate::switch::Switch;
use crate::switch::event::{Command, Flow, Input, Now, Output};
use crate::switch::media::{LegStats, MediaCommand, MediaEvent};
use crate::switch::record::CallRecord;

/// Unix milliseconds at time 0.
const EPOCH_MS: u64 = 1_700_000_000_000;

/// The caller, customer 0, behind the first trunk.
pub(super) fn caller() -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 9], 5060))
}

/// The trunk's first target: whoever is called.
pub(super) fn callee() -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 1], 5060))
}

/// The trunk's second target.
pub(super) fn second() -> SocketAddr {
    SocketAddr::from(([10, 1, 0, 2], 5060))
}

/// With one target nothing is tried elsewhere.
pub(super) fn one_target(scene: &mut Scene) {
    scene.settings.trunks[0].targets.truncate(1);
}

/// Something the switch said.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub at_us: u64,
    pub to: SocketAddr,
    pub message: Message,
}

/// The bench.
pub(super) struct Bench {
    pub now_us: u64,
    pub switch: Switch,
    pub said: Vec<Said>,
    pub records: Vec<CallRecord>,
    live: Option<Sid>,
    /// The first INVITE to the callee, which `told` does not take away.
    pub dialled: Option<Message>,
    media: Vec<(u64, MediaCommand)>,
    scene: Scene,
    pool: Pool,
}

impl Bench {
    /// A switch as `Scene::quiet` has it, changed.
    pub(super) fn new(change: impl FnOnce(&mut Scene)) -> Bench {
        let mut scene = Scene::quiet(0);
        change(&mut scene);
        Bench {
            now_us: 0,
            switch: Switch::new(scene.settings.clone(), [5; 32]),
            said: Vec::new(),
            records: Vec::new(),
            live: None,
            dialled: None,
            media: Vec::new(),
            pool: Pool::new(scene.slots, scene.most_calls, scene.most_announcements),
            scene,
        }
    }

    fn handle(&mut self, input: Input<'_>) {
        let now = Now {
            mono_us: self.now_us,
            wall_ms: EPOCH_MS + self.now_us / 1_000,
        };
        let mut out = Vec::new();
        let (directory, pool) = (&self.scene.directory, &self.pool);
        self.switch.handle(input, now, directory, pool, &mut out);
        for output in out {
            match output {
                Output::Send { flow, bytes } => {
                    let message = Message::read(&bytes).expect("what the switch says can be read");
                    if self.dialled.is_none() && message.method() == Some("INVITE") {
                        self.dialled = Some(message.clone());
                    }
                    let (at_us, to) = (self.now_us, flow.remote);
                    self.said.push(Said { at_us, to, message });
                }
                Output::Media(command) => {
                    self.media.push((self.now_us, command.clone()));
                    if let MediaCommand::Close { slot } = command {
                        let stats = LegStats::default();
                        self.pool.give_back(slot);
                        self.handle(Input::Media(MediaEvent::Closed { slot, stats }));
                    }
                }
                Output::Record(record) => self.records.push(*record),
                Output::Live(live) => self.live = Some(live.sid),
            }
        }
    }

    /// A message arrives now.
    pub(super) fn hear(&mut self, from: SocketAddr, bytes: &[u8]) {
        let trunk = self
            .scene
            .settings
            .trunk_of(from.ip())
            .expect("a trunk's address");
        let flow = Flow {
            transport: Transport::Udp,
            local: switch_socket(),
            remote: from,
            connection: 0,
            peer_name: None,
        };
        self.handle(Input::Received {
            flow: &flow,
            trunk,
            bytes,
        });
    }

    pub(super) fn command(&mut self, command: Command) {
        self.handle(Input::Command(command));
    }

    /// The media plane has played the announcement to its end.
    pub(super) fn played(&mut self) {
        let found = self
            .media
            .iter()
            .rev()
            .find_map(|(_, command)| match command {
                MediaCommand::Play { slot, id, .. } => Some((*slot, *id)),
                _ => None,
            });
        let (slot, id) = found.expect("something is being played");
        self.handle(Input::Media(MediaEvent::Played { slot, id }));
    }

    /// When the media plane was told this, in seconds.
    pub(super) fn media_told(&self, is: fn(&MediaCommand) -> bool) -> Vec<f64> {
        let times = self.media.iter().filter(|(_, command)| is(command));
        times.map(|(at_us, _)| *at_us as f64 / 1e6).collect()
    }

    pub(super) fn unreachable(&mut self, remote: SocketAddr) {
        let transport = Transport::Udp;
        self.handle(Input::Undeliverable { remote, transport });
    }

    /// Time passes until `secs`, and every timer rings when it is due.
    pub(super) fn at(&mut self, secs: f64) -> &mut Bench {
        let until_us = (secs * 1e6).round() as u64;
        while let Some(due) = self.switch.next_timeout().filter(|due| *due <= until_us) {
            self.now_us = due;
            self.handle(Input::Timeout);
        }
        self.now_us = until_us;
        self
    }

    /// What was said to this address since the last look, as `seconds what`.
    pub(super) fn told(&mut self, to: SocketAddr) -> Vec<String> {
        let (told, rest): (Vec<Said>, Vec<Said>) = std::mem::take(&mut self.said)
            .into_iter()
            .partition(|said| said.to == to);
        self.said = rest;
        told.iter().map(line).collect()
    }

    /// The latest message to this address that begins with a method or code.
    pub(super) fn last(&self, to: SocketAddr, what: &str) -> Message {
        let found = self
            .said
            .iter()
            .rev()
            .find(|said| said.to == to && line(said).split(' ').nth(1) == Some(what));
        found
            .unwrap_or_else(|| panic!("no {what} to {to}"))
            .message
            .clone()
    }

    /// The caller's INVITE comes.
    pub(super) fn invite(&mut self) {
        self.hear(caller(), &invite(|_| {}));
    }

    /// The callee answers its INVITE with this code; `tag` is its To tag.
    pub(super) fn reply(&mut self, code: u16, tag: &str) {
        let invite = self.dialled.clone().expect("an INVITE to the callee");
        self.hear(callee(), &reply(&invite, code, tag));
    }

    /// The caller's ACK of the 200, and of nothing else.
    pub(super) fn ack(&mut self) {
        let answer = self.last(caller(), "200");
        self.hear(caller(), &in_dialog("ACK", 1, "ack", &answer));
    }

    /// A call that is up since `secs`: both have answered and acknowledged.
    pub(super) fn up(&mut self, secs: f64) {
        self.at(secs).invite();
        self.reply(180, "b");
        self.reply(200, "b");
        self.ack();
    }

    /// The call whose live row was written last.
    pub(super) fn live(&self) -> Option<Sid> {
        self.live
    }

    /// Asserts that nothing is left after the longest linger.
    pub(super) fn ends(&mut self, records: usize) {
        let secs = self.now_us as f64 / 1e6 + 4.0 * 32.0 + 2.0;
        self.at(secs);
        assert!(self.switch.is_idle(), "something is left");
        assert_eq!(self.pool.missing(), Vec::<String>::new());
        assert_eq!(self.records.len(), records);
        assert_eq!(self.switch.counters().panics, 0);
    }
}

fn line(said: &Said) -> String {
    let what = match (said.message.method(), said.message.code()) {
        (Some(method), _) => method.to_owned(),
        (None, code) => {
            let of = said.message.cseq().map_or("", |c| c.1);
            format!("{} {of}", code.unwrap_or_default())
        }
    };
    format!("{} {what}", said.at_us as f64 / 1e6)
}

fn sdp(host: SocketAddr) -> String {
    let description = Description {
        rtp: SocketAddr::new(host.ip(), 4_000),
        codecs: vec![
            Codec::new(8, "PCMA/8000"),
            Codec::new(101, "telephone-event/8000"),
        ],
    };
    description.print(1)
}

/// The caller's INVITE; `change` may change its fields.
pub(super) fn invite(change: impl FnOnce(&mut Vec<(&'static str, String)>)) -> Vec<u8> {
    let number = super::style::number_of(0, super::style::Flavour::Plain).e164();
    let dialled = format!("sip:{}@10.0.0.1", exophone(0).e164());
    let mut fields = vec![
        (
            "Via",
            format!("SIP/2.0/UDP {};branch=z9hG4bKinvite", caller()),
        ),
        ("Max-Forwards", "70".to_owned()),
        ("From", format!("<sip:{number}@10.1.0.9>;tag=a")),
        ("To", format!("<{dialled}>")),
        ("Call-ID", "call".to_owned()),
        ("CSeq", "1 INVITE".to_owned()),
        ("Contact", format!("<sip:{}>", caller())),
    ];
    change(&mut fields);
    print(
        &format!("INVITE {dialled} SIP/2.0"),
        &fields,
        Some(&sdp(caller())),
    )
}

/// The caller's INVITE to another number.
pub(super) fn invite_to(number: crate::number::Number) -> Vec<u8> {
    let text = String::from_utf8(invite(|_| {})).expect("our own");
    text.replace(&exophone(0).e164(), &number.e164())
        .into_bytes()
}

/// CANCEL or ACK of the caller's INVITE, in the INVITE's own transaction.
pub(super) fn sibling(method: &str, to_tag: Option<&str>) -> Vec<u8> {
    let invite = Message::read(&invite(|_| {})).expect("our own");
    let field = |name: &str| invite.field(name).unwrap_or_default().to_owned();
    let to = to_tag.map_or(field("To"), |tag| format!("{};tag={tag}", field("To")));
    let fields = [
        ("Via", field("Via")),
        ("Max-Forwards", "70".to_owned()),
        ("From", field("From")),
        ("To", to),
        ("Call-ID", field("Call-ID")),
        ("CSeq", format!("1 {method}")),
    ];
    let uri = crate::phone::message::uri(invite.field("To").unwrap_or_default()).to_owned();
    print(&format!("{method} {uri} SIP/2.0"), &fields, None)
}

/// A response of the callee.
pub(super) fn reply(request: &Message, code: u16, tag: &str) -> Vec<u8> {
    let contact = [("Contact", format!("<sip:b@{}>", callee()))];
    let is_invite = request.method() == Some("INVITE");
    let answers = matches!(code, 183 | 200) && is_invite;
    let more: &[(&str, String)] = if code > 100 && is_invite {
        &contact
    } else {
        &[]
    };
    request.answer(code, tag, more, answers.then(|| sdp(callee())).as_deref())
}

/// A request of whoever got `message` (a response to the caller, a request to the callee) in its
/// dialog.
pub(super) fn in_dialog(method: &str, cseq: u32, branch: &str, message: &Message) -> Vec<u8> {
    let field = |name: &str| message.field(name).unwrap_or_default().to_owned();
    let calling = message.code().is_some();
    let (from, to, at) = if calling {
        (field("From"), field("To"), caller())
    } else {
        (field("To"), field("From"), callee())
    };
    let fields = [
        ("Via", format!("SIP/2.0/UDP {at};branch=z9hG4bK{branch}")),
        ("Max-Forwards", "70".to_owned()),
        ("From", from),
        ("To", to),
        ("Call-ID", field("Call-ID")),
        ("CSeq", format!("{cseq} {method}")),
    ];
    let target = match message.field("Contact") {
        Some(contact) => crate::phone::message::uri(contact).to_owned(),
        None => "sip:10.0.0.1".to_owned(),
    };
    print(&format!("{method} {target} SIP/2.0"), &fields, None)
}
