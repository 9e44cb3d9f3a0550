//! Draws a call as a ladder: callmask in the middle, a phone on either side, each arrow a message
//! that this phone itself sent or received, with the numbers as they stood on its wire.

use std::fmt::Write as _;

use tokio::time::Instant;

use super::call::Call;
use super::log::{Logged, Way};
use super::media::Received;
use super::message::{Message, Start, uri, user};

/// Characters between a phone's line and callmask's.
const WIDTH: usize = 46;

/// One phone's view of the call.
#[derive(Debug, Clone)]
pub struct Side {
    /// What to write above the line.
    pub name: String,
    /// The phone's messages.
    pub messages: Vec<Logged>,
    /// The packets it received.
    pub packets: Vec<Received>,
}

impl Side {
    /// The view of this call's phone.
    pub fn of(name: &str, call: &Call) -> Side {
        Side {
            name: format!("{name} {}", call.number()),
            messages: call.messages(),
            packets: call.media().received(),
        }
    }

    /// Every arrow with its time: messages, and one for the audio that arrived.
    fn arrows(&self) -> Vec<(Instant, Way, String)> {
        let mut arrows: Vec<_> = self
            .messages
            .iter()
            .map(|l| {
                (
                    l.at,
                    l.way,
                    l.message().map_or_else(|| "?".into(), |m| label(&m)),
                )
            })
            .collect();
        if let Some(first) = self.packets.iter().find(|p| !p.rtcp) {
            let count = self.packets.iter().filter(|p| !p.rtcp).count();
            let text = format!("audio from {}, {count} packets", first.from);
            arrows.push((first.at, Way::Received, text));
        }
        arrows
    }
}

/// The ladder of a call between the phones `left` and `right`, in order of time.
pub fn draw(left: &Side, right: Option<&Side>) -> String {
    let mut rows: Vec<(Instant, bool, Way, String)> = Vec::new();
    for (side, is_left) in [(Some(left), true), (right, false)] {
        let arrows = side.map(Side::arrows).unwrap_or_default();
        rows.extend(arrows.into_iter().map(|(at, way, t)| (at, is_left, way, t)));
    }
    // Stable: messages of one instant stay in the order in which they were logged.
    rows.sort_by_key(|(at, ..)| *at);
    let right_name = right.map_or("", |r| r.name.as_str());
    let mut text = format!(
        "  {:<WIDTH$}{:^9}{right_name:>WIDTH$}\n",
        left.name, "callmask"
    );
    for (_, is_left, way, label) in rows {
        // Towards callmask is rightwards on the left side and leftwards on the right side.
        let rightwards = is_left == (way == Way::Sent);
        let arrow = arrow(&label, rightwards);
        let blank = " ".repeat(WIDTH);
        // Writing to a String cannot fail.
        let _ = match (is_left, right.is_some()) {
            (true, true) => writeln!(text, "  |{arrow}|{blank}|"),
            (true, false) => writeln!(text, "  |{arrow}|"),
            (false, _) => writeln!(text, "  |{blank}|{arrow}|"),
        };
    }
    text
}

fn arrow(label: &str, rightwards: bool) -> String {
    let room = WIDTH - 5;
    let label: String = label.chars().take(room).collect();
    let dashes = "-".repeat(room - label.chars().count());
    if rightwards {
        format!("- {label} {dashes}->")
    } else {
        format!("<- {label} {dashes}-")
    }
}

/// An INVITE shows who calls whom as this wire says it; the rest its name.
fn label(message: &Message) -> String {
    match &message.start {
        Start::Request { method, .. } if method == "INVITE" => {
            let from = message.field("From").map(uri).and_then(user);
            let from = from.unwrap_or("?");
            format!("INVITE {} from {from}", message.called().unwrap_or("?"))
        }
        Start::Request { method, .. } => method.clone(),
        Start::Response { code, reason } => {
            let method = message.cseq().map_or("", |(_, m)| m);
            format!("{code} {reason} ({method})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_the_way_the_message_went() {
        let logged = |way, text: &str| Logged {
            at: Instant::now(),
            way,
            peer: "127.0.0.1:5060".parse().unwrap(),
            bytes: text.as_bytes().to_vec(),
        };
        let invite = "INVITE sip:+914412345678@h SIP/2.0\r\nFrom: <sip:+919876543210@h>;tag=1\r\n\
                      CSeq: 1 INVITE\r\n\r\n";
        let side = |way| Side {
            name: "x".to_owned(),
            messages: vec![logged(way, invite)],
            packets: Vec::new(),
        };
        let drawn = draw(&side(Way::Sent), Some(&side(Way::Received)));
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines.len(), 3, "{drawn}");
        for line in &lines[1..] {
            assert!(
                line.contains("- INVITE +914412345678 from +919876543210 -"),
                "{drawn}"
            );
            assert!(line.contains("->|") && !line.contains("<-"), "{drawn}");
            assert_eq!(line.chars().count(), lines[1].chars().count());
        }
        let answer = logged(Way::Received, "SIP/2.0 200 OK\r\nCSeq: 1 INVITE\r\n\r\n");
        let drawn = draw(
            &Side {
                messages: vec![answer],
                ..side(Way::Sent)
            },
            None,
        );
        assert!(drawn.contains("|<- 200 OK (INVITE) -"), "{drawn}");
    }
}
