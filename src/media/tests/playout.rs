//! What a party hears from us.

use super::*;
use crate::rtp::{g711, wav};

const NOT_ACTIVE: &[u8] = include_bytes!("../../../configs/announcements/not-active.wav");

fn one(bench: &Bench, send: &[(u8, CodecKind)]) -> (Party, PortPair) {
    let party = Party::new();
    let remote = party.remote(&[(0, PCMU), (8, PCMA)], send);
    let pair = bench.open(&party, line(1), remote);
    (party, pair)
}

#[test]
fn the_announcement_is_played_whole_at_its_pace_and_reported_once() {
    let bench = Bench::new(20_000..=20_019);
    let (party, pair) = one(&bench, &[(8, PCMA), (0, PCMU)]);
    let samples = wav::read(NOT_ACTIVE).unwrap();
    let packets = samples.len().div_ceil(160);
    let asked = Instant::now();
    bench.play(pair, 42, Sound::Announcement(None));
    let mut heard = Vec::new();
    let mut began: Option<header::Header> = None;
    for n in 0..packets {
        let (header, payload, from) = party.hear();
        let began = began.get_or_insert_with(|| header.clone());
        assert_eq!(from, at(pair, 0));
        assert_eq!(header.payload_type, 8);
        assert_eq!(header.marker, n == 0);
        assert_eq!(header.sequence, began.sequence + n as u16);
        assert_eq!(header.timestamp, began.timestamp + 160 * n as u32);
        // Never early. That it never drifts is shown on the player's deadlines.
        assert!(
            asked.elapsed() >= Duration::from_millis(20 * n as u64),
            "packet {n}"
        );
        heard.extend(payload);
    }
    assert_eq!(began.unwrap().sequence, 1000);
    let expected: Vec<u8> = samples.iter().map(|s| g711::alaw_encode(*s)).collect();
    assert_eq!(heard[..expected.len()], expected);
    assert!(
        heard[expected.len()..]
            .iter()
            .all(|b| *b == g711::ALAW_SILENCE)
    );
    let id = 42;
    assert_eq!(
        bench.event(),
        MediaEvent::Played {
            slot: pair.slot,
            id
        }
    );
    // The next event is the closing: it was reported once.
    let stats = bench.close(pair);
    assert_eq!(stats.packets_out, packets as u64);
    assert_eq!((stats.packets_in, stats.mos), (0, None));
    assert_eq!(bench.plane.counters().packets_played, packets as u64);
}

#[test]
fn the_playout_keeps_its_pace_to_the_end() {
    let bench = Bench::new(20_000..=20_019);
    let (party, pair) = one(&bench, &[(0, PCMU)]);
    let asked = Instant::now();
    bench.play(pair, 1, Sound::Ringback);
    for _ in 0..=100 {
        party.hear();
    }
    let took = asked.elapsed();
    // A machine as busy as it likes; what is late is made up.
    assert!((2.0..3.0).contains(&took.as_secs_f64()), "{took:?}");
}

#[test]
fn stop_is_heard_within_one_packet_time_and_not_reported() {
    let bench = Bench::new(20_000..=20_019);
    let (party, pair) = one(&bench, &[(0, PCMU)]);
    bench.play(pair, 1, Sound::Announcement(None));
    for _ in 0..5 {
        party.hear();
    }
    bench.stop(pair);
    bench.settle();
    let played = bench.plane.counters().packets_played;
    let quiet = bench.events.recv_timeout(Duration::from_millis(200));
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(bench.plane.counters().packets_played, played);
    assert_eq!(bench.close(pair).packets_out, played);
}

#[test]
fn ringback_sounds_until_it_gives_way_to_the_other_party() {
    let bench = Bench::new(20_000..=20_019);
    let (party, pair) = one(&bench, &[(0, PCMU)]);
    let other = Party::new();
    let other_pair = bench.open(&other, line(2), other.remote(&[(8, PCMU)], &[(8, PCMU)]));
    bench.play(pair, 1, Sound::Ringback);
    let mut last = party.hear().0;
    assert!(last.marker);
    for _ in 0..10 {
        let (header, payload, _) = party.hear();
        assert!(payload.iter().any(|b| g711::ulaw_decode(*b).abs() > 1000));
        assert_eq!(header.sequence, last.sequence + 1);
        last = header;
    }
    bench.bridge(pair, other_pair, 0);
    bench.stop(pair);
    bench.settle();
    other.say(other_pair, &spoken(8, 1, b"hello"));
    // The ring packets that were on their way come first; then the same line goes on.
    let hello = loop {
        let (header, payload, _) = party.hear();
        assert_eq!(header.sequence, last.sequence + 1);
        assert_eq!(header.ssrc, last.ssrc);
        let step = header.timestamp.wrapping_sub(last.timestamp);
        assert!(
            step > 0 && step.is_multiple_of(160) && step < 8000,
            "{step}"
        );
        last = header;
        if payload == b"hello" {
            break last;
        }
    };
    assert!(hello.marker);
}

#[test]
fn a_new_sound_replaces_the_old_one() {
    let bench = Bench::new(20_000..=20_019);
    let (party, pair) = one(&bench, &[(0, PCMU)]);
    bench.play(pair, 1, Sound::Ringback);
    party.hear();
    bench.play(pair, 2, Sound::Announcement(None));
    let slot = pair.slot;
    assert_eq!(bench.event(), MediaEvent::Played { slot, id: 2 });
}

#[test]
fn who_takes_no_g711_is_reported_as_played_at_once() {
    let bench = Bench::new(20_000..=20_019);
    let (_party, pair) = one(&bench, &[(18, CodecKind::G729)]);
    bench.play(pair, 7, Sound::Announcement(None));
    let slot = pair.slot;
    assert_eq!(bench.event(), MediaEvent::Played { slot, id: 7 });
    bench.play(pair, 8, Sound::Ringback);
    assert_eq!(
        bench.close(pair).packets_out,
        0,
        "ringback has no end to report"
    );
    assert_eq!(bench.plane.counters().sounds_unplayable, 2);
}

fn wav_of(samples: &[i16]) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut out = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut out, spec).unwrap();
    for s in samples {
        writer.write_sample(*s).unwrap();
    }
    writer.finalize().unwrap();
    out.into_inner()
}

#[test]
fn an_exophones_own_announcement_is_read_from_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let samples: Vec<i16> = (0..800).map(|n| n * 40 - 16_000).collect();
    std::fs::write(folder.path().join("own.wav"), wav_of(&samples)).unwrap();
    let bench = Bench::with(20_000..=20_019, |c| {
        c.announcement_folder = folder.path().to_owned();
    });
    let (party, pair) = one(&bench, &[(0, PCMU)]);
    let expected: Vec<u8> = samples.iter().map(|s| g711::ulaw_encode(*s)).collect();
    // From the disk, then from the cache.
    for id in 1..=2 {
        bench.play(pair, id, Sound::Announcement(Some(String::from("own.wav"))));
        let heard: Vec<u8> = (0..5).flat_map(|_| party.hear().1).collect();
        assert_eq!(heard, expected);
        let slot = pair.slot;
        assert_eq!(bench.event(), MediaEvent::Played { slot, id });
    }
    assert_eq!(bench.plane.counters().sounds_missing, 0);
}

#[test]
fn a_file_that_cannot_be_used_gives_the_default_announcement() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("junk.wav"), b"RIFFjunk").unwrap();
    let bench = Bench::with(20_000..=20_019, |c| {
        c.announcement_folder = folder.path().join("sub");
    });
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    let expected: Vec<u8> = wav::read(NOT_ACTIVE).unwrap()[3200..3360]
        .iter()
        .map(|s| g711::ulaw_encode(*s))
        .collect();
    for (n, name) in ["missing.wav", "../junk.wav"].into_iter().enumerate() {
        let (party, pair) = one(&bench, &[(0, PCMU)]);
        bench.play(pair, 1, Sound::Announcement(Some(String::from(name))));
        for _ in 0..20 {
            party.hear();
        }
        assert_eq!(party.hear().1, expected, "{name}");
        assert_eq!(bench.plane.counters().sounds_missing, n as u64 + 1);
        bench.close(pair);
    }
}
