//! What SIPp cannot play: exact times, other addresses of origin, rewritten Vias, audio beside
//! the signalling. Bare sockets on both sides of a server, SIP by the phones' own code. The table
//! in `sip-tests/README.md` lists the tests that name a `requirement:`.

// Clippy's allowance for tests covers functions marked as such, not their helpers.
#![allow(clippy::unwrap_used)]

mod timers;
#[path = "../soak/watch.rs"]
mod watch;
mod wire;

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::time::Instant;

use wire::{OTHER_TRUNK, PATIENCE, STRANGER, Scene, Wire, answer, back, nowhere};

/// How long a message that must not come is waited for.
const SILENCE: Duration = Duration::from_millis(300);
/// A 100 must be out within this time (RFC 3261 §17.2.1).
const TRYING: Duration = Duration::from_millis(200);

/// A new INVITE has its 100 within 200 ms, and all that follows has one To tag.
/// requirement: 6
#[tokio::test]
async fn trying_comes_at_once() {
    let scene = Scene::new(9).await;
    let mut times = Vec::new();
    for n in 0..9 {
        let call = scene.dial(n, &format!("trying{n}"), nowhere());
        let sent = Instant::now();
        scene.caller.send(scene.sip, &call.invite()).await;
        let trying = scene.caller.hears("100 INVITE").await;
        times.push(trying.at - sent);
        assert_eq!(trying.message.to_tag(), None);
        let invite = scene.callee.hears("INVITE").await.message;
        let mut tags = Vec::new();
        let mut last = trying.message;
        for code in [180, 180, 486] {
            let reply = answer(&invite, code, "b", nowhere());
            scene.callee.send(scene.sip, &reply).await;
            last = scene.caller.hears(&format!("{code} INVITE")).await.message;
            tags.push(last.to_tag().map(str::to_owned));
        }
        assert!(
            tags[0].is_some() && tags.iter().all(|t| *t == tags[0]),
            "{tags:?}"
        );
        scene.callee.hears("ACK").await;
        let ack = call.sibling("ACK", Some(&last), None);
        scene.caller.send(scene.sip, &ack).await;
    }
    // The middle one: a busy machine may hold up a single datagram.
    times.sort();
    assert!(times[4] < TRYING, "{times:?}");
    scene.ends(9).await;
}

/// CANCEL, ACK, BYE and an answer with all the right ids, but from another trunk or a stranger,
/// change nothing.
/// requirement: 8, 12, 19, 49
#[tokio::test]
async fn third_parties_change_nothing() {
    let scene = Scene::new(1).await;
    let (other, stranger) = (Wire::bind(OTHER_TRUNK).await, Wire::bind(STRANGER).await);
    let call = scene.dial(0, "third", nowhere());
    scene.caller.send(scene.sip, &call.invite()).await;
    let invite = scene.callee.hears("INVITE").await.message;
    scene
        .callee
        .send(scene.sip, &answer(&invite, 180, "b", nowhere()))
        .await;
    scene.caller.hears("180 INVITE").await;
    // An answer in the callee's name.
    other
        .send(scene.sip, &answer(&invite, 200, "evil", nowhere()))
        .await;
    stranger
        .send(scene.sip, &answer(&invite, 200, "evil", nowhere()))
        .await;
    // A CANCEL in the caller's name: no INVITE of that trunk (§9.2).
    other
        .send(scene.sip, &call.sibling("CANCEL", None, None))
        .await;
    other.hears("481 CANCEL").await;
    stranger
        .send(scene.sip, &call.sibling("CANCEL", None, None))
        .await;
    scene.callee.hears_nothing(SILENCE).await;
    scene.caller.hears_nothing(Duration::ZERO).await;

    let answered = answer(&invite, 200, "b", nowhere());
    scene.callee.send(scene.sip, &answered).await;
    scene.callee.hears("ACK").await;
    let answered = scene.caller.hears("200 INVITE").await.message;
    // An ACK in the caller's name does not stop the answer from coming again.
    let ack = call.within("ACK", 1, "ack", &answered);
    other.send(scene.sip, &ack).await;
    stranger.send(scene.sip, &ack).await;
    scene.caller.hears("200 INVITE").await;
    scene.caller.send(scene.sip, &ack).await;
    // BYE in the name of either side.
    let here = scene.callee.address();
    let (hang_up, back) = (
        call.within("BYE", 2, "bye", &answered),
        back("BYE", 1, &invite, "b", here),
    );
    for bye in [&hang_up, &back] {
        other.send(scene.sip, bye).await;
        other.hears("481 BYE").await;
        stranger.send(scene.sip, bye).await;
    }
    stranger.hears_nothing(SILENCE).await;
    scene.callee.hears_nothing(Duration::ZERO).await;
    scene.caller.hears_nothing(Duration::ZERO).await;
    assert_eq!(
        scene.watch.look().await.unwrap().get("callmask_calls_live"),
        1
    );

    scene.caller.send(scene.sip, &hang_up).await;
    scene.caller.hears("200 BYE").await;
    let bye = scene.callee.hears("BYE").await.message;
    scene
        .callee
        .send(scene.sip, &bye.answer(200, "b", &[], None))
        .await;
    scene.ends(1).await;
}

/// A NAT on the way rewrites the sent-by of INVITE and CANCEL: they are found by branch, and
/// answered to where they came from.
/// requirement: 8, 19
#[tokio::test]
async fn a_rewritten_via_finds_its_transaction() {
    let scene = Scene::new(1).await;
    let call = scene.dial(0, "nat", nowhere());
    scene.caller.send(scene.sip, &call.invite()).await;
    let invite = scene.callee.hears("INVITE").await.message;
    scene
        .callee
        .send(scene.sip, &answer(&invite, 180, "b", nowhere()))
        .await;
    scene.caller.hears("180 INVITE").await;
    let via = "SIP/2.0/UDP 192.0.2.77:40000;rport;branch=z9hG4bKnat".to_owned();
    let cancel = call.sibling("CANCEL", None, Some(via));
    scene.caller.send(scene.sip, &cancel).await;
    let told = scene.caller.hears("200 CANCEL").await.message;
    // RFC 3581 §4: received and rport say where it came from.
    let port = scene.caller.address().port();
    let echoed = told.field("Via").unwrap_or_default();
    assert!(
        echoed.contains("received=127.0.0.1") && echoed.contains(&format!("rport={port}")),
        "{echoed}"
    );
    let refusal = scene.caller.hears("487 INVITE").await.message;
    scene
        .caller
        .send(scene.sip, &call.sibling("ACK", Some(&refusal), None))
        .await;
    let cancel = scene.callee.hears("CANCEL").await.message;
    scene
        .callee
        .send(scene.sip, &cancel.answer(200, "b", &[], None))
        .await;
    scene
        .callee
        .send(scene.sip, &answer(&invite, 487, "b", nowhere()))
        .await;
    scene.callee.hears("ACK").await;
    scene.ends(1).await;
}

/// The INVITE comes fifty times, before and after the answer and when all is over: one leg B, one
/// call, and afterwards late copies of everything are absorbed or answered as before.
/// requirement: 16, 17, 30
#[tokio::test]
async fn late_copies_find_the_call_that_was() {
    let scene = Scene::new(1).await;
    let call = scene.dial(0, "copies", nowhere());
    for _ in 0..25 {
        scene.caller.send(scene.sip, &call.invite()).await;
    }
    let invite = scene.callee.hears("INVITE").await.message;
    scene
        .callee
        .send(scene.sip, &answer(&invite, 200, "b", nowhere()))
        .await;
    scene.callee.hears("ACK").await;
    let answered = scene.caller.hears("200 INVITE").await.message;
    for _ in 0..25 {
        scene.caller.send(scene.sip, &call.invite()).await;
    }
    let ack = call.within("ACK", 1, "ack", &answered);
    scene.caller.send(scene.sip, &ack).await;
    scene.caller.send(scene.sip, &ack).await;
    scene.caller.hears_nothing(SILENCE).await;
    let bye = call.within("BYE", 2, "bye", &answered);
    scene.caller.send(scene.sip, &bye).await;
    scene.caller.hears("200 BYE").await;
    let theirs = scene.callee.hears("BYE").await.message;
    scene
        .callee
        .send(scene.sip, &theirs.answer(200, "b", &[], None))
        .await;
    scene
        .watch
        .until(PATIENCE, "the end", |m| m.left().is_none())
        .await
        .unwrap();
    // RFC 6026 §7.1, §17.2.2: INVITE and ACK are absorbed, the BYE has its 200 again.
    for late in [&call.invite(), &ack, &bye] {
        scene.caller.send(scene.sip, late).await;
    }
    scene.caller.hears("200 BYE").await;
    // §9.2, §12.2.2: the INVITE is still known and no longer open; the dialog is gone.
    scene
        .caller
        .send(scene.sip, &call.sibling("CANCEL", None, None))
        .await;
    scene.caller.hears("200 CANCEL").await;
    scene
        .caller
        .send(scene.sip, &call.within("BYE", 3, "again", &answered))
        .await;
    scene.caller.hears("481 BYE").await;
    // §13.2.2.4: an answer that the network kept until now has its ACK; a response to our BYE none.
    scene
        .callee
        .send(scene.sip, &answer(&invite, 200, "b", nowhere()))
        .await;
    scene
        .callee
        .send(scene.sip, &theirs.answer(200, "b", &[], None))
        .await;
    scene.callee.hears("ACK").await;
    scene.callee.hears_nothing(SILENCE).await;
    scene.caller.hears_nothing(Duration::ZERO).await;
    scene.ends(1).await;
}

/// Both sides' re-INVITEs are refused while audio is relayed: it goes on both ways, on the same
/// ports.
/// requirement: 15
#[tokio::test]
async fn audio_goes_on_after_a_refused_reinvite() {
    let scene = Scene::new(1).await;
    let home = Ipv4Addr::LOCALHOST.into();
    let (left, right) = (Wire::bind(home).await, Wire::bind(home).await);
    let call = scene.dial(0, "audio", left.address());
    scene.caller.send(scene.sip, &call.invite()).await;
    let invite = scene.callee.hears("INVITE").await.message;
    scene
        .callee
        .send(scene.sip, &answer(&invite, 200, "b", right.address()))
        .await;
    scene.callee.hears("ACK").await;
    let answered = scene.caller.hears("200 INVITE").await.message;
    scene
        .caller
        .send(scene.sip, &call.within("ACK", 1, "ack", &answered))
        .await;
    let rtp = |m: &callmask::phone::message::Message| {
        callmask::phone::sdp::Description::read(&m.body)
            .unwrap()
            .rtp
    };
    let (near, far) = (rtp(&answered), rtp(&invite));
    relayed(&left, near, &right, 1).await;
    relayed(&right, far, &left, 2).await;

    scene
        .caller
        .send(scene.sip, &call.within("INVITE", 2, "again", &answered))
        .await;
    let refusal = scene.caller.hears("488 INVITE").await.message;
    scene
        .caller
        .send(scene.sip, &call.within("ACK", 2, "again", &answered))
        .await;
    assert_eq!(refusal.field("To"), answered.field("To"));
    let here = scene.callee.address();
    scene
        .callee
        .send(scene.sip, &back("INVITE", 1, &invite, "b", here))
        .await;
    scene.callee.hears("488 INVITE").await;
    let again = String::from_utf8(back("ACK", 1, &invite, "b", here)).unwrap();
    scene.callee.send(scene.sip, again.as_bytes()).await;
    relayed(&left, near, &right, 3).await;
    relayed(&right, far, &left, 4).await;

    scene
        .caller
        .send(scene.sip, &call.within("BYE", 3, "bye", &answered))
        .await;
    scene.caller.hears("200 BYE").await;
    let bye = scene.callee.hears("BYE").await.message;
    scene
        .callee
        .send(scene.sip, &bye.answer(200, "b", &[], None))
        .await;
    scene.ends(1).await;
}

/// Sends RTP to the relay until it comes out at the other side.
async fn relayed(from: &Wire, relay: std::net::SocketAddr, to: &Wire, mark: u8) {
    let give_up = Instant::now() + PATIENCE;
    let mut sequence = u16::from(mark) * 1_000;
    while Instant::now() < give_up {
        sequence += 1;
        let mut packet = vec![0x80, 8];
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        packet.extend_from_slice(&0x0123_4567_u32.to_be_bytes());
        packet.extend_from_slice(&[mark; 160]);
        from.send(relay, &packet).await;
        // 20 ms apart, as a phone sends.
        if let Some(bytes) = to.datagram(Duration::from_millis(20)).await
            && bytes.ends_with(&[mark; 160])
        {
            return;
        }
    }
    panic!("no audio with mark {mark}");
}

/// BYE, INVITE and OPTIONS inside dialogs that never were: 481, and nobody rings.
/// requirement: 12
#[tokio::test]
async fn dialogs_that_never_were_get_481() {
    let scene = Scene::new(1).await;
    let (call, answered, _) = scene.up("real").await;
    let mut forged = call.clone();
    forged.name = "forged".to_owned();
    for (n, method) in ["BYE", "INVITE", "OPTIONS"].into_iter().enumerate() {
        let request = forged.within(method, 5, &format!("f{n}"), &answered);
        scene.caller.send(scene.sip, &request).await;
        scene.caller.hears(&format!("481 {method}")).await;
    }
    scene.callee.hears_nothing(SILENCE).await;
    scene
        .caller
        .send(scene.sip, &call.within("BYE", 2, "bye", &answered))
        .await;
    let bye = scene.callee.hears("BYE").await.message;
    scene
        .callee
        .send(scene.sip, &bye.answer(200, "b", &[], None))
        .await;
    scene.ends(1).await;
}

/// The callee answers and hangs up in one breath, before our ACK can reach it: ACK and 200 to it,
/// and to the caller the BYE that waits for his ACK.
/// requirement: 13, 16, 49
#[tokio::test]
async fn an_answer_and_a_bye_at_once() {
    let scene = Scene::new(1).await;
    let call = scene.dial(0, "breath", nowhere());
    scene.caller.send(scene.sip, &call.invite()).await;
    let invite = scene.callee.hears("INVITE").await.message;
    let here = scene.callee.address();
    let answered = answer(&invite, 200, "b", nowhere());
    scene.callee.send(scene.sip, &answered).await;
    let bye = back("BYE", 1, &invite, "b", here);
    scene.callee.send(scene.sip, &bye).await;
    scene.callee.hears("ACK").await;
    scene.callee.hears("200 BYE").await;
    let answered = scene.caller.hears("200 INVITE").await.message;
    // §15: until then only the answer comes, again and again.
    let early = scene.caller.all_until(Instant::now() + SILENCE).await;
    assert!(
        early.iter().all(|h| h.message.code() == Some(200)),
        "{early:?}"
    );
    let ack = call.within("ACK", 1, "ack", &answered);
    scene.caller.send(scene.sip, &ack).await;
    let bye = scene.caller.hears("BYE").await.message;
    let ok = bye.answer(200, "", &[], None);
    scene.caller.send(scene.sip, &ok).await;
    scene.ends(1).await;
}
