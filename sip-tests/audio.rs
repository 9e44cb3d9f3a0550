//! Audio through the relay of a real server, compared by our own phones: bit for bit, with fresh
//! headers (RFC 3550 §5.1), payload types mapped per leg (RFC 3264 §6.1), nothing forwarded but
//! payloads.

// Clippy's allowance for tests covers functions marked as such, not their helpers.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use callmask::phone::sdp::{Codec, Description};
use callmask::phone::server::{Home, Server, config};
use callmask::phone::{Call, Carrier, PATIENCE, Phone, Profile, Received, Source, sound};
use tokio::time::Instant;

const CUSTOMER: &str = "+919876543210";
const AGENT: &str = "+919811112222";
const STRANGER: &str = "+917700990011";
const EXOPHONE: &str = "+914412345678";
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What the customer's phone calls telephone-event; callmask's own offer uses another number.
const CUSTOMER_EVENT: u8 = 117;
const EVENT: &str = "telephone-event/8000";

/// A server with one allocation, and its parties.
struct Stage {
    _carrier: Carrier,
    home: Home,
    server: Server,
    customer: Phone,
    agent: Phone,
    stranger: Phone,
}

impl Stage {
    async fn set() -> Stage {
        let carrier = Carrier::bind(HERE).unwrap();
        let binary = Path::new(env!("CARGO_BIN_EXE_callmask"));
        let home = Home::new(binary, &config(carrier.local(), 8).unwrap()).unwrap();
        let server = home.serve().await.unwrap();
        home.ask(&["exophone", "add", EXOPHONE]).await.unwrap();
        let parties = ["--customer", CUSTOMER, "--agent", AGENT];
        let create = ["allocation", "create", "--exophone", EXOPHONE];
        home.ask(&[&create[..], &parties].concat()).await.unwrap();
        let own_numbers = Profile {
            codecs: vec![
                Codec::new(0, "PCMU/8000"),
                Codec::new(8, "PCMA/8000"),
                Codec::new(CUSTOMER_EVENT, EVENT),
            ],
            ..Profile::default()
        };
        Stage {
            customer: carrier.phone(CUSTOMER, own_numbers),
            agent: carrier.phone(AGENT, Profile::default()),
            stranger: carrier.phone(STRANGER, Profile::default()),
            _carrier: carrier,
            home,
            server,
        }
    }

    /// A call from the customer to the agent that is up on both sides.
    async fn call(&self) -> (Call, Call) {
        let out = self.customer.place(self.server.sip(), EXOPHONE).unwrap();
        let inc = self.agent.next_call(PATIENCE).await.unwrap();
        out.answered().await.unwrap();
        inc.answered().await.unwrap();
        (out, inc)
    }
}

/// Frames that occur nowhere else: a counter and a keyed byte pattern.
fn frames(count: usize, key: u8) -> Vec<Vec<u8>> {
    let byte = |n: usize, i: usize| (n * 31 + i * 7) as u8 ^ key;
    (0..count)
        .map(|n| (0..sound::FRAME).map(|i| byte(n, i)).collect())
        .collect()
}

fn has(received: &Received, payload: &[u8]) -> bool {
    received.rtp().is_some_and(|p| p.payload() == payload)
}

fn contains(received: &[Received], text: &[u8]) -> bool {
    let mut all = received.iter();
    all.any(|r| r.bytes.windows(text.len()).any(|w| w == text))
}

#[tokio::test]
async fn pcmu_is_bit_exact_both_ways_with_fresh_headers() {
    let stage = Stage::set().await;
    let (out, inc) = stage.call().await;
    let (there, back) = (frames(100, 0x5a), frames(100, 0xa5));
    out.media().play(Source::Frames(there.clone()));
    inc.media().play(Source::Frames(back.clone()));
    let rtp = |r: &Received| r.rtp().is_some();
    inc.media().wait_packets(PATIENCE, 100, rtp).await.unwrap();
    out.media().wait_packets(PATIENCE, 100, rtp).await.unwrap();
    assert!(inc.media().payloads(0) == there, "towards the agent");
    assert!(out.media().payloads(0) == back, "towards the customer");
    let (at_agent, at_customer) = (inc.media().received(), out.media().received());
    for received in [&at_agent, &at_customer] {
        let packets: Vec<_> = received.iter().filter_map(Received::rtp).collect();
        for pair in packets.windows(2) {
            assert_eq!(pair[1].ssrc(), pair[0].ssrc());
            assert_eq!(pair[1].timestamp().wrapping_sub(pair[0].timestamp()), 160);
            let step =
                u16::from(pair[1].sequence_number()).wrapping_sub(pair[0].sequence_number().into());
            assert_eq!(step, 1);
        }
    }
    // RFC 3550 §8.1: three streams' identifiers of 32 random bits each; equal ones mean copying.
    let ssrc = |all: &[Received]| all.iter().find_map(Received::rtp).unwrap().ssrc();
    assert_ne!(ssrc(&at_agent), ssrc(&at_customer));
    out.hang_up().await.unwrap();
    inc.ended(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn events_arrive_under_each_sides_own_payload_type() {
    let stage = Stage::set().await;
    let (out, inc) = stage.call().await;
    let offer = Description::read(&inc.invite().unwrap().body).unwrap();
    let agents = offer.payload_type(EVENT).unwrap();
    assert_ne!(agents, CUSTOMER_EVENT, "the test needs two numbers");
    // RFC 4733 §2.3: event 5, no end, volume 10, duration 160; then its end, duration 320.
    let (press, release) = ([5, 10, 0, 160], [5, 0x80 | 10, 1, 64]);
    for (from, to, number) in [(&out, &inc, agents), (&inc, &out, CUSTOMER_EVENT)] {
        from.media().send(EVENT, true, &press).unwrap();
        from.media().send(EVENT, false, &release).unwrap();
        let event = |r: &Received| r.rtp().is_some_and(|p| p.payload_type() == number);
        to.media().wait_packets(PATIENCE, 2, event).await.unwrap();
        assert_eq!(
            to.media().payloads(number),
            [press.to_vec(), release.to_vec()]
        );
    }
    // Nobody ever saw the other side's number.
    assert!(inc.media().payloads(CUSTOMER_EVENT).is_empty());
    assert!(out.media().payloads(agents).is_empty());
}

#[tokio::test]
async fn nothing_but_payloads_crosses_the_relay() {
    let stage = Stage::set().await;
    let (out, inc) = stage.call().await;
    // SDES with a CNAME (RFC 3550 §6.5) behind an empty receiver report.
    let mut rtcp = vec![
        0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 202, 0, 4, 1, 2, 3, 4, 1, 8,
    ];
    rtcp.extend(b"canary-a");
    rtcp.extend([0, 0]);
    out.media().send_rtcp(&rtcp).unwrap();
    // A contributing source, a header extension and padding (RFC 3550 §5.1, §5.3.1).
    let payload = frames(1, 0x11).remove(0);
    let mut odd = vec![0xb1, 0, 0, 9, 0, 0, 0, 9, 9, 9, 9, 9];
    odd.extend(b"csrc");
    odd.extend([0xbe, 0xde, 0, 2]);
    odd.extend(b"canary-a");
    odd.extend(&payload);
    odd.extend(b"canary-p\0\0\0\x0c");
    out.media().send_raw(&odd).unwrap();
    // STUN, and noise.
    out.media()
        .send_raw(b"\0\x01\0\x08\x21\x12\xa4\x42canary-acanary-acanary-a")
        .unwrap();
    out.media().send_raw(b"canary-a").unwrap();
    // What is sent last arrives last: after it nothing of the above can be under way.
    let last = frames(1, 0x22).remove(0);
    out.media().send("PCMU/8000", false, &last).unwrap();
    inc.media()
        .wait_packets(PATIENCE, 1, |r| has(r, &last))
        .await
        .unwrap();
    let received = inc.media().received();
    for text in [&b"canary"[..], b"csrc"] {
        assert!(!contains(&received, text), "{text:?} crossed");
    }
    let odd = received.iter().find(|r| has(r, &payload));
    let odd = odd.expect("the payload of the odd packet");
    assert_eq!(odd.bytes.len(), 12 + payload.len());
    assert_eq!(odd.bytes[0], 0x80);
}

#[tokio::test]
async fn packets_from_anyone_else_are_dropped_and_counted() {
    let stage = Stage::set().await;
    let (out, inc) = stage.call().await;
    let intruder = UdpSocket::bind((HERE, 0)).unwrap();
    let mut packet = vec![0x80, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1];
    packet.extend([0x77; sound::FRAME]);
    for leg in [&out, &inc] {
        for _ in 0..5 {
            intruder
                .send_to(&packet, leg.media().remote().unwrap())
                .unwrap();
        }
    }
    let (there, back) = (frames(1, 0x33).remove(0), frames(1, 0x44).remove(0));
    out.media().send("PCMU/8000", true, &there).unwrap();
    inc.media().send("PCMU/8000", true, &back).unwrap();
    inc.media()
        .wait_packets(PATIENCE, 1, |r| has(r, &there))
        .await
        .unwrap();
    out.media()
        .wait_packets(PATIENCE, 1, |r| has(r, &back))
        .await
        .unwrap();
    assert!(!contains(&inc.media().received(), &[0x77; 16]));
    assert!(!contains(&out.media().received(), &[0x77; 16]));
    out.hang_up().await.unwrap();
    let record = one_record(&stage.home).await;
    for side in ["caller_media", "callee_media"] {
        assert_eq!(record[side]["dropped"], 5, "{side}: {record}");
        assert_eq!(record[side]["packets_in"], 1, "{side}: {record}");
        assert_eq!(record[side]["packets_out"], 1, "{side}: {record}");
    }
}

#[tokio::test]
async fn the_announcement_is_the_built_in_recording() {
    let stage = Stage::set().await;
    let call = stage.stranger.place(stage.server.sip(), EXOPHONE).unwrap();
    let view = call.ended(Duration::from_secs(15)).await.unwrap();
    assert_eq!((view.code, view.byes_received), (Some(200), 1));
    let heard = call.media().heard();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/announcements/not-active.wav");
    let mut wav = hound::WavReader::open(file).unwrap();
    assert_eq!((wav.spec().sample_rate, wav.spec().channels), (8_000, 1));
    let wanted: Vec<i16> = wav.samples().collect::<Result<_, _>>().unwrap();
    assert!(sound::loudness(&wanted) > 300.0);
    // The last packet is filled up with silence.
    assert_eq!(heard.len(), wanted.len().next_multiple_of(sound::FRAME));
    let full = wanted.iter().copied().chain(std::iter::repeat(0));
    for (at, (got, want)) in heard.iter().zip(full).enumerate() {
        let (got, want) = (i32::from(*got), i32::from(want));
        // Half a µ-law step at this level (G.711 table 2a), and the clipping above 32,635.
        let step = (want.abs() + 132) / 32 + 1;
        let bound = step.max(want.abs() - 32_124);
        assert!(
            (got - want).abs() <= bound,
            "sample {at}: {got}, not {want}"
        );
    }
    // 20 ms apart on the whole: as long on the wire as it is in the file.
    let received = call.media().received();
    let rtp: Vec<_> = received.iter().filter(|r| !r.rtcp).collect();
    let lasted = rtp[rtp.len() - 1].at - rtp[0].at;
    let length = Duration::from_millis(20 * (rtp.len() as u64 - 1));
    assert!(
        lasted + Duration::from_millis(60) > length,
        "too fast: {lasted:?} of {length:?}"
    );
}

#[tokio::test]
async fn the_announcement_stops_when_the_caller_hangs_up() {
    let stage = Stage::set().await;
    let call = stage.stranger.place(stage.server.sip(), EXOPHONE).unwrap();
    call.media()
        .wait_packets(PATIENCE, 10, |r| !r.rtcp)
        .await
        .unwrap();
    call.hang_up().await.unwrap();
    let over = Instant::now();
    // The record comes when the call is closed: by then what was under way has arrived.
    let record = one_record(&stage.home).await;
    assert_eq!(record["ended_by"], "caller", "{record}");
    let received = call.media().received();
    let late = received.iter().filter(|r| !r.rtcp && r.at > over).count();
    assert!(late <= 1, "{late} packets after the end");
}

/// The one call record, as soon as it is there.
async fn one_record(home: &Home) -> serde_json::Value {
    let ask = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            let list = home.ask_json(&["call", "list"]).await.unwrap();
            if let Some(record) = list.as_array().and_then(|l| l.first()) {
                return record.clone();
            }
        }
    };
    tokio::time::timeout(PATIENCE, ask)
        .await
        .expect("a call record")
}
