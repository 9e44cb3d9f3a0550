//! The door: which datagrams the switch gets to see (RFC 3261 §26.3.2.1 leaves the rest to
//! policy). A stranger is turned away here, before anything is parsed, queued or allocated; with
//! `strangers = "reject"` a few a second are told so.

use std::hash::Hasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use siphasher::sip::SipHasher13;

use crate::io::metrics::Counters;
use crate::io::strangers::{Notice, Strangers};
use crate::sip::{Builder, Message, Method, response_target};
use crate::switch::settings::{Settings, TrunkId};

/// Keeps the strangers out.
#[derive(Debug)]
pub struct Door {
    settings: Arc<Settings>,
    reject: bool,
    strangers: Strangers,
    tag_key: [u8; 16],
    counters: Arc<Counters>,
}

/// Who knocks.
#[derive(Debug, PartialEq, Eq)]
pub enum Knock {
    /// A trunk's address.
    Trunk(TrunkId),
    /// Nobody we know: drop it.
    Stranger,
    /// Nobody we know; these bytes go there, and no state is kept.
    Answer(Vec<u8>, SocketAddr),
}

impl Door {
    /// A door for these trunks. `tag_key` is random for each process.
    pub fn new(
        settings: Arc<Settings>,
        reject: bool,
        tag_key: [u8; 16],
        counters: Arc<Counters>,
    ) -> Door {
        Door {
            settings,
            reject,
            strangers: Strangers::new(),
            tag_key,
            counters,
        }
    }

    /// Looks at where a datagram came from, and only for a rejection at what it says.
    pub fn knock(&mut self, from: SocketAddr, bytes: &[u8], mono_us: u64) -> Knock {
        if let Some(trunk) = self.settings.trunk_of(from.ip()) {
            return Knock::Trunk(trunk);
        }
        self.counters.strangers.add();
        match self.strangers.dropped(from.ip(), mono_us) {
            Some(Notice::Source { dropped }) => tracing::warn!(
                "{} datagram(s) from {} dropped: the address is in no [[trunk]] accept_from; \
                 add it there if it is your carrier",
                dropped,
                from.ip().to_canonical(),
            ),
            Some(Notice::TooMany { dropped }) => tracing::warn!(
                "{dropped} datagram(s) from many further addresses dropped: none is in a \
                 [[trunk]] accept_from",
            ),
            None => {}
        }
        if !self.reject || !self.strangers.may_reject(mono_us) {
            return Knock::Stranger;
        }
        match self.refusal(bytes, from) {
            Some((bytes, to)) => {
                self.counters.strangers_rejected.add();
                Knock::Answer(bytes, to)
            }
            None => Knock::Stranger,
        }
    }

    /// Whether some trunk has this address: errors of other addresses are none of our business.
    pub fn knows(&self, address: IpAddr) -> bool {
        self.settings.trunk_of(address).is_some()
    }

    /// A stateless 403 (RFC 3261 §8.2.7): no retransmission, no memory, the same tag for the
    /// same request.
    fn refusal(&self, bytes: &[u8], from: SocketAddr) -> Option<(Vec<u8>, SocketAddr)> {
        let message = Message::scan(bytes).ok()?;
        // §17.1.1.3: an ACK is never answered; nor is a response.
        if message.method()? == Method::Ack {
            return None;
        }
        let essentials = message.essentials().ok()?;
        let mut hasher = SipHasher13::new_with_key(&self.tag_key);
        hasher.write(essentials.call_id);
        hasher.write_u32(essentials.cseq.number);
        hasher.write(essentials.from.tag().unwrap_or_default());
        let tag = format!("{:016x}", hasher.finish());
        let built = Builder::response(403, &message, from, Some(&tag)).empty();
        Some((built.bytes, response_target(&message, from)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::number::NumberPlan;
    use crate::switch::settings::{
        AnnouncementMode, Cidr, EarlyMedia, IdentityHeader, NumberFormat, Trunk,
    };

    /// Settings whose one trunk trusts this prefix.
    pub(crate) fn settings_trusting(prefix: &str) -> Settings {
        let trunk = Trunk {
            name: "carrier".into(),
            targets: Vec::new(),
            accept_from: vec![Cidr::parse(prefix).unwrap()],
            identity_order: vec![IdentityHeader::From],
            number_format: NumberFormat::E164,
            announcement_mode: None,
        };
        Settings {
            listeners: Vec::new(),
            domain: "sip.example.com".into(),
            plan: NumberPlan::new("91").unwrap(),
            trunks: vec![trunk],
            ring_timeout_secs: 45,
            max_call_secs: 14_400,
            early_media: EarlyMedia::Hide,
            announcement_mode: AnnouncementMode::Answer,
            media_timeout_secs: 120,
        }
    }

    fn door(reject: bool) -> Door {
        let settings = Arc::new(settings_trusting("192.0.2.0/24"));
        Door::new(settings, reject, [7; 16], Arc::default())
    }

    fn request(method: &str) -> String {
        format!(
            "{method} sip:1001@198.51.100.1 SIP/2.0\r\n\
             Via: SIP/2.0/UDP 203.0.113.9:5062;branch=z9hG4bK7;rport\r\n\
             From: <sip:100@1.1.1.1>;tag=x\r\nTo: <sip:1001@198.51.100.1>\r\n\
             Call-ID: scan\r\nCSeq: 1 {method}\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn stranger() -> SocketAddr {
        "203.0.113.9:40000".parse().unwrap()
    }

    #[test]
    fn a_trunk_comes_in_by_its_address_whatever_the_port() {
        let mut door = door(true);
        for from in ["192.0.2.7:5060", "192.0.2.200:1", "[::ffff:192.0.2.9]:5060"] {
            let from = from.parse().unwrap();
            assert_eq!(door.knock(from, b"junk", 0), Knock::Trunk(0));
        }
        assert_eq!(door.counters.strangers.get(), 0);
        assert!(!door.knows(stranger().ip()));
    }

    #[test]
    fn a_stranger_is_dropped_and_counted() {
        let mut door = door(false);
        for i in 0..5 {
            let knock = door.knock(stranger(), request("INVITE").as_bytes(), i);
            assert_eq!(knock, Knock::Stranger);
        }
        assert_eq!(door.counters.strangers.get(), 5);
        assert_eq!(door.counters.strangers_rejected.get(), 0);
    }

    #[test]
    fn a_rejected_stranger_gets_the_same_403_again() {
        let mut door = door(true);
        let invite = request("INVITE");
        let Knock::Answer(first, to) = door.knock(stranger(), invite.as_bytes(), 0) else {
            panic!("no answer")
        };
        assert_eq!(to, stranger());
        let text = String::from_utf8(first.clone()).unwrap();
        assert!(text.starts_with("SIP/2.0 403 "), "{text}");
        assert!(text.contains(";tag="), "{text}");
        assert_eq!(
            door.knock(stranger(), invite.as_bytes(), 9),
            Knock::Answer(first, to)
        );
    }

    #[test]
    fn what_must_not_be_answered_is_not() {
        let mut door = door(true);
        let ack = request("ACK");
        let response = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\n\
                        From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: x\r\n\
                        CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n";
        let no_call_id = request("INVITE").replace("Call-ID: scan\r\n", "");
        for bytes in [ack.as_str(), response, no_call_id.as_str(), "", "\r\n\r\n"] {
            let knock = door.knock(stranger(), bytes.as_bytes(), 0);
            assert_eq!(knock, Knock::Stranger, "{bytes}");
        }
    }

    #[test]
    fn answers_are_limited_and_drops_are_not() {
        let mut door = door(true);
        let options = request("OPTIONS");
        let answered = (0..500)
            .filter(|_| {
                matches!(
                    door.knock(stranger(), options.as_bytes(), 0),
                    Knock::Answer(..)
                )
            })
            .count();
        assert_eq!(answered, crate::io::strangers::REJECTS_PER_SEC as usize);
        assert_eq!(door.counters.strangers.get(), 500);
    }
}
