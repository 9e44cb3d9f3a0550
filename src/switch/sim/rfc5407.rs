//! Requests that cross the end or the beginning of a session: what an INVITE gets while another
//! one is open (RFC 3261 §14.2), and what everything gets once our BYE is out (RFC 5407 §3.2).

use super::bench::{Bench, callee, caller, in_dialog};
use crate::phone::message::Message;
use crate::switch::event::Command;

fn bench() -> Bench {
    Bench::new(|scene| scene.settings.trunks[0].targets.truncate(1))
}

/// The callee's view of its dialog: our INVITE, with the tag the callee answered with.
fn tagged(b: &Bench) -> Message {
    let mut invite = b.dialled.clone().expect("an INVITE to the callee");
    for field in invite.fields.iter_mut().filter(|f| f.0 == "To") {
        field.1.push_str(";tag=b");
    }
    invite
}

#[test]
fn a_second_invite_of_the_caller_waits_for_the_answer_to_the_first() {
    let mut b = bench();
    b.invite();
    b.reply(180, "b");
    let ringing = b.last(caller(), "180");
    b.told(caller());
    b.at(1.0)
        .hear(caller(), &in_dialog("INVITE", 2, "again", &ringing));
    let refusal = b.last(caller(), "500");
    let secs: u32 = refusal.field("Retry-After").unwrap().parse().unwrap();
    assert!(secs <= 10);
    b.reply(200, "b");
    assert_eq!(b.told(caller()), ["1 500 INVITE", "1 200 INVITE"]);
}

#[test]
fn an_invite_of_the_callee_waits_for_its_own_answer() {
    let mut b = bench();
    b.invite();
    b.reply(180, "b");
    let invite = tagged(&b);
    b.told(callee());
    b.at(1.0)
        .hear(callee(), &in_dialog("INVITE", 7, "again", &invite));
    b.reply(200, "b");
    assert_eq!(b.told(callee()), ["1 491 INVITE", "1 ACK"]);
}

#[test]
fn once_our_bye_is_out_only_the_other_bye_is_taken() {
    let mut b = bench();
    b.up(0.0);
    let (answer, invite) = (b.last(caller(), "200"), tagged(&b));
    b.told(caller());
    b.told(callee());
    b.at(5.0).command(Command::EndAll);
    for (n, method) in ["INVITE", "REFER", "OPTIONS", "BYE"].iter().enumerate() {
        let cseq = 20 + n as u32;
        b.hear(caller(), &in_dialog(method, cseq, method, &answer));
        b.hear(callee(), &in_dialog(method, cseq, method, &invite));
    }
    let told = [
        "5 BYE",
        "5 481 INVITE",
        "5 481 REFER",
        "5 481 OPTIONS",
        "5 200 BYE",
    ];
    assert_eq!(b.told(caller()), told);
    assert_eq!(b.told(callee()), told);
    b.ends(1);
}
