//! The product's own rules (`call-flows` 3.2 to 3.7, 3.16; DESIGN §4): what a failure becomes,
//! when another target is tried, what is refused, how the announcement goes.

use super::bench::{
    Bench, callee, caller, in_dialog, invite, invite_to, one_target, reply, second, sibling,
};
use super::directory::exophone;
use crate::switch::event::Command;
use crate::switch::media::MediaCommand;
use crate::switch::record::{Cause, EndedBy, Status};
use crate::switch::settings::{AnnouncementMode, EarlyMedia};

fn bench() -> Bench {
    Bench::new(one_target)
}

/// A call to an ExoPhone without allocation.
fn announcement(mode: AnnouncementMode) -> Bench {
    let mut b = Bench::new(|scene| scene.settings.announcement_mode = mode);
    b.hear(caller(), &invite_to(exophone(3)));
    b
}

fn is_play(command: &MediaCommand) -> bool {
    matches!(command, MediaCommand::Play { .. })
}

fn is_close(command: &MediaCommand) -> bool {
    matches!(command, MediaCommand::Close { .. })
}

#[test]
fn the_callees_failures_are_mapped() {
    let mapped = |theirs: u16, ours: u16| {
        let mut b = bench();
        b.invite();
        b.reply(theirs, "b");
        assert_eq!(b.told(caller())[1], format!("0 {ours} INVITE"), "{theirs}");
    };
    for (theirs, ours) in [
        (302, 480),
        (401, 500),
        (403, 500),
        (404, 404),
        (408, 480),
        (410, 410),
        (415, 488),
        (480, 480),
    ] {
        mapped(theirs, ours);
    }
    for (theirs, ours) in [
        (484, 404),
        (486, 486),
        (488, 488),
        (500, 500),
        (502, 500),
        (503, 500),
        (504, 500),
        (513, 500),
    ] {
        mapped(theirs, ours);
    }
    for (theirs, ours) in [
        (600, 486),
        (603, 480),
        (604, 404),
        (606, 488),
        (607, 480),
        (608, 480),
    ] {
        mapped(theirs, ours);
    }
}

#[test]
fn a_phone_that_rings_too_long_is_cancelled() {
    let mut b = bench();
    b.invite();
    b.at(0.1).reply(180, "b");
    b.at(45.0);
    assert_eq!(b.told(callee()), ["0 INVITE", "45 CANCEL"]);
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0.1 180 INVITE", "45 480 INVITE"]
    );
    assert_eq!(b.records[0].cause, Cause::RingTimeout);
}

#[test]
fn a_silent_target_is_left_for_the_next_one() {
    let mut b = Bench::new(|_| {});
    b.invite();
    b.at(6.0);
    assert_eq!(
        b.told(callee()),
        ["0 INVITE", "0.5 INVITE", "1.5 INVITE", "3.5 INVITE"]
    );
    assert_eq!(b.told(second()), ["6 INVITE"]);
}

#[test]
fn an_unreachable_target_is_left_at_once() {
    let mut b = Bench::new(|_| {});
    b.invite();
    b.at(0.1).unreachable(callee());
    assert_eq!(b.told(second()), ["0.1 INVITE"]);
}

#[test]
fn a_target_that_says_503_is_left_even_after_its_100() {
    let mut b = Bench::new(|_| {});
    b.invite();
    b.reply(100, "b");
    b.at(0.1).reply(503, "b");
    assert_eq!(b.told(callee()), ["0 INVITE", "0.1 ACK"]);
    assert_eq!(b.told(second()), ["0.1 INVITE"]);
}

#[test]
fn no_other_target_is_tried_once_it_rang_or_the_callee_was_unavailable() {
    for codes in [&[180, 503][..], &[486], &[480], &[404], &[603]] {
        let mut b = Bench::new(|_| {});
        b.invite();
        for code in codes {
            b.reply(*code, "b");
        }
        assert!(b.told(second()).is_empty(), "{codes:?}");
    }
}

#[test]
fn busy_at_the_second_target_is_no_busy_while_the_first_may_still_ring() {
    let mut b = Bench::new(|_| {});
    b.invite();
    b.at(6.0);
    let sent = b.last(second(), "INVITE");
    b.hear(second(), &reply(&sent, 486, "c"));
    assert!(b.told(caller()).contains(&"6 480 INVITE".to_owned()));
}

#[test]
fn a_second_call_on_an_exclusive_exophone_gets_486() {
    let mut b = bench();
    b.invite();
    let other = |f: &mut Vec<(&'static str, String)>| {
        f[0].1 = f[0].1.replace("invite", "other");
        f[4].1 = "another".to_owned();
    };
    b.at(1.0).hear(caller(), &invite(other));
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "1 100 INVITE", "1 486 INVITE"]
    );
    assert_eq!(b.records[0].cause, Cause::ExophoneBusy);
}

#[test]
fn without_ports_there_is_503_and_no_retry_after() {
    let mut b = Bench::new(|scene| scene.slots = 1);
    b.invite();
    let refusal = b.last(caller(), "503");
    assert_eq!(refusal.field("Retry-After"), None);
    assert_eq!(refusal.field("Reason"), Some("Q.850;cause=34"));
    b.ends(1);
}

#[test]
fn a_target_no_socket_can_reach_costs_no_ports() {
    let mut b = Bench::new(|scene| {
        for target in &mut scene.settings.trunks[0].targets {
            target.transport = crate::sip::Transport::Tcp;
        }
    });
    b.invite();
    assert_eq!(b.told(caller()), ["0 100 INVITE", "0 500 INVITE"]);
    b.ends(1);
}

#[test]
fn a_draining_switch_says_503_and_when_to_come_back() {
    let mut b = bench();
    b.command(Command::Drain {
        retry_after_secs: 90,
    });
    b.invite();
    assert_eq!(b.last(caller(), "503").field("Retry-After"), Some("90"));
    b.ends(0);
}

#[test]
fn a_trunk_at_its_limit_says_503_and_leaves_no_record() {
    let mut b = Bench::new(|scene| scene.most_calls = 0);
    b.invite();
    assert!(b.last(caller(), "503").field("Retry-After").is_some());
    b.ends(0);
}

#[test]
fn a_number_that_is_no_exophone_gets_404_and_no_record() {
    let mut b = bench();
    b.hear(caller(), &invite_to(exophone(9)));
    assert_eq!(b.told(caller()), ["0 100 INVITE", "0 404 INVITE"]);
    b.ends(0);
}

#[test]
fn a_caller_who_guesses_the_others_number_learns_nothing() {
    let guess = super::style::number_of(1, super::style::Flavour::Plain).e164();
    let answers = |name: &str| {
        let mut b = bench();
        b.hear(
            caller(),
            &invite(|f| f[2].1 = format!("\"{name}\" {}", f[2].1)),
        );
        b.reply(180, "b");
        b.reply(200, "b");
        assert_eq!(b.switch.counters().guarded, 0);
        b.told(caller())
    };
    assert_eq!(answers(&guess), answers("nobody"));
}

#[test]
fn an_answered_announcement_plays_after_the_ack_and_ends_with_bye() {
    let mut b = announcement(AnnouncementMode::Answer);
    assert!(b.media_told(is_play).is_empty());
    b.at(0.1).ack();
    b.at(4.1).played();
    assert_eq!(b.media_told(is_play), [0.1]);
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0 200 INVITE", "4.1 BYE"]
    );
    assert!(b.told(callee()).is_empty());
    let record = &b.records[0];
    assert_eq!(
        (record.cause, record.call.status),
        (Cause::NoAllocation, Status::Failed)
    );
    assert_eq!(record.duration_ms(), 0);
    b.ends(1);
}

#[test]
fn an_early_announcement_plays_at_once_and_ends_with_480() {
    let mut b = announcement(AnnouncementMode::Early);
    b.at(4.0).played();
    assert_eq!(b.media_told(is_play), [0.0]);
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0 183 INVITE", "4 480 INVITE"]
    );
    b.ends(1);
}

#[test]
fn an_announcement_stops_the_moment_the_caller_goes() {
    let mut early = announcement(AnnouncementMode::Early);
    early.at(1.0).hear(caller(), &cancel_of(exophone(3)));
    assert_eq!(early.media_told(is_close), [1.0]);
    assert_eq!(early.told(caller())[2..], ["1 200 CANCEL", "1 487 INVITE"]);
    assert_eq!(early.records[0].cause, Cause::NoAllocation);
    let mut answered = announcement(AnnouncementMode::Answer);
    let answer = answered.last(caller(), "200");
    answered.ack();
    answered
        .at(1.0)
        .hear(caller(), &in_dialog("BYE", 2, "bye", &answer));
    assert_eq!(answered.media_told(is_close), [1.0]);
    assert_eq!(answered.records[0].ended_by, EndedBy::Caller);
    answered.ends(1);
}

fn cancel_of(number: crate::number::Number) -> Vec<u8> {
    let text = String::from_utf8(sibling("CANCEL", None)).unwrap();
    text.replace(&exophone(0).e164(), &number.e164())
        .into_bytes()
}

#[test]
fn above_the_limit_of_announcements_there_is_480_at_once() {
    let mut b = Bench::new(|scene| scene.most_announcements = 0);
    b.hear(caller(), &invite_to(exophone(3)));
    assert_eq!(b.told(caller()), ["0 100 INVITE", "0 480 INVITE"]);
    b.ends(1);
}

#[test]
fn an_announcement_nobody_acknowledges_ends_after_64_t1() {
    let mut b = announcement(AnnouncementMode::Answer);
    b.at(33.0);
    assert!(b.told(caller()).contains(&"32 BYE".to_owned()));
    assert!(b.media_told(is_play).is_empty());
    b.ends(1);
}

#[test]
fn hidden_early_media_is_a_plain_180_and_relayed_early_media_a_183() {
    let said = |early_media| {
        let mut b = Bench::new(|scene| scene.settings.early_media = early_media);
        b.invite();
        b.reply(183, "b");
        b.reply(180, "b");
        b.reply(200, "b");
        b.told(caller())
    };
    let hidden = [
        "0 100 INVITE",
        "0 180 INVITE",
        "0 180 INVITE",
        "0 200 INVITE",
    ];
    assert_eq!(said(EarlyMedia::Hide), hidden);
    let relayed = [
        "0 100 INVITE",
        "0 183 INVITE",
        "0 180 INVITE",
        "0 200 INVITE",
    ];
    assert_eq!(said(EarlyMedia::Relay), relayed);
}

#[test]
fn a_caller_of_a_phone_that_rings_is_told_so_every_minute() {
    let mut b = Bench::new(|scene| scene.settings.ring_timeout_secs = 150);
    b.invite();
    b.reply(180, "b");
    b.at(149.0);
    assert_eq!(
        b.told(caller()),
        [
            "0 100 INVITE",
            "0 180 INVITE",
            "60 180 INVITE",
            "120 180 INVITE"
        ]
    );
}

#[test]
fn the_longest_call_ends_both_legs() {
    let mut b = Bench::new(|scene| scene.settings.max_call_secs = 30);
    b.up(0.0);
    b.told(caller());
    b.told(callee());
    b.at(30.0);
    assert_eq!(
        (b.told(caller()), b.told(callee())),
        (vec!["30 BYE".to_owned()], vec!["30 BYE".to_owned()])
    );
    assert_eq!(b.records[0].cause, Cause::MaxDuration);
    assert_eq!(b.records[0].duration_ms(), 30_000);
    b.ends(1);
}

#[test]
fn an_administrator_ends_a_call_in_every_state() {
    let ended = |answered: bool, expected: [&str; 2]| {
        let mut b = bench();
        b.invite();
        b.reply(180, "b");
        if answered {
            b.reply(200, "b");
            b.ack();
        }
        let call = b.live().expect("a live row");
        b.at(0.2).command(Command::Hangup { call });
        let last = [b.told(caller()), b.told(callee())].map(|told| told.last().cloned());
        assert_eq!(last, expected.map(|text| Some(text.to_owned())));
        assert_eq!(
            (b.records[0].ended_by, b.records[0].cause),
            (EndedBy::Admin, Cause::AdminHangup)
        );
        b.ends(1);
    };
    ended(false, ["0.2 480 INVITE", "0.2 CANCEL"]);
    ended(true, ["0.2 BYE", "0.2 BYE"]);
}
