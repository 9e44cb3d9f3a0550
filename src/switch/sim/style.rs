//! Everything a party writes that means nothing: its number, names, hosts, ids, unknown headers,
//! the order, case and compactness of headers, SDP lines and payload type numbers.
//!
//! Two [`Flavour`]s draw from alphabets with no letter and no digit in common, so two parties of
//! different flavour differ in every byte that DESIGN §3 does not let through.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use super::rng::Rng;
use crate::number::Number;
use crate::phone::sdp::Description;

/// Which alphabet a party's own words come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flavour {
    /// Letters of the first half, digits 1 to 4, plain habits.
    Plain,
    /// Letters of the second half, digits 5 to 8, odd habits.
    Odd,
}

/// What a party's media can do: all of it may cross.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wants {
    /// rtpmap texts in order of preference.
    pub codecs: Vec<&'static str>,
    /// `a=ptime`.
    pub ptime_ms: Option<u32>,
    /// `a=sendrecv` and its kin.
    pub direction: &'static str,
}

/// One party's handwriting.
#[derive(Debug, Clone)]
pub(super) struct Style {
    rng: Rng,
    flavour: Flavour,
    /// Its number.
    pub number: Number,
    /// Its media address.
    pub media: SocketAddr,
    /// The user part of its Contact.
    pub handle: String,
    host: String,
    name: String,
    agent: String,
}

/// Header names and their compact forms (RFC 3261 §7.3.3).
const COMPACT: [(&str, &str); 7] = [
    ("Via", "v"),
    ("From", "f"),
    ("To", "t"),
    ("Call-ID", "i"),
    ("Contact", "m"),
    ("Content-Type", "c"),
    ("Content-Length", "l"),
];

impl Style {
    /// `who` tells parties apart; it decides the number with `flavour`.
    pub(super) fn new(seed: u64, who: u64, flavour: Flavour) -> Style {
        let rng = Rng::new(seed).fork(who * 2 + u64::from(flavour == Flavour::Odd));
        let (net, port) = match flavour {
            Flavour::Plain => (31, 4_000),
            Flavour::Odd => (68, 50_000),
        };
        let media = IpAddr::from([10, 9, net, (who % 200) as u8 + 1]);
        let mut style = Style {
            rng,
            flavour,
            number: number_of(who, flavour),
            media: SocketAddr::new(media, port + 2 * who as u16),
            handle: String::new(),
            host: String::new(),
            name: String::new(),
            agent: String::new(),
        };
        style.handle = style.word(8);
        style.host = format!("{}.{}", style.word(7), style.word(3));
        style.name = format!("{} {}", style.word(6), style.word(9));
        style.agent = format!("{}/{}", style.word(5), style.digits(3));
        style
    }

    /// Letters of the party's own.
    pub(super) fn word(&mut self, length: usize) -> String {
        let first = match self.flavour {
            Flavour::Plain => b'a',
            Flavour::Odd => b'n',
        };
        let letter = |_| char::from(first + self.rng.below(13) as u8);
        (0..length).map(letter).collect()
    }

    /// Digits of the party's own.
    pub(super) fn digits(&mut self, length: usize) -> String {
        let first = match self.flavour {
            Flavour::Plain => b'1',
            Flavour::Odd => b'5',
        };
        let digit = |_| char::from(first + self.rng.below(4) as u8);
        (0..length).map(digit).collect()
    }

    /// A new Call-ID.
    pub(super) fn call_id(&mut self) -> String {
        format!("{}@{}", self.word(18), self.host)
    }

    /// A new branch with the magic cookie.
    pub(super) fn branch(&mut self) -> String {
        format!("z9hG4bK{}", self.word(14))
    }

    /// A first CSeq number.
    pub(super) fn cseq(&mut self) -> u32 {
        self.digits(5).parse().unwrap()
    }

    /// Its own number as it writes it.
    pub(super) fn written(&self) -> String {
        let e164 = self.number.e164();
        match self.flavour {
            Flavour::Plain => e164,
            Flavour::Odd => e164.replace('+', "00"),
        }
    }

    /// Its From (or, with another user, any address of its own).
    pub(super) fn own_address(&self, user: &str) -> String {
        match self.flavour {
            Flavour::Plain => format!("\"{}\" <sip:{user}@{}>", self.name, self.host),
            Flavour::Odd => format!(
                "{} <sip:{user}@{};x-{}=1>",
                self.name,
                self.host,
                self.name.split(' ').next().unwrap_or_default()
            ),
        }
    }

    /// Where it sits in the carrier's network `net`.
    pub(super) fn socket(&self, net: u8) -> SocketAddr {
        let (ip, port) = match (self.media.ip(), self.flavour) {
            (IpAddr::V4(ip), Flavour::Plain) => (ip.octets(), 5061),
            (IpAddr::V4(ip), Flavour::Odd) => (ip.octets(), 27_000 + u16::from(ip.octets()[3])),
            (IpAddr::V6(_), _) => unreachable!("media addresses are IPv4"),
        };
        SocketAddr::new(IpAddr::from([10, net, ip[2], ip[3]]), port)
    }

    /// Record-Route entries of the proxies before it.
    pub(super) fn routes(&mut self, net: u8) -> Vec<String> {
        match self.flavour {
            Flavour::Plain => vec![format!("<sip:10.{net}.31.250;lr>")],
            Flavour::Odd => (0..2)
                .map(|i| {
                    format!(
                        "<sip:{}@10.{net}.68.25{i};lr;x={}>",
                        self.word(4),
                        self.digits(4)
                    )
                })
                .collect(),
        }
    }

    /// P-Asserted-Identity, when it has the habit.
    pub(super) fn asserted(&mut self) -> Option<String> {
        let number = self.number.e164();
        match self.flavour {
            Flavour::Plain => None,
            Flavour::Odd => Some(format!(
                "\"{}\" <tel:{number};x={}>",
                self.word(5),
                self.digits(5)
            )),
        }
    }

    /// A reason phrase.
    pub(super) fn phrase(&mut self) -> String {
        format!("{} {}", self.word(4), self.name)
    }

    /// Prints a message: `fields` are those that mean something, in an order that may change
    /// except among fields of one name.
    pub(super) fn print(
        &mut self,
        first: &str,
        fields: &[(&str, String)],
        sdp: Option<&str>,
    ) -> Vec<u8> {
        let mut all: Vec<(String, String)> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let is_response = first.starts_with("SIP/");
        all.push((
            if is_response { "Server" } else { "User-Agent" }.to_owned(),
            self.agent.clone(),
        ));
        for _ in 0..self.rng.between(1, 4) {
            let name = format!("X-{}", self.word(6));
            all.push((name, format!("{} {}", self.word(5), self.digits(9))));
        }
        all.push(("Subject".to_owned(), self.name.clone()));
        let picture = self.digits(8);
        all.push((
            "Call-Info".to_owned(),
            format!("<http://{}/{picture}>", self.host),
        ));
        all.push((
            "Reason".to_owned(),
            format!("SIP;cause=200;text=\"{}\"", self.name),
        ));
        if self.flavour == Flavour::Odd {
            all.push((
                "Diversion".to_owned(),
                format!("<tel:+{}>", self.digits(10)),
            ));
            all.push(("Priority".to_owned(), self.word(4)));
            self.rng.shuffle(&mut all);
            // Another order, but fields of one name keep theirs (RFC 3261 §7.3.1).
            let mut ordered = fields.to_vec();
            ordered.sort_by(|a, b| b.0.cmp(a.0));
            let mut ordered = ordered.into_iter();
            for (name, value) in &mut all {
                if fields.iter().any(|(n, _)| n == name) {
                    let (n, v) = ordered.next().unwrap();
                    (*name, *value) = (n.to_owned(), v);
                }
            }
        }
        if sdp.is_some() {
            all.push(("Content-Type".to_owned(), "application/sdp".to_owned()));
        }
        let body = sdp.unwrap_or_default();
        all.push(("Content-Length".to_owned(), body.len().to_string()));
        let mut text = format!("{first}\r\n");
        for (name, value) in &all {
            // Writing to a String cannot fail.
            let _ = match self.flavour {
                Flavour::Plain => write!(text, "{name}: {value}\r\n"),
                Flavour::Odd => write!(text, "{}  :\t{value}\r\n", self.odd_name(name)),
            };
        }
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }

    fn odd_name(&mut self, name: &str) -> String {
        let compact = COMPACT.iter().find(|(long, _)| *long == name);
        match compact {
            Some((_, short)) if self.rng.chance(60) => (*short).to_owned(),
            _ => name.to_ascii_uppercase(),
        }
    }

    /// A description with this party's own numbers; an answer keeps those of `offer` when its
    /// habits are plain.
    pub(super) fn sdp(&mut self, wants: &Wants, offer: Option<&Description>) -> String {
        let ip = self.media.ip();
        let (name, session) = (self.word(5), self.digits(6));
        let mut text = format!(
            "v=0\r\no={name} {session} {session} IN IP4 {ip}\r\ns={}\r\n",
            self.word(4)
        );
        let mut line = |args: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{args}\r\n");
        };
        let mut own = self.clone();
        line(format_args!("i={}", own.word(8)));
        if self.flavour == Flavour::Odd {
            line(format_args!("e={}@{}", own.word(4), self.host));
            line(format_args!("b=AS:{}", own.digits(2)));
        }
        line(format_args!("c=IN IP4 {ip}"));
        line(format_args!("t=0 0"));
        line(format_args!("a=tool:{}", self.agent));
        let numbers: Vec<u8> = (0..wants.codecs.len())
            .map(|i| self.payload_type(wants.codecs[i], i as u8, offer))
            .collect();
        let list: String = numbers.iter().map(|n| format!(" {n}")).collect();
        line(format_args!("m=audio {} RTP/AVP{list}", self.media.port()));
        for (number, codec) in numbers.iter().zip(&wants.codecs) {
            line(format_args!("a=rtpmap:{number} {codec}"));
        }
        line(format_args!(
            "a=ssrc:{} cname:{}",
            own.digits(9),
            own.word(9)
        ));
        if let Some(ms) = wants.ptime_ms {
            line(format_args!("a=ptime:{ms}"));
        }
        line(format_args!("a={}", wants.direction));
        line(format_args!("a=X-{}:{}", own.word(4), own.word(6)));
        if self.flavour == Flavour::Odd && offer.is_none() {
            line(format_args!(
                "m=video {} RTP/AVP {}",
                self.media.port() + 40,
                98
            ));
            line(format_args!("a=rtpmap:98 {}/90000", own.word(4)));
        }
        self.rng = own.rng;
        text
    }

    fn payload_type(&self, codec: &str, index: u8, offer: Option<&Description>) -> u8 {
        let fixed = match codec {
            "PCMU/8000" => 0,
            "PCMA/8000" => 8,
            "G722/8000" => 9,
            "x-own/8000" => 120,
            _ => 101,
        };
        match (self.flavour, offer) {
            (Flavour::Plain, Some(offer)) => offer.payload_type(codec).unwrap_or(fixed),
            (Flavour::Plain, None) => fixed,
            (Flavour::Odd, _) => 115 + index,
        }
    }
}

/// The number of party `who`.
pub(super) fn number_of(who: u64, flavour: Flavour) -> Number {
    let (head, zero) = match flavour {
        Flavour::Plain => ("+91", b'1'),
        Flavour::Odd => ("+44", b'5'),
    };
    // Scattered, so that no number is part of another one with its country code.
    let bits = (who + 3).wrapping_mul(0x2545_f491_4f6c_dd1d) >> 17;
    let digit = |place: u32| char::from(zero + ((bits >> (2 * place)) & 3) as u8);
    let digits: String = (0..10).map(digit).collect();
    Number::parse_e164(&format!("{head}{digits}")).unwrap()
}
