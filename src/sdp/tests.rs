//! Tests over the whole folder: what we print is read back, offer and answer of a relay fit
//! together, nothing but the codec set crosses, and no body does harm.
//!
//! `CALLMASK_CORPUS` names a folder with bodies of other projects (`pjsip/sdp`, `webrtc/sdp`).

use std::net::IpAddr;
use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

fn format(payload_type: u8, kind: CodecKind, clock: u32, param: Option<u32>) -> Format {
    let codec = Codec { kind, clock, param };
    Format {
        payload_type,
        codec,
    }
}

fn local(formats: Vec<Format>) -> Local {
    Local {
        session_id: 4_611_686_018_427_387_904,
        version: 2,
        address: IpAddr::from([192, 0, 2, 9]),
        port: 20_000,
        formats,
        ptime_ms: Some(20),
        direction: Direction::SendRecv,
    }
}

fn session(text: &str) -> Session {
    Session::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn printed(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

/// Payload types with their codec names.
fn names(formats: &[Format]) -> Vec<(u8, &'static str)> {
    let of = |f: &Format| (f.payload_type, f.codec.kind.name());
    formats.iter().map(of).collect()
}

#[test]
fn an_offer_is_printed_from_numbers_alone() {
    use CodecKind::*;
    let sdp = print_offer(&local(vec![
        format(8, Pcma, 8_000, None),
        format(18, G729, 8_000, Some(0)),
        format(96, Opus, 48_000, Some(1)),
        format(98, Amr, 8_000, Some(1)),
        format(103, Ilbc, 8_000, Some(20)),
        format(101, TelephoneEvent, 8_000, None),
    ]));
    assert_eq!(
        printed(sdp),
        "v=0\r\no=- 4611686018427387904 2 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\n\
         t=0 0\r\nm=audio 20000 RTP/AVP 8 18 96 98 103 101\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:96 opus/48000/2\r\n\
         a=fmtp:96 useinbandfec=1\r\na=rtpmap:98 AMR/8000\r\na=fmtp:98 octet-align=1\r\n\
         a=rtpmap:103 iLBC/8000\r\na=fmtp:103 mode=20\r\na=rtpmap:101 telephone-event/8000\r\n\
         a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
    );
}

#[test]
fn an_answer_mirrors_the_sections_of_the_offer() {
    let offer = session(
        "v=0\nc=IN IP4 192.0.2.1\nm=video 6 RTP/AVPF 31 97\nm=audio 8 RTP/AVP 0\n\
         m=image 10 udptl t38\nm=message 12 TCP/MSRP *\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\n\
         m=shoe-size 14 Secret/Proto 4711\nm=audio 16 RTP/AVP 8\n",
    );
    let mut ours = local(vec![format(0, CodecKind::Pcmu, 8_000, None)]);
    ours.ptime_ms = None;
    ours.direction = Direction::RecvOnly;
    ours.address = "2001:db8::9".parse().unwrap();
    let sdp = print_answer(&ours, &offer, 1);
    let answer = Session::parse(&sdp).unwrap();
    assert_eq!(
        printed(sdp),
        "v=0\r\no=- 4611686018427387904 2 IN IP6 2001:db8::9\r\ns=-\r\n\
         c=IN IP6 2001:db8::9\r\nt=0 0\r\nm=video 0 RTP/AVPF 0\r\n\
         m=audio 20000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=recvonly\r\n\
         m=image 0 udptl t38\r\nm=message 0 TCP/MSRP *\r\n\
         m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\n\
         m=application 0 RTP/AVP 0\r\nm=audio 0 RTP/AVP 0\r\n"
    );
    assert_eq!(answer.media.len(), offer.media.len());
    assert_eq!(answer.audio().map(|(i, _)| i), Some(1));
}

#[test]
fn our_offer_has_our_own_numbers() {
    use CodecKind::*;
    let offered = [
        format(119, TelephoneEvent, 8_000, None),
        format(111, Opus, 48_000, Some(1)),
        format(8, Pcma, 8_000, None),
        format(120, TelephoneEvent, 48_000, None),
        format(18, G729, 8_000, Some(0)),
        format(35, G729, 8_000, None),
        format(121, TelephoneEvent, 16_000, None),
        format(0, Pcmu, 8_000, None),
    ];
    let all = [Opus, Pcma, Pcmu, G729, TelephoneEvent];
    assert_eq!(
        names(&offerable(&offered, &all)),
        [
            (96, "opus"),
            (8, "PCMA"),
            (18, "G729"),
            (0, "PCMU"),
            (101, "telephone-event"),
            (105, "telephone-event")
        ]
    );
    assert_eq!(
        names(&offerable(&offered, &[Pcmu, TelephoneEvent])),
        [(0, "PCMU"), (101, "telephone-event")]
    );
    assert!(offerable(&offered, &[TelephoneEvent]).is_empty());
    assert!(offerable(&offered, &[Gsm]).is_empty());
}

#[test]
fn the_answer_to_a_has_what_b_accepted_in_as_own_numbers() {
    use CodecKind::*;
    let offered = [
        format(97, Amr, 8_000, None),
        format(98, Amr, 8_000, Some(1)),
        format(8, Pcma, 8_000, None),
        format(96, TelephoneEvent, 8_000, None),
        format(0, Pcmu, 8_000, None),
        format(18, G729, 8_000, Some(1)),
    ];
    let accepted = [
        format(18, G729, 8_000, Some(0)),
        format(8, Pcma, 8_000, None),
        format(98, Amr, 8_000, Some(1)),
        format(101, TelephoneEvent, 8_000, None),
    ];
    let chosen = choose(&offered, &accepted);
    assert_eq!(
        names(&chosen),
        [
            (98, "AMR"),
            (8, "PCMA"),
            (18, "G729"),
            (96, "telephone-event")
        ]
    );
    assert_eq!(
        chosen[2].codec.param,
        Some(0),
        "annexb=no from one side is no"
    );
    assert!(choose(&offered, &[format(101, TelephoneEvent, 8_000, None)]).is_empty());
    assert!(choose(&offered, &[format(3, Gsm, 8_000, None)]).is_empty());
}

#[test]
fn an_answer_is_checked_against_our_offer() {
    use CodecKind::*;
    let sent = local(vec![
        format(8, Pcma, 8_000, None),
        format(0, Pcmu, 8_000, None),
        format(101, TelephoneEvent, 8_000, None),
    ]);
    let head = "v=0\nc=IN IP4 192.0.2.1\n";
    let check = |text: &str| check_answer(&sent, &session(&format!("{head}{text}")));

    let answer = check(
        "m=audio 40 RTP/AVP 0 3 96\na=rtpmap:96 telephone-event/8000\na=ptime:30\na=sendonly\n",
    );
    let answer = answer.unwrap();
    assert_eq!(answer.rtp, "192.0.2.1:40".parse().unwrap());
    assert_eq!(answer.rtcp, "192.0.2.1:41".parse().unwrap());
    assert_eq!(
        names(&answer.formats),
        [(0, "PCMU"), (96, "telephone-event")]
    );
    assert_eq!(
        names(&answer.receive),
        [(0, "PCMU"), (101, "telephone-event")]
    );
    assert_eq!(
        (answer.ptime_ms, answer.direction),
        (Some(30), Direction::SendOnly)
    );
    assert!(answer.held);

    let bare = check("m=audio 40 RTP/AVP 8 101\n").unwrap();
    assert_eq!(
        names(&bare.formats),
        [(8, "PCMA"), (101, "telephone-event")]
    );

    for (text, malformed) in [
        ("", Malformed::MediaCount),
        (
            "m=audio 4 RTP/AVP 0\nm=audio 6 RTP/AVP 0\n",
            Malformed::MediaCount,
        ),
        ("m=audio 0 RTP/AVP 0\n", Malformed::Rejected),
        ("m=video 4 RTP/AVP 0\n", Malformed::Rejected),
        ("m=audio 4 RTP/SAVP 0\n", Malformed::Rejected),
        (
            "m=audio 4 RTP/AVP 0\nc=IN IP4 no.such.example\n",
            Malformed::Rejected,
        ),
        ("m=audio 65535 RTP/AVP 0\n", Malformed::Rejected),
        ("m=audio 4 RTP/AVP 3\n", Malformed::NoCodec),
        ("m=audio 4 RTP/AVP 101\n", Malformed::NoCodec),
        (
            "m=audio 4 RTP/AVP 96\na=rtpmap:96 opus/48000/2\n",
            Malformed::NoCodec,
        ),
    ] {
        assert_eq!(check(text), Err(malformed), "{text}");
    }
}

#[test]
fn directions_follow_rfc_3264() {
    use Direction::*;
    let table = [
        // Offer, wish, answer.
        (SendRecv, SendRecv, SendRecv),
        (SendOnly, SendRecv, RecvOnly),
        (RecvOnly, SendRecv, SendOnly),
        (Inactive, SendRecv, Inactive),
        (SendRecv, SendOnly, SendOnly),
        (SendOnly, SendOnly, Inactive),
        (RecvOnly, RecvOnly, Inactive),
    ];
    for (offer, wish, answer) in table {
        assert_eq!(offer.answer(wish), answer, "{offer:?} {wish:?}");
    }
    for one in [SendRecv, SendOnly, RecvOnly, Inactive] {
        assert_eq!(one.reversed().reversed(), one);
        assert_eq!(one.answer(SendRecv), one.reversed());
    }
}

#[test]
fn our_payload_types_are_distinct() {
    use CodecKind::*;
    let ours = [
        format(0, Pcmu, 8_000, None),
        format(0, Pcma, 8_000, None),
        format(0, G722, 8_000, None),
        format(0, G729, 8_000, None),
        format(0, Gsm, 8_000, None),
        format(0, Opus, 48_000, None),
        format(0, Amr, 8_000, None),
        format(0, Amr, 8_000, Some(1)),
        format(0, AmrWb, 16_000, None),
        format(0, AmrWb, 16_000, Some(1)),
        format(0, Ilbc, 8_000, None),
        format(0, Ilbc, 8_000, Some(20)),
        format(0, TelephoneEvent, 8_000, None),
        format(0, TelephoneEvent, 16_000, None),
        format(0, TelephoneEvent, 48_000, None),
    ];
    let mut numbers: Vec<u8> = ours
        .iter()
        .map(|f| f.codec.own_payload_type().unwrap())
        .collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), ours.len());
    for f in &ours {
        let number = f.codec.own_payload_type().unwrap();
        let known = Codec::of_static(number).is_none_or(|c| c.kind == f.codec.kind);
        assert!(known && !(35..96).contains(&number), "{number}");
    }
}

/// An offer whose codecs are given and all else is the offerer's whim.
fn offer_with(codecs: &[(CodecKind, u32)], whim: &Whim) -> Session {
    let mut maps = Vec::new();
    let mut numbers = String::new();
    for (i, (kind, clock)) in codecs.iter().enumerate() {
        let number = (usize::from(whim.first_number) + i) % 32 + 96;
        numbers += &format!(" {number}");
        maps.push(format!(
            "a=rtpmap:{number} {}\n",
            Codec::new(*kind, *clock).rtpmap()
        ));
    }
    if whim.reversed {
        maps.reverse();
    }
    let text = &whim.text;
    session(&format!(
        "v=0\no={text} {n} {n} IN IP4 {a}\ns={text}\ni={text}\nc=IN IP4 {a}\nt={n} {n}\n\
         a=tool:{text}\nm=audio {port} RTP/AVP{numbers}\n{}a=ssrc:{n} cname:{text}\n\
         a=candidate:{text}\nb=AS:{port}\na={text}:{text}\n",
        maps.concat(),
        n = whim.first_number,
        a = whim.address,
        port = whim.port,
    ))
}

#[derive(Debug)]
struct Whim {
    text: String,
    address: std::net::Ipv4Addr,
    port: u16,
    first_number: u8,
    reversed: bool,
}

fn whim() -> impl Strategy<Value = Whim> {
    (
        "[a-z0-9@.+]{1,20}",
        0x0100_0000u32..0xe000_0000,
        1..u16::MAX,
        0..32u8,
        any::<bool>(),
    )
        .prop_map(|(text, address, port, first_number, reversed)| Whim {
            text,
            address: address.into(),
            port,
            first_number,
            reversed,
        })
}

/// Codecs with the clocks they have, each once.
fn codecs() -> impl Strategy<Value = Vec<(CodecKind, u32)>> {
    use CodecKind::*;
    let all = vec![
        (Pcmu, 8_000),
        (Pcma, 8_000),
        (G722, 8_000),
        (G729, 8_000),
        (Gsm, 8_000),
        (Opus, 48_000),
        (Amr, 8_000),
        (AmrWb, 16_000),
        (Ilbc, 8_000),
        (TelephoneEvent, 8_000),
        (TelephoneEvent, 16_000),
        (TelephoneEvent, 48_000),
    ];
    prop::sample::subsequence(all, 1..=12).prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Non-interference: two offers that agree in their codecs give the same offer onward.
    #[test]
    fn only_the_codecs_cross(codecs in codecs(), one in whim(), other in whim()) {
        let onward = |whim: &Whim| {
            let offer = offer_with(&codecs, whim);
            let (_, media) = offer.audio().unwrap();
            print_offer(&local(offerable(&media.formats, &CodecKind::ALL)))
        };
        prop_assert_eq!(onward(&one), onward(&other));
    }

    /// A relay's offer and answer fit: what B accepts of our offer, A gets in its own numbers.
    #[test]
    fn a_negotiation_fits_together(codecs in codecs(), a in whim(), keep in any::<u16>()) {
        let offer = offer_with(&codecs, &a);
        let (index, media) = offer.audio().unwrap();
        let sent = local(offerable(&media.formats, &CodecKind::ALL));
        if sent.formats.is_empty() {
            prop_assert!(!codecs.iter().any(|(kind, _)| kind.is_audio()));
            return Ok(());
        }
        let ours = Session::parse(&print_offer(&sent)).unwrap();
        prop_assert_eq!(ours.media.len(), 1);
        prop_assert_eq!(&ours.media[0].formats, &sent.formats);
        // B keeps some of it, under other numbers.
        let mut accepted: Vec<Format> = sent.formats.iter().enumerate()
            .filter(|(i, _)| keep >> i & 1 == 1).map(|(_, f)| *f).collect();
        for f in accepted.iter_mut().filter(|f| f.payload_type >= 96) {
            f.payload_type = 223 - f.payload_type;
        }
        if accepted.is_empty() {
            return Ok(());
        }
        let answer = Session::parse(&print_answer(&local(accepted.clone()), &ours, 0)).unwrap();
        match check_answer(&sent, &answer) {
            Ok(settled) => {
                prop_assert_eq!(settled.formats.len(), settled.receive.len());
                let to_a = choose(&media.formats, &settled.formats);
                prop_assert_eq!(to_a.len(), settled.formats.len());
                for f in &to_a {
                    prop_assert!(media.formats.iter().any(|m| m.payload_type == f.payload_type && m.codec.matches(&f.codec)));
                }
                let final_answer = Session::parse(&print_answer(&local(to_a), &offer, index)).unwrap();
                prop_assert_eq!(final_answer.media.len(), offer.media.len());
            }
            Err(_) => prop_assert!(!accepted.iter().any(|f| f.codec.kind.is_audio())),
        }
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        exercise(&bytes);
    }

    #[test]
    fn arbitrary_lines_do_no_harm(
        lines in proptest::collection::vec(line(), 0..30),
        end in prop::sample::select(vec!["\n", "\r\n", "\r"]),
    ) {
        exercise(format!("v=0{end}{}{end}", lines.join(end)).as_bytes());
    }
}

/// Lines that mean something, with values that may not.
fn line() -> impl Strategy<Value = String> {
    let head = prop::sample::select(vec![
        "m=audio ",
        "m=audio 4 RTP/AVP ",
        "m=",
        "c=IN IP4 ",
        "c=",
        "a=rtpmap:",
        "a=rtpmap:0 ",
        "a=fmtp:0 ",
        "a=ptime:",
        "a=rtcp:",
        "b=RS:",
        "a=",
        "o=",
        "",
        "v=",
    ]);
    let tail = prop_oneof![
        "[0-9 /.:-]{0,20}",
        "(0|8|96|101| )*",
        "PCMU/8000|opus/48000/2|0 IN IP4 x|sendrecv|audio|65536|4294967296",
        "\\PC{0,20}",
    ];
    (head, tail).prop_map(|(head, tail)| format!("{head}{tail}"))
}

/// Reads a body and goes through a negotiation with it.
fn exercise(body: &[u8]) {
    let Ok(offer) = Session::parse(body) else {
        return;
    };
    assert!(offer.media.len() <= MAX_MEDIA);
    for media in &offer.media {
        assert!(media.formats.len() + media.unmapped.len() <= MAX_FORMATS);
        let _ = (media.rtp_address(), media.rtcp_address(), media.is_held());
    }
    let index = offer.audio().map_or(0, |(i, _)| i);
    let formats = offer
        .audio()
        .map(|(_, m)| m.formats.clone())
        .unwrap_or_default();
    let sent = local(offerable(&formats, &CodecKind::ALL));
    assert!(print_offer(&sent).is_ascii());
    let _ = check_answer(&sent, &offer);
    let answer = print_answer(&local(choose(&formats, &sent.formats)), &offer, index);
    assert_eq!(
        Session::parse(&answer)
            .map(|a| a.media.len())
            .unwrap_or(offer.media.len()),
        offer.media.len()
    );
}

#[test]
fn no_body_of_the_corpus_does_harm() {
    let Some(folder) = std::env::var_os("CALLMASK_CORPUS").map(PathBuf::from) else {
        return;
    };
    let mut bodies = 0;
    for set in ["pjsip/sdp", "pjsip/sdes", "webrtc/sdp"] {
        for entry in std::fs::read_dir(folder.join(set)).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            exercise(&bytes);
            (0..bytes.len().min(3_000)).for_each(|end| exercise(&bytes[..end]));
            bodies += 1;
        }
    }
    assert!(bodies > 20, "{bodies} bodies");
}
