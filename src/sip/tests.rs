//! Tests over the whole folder: arbitrary and mutated bytes, the RFC torture messages, and a
//! comparison with another implementation.
//!
//! `CALLMASK_CORPUS` names a folder of torture messages (RFC 4475, RFC 5118 and others), one a
//! file; without it those tests look at the few messages written here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const INVITE: &[u8] = b"INVITE sip:+914412345678@198.51.100.9:5060;user=phone SIP/2.0\r\n\
    Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK776asdhds;rport, SIP/2.0/TCP [2001:db8::1]\r\n\
    v: SIP / 2.0 / UDP bigbox3.site3.example.com ; received = 192.0.2.1\r\n\
    Max-Forwards: 0068\r\n\
    f: \"J. \\\"Q\\\" Rosenberg, <x>\"\r\n    <sip:+919876543210;npdi@gw.example>\r\n ; tag = 98asjd8\r\n\
    TO : sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
    i: 0242asd@192.0.2.1\r\n\
    CSeq  : 0009\r\n   INVITE\r\n\
    Route: <sip:p1.example;lr>,\r\n <sip:p2.example;lr;x=\",\">\r\n\
    P-Asserted-Identity: <tel:+919876543210;phone-context=+91>, \"A\" <sip:a%20b@x>\r\n\
    Record-Route: <sip:p0;lr>\r\n\
    k: 100rel, timer\r\n\
    NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
    Content-Type: application/sdp\r\n\
    l: 8\r\n\r\nv=0\r\ns=-";

/// Reads everything there is to read in these bytes and answers them; nothing may panic, and
/// what is written must be SIP of one piece.
fn exercise(bytes: &[u8]) {
    let _ = NameAddr::parse(bytes);
    let _ = Via::parse(bytes);
    let _ = CSeq::parse(bytes);
    if let Ok(uri) = Uri::parse(bytes) {
        let _ = (uri.user_text(), uri.telephone(), uri.address());
    }
    let Ok(message) = Message::scan(bytes) else {
        return;
    };
    assert!(message.body().len() <= message.bytes().len());
    for header in Header::named().chain([Header::Other]) {
        for value in message.all(header) {
            assert!(!value.first().is_some_and(|b| b" \t\r\n".contains(b)));
        }
        for element in message.elements(header) {
            assert!(!element.is_empty());
            let _ = Via::parse(element).map(|via| via.sent_by());
            if let Ok(address) = NameAddr::parse(element) {
                let _ = (address.tag(), address.params.iter().count());
                let _ = address.parse_uri().map(|u| u.user_text().len());
            }
        }
        let _ = message.has_token(header, "100rel");
    }
    let essentials = message.essentials();
    if message.is_request() {
        answer(&message, essentials.is_ok());
    }
}

/// A response to a valid request is valid itself and says what the request said.
fn answer(request: &Message<'_>, valid: bool) {
    let source: SocketAddr = "198.51.100.7:40000".parse().unwrap();
    let _ = response_target(request, source);
    let mut builder = Builder::response(480, request, source, Some("ourtag"));
    builder.echo_record_route(request);
    let built = builder
        .header(Header::Reason, "Q.850;cause=18")
        .clone()
        .empty();
    assert_eq!(
        &built.bytes[built.own_from..],
        b"Reason: Q.850;cause=18\r\nContent-Length: 0\r\n\r\n",
        "what is ours begins where it should"
    );
    let response = Message::scan(&built.bytes).unwrap();
    assert_eq!(response.status(), Some(480));
    assert_eq!(response.first(Header::Reason), Some(&b"Q.850;cause=18"[..]));
    assert_eq!(response.all(Header::Other).count(), 0, "no smuggled line");
    if valid {
        let (asked, told) = (
            request.essentials().unwrap(),
            response.essentials().unwrap(),
        );
        assert_eq!(told.call_id, asked.call_id);
        assert_eq!(told.cseq, asked.cseq);
        assert_eq!(told.from.tag(), asked.from.tag());
        assert_eq!(told.via_count, asked.via_count);
        assert_eq!(told.via.branch, asked.via.branch);
        if !asked.to.params.has("tag") {
            assert_eq!(told.to.tag(), Some(&b"ourtag"[..]));
        }
    }
}

#[test]
fn the_tortuous_invite_is_read_right() {
    exercise(INVITE);
    let m = Message::scan(INVITE).unwrap();
    let e = m.essentials().unwrap();
    assert_eq!((e.via_count, e.max_forwards), (3, Some(68)));
    assert_eq!(e.from.tag(), Some(&b"98asjd8"[..]));
    assert_eq!(e.to.tag(), Some(&b"1918181833n"[..]));
    assert_eq!((e.cseq.number, e.cseq.method), (9, Method::Invite));
    assert_eq!(m.elements(Header::Route).count(), 2);
    let identities: Vec<_> = m
        .elements(Header::PAssertedIdentity)
        .map(|e| NameAddr::parse(e).unwrap().parse_uri().unwrap())
        .collect();
    assert_eq!(identities.len(), 2);
    assert_eq!(
        identities[0].telephone().unwrap(),
        "+919876543210;phone-context=+91"
    );
    assert_eq!(identities[1].telephone().unwrap(), "a b");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise(&bytes);
    }

    #[test]
    fn mutated_messages_do_no_harm(
        edits in proptest::collection::vec((0..INVITE.len(), 0..20usize, edit()), 1..6),
    ) {
        let mut bytes = INVITE.to_vec();
        for (at, cut, new) in edits {
            let from = at.min(bytes.len());
            let to = (from + cut).min(bytes.len());
            bytes.splice(from..to, new);
        }
        exercise(&bytes);
    }

    #[test]
    fn whatever_is_put_into_a_header_stays_in_its_line(value in ".*", uri in any::<Vec<u8>>()) {
        let mut builder = Builder::request(Method::Info, &uri);
        builder.header(Header::Reason, &value);
        let bytes = builder.empty().bytes;
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.split("\r\n").collect();
        prop_assert_eq!(lines.len(), 5);
        prop_assert!(lines[1].starts_with("Reason: "));
        prop_assert!(!lines.iter().any(|l| l.contains(['\r', '\n'])));
    }
}

/// Pieces that mean something to the grammar, and pieces that do not.
fn edit() -> impl Strategy<Value = Vec<u8>> {
    let meaningful = prop::sample::select(vec![
        &b"\r\n"[..],
        b"\n",
        b"\r",
        b"\r\n ",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"<",
        b">",
        b"\"",
        b"\\",
        b"=",
        b"@",
        b"[",
        b"]",
        b"%",
        b"?",
        b"/",
        b"\0",
        b"\xff",
        b";tag=",
        b";rport",
        b";received=::1",
        b"Via: ",
        b"\r\nv:",
        b"\r\nl: 3\r\n",
        b"SIP/2.0 ",
        b"sip:",
        b"tel:",
        b"99999999999",
    ]);
    prop_oneof![
        4 => meaningful.prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..8),
    ]
}

fn corpus() -> Option<PathBuf> {
    std::env::var_os("CALLMASK_CORPUS").map(PathBuf::from)
}

/// Every file below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn no_file_of_the_corpus_does_harm() {
    let Some(folder) = corpus() else { return };
    let mut found = Vec::new();
    files(&folder, &mut found);
    assert!(
        found.len() > 50,
        "{} files in {}",
        found.len(),
        folder.display()
    );
    for file in found {
        let bytes = std::fs::read(&file).unwrap();
        exercise(&bytes);
        // A message that lost its end, at every length.
        if bytes.len() < 2_000 {
            (0..bytes.len()).for_each(|end| exercise(&bytes[..end]));
        }
    }
}

/// What the corpus itself says of its messages: those it calls valid pass, those that only a
/// 400 or 505 can answer do not.
#[test]
fn torture_messages_are_judged_as_the_rfcs_judge_them() {
    let Some(folder) = corpus() else { return };
    let mut judged = 0;
    for set in ["rfc4475", "rfc5118"] {
        let list = std::fs::read(folder.join("expected").join(format!("{set}.json"))).unwrap();
        let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
        for case in list["cases"].as_array().unwrap() {
            let id = case["id"].as_str().unwrap();
            let bytes = std::fs::read(folder.join(set).join(format!("{id}.dat"))).unwrap();
            let result = Message::scan(&bytes).and_then(|m| m.essentials().map(|_| ()));
            let outcomes = case["strict"].as_array().unwrap().iter();
            let all: Vec<_> = outcomes
                .chain(case["tolerated"].as_array().unwrap())
                .map(|v| v.to_string())
                .collect();
            let is_refusal = |o: &String| ["400", "505", "513"].contains(&o.as_str());
            if case["validity"] == "valid" {
                assert_eq!(result, Ok(()), "{set}/{id}");
                judged += 1;
            } else if all.iter().all(is_refusal) {
                let status = result.expect_err(id).status().to_string();
                assert!(all.contains(&status), "{set}/{id}: {status}");
                judged += 1;
            } else if let Err(malformed) = result {
                let status = malformed.status().to_string();
                let accepted = all.contains(&status) || case["method"] == "response";
                assert!(accepted, "{set}/{id}: {malformed}");
            }
        }
    }
    assert!(judged >= 25, "{judged} judged");
}

/// A plain message: what another implementation can read as well.
fn plain(
    first: &str,
    user: &str,
    host: &str,
    ids: &[String; 4],
    number: u32,
    method: &str,
) -> String {
    let [call_id, from_tag, to_tag, branch] = ids;
    format!(
        "{first}\r\nVia: SIP/2.0/UDP {host}:5060;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\n\
         From: <sip:{user}@{host}>;tag={from_tag}\r\nTo: <sip:x@{host}>;tag={to_tag}\r\n\
         Call-ID: {call_id}\r\nCSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

/// On plain messages an independent implementation reads what we read.
fn compare_with_rsip(text: &str) {
    use rsip::headers::{ToTypedHeader, UntypedHeader};
    use rsip::message::HeadersExt;

    let ours = Message::scan(text.as_bytes()).unwrap();
    let essentials = ours.essentials().unwrap();
    let theirs = rsip::SipMessage::try_from(text.as_bytes()).unwrap();
    match &theirs {
        rsip::SipMessage::Request(request) => {
            assert_eq!(
                ours.method().unwrap().as_str(),
                request.method().to_string()
            );
            let uri = String::from_utf8_lossy(ours.request_uri().unwrap());
            assert_eq!(uri, request.uri().to_string());
        }
        rsip::SipMessage::Response(response) => {
            assert_eq!(ours.status(), Some(response.status_code().code()));
        }
    }
    assert_eq!(
        essentials.call_id,
        theirs.call_id_header().unwrap().value().as_bytes()
    );
    let cseq = theirs.cseq_header().unwrap().typed().unwrap();
    assert_eq!(essentials.cseq.number, cseq.seq);
    assert_eq!(essentials.cseq.method.as_str(), cseq.method.to_string());
    let from = theirs.from_header().unwrap().typed().unwrap();
    let to = theirs.to_header().unwrap().typed().unwrap();
    let tag =
        |tag: Option<&rsip::common::uri::param::Tag>| tag.map(|t| t.value().as_bytes().to_vec());
    assert_eq!(essentials.from.tag().map(<[u8]>::to_vec), tag(from.tag()));
    assert_eq!(essentials.to.tag().map(<[u8]>::to_vec), tag(to.tag()));
    let via = theirs.via_header().unwrap().typed().unwrap();
    assert_eq!(
        essentials.via.branch.map(<[u8]>::to_vec),
        via.branch().map(|b| b.value().as_bytes().to_vec())
    );
    let uri = essentials.from.parse_uri().unwrap();
    assert_eq!(uri.user_text(), from.uri.user().unwrap_or_default());
    assert_eq!(
        String::from_utf8_lossy(uri.host),
        from.uri.host().to_string()
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn plain_messages_are_read_as_others_read_them(
        method in prop::sample::select(vec![
            Method::Invite, Method::Ack, Method::Bye, Method::Cancel, Method::Options,
            Method::Prack, Method::Update, Method::Info, Method::Refer, Method::Message,
            Method::Subscribe, Method::Notify, Method::Publish, Method::Register,
        ]),
        status in prop::option::of(prop::sample::select(vec![100u16, 180, 183, 200, 302, 404, 486, 487, 503, 603])),
        user in "[+]?[a-z0-9]{1,15}",
        host in "[a-z][a-z0-9]{0,8}[.][a-z]{2,5}",
        ids in [
            "[A-Za-z0-9.-]{1,30}(@[a-z0-9.]{1,10})?",
            "[A-Za-z0-9.-]{1,20}",
            "[A-Za-z0-9.-]{1,20}",
            "[A-Za-z0-9.-]{1,20}",
        ],
        number in 0..=MAX_CSEQ,
    ) {
        let first = match status {
            Some(status) => format!("SIP/2.0 {status} {}", reason_phrase(status)),
            None => format!("{method} sip:{user}@{host} SIP/2.0"),
        };
        compare_with_rsip(&plain(&first, &user, &host, &ids, number, method.as_str()));
    }
}
