//! The non-interference test, tested: something is copied from one party's message into one to the
//! other party, one thing at a time, and the comparison must notice each.

use super::callee::CalleePlan;
use super::caller::CallerPlan;
use super::directory::exophone;
use super::interference::{compare, other, play};
use super::scene::Scene;
use super::style::Flavour;
use super::ua::SECOND_US;
use super::world::{Meddler, Side, World};
use crate::phone::message::{Message, Start, uri};

/// One thing copied from one party's latest message into the next one to the other party.
struct Leak {
    name: &'static str,
    from: Side,
    what: fn(&Message) -> Option<String>,
    put: fn(&str, &str) -> String,
}

fn as_header(text: &str, value: &str) -> String {
    text.replacen("\r\n", &format!("\r\nX-Copied: {value}\r\n"), 1)
}

fn into_from(text: &str, value: &str) -> String {
    text.replacen("\r\nFrom: <", &format!("\r\nFrom: \"{value}\" <"), 1)
}

fn into_status_line(text: &str, value: &str) -> String {
    match text.split_once("\r\n") {
        Some((line, rest)) if line.starts_with("SIP/2.0 ") => {
            format!("{} {value}\r\n{rest}", &line[..11])
        }
        _ => as_header(text, value),
    }
}

fn into_session_name(text: &str, value: &str) -> String {
    // The length of the body stays true.
    let longer = text.replacen("s=-\r\n", &format!("s={value}\r\n"), 1);
    let (Some((_, before)), Some((head, after))) =
        (text.split_once("\r\n\r\n"), longer.split_once("\r\n\r\n"))
    else {
        return longer;
    };
    let lengths = [before.len(), after.len()].map(|n| format!("Content-Length: {n}"));
    format!("{}\r\n\r\n{after}", head.replace(&lengths[0], &lengths[1]))
}

fn sdp_line(message: &Message, prefix: &str, word: usize) -> Option<String> {
    let body = String::from_utf8_lossy(&message.body).into_owned();
    let line = body
        .lines()
        .find_map(|l| l.strip_prefix(prefix).map(str::to_owned))?;
    line.split(' ').nth(word).map(str::to_owned)
}

fn field(message: &Message, name: &str) -> Option<String> {
    message.field(name).map(str::to_owned)
}

fn unknown(message: &Message) -> Option<&(String, String)> {
    message
        .fields
        .iter()
        .find(|(name, _)| name.to_ascii_lowercase().starts_with("x-"))
}

fn leaks() -> Vec<Leak> {
    let from_a = |name, what, put| Leak {
        name,
        from: Side::Caller,
        what,
        put,
    };
    let from_b = |name, what, put| Leak {
        name,
        from: Side::Callee,
        what,
        put,
    };
    vec![
        from_a(
            "From user",
            |m| m.field("From").map(|f| uri(f).to_owned()),
            into_from,
        ),
        from_a(
            "From display name",
            |m| field(m, "From").map(|f| f.split('<').next().unwrap_or_default().replace('"', "")),
            into_from,
        ),
        from_a(
            "From host",
            |m| {
                m.field("From")?
                    .split('@')
                    .nth(1)
                    .map(|h| h.split('>').next().unwrap_or_default().to_owned())
            },
            as_header,
        ),
        from_a("From tag", |m| m.from_tag().map(str::to_owned), as_header),
        from_a("Call-ID", |m| field(m, "Call-ID"), as_header),
        from_a(
            "CSeq number",
            |m| m.cseq().map(|c| c.0.to_string()),
            as_header,
        ),
        from_a(
            "Via host",
            |m| {
                m.field("Via")?
                    .split(' ')
                    .nth(1)
                    .map(|v| v.split(';').next().unwrap_or_default().to_owned())
            },
            as_header,
        ),
        from_a("branch", |m| m.branch().map(str::to_owned), as_header),
        from_a("User-Agent", |m| field(m, "User-Agent"), as_header),
        from_a("Subject", |m| field(m, "Subject"), as_header),
        from_a("Call-Info", |m| field(m, "Call-Info"), as_header),
        from_a("Reason text", |m| field(m, "Reason"), as_header),
        from_a("Contact", |m| field(m, "Contact"), as_header),
        from_a("Record-Route", |m| field(m, "Record-Route"), as_header),
        from_a(
            "unknown header's value",
            |m| unknown(m).map(|u| u.1.clone()),
            as_header,
        ),
        from_a(
            "unknown header's name",
            |m| unknown(m).map(|u| u.0.clone()),
            as_header,
        ),
        from_a(
            "header order",
            |m| {
                Some(
                    m.fields
                        .iter()
                        .map(|f| f.0.to_ascii_lowercase())
                        .collect::<Vec<_>>()
                        .join(","),
                )
            },
            as_header,
        ),
        from_a(
            "header case",
            |m| m.fields.first().map(|f| f.0.clone()),
            as_header,
        ),
        from_a("o= user name", |m| sdp_line(m, "o=", 0), into_session_name),
        from_a("o= session id", |m| sdp_line(m, "o=", 1), into_session_name),
        from_a("o= address", |m| sdp_line(m, "o=", 5), into_session_name),
        from_a("s=", |m| sdp_line(m, "s=", 0), into_session_name),
        from_a("i=", |m| sdp_line(m, "i=", 0), into_session_name),
        from_a("c= address", |m| sdp_line(m, "c=", 2), into_session_name),
        from_a(
            "media port",
            |m| sdp_line(m, "m=audio ", 0),
            into_session_name,
        ),
        from_a(
            "payload type number",
            |m| sdp_line(m, "m=audio ", 2),
            into_session_name,
        ),
        from_a("a=tool", |m| sdp_line(m, "a=tool:", 0), into_session_name),
        from_a("a=ssrc", |m| sdp_line(m, "a=ssrc:", 0), into_session_name),
        from_a(
            "unknown attribute",
            |m| sdp_line(m, "a=X-", 0),
            into_session_name,
        ),
        from_a(
            "how many m= lines",
            |m| {
                Some(
                    String::from_utf8_lossy(&m.body)
                        .matches("m=")
                        .count()
                        .to_string(),
                )
            },
            into_session_name,
        ),
        from_b("reason phrase", reason, into_status_line),
        from_b("To tag", |m| m.to_tag().map(str::to_owned), as_header),
        from_b("Contact of the callee", |m| field(m, "Contact"), as_header),
        from_b("Server", |m| field(m, "Server"), as_header),
        from_b(
            "Record-Route of the callee",
            |m| field(m, "Record-Route"),
            as_header,
        ),
        from_b(
            "unknown header of the callee",
            |m| unknown(m).map(|u| u.1.clone()),
            as_header,
        ),
        from_b(
            "SDP of the callee",
            |m| sdp_line(m, "o=", 1),
            into_session_name,
        ),
    ]
}

fn reason(message: &Message) -> Option<String> {
    match &message.start {
        Start::Response { reason, .. } => Some(reason.clone()),
        Start::Request { .. } => None,
    }
}

#[test]
fn the_comparison_notices_every_single_leak() {
    let caller = CallerPlan::plain(exophone(0), Some(20 * SECOND_US));
    let scene = Scene::one_call(
        13,
        caller,
        CalleePlan {
            progress_us: Some(SECOND_US),
            ..CalleePlan::plain()
        },
    );
    for Leak {
        name,
        from,
        what,
        put,
    } in leaks()
    {
        let meddler = || -> Meddler {
            Box::new(move |world: &World, to, bytes| {
                let value = world.heard.get(&from).and_then(what);
                if let Some(value) = value.filter(|_| to == other(from)) {
                    *bytes = put(&String::from_utf8_lossy(bytes), &value).into_bytes();
                }
                true
            })
        };
        let one = play(scene.clone(), from, Flavour::Plain, Some(meddler()));
        let two = play(scene.clone(), from, Flavour::Odd, Some(meddler()));
        assert!(
            compare(&one, &two, other(from)).is_err(),
            "nobody notices the leak of {name}"
        );
    }
}
