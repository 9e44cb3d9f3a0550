//! Phones against phones: the harness itself, before it judges a server.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;

const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ALICE: &str = "+919876543210";
const BOB: &str = "+919811112222";

/// A caller and a callee on carriers of their own.
fn pair(answering: Answering) -> (Carrier, Carrier, Phone, Phone) {
    let (left, right) = (Carrier::bind(HOME).unwrap(), Carrier::bind(HOME).unwrap());
    let alice = left.phone(ALICE, Profile::default());
    let profile = Profile {
        answering,
        ..Profile::default()
    };
    let bob = right.phone(BOB, profile);
    (left, right, alice, bob)
}

#[tokio::test]
async fn a_call_is_answered_heard_both_ways_and_hung_up() {
    let (_left, right, alice, bob) = pair(Answering::Answer);
    let out = alice.place(right.local(), BOB).unwrap();
    let inc = bob.next_call(PATIENCE).await.unwrap();
    out.answered().await.unwrap();
    inc.answered().await.unwrap();
    out.media().play(Source::Tone(500.0));
    inc.media().play(Source::Tone(900.0));
    inc.media().wait_tone(PATIENCE, 500.0).await.unwrap();
    out.media().wait_tone(PATIENCE, 900.0).await.unwrap();
    assert_eq!(out.hang_up().await.unwrap(), 200);
    let view = inc.ended(PATIENCE).await.unwrap();
    assert_eq!(view.byes_received, 1);
    assert!(inc.received_contains("919876543210"));
    assert!(!out.received_contains("919999999999"));
    let drawn = ladder::draw(
        &ladder::Side::of("a", &out),
        Some(&ladder::Side::of("b", &inc)),
    );
    assert_eq!(
        drawn
            .matches("INVITE +919811112222 from +919876543210")
            .count(),
        2
    );
}

#[tokio::test]
async fn the_callee_hangs_up() {
    let (_left, right, alice, bob) = pair(Answering::Answer);
    let out = alice.place(right.local(), BOB).unwrap();
    let inc = bob.next_call(PATIENCE).await.unwrap();
    inc.answered().await.unwrap();
    assert_eq!(inc.hang_up().await.unwrap(), 200);
    assert!(out.ended(PATIENCE).await.unwrap().ended);
    assert!(inc.hang_up().await.is_err());
}

#[tokio::test]
async fn payloads_arrive_bit_for_bit() {
    let (_left, right, alice, bob) = pair(Answering::Answer);
    let out = alice.place(right.local(), BOB).unwrap();
    let inc = bob.next_call(PATIENCE).await.unwrap();
    out.answered().await.unwrap();
    let frames: Vec<Vec<u8>> = (0..25_u8).map(|n| vec![n.wrapping_mul(37); 160]).collect();
    out.media().play(Source::Frames(frames.clone()));
    inc.media()
        .wait_packets(PATIENCE, 25, |p| !p.rtcp)
        .await
        .unwrap();
    assert_eq!(inc.media().payloads(0), frames);
    out.media().send_rtcp(b"report").unwrap();
    inc.media()
        .wait_packets(PATIENCE, 1, |p| p.rtcp && p.bytes == b"report")
        .await
        .unwrap();
}

#[tokio::test]
async fn a_ringing_call_is_cancelled() {
    let (_left, right, alice, bob) = pair(Answering::Ring);
    let out = alice.place(right.local(), BOB).unwrap();
    let inc = bob.next_call(PATIENCE).await.unwrap();
    out.ringing().await.unwrap();
    out.cancel().unwrap();
    assert_eq!(out.final_code(PATIENCE).await.unwrap(), 487);
    let view = inc
        .wait(PATIENCE, "ACK of 487", |v| v.acknowledged)
        .await
        .unwrap();
    assert_eq!((view.code, view.cancelled), (Some(487), true));
    assert!(inc.accept().is_err() && out.cancel().is_err());
}

#[tokio::test]
async fn cancel_crossing_200_ends_in_ack_and_bye() {
    let (_left, right, alice, bob) = pair(Answering::AnswerOnCancel);
    let out = alice.place(right.local(), BOB).unwrap();
    let inc = bob.next_call(PATIENCE).await.unwrap();
    out.ringing().await.unwrap();
    out.cancel().unwrap();
    let view = inc.ended(PATIENCE).await.unwrap();
    assert_eq!(
        (view.code, view.acknowledged, view.byes_received),
        (Some(200), true, 1)
    );
}

#[tokio::test]
async fn refusals_are_acknowledged() {
    let (_left, right, alice, bob) = pair(Answering::Reject(486));
    let out = alice.place(right.local(), BOB).unwrap();
    assert_eq!(out.final_code(PATIENCE).await.unwrap(), 486);
    let inc = bob.next_call(PATIENCE).await.unwrap();
    inc.wait(PATIENCE, "ACK", |v| v.acknowledged).await.unwrap();
}

#[tokio::test]
async fn a_silent_callee_sees_the_invite_again_and_never_a_cancel() {
    let (_left, right, alice, bob) = pair(Answering::Silent);
    let out = alice.place(right.local(), BOB).unwrap();
    let inc = bob.next_call(PATIENCE).await.unwrap();
    out.cancel().unwrap();
    // RFC 3261 §17.1.1.2: at 0, 0.5 and 1.5 s. §9.1: no CANCEL before a provisional response.
    let limit = Duration::from_secs(3);
    let third = |_: &message::Message| bob.received_messages().len() >= 3;
    bob.log()
        .wait_received(limit, "three INVITEs", third)
        .await
        .unwrap();
    let logged = inc.messages();
    let methods: Vec<_> = logged.iter().filter_map(Logged::message).collect();
    assert!(methods.iter().all(|m| m.method() == Some("INVITE")));
    let gap = logged[2].at - logged[1].at;
    assert!(
        gap > logged[1].at - logged[0].at,
        "the interval doubles: {gap:?}"
    );
    assert_eq!(out.view().code, None);
}

#[tokio::test]
async fn a_number_that_nobody_has_is_404_and_a_stray() {
    let (_left, right, alice, _bob) = pair(Answering::Answer);
    let out = alice.place(right.local(), "+911234567890").unwrap();
    assert_eq!(out.final_code(PATIENCE).await.unwrap(), 404);
    assert_eq!(right.strays().len(), 1);
}
