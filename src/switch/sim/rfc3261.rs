//! One rule a test, under the section it comes from. Times are written as they must be read on
//! the wire: `0.5 INVITE` is an INVITE half a second after the beginning.

use super::bench::{Bench, callee, caller, in_dialog, invite, one_target, reply, sibling};
use crate::switch::event::Command;
use crate::switch::record::{Cause, EndedBy, Status};

fn bench() -> Bench {
    Bench::new(one_target)
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

// RFC 3264 §6: what cannot be answered is refused.

#[test]
fn an_offer_without_a_port_for_rtcp_is_refused_before_anybody_rings() {
    let mut b = bench();
    let offer = String::from_utf8(invite(|_| {})).unwrap();
    // As long as before: Content-Length holds.
    let last_port = offer.replace("4000 RTP/AVP 8 101", "65535 RTP/AVP 8 99");
    assert_ne!(last_port, offer);
    b.hear(caller(), last_port.as_bytes());
    assert_eq!(b.told(callee()), Vec::<String>::new());
    assert_eq!(b.told(caller()), ["0 100 INVITE", "0 488 INVITE"]);
    b.ends(1);
}
