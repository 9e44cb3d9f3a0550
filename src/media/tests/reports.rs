//! RTCP ends at us.

use rtcp_types::{
    Bye, Compound, Packet, ReceiverReport, ReportBlock, RtcpPacketWriterExt, Sdes, SdesChunk,
    SdesItem, SenderReport,
};

use super::*;

fn contents(compound: &[u8]) -> (Vec<&'static str>, Vec<(u8, String)>) {
    let mut kinds = Vec::new();
    let mut items = Vec::new();
    for packet in Compound::parse(compound).unwrap() {
        match packet.unwrap() {
            Packet::Sr(_) => kinds.push("SR"),
            Packet::Rr(_) => kinds.push("RR"),
            Packet::Bye(bye) => {
                assert_eq!(bye.reason(), None);
                kinds.push("BYE");
            }
            Packet::Sdes(sdes) => {
                kinds.push("SDES");
                for item in sdes.chunks().flat_map(|c| c.items()) {
                    items.push((item.type_(), item.get_value_string().unwrap()));
                }
            }
            other => panic!("{other:?}"),
        }
    }
    (kinds, items)
}

/// A party's talkative report.
fn telling(ssrc: u32) -> Vec<u8> {
    let chunk = SdesChunk::builder(ssrc)
        .add_item(SdesItem::builder(
            SdesItem::CNAME,
            "+919876543210@198.51.100.1",
        ))
        .add_item(SdesItem::builder(SdesItem::PHONE, "+919876543210"));
    let compound = Compound::builder()
        .add_packet(SenderReport::builder(ssrc).ntp_timestamp(0x1234_5678_9abc_def0))
        .add_packet(Sdes::builder().add_chunk(chunk))
        .add_packet(
            Bye::builder()
                .add_source(ssrc)
                .reason("+919876543210 hung up"),
        );
    let mut bytes = vec![0; 500];
    let len = compound.write_into(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

#[test]
fn each_leg_gets_our_own_reports_and_none_of_the_others() {
    let bench = Bench::new(20_000..=20_019);
    let (a, b) = (Party::new(), Party::new());
    let remote = |p: &Party| p.remote(&[(0, PCMU)], &[(0, PCMU)]);
    let a_pair = bench.open(&a, line(1), remote(&a));
    let b_pair = bench.open(&b, line(2), remote(&b));
    bench.bridge(a_pair, b_pair, 0);
    bench.settle();
    a.report(a_pair, &telling(0x5eed));
    bench.until(|c| c.rtcp_received == 1);
    for n in [0_u16, 1, 3] {
        a.say(a_pair, &spoken(0, n, b"speech"));
        b.hear();
    }
    // B's report: three packets sent, and nothing of what A reported.
    let report = until_report(&b, |c| {
        let first = Compound::parse(c).unwrap().next();
        matches!(first, Some(Ok(Packet::Sr(sr))) if sr.packet_count() == 3)
    });
    let (kinds, items) = contents(&report);
    assert_eq!(kinds, ["SR", "SDES"]);
    assert_eq!(items, [(SdesItem::CNAME, String::from("AgICAgICAgICAgIC"))]);
    let Some(Ok(Packet::Sr(sr))) = Compound::parse(&report).unwrap().next() else {
        panic!("an SR comes first");
    };
    assert_eq!((sr.ssrc(), sr.octet_count()), (0x0202_0202, 18));
    assert_eq!(sr.n_reports(), 0, "B has said nothing");
    // A's report: what we received of it.
    let report = until_report(&a, |c| {
        let first = Compound::parse(c).unwrap().next();
        matches!(first, Some(Ok(Packet::Rr(rr)))
            if rr.report_blocks().any(|b| b.cumulative_lost() == 1))
    });
    let (kinds, items) = contents(&report);
    assert_eq!(kinds, ["RR", "SDES"], "A has been sent nothing");
    assert_eq!(items, [(SdesItem::CNAME, String::from("AQEBAQEBAQEBAQEB"))]);
    let Some(Ok(Packet::Rr(rr))) = Compound::parse(&report).unwrap().next() else {
        panic!("an RR comes first");
    };
    let block = rr.report_blocks().next().unwrap();
    assert_eq!(
        (block.ssrc(), block.extended_sequence_number()),
        (0x5eed, 3)
    );
    assert_eq!(block.last_sender_report_timestamp(), 0x5678_9abc);
    let stats = bench.close(a_pair);
    assert_eq!((stats.packets_in, stats.lost), (3, 1));
    bench.close(b_pair);
    for party in [&a, &b] {
        let bye = until_report(party, |c| contents(c).0.len() > 2);
        assert_eq!(contents(&bye).0[2..], ["BYE"]);
    }
}

/// The first report that is as wanted; earlier ones were printed before it could be.
fn until_report(party: &Party, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    loop {
        let report = party.hear_report();
        if wanted(&report) {
            return report;
        }
    }
}

#[test]
fn only_the_signalled_address_reports() {
    let bench = Bench::new(20_000..=20_019);
    let party = Party::new();
    let pair = bench.open(&party, line(1), party.remote(&[(0, PCMU)], &[(0, PCMU)]));
    bench.settle();
    let stranger = Party::new();
    stranger.report(pair, &telling(1));
    party.rtp.send_to(&telling(1), at(pair, 1)).unwrap();
    bench.until(|c| c.packets_dropped_source == 2);
    party.report(pair, b"not RTCP");
    bench.until(|c| c.packets_dropped_other == 1);
    assert_eq!(bench.plane.counters().rtcp_received, 0);
}

#[test]
fn reports_keep_a_call_from_being_silent() {
    let bench = Bench::new(20_000..=20_019);
    let (a, b) = (Party::new(), Party::new());
    let remote = |p: &Party| p.remote(&[(0, PCMU)], &[(0, PCMU)]);
    let a_pair = bench.open(&a, line(1), remote(&a));
    let b_pair = bench.open(&b, line(2), remote(&b));
    bench.bridge(a_pair, b_pair, 200);
    let mut report = [0; 100];
    let receiver = ReceiverReport::builder(7).add_report_block(ReportBlock::builder(1));
    let len = receiver.write_into(&mut report).unwrap();
    let mut heard = Instant::now();
    let mut silent = None;
    for _ in 0..8 {
        silent = bench.events.recv_timeout(Duration::from_millis(60)).ok();
        if silent.is_some() {
            break;
        }
        heard = Instant::now();
        b.report(b_pair, &report[..len]);
    }
    // (If it came early, this very thread must have been held up.)
    assert_eq!(
        silent.unwrap_or_else(|| bench.event()),
        MediaEvent::Silent { slot: a_pair.slot }
    );
    assert!(heard.elapsed() >= Duration::from_millis(200));
}
