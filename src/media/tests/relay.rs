//! What one party says and the other hears.

use super::*;

/// Two parties with different payload type numbers, joined.
fn call(bench: &Bench) -> (Party, PortPair, Party, PortPair) {
    let (a, b) = (Party::new(), Party::new());
    let a_says = a.remote(&[(0, PCMU), (101, EVENT)], &[(0, PCMU), (96, EVENT)]);
    let b_says = b.remote(&[(110, PCMU), (111, EVENT)], &[(120, PCMU), (121, EVENT)]);
    let a_pair = bench.open(&a, line(1), a_says);
    let b_pair = bench.open(&b, line(2), b_says);
    bench.bridge(a_pair, b_pair, 0);
    bench.settle();
    (a, a_pair, b, b_pair)
}

fn noise(seed: u32) -> Vec<u8> {
    (0..160_u32)
        .map(|n| (n.wrapping_add(seed).wrapping_mul(0x9e37_79b9) >> 24) as u8)
        .collect()
}

#[test]
fn both_hear_each_other_bit_for_bit_under_our_header() {
    let bench = Bench::new(20_000..=20_019);
    let (a, a_pair, b, b_pair) = call(&bench);
    for n in 0..100_u16 {
        let (from_a, from_b) = (noise(u32::from(n)), noise(u32::from(n) + 9999));
        a.say(a_pair, &spoken(0, n, &from_a));
        let (header, payload, from) = b.hear();
        assert_eq!(payload, from_a);
        assert_eq!(from, at(b_pair, 0), "from the pair that B knows");
        assert_eq!((header.payload_type, header.ssrc), (120, 0x0202_0202));
        assert_eq!(header.sequence, 2000 + n);
        assert_eq!(header.timestamp, 2_000_000 + u32::from(n) * 160);
        assert_eq!(header.marker, n == 0);

        b.say(b_pair, &spoken(110, 60_000 + n, &from_b));
        let (header, payload, from) = a.hear();
        assert_eq!(payload, from_b);
        assert_eq!(from, at(a_pair, 0));
        assert_eq!((header.payload_type, header.ssrc), (0, 0x0101_0101));
        assert_eq!(header.sequence, 1000 + n);
    }
    a.say(a_pair, &spoken(101, 100, &[7, 0x0a, 0, 160]));
    let (header, payload, _) = b.hear();
    assert_eq!((header.payload_type, payload), (121, vec![7, 0x0a, 0, 160]));
    b.say(b_pair, &spoken(111, 60_100, &[1, 0x8a, 1, 64]));
    let (header, payload, _) = a.hear();
    assert_eq!((header.payload_type, payload), (96, vec![1, 0x8a, 1, 64]));

    let stats = bench.close(a_pair);
    assert_eq!((stats.packets_in, stats.packets_out), (101, 101));
    assert_eq!((stats.lost, stats.dropped), (0, 0));
    assert!(
        stats.mos.is_some_and(|mos| (3.0..=4.5).contains(&mos)),
        "{stats:?}"
    );
    assert_eq!(bench.plane.counters().packets_relayed, 202);
}

#[test]
fn a_stranger_is_dropped_and_counted() {
    let bench = Bench::new(20_000..=20_019);
    let (a, a_pair, b, _) = call(&bench);
    let stranger = Party::new();
    for n in 0..5 {
        stranger.say(a_pair, &spoken(0, n, b"stranger"));
    }
    // The party's own RTCP socket is not its RTP socket.
    a.rtcp
        .send_to(&spoken(0, 5, b"wrong port"), at(a_pair, 0))
        .unwrap();
    bench.until(|c| c.packets_dropped_source == 6);
    a.say(a_pair, &spoken(0, 7, b"known"));
    assert_eq!(b.hear().1, b"known", "nothing came before it");
    let stats = bench.close(a_pair);
    assert_eq!((stats.packets_in, stats.dropped), (1, 6));
}

#[test]
fn nobody_is_heard_before_the_party_is_known() {
    let bench = Bench::new(20_000..=20_019);
    let (a, b) = (Party::new(), Party::new());
    let b_pair = bench.open(&b, line(2), b.remote(&[(0, PCMU)], &[(0, PCMU)]));
    let a_pair = bench.plane.take_ports().unwrap();
    bench.plane.perform(MediaCommand::Open {
        slot: a_pair.slot,
        line: line(1),
    });
    bench.bridge(a_pair, b_pair, 0);
    bench.settle();
    a.say(a_pair, &spoken(0, 1, b"early"));
    bench.until(|c| c.packets_dropped_source == 1);
    bench.agree(a_pair.slot, a.remote(&[(0, PCMU)], &[(0, PCMU)]));
    bench.settle();
    a.say(a_pair, &spoken(0, 2, b"known"));
    assert_eq!(b.hear().1, b"known");
}

#[test]
fn an_unknown_payload_type_or_junk_does_not_cross() {
    let bench = Bench::new(20_000..=20_019);
    let (a, a_pair, b, _) = call(&bench);
    a.say(a_pair, &spoken(13, 0, b"comfort noise"));
    a.say(a_pair, b"\x00\x01\x00\x00\x21\x12\xa4\x42 STUN");
    a.say(a_pair, &spoken(0, 1, &[0; 1500]));
    a.say(a_pair, &[]);
    bench.until(|c| c.packets_dropped_other == 4);
    a.say(a_pair, &spoken(0, 2, b"speech"));
    assert_eq!(b.hear().1, b"speech");
}

#[test]
fn hold_is_respected_and_leaves_no_gap() {
    let bench = Bench::new(20_000..=20_019);
    let (a, a_pair, b, b_pair) = call(&bench);
    a.say(a_pair, &spoken(0, 0, b"before"));
    let before = b.hear().0;
    let held = |direction| Remote {
        direction,
        ..b.remote(&[(110, PCMU)], &[(120, PCMU)])
    };
    // B does not want to hear anything, but may speak.
    bench.agree(b_pair.slot, held(Direction::RecvOnly));
    bench.settle();
    a.say(a_pair, &spoken(0, 1, b"unheard"));
    bench.until(|c| c.packets_withheld == 1);
    b.say(b_pair, &spoken(110, 9, b"music"));
    assert_eq!(a.hear().1, b"music");
    // Neither way.
    bench.agree(b_pair.slot, held(Direction::Inactive));
    bench.settle();
    b.say(b_pair, &spoken(110, 10, b"unheard"));
    a.say(a_pair, &spoken(0, 2, b"unheard"));
    bench.until(|c| c.packets_withheld == 3);
    // RFC 3264 §8.4: the old way of holding.
    let mut nowhere = held(Direction::SendRecv);
    nowhere.rtp = "0.0.0.0:9".parse().unwrap();
    bench.agree(b_pair.slot, nowhere);
    bench.settle();
    a.say(a_pair, &spoken(0, 3, b"unheard"));
    bench.until(|c| c.packets_withheld == 4);
    bench.agree(b_pair.slot, held(Direction::SendRecv));
    bench.settle();
    a.say(a_pair, &spoken(0, 4, b"after"));
    let (after, payload, _) = b.hear();
    assert_eq!(payload, b"after");
    assert_eq!(after.sequence, before.sequence + 1);
    b.say(b_pair, &spoken(110, 11, b"back"));
    assert_eq!(a.hear().1, b"back");
    assert_eq!(bench.plane.counters().packets_unsent, 0);
}

#[test]
fn unbridged_is_unheard_and_the_line_goes_on_after() {
    let bench = Bench::new(20_000..=20_019);
    let (a, a_pair, b, b_pair) = call(&bench);
    a.say(a_pair, &spoken(0, 0, b"one"));
    let one = b.hear().0;
    bench
        .plane
        .perform(MediaCommand::Unbridge { slot: b_pair.slot });
    bench.settle();
    a.say(a_pair, &spoken(0, 1, b"unheard"));
    bench.until(|c| c.packets_withheld == 1);
    // A third party joins B: another source, the same line.
    let c = Party::new();
    let c_pair = bench.open(&c, line(3), c.remote(&[(8, PCMU)], &[(8, PCMU)]));
    bench.bridge(b_pair, c_pair, 0);
    bench.settle();
    c.say(c_pair, &spoken(8, 500, b"two"));
    let (two, payload, _) = b.hear();
    assert_eq!(payload, b"two");
    assert_eq!((two.ssrc, two.sequence), (one.ssrc, one.sequence + 1));
    assert!(two.marker);
}

#[test]
fn silence_is_reported_once_and_not_while_held() {
    let bench = Bench::new(20_000..=20_019);
    let (a, a_pair, b, b_pair) = call(&bench);
    let timeout = Duration::from_millis(150);
    let remote = |direction| Remote {
        direction,
        ..a.remote(&[(0, PCMU)], &[(0, PCMU)])
    };
    bench.agree(a_pair.slot, remote(Direction::RecvOnly));
    bench.bridge(a_pair, b_pair, 150);
    // Held: nothing is reported, however long it lasts.
    assert!(bench.events.recv_timeout(3 * timeout).is_err());
    let mut heard = Instant::now();
    bench.agree(a_pair.slot, remote(Direction::SendRecv));
    bench.settle();
    // A party that speaks now and then is not silent; either one is enough.
    let mut silent = None;
    for n in 0..8 {
        silent = bench.events.recv_timeout(Duration::from_millis(50)).ok();
        if silent.is_some() {
            break;
        }
        heard = Instant::now();
        a.say(a_pair, &spoken(0, n, b"tick"));
        b.hear();
    }
    // (If it came early, this very thread must have been held up.)
    assert_eq!(
        silent.unwrap_or_else(|| bench.event()),
        MediaEvent::Silent { slot: a_pair.slot }
    );
    assert!(heard.elapsed() >= timeout, "{:?}", heard.elapsed());
    assert!(bench.events.recv_timeout(3 * timeout).is_err(), "once");
    bench.close(a_pair);
    bench.close(b_pair);
}
