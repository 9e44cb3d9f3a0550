//! The rules judged themselves: a conversation that keeps them all, and changed in one place at a
//! time so that each rule finds its fault.

use crate::rules;
use crate::script::Logged;

/// `>` sent by the side, `<` received by it.
const CALLEE: [&str; 7] = [
    "<INVITE sip:b@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bK1|From: <sip:x@s>;tag=s|To: <sip:b@h>|\
     Call-ID: c|CSeq: 7 INVITE|Max-Forwards: 69|Contact: <sip:o@s>|Content-Length: 0",
    ">SIP/2.0 180 R|Via: SIP/2.0/UDP s;branch=z9hG4bK1|From: <sip:x@s>;tag=s|To: <sip:b@h>;tag=b|\
     Call-ID: c|CSeq: 7 INVITE|Contact: <sip:b@h>|Content-Length: 0",
    "<CANCEL sip:b@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bK1|From: <sip:x@s>;tag=s|To: <sip:b@h>|\
     Call-ID: c|CSeq: 7 CANCEL|Max-Forwards: 70|Content-Length: 0",
    ">SIP/2.0 487 T|Via: SIP/2.0/UDP s;branch=z9hG4bK1|From: <sip:x@s>;tag=s|To: <sip:b@h>;tag=b|\
     Call-ID: c|CSeq: 7 INVITE|Content-Length: 0",
    "<ACK sip:b@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bK1|From: <sip:x@s>;tag=s|To: <sip:b@h>;tag=b|\
     Call-ID: c|CSeq: 7 ACK|Max-Forwards: 70|Content-Length: 0",
    ">SIP/2.0 200 O|Via: SIP/2.0/UDP s;branch=z9hG4bK1|From: <sip:x@s>;tag=s|To: <sip:b@h>;tag=late|\
     Call-ID: c|CSeq: 7 INVITE|Contact: <sip:b@h>|Content-Length: 0",
    "<ACK sip:b@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bK2|From: <sip:x@s>;tag=s|To: <sip:b@h>;tag=late|\
     Call-ID: c|CSeq: 7 ACK|Max-Forwards: 70|Content-Length: 0",
];
const CALLER: [&str; 9] = [
    ">INVITE sip:e@s SIP/2.0|Via: SIP/2.0/UDP h;branch=z9hG4bKa|From: <sip:a@h>;tag=a|To: <sip:e@s>|\
     Call-ID: d|CSeq: 1 INVITE|Max-Forwards: 70|Contact: <sip:a@h>|Content-Length: 0",
    "<SIP/2.0 100 T|Via: SIP/2.0/UDP h;branch=z9hG4bKa|From: <sip:a@h>;tag=a|To: <sip:e@s>|\
     Call-ID: d|CSeq: 1 INVITE|Content-Length: 0",
    "<SIP/2.0 180 R|Via: SIP/2.0/UDP h;branch=z9hG4bKa|From: <sip:a@h>;tag=a|To: <sip:e@s>;tag=t|\
     Call-ID: d|CSeq: 1 INVITE|Contact: <sip:o@s>|Content-Length: 0",
    "<SIP/2.0 200 O|Via: SIP/2.0/UDP h;branch=z9hG4bKa|From: <sip:a@h>;tag=a|To: <sip:e@s>;tag=t|\
     Call-ID: d|CSeq: 1 INVITE|Contact: <sip:o@s>|Content-Length: 0",
    ">MESSAGE sip:o@s SIP/2.0|Via: SIP/2.0/UDP h;branch=z9hG4bKm|From: <sip:a@h>;tag=a|To: <sip:e@s>;tag=t|\
     Call-ID: d|CSeq: 2 MESSAGE|Max-Forwards: 70|Content-Length: 0",
    "<SIP/2.0 405 N|Via: SIP/2.0/UDP h;branch=z9hG4bKm|From: <sip:a@h>;tag=a|To: <sip:e@s>;tag=t|\
     Call-ID: d|CSeq: 2 MESSAGE|Allow: INVITE|Content-Length: 0",
    "<OPTIONS sip:a@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bKo|From: <sip:e@s>;tag=t|To: <sip:a@h>;tag=a|\
     Call-ID: d|CSeq: 4 OPTIONS|Max-Forwards: 70|Content-Length: 0",
    "<BYE sip:a@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bKb|From: <sip:e@s>;tag=t|To: <sip:a@h>;tag=a|\
     Call-ID: d|CSeq: 5 BYE|Max-Forwards: 70|Content-Length: 0",
    "<BYE sip:a@h SIP/2.0|Via: SIP/2.0/UDP s;branch=z9hG4bKb|From: <sip:e@s>;tag=t|To: <sip:a@h>;tag=a|\
     Call-ID: d|CSeq: 5 BYE|Max-Forwards: 70|Content-Length: 0",
];

/// Which message of which side is changed how, and the rule that must say so.
const FAULTS: [(bool, usize, &str, &str, &str); 24] = [
    (true, 0, "CSeq: 7 INVITE|", "", "one CSeq"),
    (
        true,
        0,
        "Max-Forwards: 69",
        "Max-Forwards: 69|Max-Forwards: 69",
        "one Max-Forwards",
    ),
    (
        true,
        0,
        "From: <sip:x@s>;tag=s",
        "From: <sip:x@s>",
        "a tag in From",
    ),
    (
        true,
        0,
        "|Via",
        "|Via: SIP/2.0/UDP other;branch=z9hG4bK0|Via",
        "one Via",
    ),
    (true, 0, "z9hG4bK1", "1", "the branch's cookie"),
    (true, 0, "7 INVITE", "7 BYE", "CSeq names the method"),
    (true, 0, "Contact: <sip:o@s>|", "", "one Contact"),
    (
        true,
        0,
        "Content-Length: 0",
        "Content-Length: 3",
        "Content-Length is the length",
    ),
    (
        true,
        1,
        "SIP/2.0 180",
        "SIP/2.0 480",
        "no CANCEL before a provisional",
    ),
    (true, 2, "z9hG4bK1", "z9hG4bK9", "made from its INVITE"),
    (
        true,
        2,
        "To: <sip:b@h>",
        "To: <sip:b@h>;tag=b",
        "made from its INVITE",
    ),
    (true, 2, "7 CANCEL", "8 CANCEL", "made from its INVITE"),
    (
        true,
        4,
        "z9hG4bK1",
        "z9hG4bK9",
        "the ACK of a final response",
    ),
    (
        true,
        4,
        "ACK sip:b@h",
        "ACK sip:c@h",
        "the ACK of a final response",
    ),
    (
        true,
        6,
        "z9hG4bK2",
        "z9hG4bK1",
        "the ACK of a final response",
    ),
    (
        true,
        6,
        "tag=late",
        "tag=never",
        "the ACK of a final response",
    ),
    (
        false,
        1,
        "z9hG4bKa",
        "z9hG4bKz",
        "to something that was sent",
    ),
    (
        false,
        1,
        "From: <sip:a@h>",
        "From: <sip:z@h>",
        "From comes back",
    ),
    (false, 2, ";tag=t", "", "a tag in To"),
    (
        false,
        2,
        "|Contact: <sip:o@s>",
        "",
        "a Contact in what makes a dialog",
    ),
    (false, 3, "tag=t", "tag=u", "one tag in all responses"),
    (
        false,
        5,
        "405 N",
        "408 T",
        "neither provisional responses nor 408",
    ),
    (false, 5, "|Allow: INVITE", "", "the header that explains"),
    (false, 7, "5 BYE", "3 BYE", "3 BYE after 4"),
];

/// That the good conversations are good, and each fault is found; the error says which is not.
pub(crate) fn check() -> Result<(), String> {
    for good in [&CALLEE[..], &CALLER[..]] {
        let wrong = rules::broken(&log(good.iter().map(|m| (*m).to_owned())));
        if !wrong.is_empty() {
            return Err(format!(
                "the rules find fault with what is right: {wrong:?}"
            ));
        }
    }
    for (callee, index, from, to, rule) in FAULTS {
        let good = if callee { &CALLEE[..] } else { &CALLER[..] };
        let changed = good.iter().enumerate().map(|(n, text)| {
            if n == index {
                text.replacen(from, to, 1)
            } else {
                (*text).to_owned()
            }
        });
        let wrong = rules::broken(&log(changed));
        if !wrong.iter().any(|w| w.contains(rule)) {
            return Err(format!(
                "\"{rule}\" is not found in message {index}: {wrong:?}"
            ));
        }
    }
    Ok(())
}

fn log(texts: impl Iterator<Item = String>) -> Vec<Logged> {
    texts
        .map(|text| Logged {
            received: text.starts_with('<'),
            text: format!("{}\r\n\r\n", text[1..].replace('|', "\r\n")),
        })
        .collect()
}
