//! The life of port pairs.

use std::collections::BTreeSet;

use super::*;
use crate::media::MIN_QUARANTINE_MS;

/// The ports on which UDP sockets are bound to this address. The kernel's table is read in
/// pieces while others open and close sockets: an entry can be missing or come twice, so callers
/// ask until the answer is the one they expect.
fn sockets_on(address: IpAddr) -> BTreeSet<String> {
    let IpAddr::V4(address) = address else {
        panic!("tests use IPv4");
    };
    let wanted = format!("{:08X}:", u32::from_ne_bytes(address.octets()));
    std::fs::read_to_string("/proc/self/net/udp")
        .unwrap()
        .lines()
        .filter_map(|l| l.split_whitespace().nth(1))
        .filter_map(|local| local.strip_prefix(&wanted))
        .map(String::from)
        .collect()
}

#[test]
fn a_pool_of_twenty_stays_twenty() {
    let bench = Bench::with(20_000..=20_039, |c| c.quarantine_ms = 1);
    let taken: Vec<Option<PortPair>> = (0..30).map(|_| bench.plane.take_ports()).collect();
    assert!(taken[..20].iter().all(Option::is_some));
    assert!(
        taken[20..].iter().all(Option::is_none),
        "the range is exhausted"
    );
    let ports: BTreeSet<u16> = taken.iter().flatten().map(|p| p.port).collect();
    assert_eq!(ports.len(), 20);
    assert!(ports.iter().all(|p| p.is_multiple_of(2)));
    assert_eq!(bench.plane.counters().pairs_in_use, 20);
    for pair in taken.into_iter().flatten() {
        bench.close(pair);
    }
    bench.until(|c| c.pairs_ready == 20 && c.pairs_quarantined == 0 && c.pairs_in_use == 0);
    let sockets = wait_for(|| Some(sockets_on(bench.address)).filter(|s| s.len() == 40));
    for n in 0..1000_u32 {
        let pair = wait_for(|| bench.plane.take_ports());
        assert!(ports.contains(&pair.port));
        bench.plane.perform(MediaCommand::Open {
            slot: pair.slot,
            line: line((n % 200) as u8),
        });
        bench.close(pair);
    }
    let end = bench.until(|c| c.pairs_ready == 20);
    assert_eq!(
        (end.pairs_total, end.pairs_in_use, end.pairs_quarantined),
        (20, 0, 0)
    );
    wait_for(|| (sockets_on(bench.address) == sockets).then_some(()));
}

#[test]
fn an_exhausted_range_recovers() {
    let bench = Bench::with(20_000..=20_003, |c| c.quarantine_ms = 60_000);
    let one = bench.plane.take_ports().unwrap();
    let two = bench.plane.take_ports().unwrap();
    assert!(one != two && bench.plane.take_ports().is_none());
    let closed = Instant::now();
    bench.close(two);
    // A minute's rest is cut short, because nothing else is left, but not to nothing.
    let again = wait_for(|| bench.plane.take_ports());
    assert_eq!(again, two);
    assert!(closed.elapsed() >= Duration::from_millis(MIN_QUARANTINE_MS));
    assert!(bench.plane.take_ports().is_none());
}

#[test]
fn a_burst_larger_than_the_ready_queue_is_granted() {
    let bench = Bench::new(20_000..=20_399);
    let granted = (0..200).filter_map(|_| bench.plane.take_ports());
    let ports: BTreeSet<u16> = granted.map(|p| p.port).collect();
    assert_eq!(ports.len(), 200);
}

#[test]
fn a_port_that_another_program_holds_is_passed_over() {
    let address = own_address();
    let _rtp = UdpSocket::bind((address, 20_000)).unwrap();
    let _rtcp = UdpSocket::bind((address, 20_005)).unwrap();
    let bench = Bench::with(20_000..=20_007, |c| c.addresses = vec![(address, address)]);
    let granted: BTreeSet<u16> = (0..4)
        .filter_map(|_| bench.plane.take_ports())
        .map(|p| p.port)
        .collect();
    assert_eq!(granted, BTreeSet::from([20_002, 20_006]));
}

#[test]
fn the_advertised_address_is_the_one_in_the_pair() {
    let outside: IpAddr = "203.0.113.9".parse().unwrap();
    let bench = Bench::with(20_000..=20_019, |c| c.addresses[0].1 = outside);
    assert_eq!(bench.plane.take_ports().unwrap().address, outside);
}

#[test]
fn a_pair_rests_and_late_packets_reach_nobody() {
    let bench = Bench::with(20_000..=20_007, |c| c.quarantine_ms = 60_000);
    let remote = |p: &Party| p.remote(&[(0, PCMU)], &[(0, PCMU)]);
    let old = Party::new();
    let pair = bench.open(&old, line(1), remote(&old));
    bench.settle();
    old.say(pair, &spoken(0, 1, b"in time"));
    bench.until(|c| c.packets_withheld == 1);
    let closed = Instant::now();
    assert_eq!(bench.close(pair).packets_in, 1);
    old.say(pair, &spoken(0, 2, b"late"));
    old.report(pair, b"late");
    bench.until(|c| c.packets_dropped_source == 2);
    assert_eq!(bench.plane.counters().pairs_quarantined, 1);
    // The other three are there; the resting one comes last.
    for _ in 0..3 {
        assert_ne!(bench.plane.take_ports().unwrap(), pair);
    }
    assert_eq!(wait_for(|| bench.plane.take_ports()), pair);
    assert!(closed.elapsed() >= Duration::from_millis(MIN_QUARANTINE_MS));
    // Later still: the pair is taken again, and neither opened nor agreed on.
    old.say(pair, &spoken(0, 3, b"very late"));
    bench.until(|c| c.packets_dropped_source == 3);
    let new = Party::new();
    bench.plane.perform(MediaCommand::Open {
        slot: pair.slot,
        line: line(2),
    });
    bench.agree(pair.slot, remote(&new));
    bench.settle();
    old.say(pair, &spoken(0, 4, b"far too late"));
    bench.until(|c| c.packets_dropped_source == 4);
    let stats = bench.close(pair);
    assert_eq!((stats.packets_in, stats.dropped), (0, 1));
}

#[test]
fn a_full_rest_is_kept_while_there_is_no_need() {
    let bench = Bench::with(20_000..=20_399, |c| c.quarantine_ms = 700);
    let pair = bench.plane.take_ports().unwrap();
    let closed = Instant::now();
    bench.close(pair);
    bench.until(|c| c.pairs_quarantined == 0);
    assert!(closed.elapsed() >= Duration::from_millis(700));
}

#[test]
fn closed_exactly_once_for_each_taking() {
    let bench = Bench::new(20_000..=20_019);
    let party = Party::new();
    let opened = bench.open(&party, line(1), party.remote(&[(0, PCMU)], &[(0, PCMU)]));
    let unopened = bench.plane.take_ports().unwrap();
    bench.play(opened, 1, Sound::Announcement(None));
    party.hear();
    for pair in [opened, unopened, opened, unopened] {
        bench.plane.perform(MediaCommand::Close { slot: pair.slot });
    }
    let ignored = bench.until(|c| c.commands_ignored == 2);
    assert_eq!(ignored.pairs_in_use, 0);
    let closed: Vec<Slot> = bench
        .events
        .try_iter()
        .map(|e| match e {
            MediaEvent::Closed { slot, .. } => slot,
            other => panic!("{other:?}: the sound has not ended"),
        })
        .collect();
    assert_eq!(closed, [opened.slot, unopened.slot]);
}

#[test]
fn commands_for_pairs_not_in_use_change_nothing() {
    let bench = Bench::new(20_000..=20_019);
    let party = Party::new();
    bench.plane.perform(MediaCommand::Open {
        slot: 3,
        line: line(1),
    });
    bench.agree(3, party.remote(&[(0, PCMU)], &[(0, PCMU)]));
    for slot in [3, 9_999_999] {
        bench.plane.perform(MediaCommand::Bridge {
            a: slot,
            b: slot,
            timeout_ms: 1,
        });
        bench.plane.perform(MediaCommand::Unbridge { slot });
        bench.plane.perform(MediaCommand::Close { slot });
    }
    bench.until(|c| c.commands_ignored == 8);
    assert!(bench.events.try_recv().is_err());
}

#[test]
fn the_end_of_the_plane_closes_what_is_open() {
    let bench = Bench::new(20_000..=20_019);
    let party = Party::new();
    bench.open(&party, line(1), party.remote(&[(0, PCMU)], &[(0, PCMU)]));
    bench.plane.take_ports().unwrap();
    bench.settle();
    bench.plane.close();
    let closed = bench.events.try_iter().count();
    assert_eq!(closed, 2);
    assert_eq!(bench.plane.take_ports(), None);
    wait_for(|| sockets_on(bench.address).is_empty().then_some(()));
    // Nothing waits, nothing happens.
    for _ in 0..crate::media::mailbox::MAILBOX + 1 {
        bench.plane.perform(MediaCommand::Close { slot: 0 });
    }
    bench.plane.close();
    assert!(bench.events.try_recv().is_err());
}
