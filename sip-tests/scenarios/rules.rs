//! What every message that a side received must obey, whatever the scenario is about: mandatory
//! fields, identifiers and the order of things (RFC 3261 §8.1.1, §8.2.6, §9.1, §12.1.1,
//! §12.2.1.1, §13.2.2.4, §17.1.1.3, §17.2.1, §20; RFC 4320 §4). Read with the phones' own parser.

use std::collections::BTreeMap;

use callmask::phone::message::{Message, Start};

use crate::script::Logged;

/// Fields that every request has exactly once (RFC 3261 §8.1.1, §20).
const ONCE: [&str; 6] = [
    "From",
    "To",
    "Call-ID",
    "CSeq",
    "Max-Forwards",
    "Content-Length",
];

/// One message with its way.
struct Entry {
    received: bool,
    message: Message,
}

/// What is wrong with what this side received, seen against what it sent.
pub(crate) fn broken(log: &[Logged]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before: Vec<Entry> = Vec::new();
    for logged in log {
        let Some(message) = Message::read(logged.text.as_bytes()) else {
            if logged.received {
                wrong.push(format!("not SIP: {}", first_line(&logged.text)));
            }
            continue;
        };
        if logged.received {
            let found = match &message.start {
                Start::Request { method, uri } => request(method, uri, &message, &before),
                Start::Response { code, .. } => response(*code, &message, &before),
            };
            let line = first_line(&logged.text);
            wrong.extend(found.into_iter().map(|rule| format!("{rule}: {line}")));
        }
        before.push(Entry {
            received: logged.received,
            message,
        });
    }
    wrong.extend(numbers(&before));
    wrong
}

fn request(method: &str, uri: &str, m: &Message, before: &[Entry]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut rule = |holds: bool, words: &str| {
        if !holds {
            wrong.push(words.to_owned());
        }
    };
    for name in ONCE {
        rule(
            m.all(name).count() == 1,
            &format!("RFC 3261 §8.1.1: one {name}"),
        );
    }
    rule(
        m.all("Via").count() == 1,
        "RFC 3261 §8.1.1.7: one Via, ours",
    );
    let branch = m.branch().unwrap_or_default();
    rule(
        branch.starts_with("z9hG4bK") && branch.len() > 7,
        "RFC 3261 §8.1.1.7: the branch's cookie",
    );
    rule(
        m.cseq().is_some_and(|(_, named)| named == method),
        "RFC 3261 §8.1.1.5: CSeq names the method",
    );
    rule(m.from_tag().is_some(), "RFC 3261 §8.1.1.3: a tag in From");
    rule(
        length_is_true(m),
        "RFC 3261 §20.14: Content-Length is the length",
    );
    match method {
        "INVITE" => rule(
            m.all("Contact").count() == 1,
            "RFC 3261 §8.1.1.8: one Contact",
        ),
        "ACK" => rule(
            acknowledges(m, uri, before),
            "RFC 3261 §13.2.2.4, §17.1.1.3: the ACK of a final response that was sent",
        ),
        "CANCEL" => {
            let invite = before.iter().find(|e| e.received && cancels(m, uri, e));
            rule(
                invite.is_some(),
                "RFC 3261 §9.1: a CANCEL is made from its INVITE",
            );
            let provisional = before
                .iter()
                .any(|e| !e.received && is_response_to(&e.message, m, "INVITE") && status(e) < 200);
            rule(
                provisional,
                "RFC 3261 §9.1: no CANCEL before a provisional response",
            );
        }
        _ => {}
    }
    wrong
}

fn response(code: u16, m: &Message, before: &[Entry]) -> Vec<String> {
    let Some((number, method)) = m.cseq() else {
        return vec!["RFC 3261 §8.2.6.2: CSeq".to_owned()];
    };
    let asked = before.iter().rev().find(|e| {
        !e.received
            && e.message.method() == Some(method)
            && e.message.branch() == m.branch()
            && e.message.cseq().map(|c| c.0) == Some(number)
    });
    let Some(asked) = asked.map(|e| &e.message) else {
        return vec!["RFC 3261 §8.2.6.2: a response to something that was sent".to_owned()];
    };
    let mut wrong = Vec::new();
    let mut rule = |holds: bool, words: &str| {
        if !holds {
            wrong.push(words.to_owned());
        }
    };
    for name in ["From", "Call-ID"] {
        rule(
            m.field(name) == asked.field(name),
            &format!("RFC 3261 §8.2.6.2: {name} comes back as it was"),
        );
    }
    let same_way = m.all("Via").count() == asked.all("Via").count();
    rule(same_way, "RFC 3261 §8.2.6.2: every Via comes back");
    rule(
        length_is_true(m),
        "RFC 3261 §20.14: Content-Length is the length",
    );
    if code > 100 {
        rule(m.to_tag().is_some(), "RFC 3261 §8.2.6.2: a tag in To");
        let kept = asked.to_tag().is_none_or(|tag| m.to_tag() == Some(tag));
        rule(kept, "RFC 3261 §8.2.6.2: the To tag that was asked with");
        let same = before
            .iter()
            .filter(|e| e.received && is_response_to(m, &e.message, method) && status(e) > 100)
            .all(|e| e.message.to_tag() == m.to_tag());
        rule(same, "RFC 3261 §8.2.6.2: one tag in all responses");
    }
    if method == "INVITE" {
        let contact = !(101..300).contains(&code) || m.all("Contact").count() == 1;
        rule(
            contact,
            "RFC 3261 §12.1.1: a Contact in what makes a dialog",
        );
    } else {
        rule(
            code >= 200 && code != 408,
            "RFC 4320 §4: neither provisional responses nor 408 to other methods than INVITE",
        );
    }
    let needed = match code {
        405 => &["Allow"][..],
        415 => &["Accept", "Accept-Encoding"],
        420 => &["Unsupported"],
        _ => &[],
    };
    rule(
        needed.is_empty() || needed.iter().any(|name| m.field(name).is_some()),
        "RFC 3261 §21.4: the header that explains the refusal",
    );
    wrong
}

/// RFC 3261 §12.2.1.1: within a dialog each new request has a higher number than the one before.
fn numbers(log: &[Entry]) -> Vec<String> {
    let mut highest: BTreeMap<(String, String), (u32, String)> = BTreeMap::new();
    let mut wrong = Vec::new();
    for m in log.iter().filter(|e| e.received).map(|e| &e.message) {
        let (Some((number, method)), Some(branch)) = (m.cseq(), m.branch()) else {
            continue;
        };
        if m.method().is_none() || matches!(method, "ACK" | "CANCEL") {
            continue;
        }
        let text = |value: Option<&str>| value.unwrap_or_default().to_owned();
        let dialog = (text(m.field("Call-ID")), text(m.to_tag()));
        if let Some((last, known)) = highest.get(&dialog)
            && known != branch
            && number <= *last
        {
            wrong.push(format!(
                "RFC 3261 §12.2.1.1: {number} {method} after {last}"
            ));
        }
        highest.insert(dialog, (number, branch.to_owned()));
    }
    wrong
}

/// Whether this ACK answers a final response that was sent before: in the INVITE's transaction
/// when it was a refusal, in one of its own when it was a 2xx.
fn acknowledges(ack: &Message, uri: &str, before: &[Entry]) -> bool {
    before.iter().any(|answer| {
        let m = &answer.message;
        let of_invite = m.cseq().is_some_and(|(_, method)| method == "INVITE");
        let same = !answer.received
            && of_invite
            && status(answer) >= 200
            && m.cseq().map(|c| c.0) == ack.cseq().map(|c| c.0)
            && m.field("Call-ID") == ack.field("Call-ID")
            && m.to_tag() == ack.to_tag()
            && m.from_tag() == ack.from_tag();
        if status(answer) < 300 {
            return same && m.branch() != ack.branch();
        }
        let invite = before.iter().find(|e| {
            e.received && e.message.method() == Some("INVITE") && e.message.branch() == m.branch()
        });
        let aimed = invite.is_some_and(|e| is_to(&e.message, uri));
        same && aimed && m.branch() == ack.branch()
    })
}

fn cancels(cancel: &Message, uri: &str, entry: &Entry) -> bool {
    let invite = &entry.message;
    invite.method() == Some("INVITE")
        && is_to(invite, uri)
        && ["Via", "From", "To", "Call-ID"]
            .iter()
            .all(|name| invite.field(name) == cancel.field(name))
        && invite.cseq().map(|c| c.0) == cancel.cseq().map(|c| c.0)
}

/// Whether `a` is a response in the transaction of `b`, taken as one of `method`.
fn is_response_to(a: &Message, b: &Message, method: &str) -> bool {
    a.code().is_some()
        && a.branch() == b.branch()
        && a.cseq().is_some_and(|(_, named)| named == method)
}

fn is_to(m: &Message, wanted: &str) -> bool {
    matches!(&m.start, Start::Request { uri, .. } if uri == wanted)
}

fn status(entry: &Entry) -> u16 {
    entry.message.code().unwrap_or_default()
}

fn length_is_true(m: &Message) -> bool {
    // The reader cuts the body at Content-Length: less than that was no whole message.
    let said = m.field("Content-Length").and_then(|l| l.parse().ok());
    said == Some(m.body.len())
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
