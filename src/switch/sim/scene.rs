//! A scene: how the world is set up, and who will do what. Drawn from a seed,
//! or written by hand.

use std::net::SocketAddr;

use super::callee::{AnswerFlaw, CalleePlan, Ending, OnCancel};
use super::caller::{Ack, CallerPlan, Flaw};
use super::directory::{PARTIES, Rows, STRANGER, exophone};
use super::net::Weather;
use super::rng::Rng;
use super::style::{Flavour, Wants};
use super::ua::SECOND_US;
use crate::number::{Number, NumberPlan};
use crate::sip::Transport;
use crate::switch::settings::{
    AnnouncementMode, Cidr, EarlyMedia, IdentityHeader, Listener, NumberFormat, Settings, Target,
    Trunk,
};

/// What becomes of datagrams to a trunk's target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    Alive,
    Swallows,
    /// ICMP says that nobody listens.
    Refuses,
}

/// Who calls, from when on.
#[derive(Debug, Clone)]
pub(super) struct Calling {
    pub at_us: u64,
    pub who: u64,
    pub plan: CallerPlan,
}

/// What else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// An administrator ends the newest call.
    Hangup,
    Drain,
    EndAll,
    Garbage(u64),
    Options,
    Unknown,
    /// Somebody behind another trunk knows a dialog's ids.
    ThirdParty(&'static str),
    /// A response nobody asked for.
    Stray,
}

/// All that a run needs.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    pub seed: u64,
    /// Which shard of how many the switch is.
    pub shard: (u16, u16),
    pub settings: Settings,
    pub directory: Rows,
    pub weather: Weather,
    pub lines: [Line; 2],
    pub slots: u32,
    pub most_calls: i64,
    pub most_announcements: i64,
    pub silent: bool,
    pub mute: u64,
    pub calling: Vec<Calling>,
    /// Plans of the called phones in the order of their INVITEs, the last one again and again;
    /// none: drawn from the seed.
    pub called: Vec<CalleePlan>,
    pub actions: Vec<(u64, Action)>,
    /// Percentage of steps after which all state goes through JSON.
    pub restore: u64,
}

/// Our socket.
pub(super) fn switch_socket() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 5060))
}

fn settings() -> Settings {
    let target = |ip: [u8; 4]| Target {
        transport: Transport::Udp,
        address: SocketAddr::from((ip, 5060)),
        host_port: format!("{}.{}.{}.{}", ip[0], ip[1], ip[2], ip[3]),
    };
    let trunk = |name: &str, net: u8, targets, number_format| Trunk {
        name: name.to_owned(),
        targets,
        accept_from: vec![Cidr::parse(&format!("10.{net}.0.0/16")).unwrap()],
        identity_order: vec![IdentityHeader::PAssertedIdentity, IdentityHeader::From],
        number_format,
        announcement_mode: None,
    };
    Settings {
        listeners: vec![Listener {
            transport: Transport::Udp,
            local: switch_socket(),
            advertised: "10.0.0.1:5060".to_owned(),
        }],
        domain: "sip.example.net".to_owned(),
        plan: NumberPlan::new("91").unwrap(),
        trunks: vec![
            trunk(
                "carrier",
                1,
                vec![target([10, 1, 0, 1]), target([10, 1, 0, 2])],
                NumberFormat::E164,
            ),
            trunk(
                "other",
                2,
                vec![target([10, 2, 0, 1])],
                NumberFormat::National,
            ),
        ],
        ring_timeout_secs: 45,
        max_call_secs: 600,
        early_media: EarlyMedia::Hide,
        announcement_mode: AnnouncementMode::Answer,
        media_timeout_secs: 30,
    }
}

impl Scene {
    /// Nothing happens, in fine weather.
    pub(super) fn quiet(seed: u64) -> Scene {
        Scene {
            seed,
            shard: (0, 1),
            settings: settings(),
            directory: Rows::new(Flavour::Plain, Flavour::Plain),
            weather: Weather::FINE,
            lines: [Line::Alive; 2],
            slots: 40,
            most_calls: 100,
            most_announcements: 100,
            silent: false,
            mute: 0,
            calling: Vec::new(),
            called: Vec::new(),
            actions: Vec::new(),
            restore: 0,
        }
    }

    /// Customer 0 calls agent 1 through ExoPhone 0.
    pub(super) fn one_call(seed: u64, caller: CallerPlan, callee: CalleePlan) -> Scene {
        let mut scene = Scene::quiet(seed);
        scene.calling.push(Calling {
            at_us: 0,
            who: 0,
            plan: caller,
        });
        scene.called.push(callee);
        scene
    }

    /// Anything may happen.
    pub(super) fn random(seed: u64) -> Scene {
        let mut rng = Rng::new(seed).fork(1);
        let mut scene = Scene::quiet(seed);
        if rng.chance(75) {
            scene.weather = Weather {
                lost: rng.below(35),
                twice: rng.below(12),
                late: rng.below(10),
            };
        }
        let settings = &mut scene.settings;
        settings.ring_timeout_secs = rng.between(8, 100) as u32;
        settings.max_call_secs = rng.between(10, 200) as u32;
        settings.early_media = rng.pick(&[EarlyMedia::Hide, EarlyMedia::Relay]);
        settings.announcement_mode = rng.pick(&[AnnouncementMode::Answer, AnnouncementMode::Early]);
        settings.media_timeout_secs = rng.pick(&[0, 5, 30]);
        scene.silent = rng.chance(10);
        scene.mute = rng.pick(&[0, 0, 0, 30]);
        scene.lines = match rng.below(10) {
            0 => [Line::Swallows, Line::Alive],
            1 => [Line::Refuses, Line::Alive],
            2 => [Line::Swallows, Line::Swallows],
            3 => [Line::Swallows, Line::Refuses],
            _ => [Line::Alive; 2],
        };
        if rng.chance(15) {
            scene.slots = rng.between(0, 6) as u32;
        }
        if rng.chance(10) {
            (scene.most_calls, scene.most_announcements) = (2, 1);
        }
        for _ in 0..rng.between(1, 5) {
            let at_us = rng.below(60 * SECOND_US);
            let (who, dials) = who_calls(&mut rng);
            scene.calling.push(Calling {
                at_us,
                who,
                plan: caller(&mut rng, exophone(dials)),
            });
        }
        for _ in 0..rng.below(4) {
            let at_us = rng.below(90 * SECOND_US);
            let action = action(&mut rng);
            scene.actions.push((at_us, action));
        }
        scene.restore = rng.pick(&[0, 1, 5]);
        scene
    }

    /// Only customers and strangers call, so that each side of a call has its own flavour.
    pub(super) fn one_way(seed: u64) -> Scene {
        let mut scene = Scene::random(seed);
        for calling in &mut scene.calling {
            calling.who = match calling.who {
                1 => 0,
                3 | 4 => 2,
                6 => 5,
                who => who,
            };
        }
        scene
    }
}

fn who_calls(rng: &mut Rng) -> (u64, u64) {
    match rng.below(20) {
        0..=4 => (0, 0),
        5..=6 => (1, 0),
        7..=10 => (2, 1),
        11 => (rng.pick(&[3, 4]), 1),
        12..=13 => (5, 2),
        14 => (6, 2),
        15 => (rng.below(PARTIES), 3),
        16 => (rng.below(PARTIES), 4),
        17 => (STRANGER, rng.below(5)),
        18 => (rng.below(PARTIES), 9),
        _ => (rng.below(PARTIES), rng.below(5)),
    }
}

fn secs(rng: &mut Rng, most: u64) -> u64 {
    // Some things happen at the very same moment, or nearly.
    match rng.below(6) {
        0 => rng.below(2_000),
        1 => rng.below(SECOND_US),
        _ => rng.below(most * SECOND_US),
    }
}

fn wants(rng: &mut Rng) -> Wants {
    let mut codecs = vec!["PCMU/8000", "PCMA/8000", "G722/8000"];
    rng.shuffle(&mut codecs);
    codecs.truncate(rng.between(1, 3) as usize);
    if rng.chance(60) {
        codecs.push("telephone-event/8000");
    }
    Wants {
        codecs,
        ptime_ms: rng.pick(&[None, Some(20), Some(30)]),
        direction: rng.pick(&["sendrecv", "sendrecv", "sendonly", "inactive"]),
    }
}

fn caller(rng: &mut Rng, dials: Number) -> CallerPlan {
    let mut plan = CallerPlan::plain(dials, None);
    plan.wants = wants(rng);
    plan.offers = !rng.chance(12);
    plan.flaw = match rng.below(30) {
        0 => Flaw::Merged,
        1 => Flaw::Require,
        2 => Flaw::HopsGone,
        3 => Flaw::Scheme,
        4 => Flaw::Body,
        5 => Flaw::BrokenSdp,
        6 => Flaw::NoContact,
        7 => Flaw::NoCodec,
        8 => Flaw::Anonymous,
        _ => Flaw::None,
    };
    if plan.flaw == Flaw::Body {
        plan.offers = true;
    }
    plan.ack = match rng.below(12) {
        0 => Ack::Never,
        1 => Ack::After(rng.between(1, 4) as u32),
        _ => Ack::Always,
    };
    plan.cancel_us = rng.maybe(30, |rng| secs(rng, 15));
    plan.rude = rng.chance(30);
    plan.early_bye_us = rng.maybe(5, |rng| secs(rng, 5));
    plan.talk_us = rng.maybe(60, |rng| secs(rng, 30));
    plan.late_bye_us = rng.maybe(15, |rng| secs(rng, 60));
    plan.vanish_us = rng.maybe(6, |rng| secs(rng, 30));
    for _ in 0..rng.below(3) {
        let at = secs(rng, 20);
        plan.asks.push((
            at,
            rng.pick(&["OPTIONS", "INFO", "INVITE", "REFER", "UPDATE", "FROB"]),
        ));
    }
    plan
}

/// A called phone of any kind.
pub(super) fn callee(rng: &mut Rng) -> CalleePlan {
    let mut plan = CalleePlan::plain();
    plan.wants = wants(rng);
    plan.wants
        .codecs
        .extend(["PCMU/8000", "PCMA/8000", "G722/8000"]);
    plan.wants.codecs.sort_unstable();
    plan.wants.codecs.dedup();
    rng.shuffle(&mut plan.wants.codecs);
    plan.trying = rng.chance(60);
    plan.ring_us = rng.maybe(70, |rng| secs(rng, 4));
    plan.progress_us = rng.maybe(30, |rng| secs(rng, 6));
    plan.ending = match rng.below(10) {
        0..=5 => Ending::Answer(secs(rng, 20)),
        6..=8 => {
            let code = rng.pick(&[
                302, 404, 408, 410, 415, 480, 484, 486, 487, 488, 500, 502, 503, 504, 600, 603,
                604, 606, 607,
            ]);
            Ending::Reject(code, secs(rng, 10))
        }
        _ => Ending::Never,
    };
    plan.on_cancel = rng.pick(&[
        OnCancel::Obey,
        OnCancel::Obey,
        OnCancel::Obey,
        OnCancel::Answer,
        OnCancel::Ignore,
    ]);
    plan.fork_us = rng.maybe(10, |rng| secs(rng, 6));
    plan.talk_us = rng.maybe(40, |rng| secs(rng, 30));
    plan.deaf = rng.chance(4);
    plan.flaw = match rng.below(25) {
        0 => AnswerFlaw::NoSdp,
        1 => AnswerFlaw::NoContact,
        2 => AnswerFlaw::BrokenSdp,
        3 => AnswerFlaw::NoCodec,
        _ => AnswerFlaw::None,
    };
    plan.vanish_us = rng.maybe(6, |rng| secs(rng, 30));
    plan
}

fn action(rng: &mut Rng) -> Action {
    match rng.below(12) {
        0..=2 => Action::Hangup,
        3 => Action::Drain,
        4 => Action::EndAll,
        5 => Action::Garbage(rng.next()),
        6 => Action::Options,
        7 => Action::Unknown,
        8 => Action::Stray,
        _ => Action::ThirdParty(rng.pick(&["BYE", "CANCEL", "ACK", "200"])),
    }
}
