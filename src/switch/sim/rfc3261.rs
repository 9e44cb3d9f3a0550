//! One rule a test, under the section it comes from. Times are written as they must be read on
//! the wire: `0.5 INVITE` is an INVITE half a second after the beginning.

use super::bench::{Bench, callee, caller, in_dialog, invite, reply, second, sibling};
use super::directory::exophone;
use super::scene::Scene;
use crate::switch::event::Command;
use crate::switch::record::{Cause, EndedBy, Status};

fn bench() -> Bench {
    Bench::new(one_target)
}

/// With one target nothing is tried elsewhere.
fn one_target(scene: &mut Scene) {
    scene.settings.trunks[0].targets.truncate(1);
}

// §17.1.1: INVITE client transaction.

#[test]
fn calling_repeats_the_invite_with_doubled_intervals_and_gives_up_after_64_t1() {
    let mut b = bench();
    b.invite();
    b.at(40.0);
    let sent = [
        "0 INVITE",
        "0.5 INVITE",
        "1.5 INVITE",
        "3.5 INVITE",
        "7.5 INVITE",
        "15.5 INVITE",
        "31.5 INVITE",
    ];
    assert_eq!(b.told(callee()), sent);
    assert_eq!(b.told(caller())[..2], ["0 100 INVITE", "32 480 INVITE"]);
    assert_eq!(b.records[0].cause, Cause::Unavailable);
}

#[test]
fn proceeding_repeats_nothing() {
    let mut b = bench();
    b.invite();
    b.at(0.2).reply(100, "b");
    b.at(40.0);
    assert_eq!(b.told(callee()), ["0 INVITE"]);
}

#[test]
fn completed_acknowledges_a_refusal_each_time_it_comes() {
    let mut b = bench();
    b.invite();
    for secs in [1.0, 1.5, 2.5] {
        b.at(secs).reply(486, "b");
    }
    let ack = b.last(callee(), "ACK");
    let sent = b.last(callee(), "INVITE");
    // §17.1.1.3: the INVITE's branch, the response's To.
    assert_eq!(ack.branch(), sent.branch());
    assert_eq!(ack.to_tag(), Some("b"));
    assert_eq!(
        b.told(callee()),
        ["0 INVITE", "0.5 INVITE", "1 ACK", "1.5 ACK", "2.5 ACK"]
    );
}

#[test]
fn accepted_acknowledges_a_2xx_at_once_and_each_time_it_comes() {
    let mut b = bench();
    b.invite();
    for secs in [0.1, 0.6, 1.6, 30.0] {
        b.at(secs).reply(200, "b");
    }
    let (ack, sent) = (b.last(callee(), "ACK"), b.last(callee(), "INVITE"));
    // §13.2.2.4: the INVITE's CSeq number, a branch of its own.
    assert_eq!(ack.cseq().map(|c| c.0), sent.cseq().map(|c| c.0));
    assert_ne!(ack.branch(), sent.branch());
    assert_eq!(
        b.told(callee()),
        ["0 INVITE", "0.1 ACK", "0.6 ACK", "1.6 ACK", "30 ACK"]
    );
}

// §17.2.1: INVITE server transaction.

#[test]
fn a_repeated_invite_gets_the_latest_answer_and_dials_nobody_twice() {
    let mut b = bench();
    b.invite();
    b.at(0.1).invite();
    b.at(0.2).reply(180, "b");
    b.at(0.3).invite();
    assert_eq!(
        b.told(caller()),
        [
            "0 100 INVITE",
            "0.1 100 INVITE",
            "0.2 180 INVITE",
            "0.3 180 INVITE"
        ]
    );
    assert_eq!(b.told(callee()), ["0 INVITE"]);
}

#[test]
fn completed_repeats_the_refusal_until_64_t1() {
    let mut b = bench();
    b.invite();
    b.reply(486, "b");
    b.at(60.0);
    let told = b.told(caller());
    let times: Vec<&str> = told
        .iter()
        .filter_map(|t| t.strip_suffix(" 486 INVITE"))
        .collect();
    assert_eq!(
        times,
        [
            "0", "0.5", "1.5", "3.5", "7.5", "11.5", "15.5", "19.5", "23.5", "27.5", "31.5"
        ]
    );
}

#[test]
fn confirmed_repeats_nothing() {
    let mut b = bench();
    b.invite();
    b.reply(486, "b");
    let refusal = b.last(caller(), "486");
    b.at(0.7).hear(caller(), &sibling("ACK", refusal.to_tag()));
    b.at(60.0);
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0 486 INVITE", "0.5 486 INVITE"]
    );
    b.ends(1);
}

#[test]
fn accepted_absorbs_a_repeated_invite() {
    let mut b = bench();
    b.up(0.0);
    b.told(caller());
    b.at(1.0).invite();
    assert!(b.told(caller()).is_empty());
}

// §8.2: before there is a call.

#[test]
fn a_merged_request_gets_482() {
    let mut b = bench();
    b.invite();
    b.hear(
        caller(),
        &invite(|f| f[0].1 = f[0].1.replace("invite", "other")),
    );
    assert_eq!(b.told(caller()), ["0 100 INVITE", "0 482 INVITE"]);
    b.ends(1);
}

#[test]
fn hops_extensions_schemes_and_bodies_are_checked_first() {
    let refused = |expected: &str, bytes: Vec<u8>| {
        let mut b = bench();
        b.hear(caller(), &bytes);
        let told = b.told(caller());
        assert_eq!(
            told,
            [format!("0 {expected} INVITE")],
            "{}",
            String::from_utf8_lossy(&bytes)
        );
        b.ends(0);
    };
    refused("483", invite(|f| f[1].1 = "0".to_owned()));
    refused("420", invite(|f| f.push(("Require", "100rel".to_owned()))));
    refused(
        "415",
        invite(|f| f.push(("Content-Encoding", "gzip".to_owned()))),
    );
    let text = String::from_utf8(invite(|_| {})).unwrap();
    refused("416", text.replacen("sip:", "fax:", 1).into_bytes());
    refused(
        "415",
        text.replace("application/sdp", "text/plain").into_bytes(),
    );
}

#[test]
fn the_unsupported_extensions_are_named() {
    let mut b = bench();
    b.hear(
        caller(),
        &invite(|f| f.push(("Require", "100rel, gruu".to_owned()))),
    );
    let refusal = b.last(caller(), "420");
    assert_eq!(refusal.field("Unsupported"), Some("100rel, gruu"));
}

#[test]
fn unknown_methods_get_405_with_allow() {
    let mut b = bench();
    b.hear(caller(), &sibling("FROB", None));
    let refusal = b.last(caller(), "405");
    assert!(
        refusal
            .field("Allow")
            .is_some_and(|allow| allow.contains("INVITE"))
    );
}

// §9: CANCEL.

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut b = bench();
    b.invite();
    b.at(0.2).hear(caller(), &sibling("CANCEL", None));
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0.2 200 CANCEL", "0.2 487 INVITE"]
    );
    b.at(1.0).reply(180, "b");
    let (cancel, sent) = (b.last(callee(), "CANCEL"), b.last(callee(), "INVITE"));
    // §9.1
    assert_eq!(cancel.called(), sent.called());
    for field in ["From", "To", "Call-ID", "Via"] {
        assert_eq!(cancel.field(field), sent.field(field));
    }
    assert_eq!(b.told(callee()), ["0 INVITE", "0.5 INVITE", "1 CANCEL"]);
    b.ends(1);
    assert_eq!(b.records[0].call.status, Status::Canceled);
}

#[test]
fn a_cancel_while_ringing_goes_out_at_once_and_the_487_is_acknowledged() {
    let mut b = bench();
    b.invite();
    b.at(0.2).reply(180, "b");
    b.at(1.0).hear(caller(), &sibling("CANCEL", None));
    let cancel = b.last(callee(), "CANCEL");
    b.hear(callee(), &reply(&cancel, 200, "b"));
    b.reply(487, "b");
    assert_eq!(b.told(callee()), ["0 INVITE", "1 CANCEL", "1 ACK"]);
    assert_eq!(b.told(caller())[2..], ["1 200 CANCEL", "1 487 INVITE"]);
}

#[test]
fn an_answer_that_crosses_the_cancel_gets_ack_and_bye() {
    let mut b = bench();
    b.invite();
    b.at(0.2).reply(180, "b");
    b.at(1.0).hear(caller(), &sibling("CANCEL", None));
    b.at(1.1).reply(200, "b");
    assert_eq!(
        b.told(callee()),
        ["0 INVITE", "1 CANCEL", "1.1 ACK", "1.1 BYE"]
    );
    b.at(1.4);
    assert_eq!(b.told(caller())[2..], ["1 200 CANCEL", "1 487 INVITE"]);
}

#[test]
fn a_cancel_after_the_answer_changes_nothing() {
    let mut b = bench();
    b.invite();
    b.reply(200, "b");
    b.at(0.1).hear(caller(), &sibling("CANCEL", None));
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0 200 INVITE", "0.1 200 CANCEL"]
    );
    assert_eq!(b.switch.live_calls(), 1);
}

#[test]
fn a_cancel_of_nothing_gets_481() {
    let mut b = bench();
    b.hear(caller(), &sibling("CANCEL", None));
    assert_eq!(b.told(caller()), ["0 481 CANCEL"]);
}

#[test]
fn a_cancelled_invite_without_a_final_response_is_given_up_after_64_t1() {
    let mut b = bench();
    b.invite();
    b.reply(180, "b");
    b.at(1.0).hear(caller(), &sibling("CANCEL", None));
    b.at(32.9);
    assert_eq!(b.switch.live_calls(), 1);
    b.at(33.0);
    assert_eq!(b.switch.live_calls(), 0);
}

// §13: the answer.

#[test]
fn our_2xx_is_repeated_from_t1_to_t2_and_ended_by_bye_after_64_t1() {
    let mut b = bench();
    b.invite();
    b.reply(200, "b");
    b.at(33.0);
    let told = b.told(caller());
    let times: Vec<&str> = told
        .iter()
        .filter_map(|t| t.strip_suffix(" 200 INVITE"))
        .collect();
    assert_eq!(
        times,
        [
            "0", "0.5", "1.5", "3.5", "7.5", "11.5", "15.5", "19.5", "23.5", "27.5", "31.5"
        ]
    );
    assert!(told.contains(&"32 BYE".to_owned()), "{told:?}");
    assert!(b.told(callee()).contains(&"32 BYE".to_owned()));
    assert_eq!(b.records[0].cause, Cause::AckTimeout);
}

#[test]
fn every_other_fork_that_answers_gets_ack_and_bye() {
    let mut b = bench();
    b.up(0.0);
    b.told(callee());
    b.at(1.0).reply(200, "c");
    let bye = b.last(callee(), "BYE");
    assert_eq!(bye.to_tag(), Some("c"));
    assert_eq!(b.told(callee()), ["1 ACK", "1 BYE"]);
    assert_eq!(b.switch.live_calls(), 1, "the first answer's call goes on");
}

// §15: BYE.

#[test]
fn a_bye_after_the_end_gets_481() {
    let mut b = bench();
    b.up(0.0);
    let answer = b.last(caller(), "200");
    b.told(caller());
    b.at(5.0)
        .hear(caller(), &in_dialog("BYE", 2, "one", &answer));
    b.at(6.0)
        .hear(caller(), &in_dialog("BYE", 3, "two", &answer));
    assert_eq!(b.told(caller()), ["5 200 BYE", "6 481 BYE"]);
    assert_eq!(
        (b.records[0].ended_by, b.records[0].cause),
        (EndedBy::Caller, Cause::Normal)
    );
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut b = bench();
    b.up(0.0);
    let (answer, sent) = (b.last(caller(), "200"), b.dialled.clone().unwrap());
    b.told(callee());
    b.at(5.0)
        .hear(caller(), &in_dialog("BYE", 2, "one", &answer));
    let ours = b.last(callee(), "BYE");
    let mut theirs = sent;
    // The callee's own BYE: its To is tagged by now.
    for field in theirs.fields.iter_mut().filter(|f| f.0 == "To") {
        field.1.push_str(";tag=b");
    }
    b.at(5.1)
        .hear(callee(), &in_dialog("BYE", 9, "two", &theirs));
    b.hear(callee(), &reply(&ours, 200, "b"));
    assert_eq!(b.told(callee()), ["5 BYE", "5.1 200 BYE"]);
    b.ends(1);
}

#[test]
fn a_call_that_is_ended_before_the_ack_says_bye_only_after_it() {
    let mut b = bench();
    b.invite();
    b.reply(200, "b");
    b.at(1.0).command(Command::EndAll);
    let answer = b.last(caller(), "200");
    assert_eq!(
        b.told(caller()),
        ["0 100 INVITE", "0 200 INVITE", "0.5 200 INVITE"]
    );
    b.at(1.2)
        .hear(caller(), &in_dialog("ACK", 1, "ack", &answer));
    assert_eq!(b.told(caller()), ["1.2 BYE"]);
    b.ends(1);
}

// `call-flows` 3.5, 3.7, 3.16 and the product's own rules.

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
    let text = String::from_utf8(invite(|_| {})).unwrap();
    let text = text.replace(&exophone(0).e164(), &exophone(9).e164());
    b.hear(caller(), text.as_bytes());
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
