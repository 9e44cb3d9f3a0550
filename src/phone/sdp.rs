//! The phones' own SDP (RFC 8866) and offer/answer (RFC 3264): one audio stream.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// A codec under the payload type that one description gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// RTP payload type.
    pub payload_type: u8,
    /// Encoding name and clock rate as in rtpmap, `PCMU/8000`.
    pub encoding: String,
}

impl Codec {
    /// A codec by payload type and rtpmap text.
    pub fn new(payload_type: u8, encoding: &str) -> Codec {
        Codec {
            payload_type,
            encoding: encoding.to_owned(),
        }
    }

    /// Whether this is telephone-event (RFC 4733), which is not audio.
    pub fn is_telephone_event(&self) -> bool {
        self.encoding
            .to_ascii_lowercase()
            .starts_with("telephone-event/")
    }
}

/// What a description says about its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Where its sender wants RTP.
    pub rtp: SocketAddr,
    /// The codecs it takes, most wanted first.
    pub codecs: Vec<Codec>,
}

impl Description {
    /// Prints the description. `session` is the number in `o=` (RFC 8866 §5.2).
    pub fn print(&self, session: u64) -> String {
        let family = if self.rtp.is_ipv4() { "IP4" } else { "IP6" };
        let ip = self.rtp.ip();
        let mut text = format!(
            "v=0\r\no=phone {session} 1 IN {family} {ip}\r\ns=call\r\nc=IN {family} {ip}\r\n\
             t=0 0\r\nm=audio {} RTP/AVP",
            self.rtp.port()
        );
        // Writing to a String cannot fail.
        for codec in &self.codecs {
            let _ = write!(text, " {}", codec.payload_type);
        }
        text.push_str("\r\n");
        for codec in &self.codecs {
            let _ = write!(
                text,
                "a=rtpmap:{} {}\r\n",
                codec.payload_type, codec.encoding
            );
            if codec.is_telephone_event() {
                let _ = write!(text, "a=fmtp:{} 0-15\r\n", codec.payload_type);
            }
        }
        text.push_str("a=ptime:20\r\na=sendrecv\r\n");
        text
    }

    /// Reads the first audio stream of a description.
    pub fn read(body: &[u8]) -> Option<Description> {
        let text = std::str::from_utf8(body).ok()?;
        let mut ip: Option<IpAddr> = None;
        let mut media: Option<(u16, Vec<u8>)> = None;
        let mut names: Vec<(u8, String)> = Vec::new();
        let mut in_audio = false;
        for line in text.lines() {
            if let Some(m) = line.strip_prefix("m=") {
                in_audio = media.is_none() && m.starts_with("audio ");
                if in_audio {
                    let mut words = m.split(' ').skip(1);
                    let port = words.next()?.parse().ok()?;
                    let types = words.skip(1).filter_map(|w| w.parse().ok()).collect();
                    media = Some((port, types));
                }
            } else if let Some(c) = line.strip_prefix("c=") {
                // RFC 8866 §5.7: the stream's own c= goes before the session's.
                if in_audio || media.is_none() {
                    ip = Some(c.split(' ').nth(2)?.parse().ok()?);
                }
            } else if let Some(map) = line.strip_prefix("a=rtpmap:")
                && in_audio
            {
                let (number, name) = map.split_once(' ')?;
                names.push((number.parse().ok()?, name.trim().to_owned()));
            }
        }
        let (port, types) = media?;
        let name_of = |t: &u8| {
            let mapped = names.iter().find(|(n, _)| n == t).map(|(_, s)| s.as_str());
            // RFC 3551 §6: static payload types need no rtpmap.
            Some(Codec::new(
                *t,
                mapped.or(match t {
                    0 => Some("PCMU/8000"),
                    8 => Some("PCMA/8000"),
                    _ => None,
                })?,
            ))
        };
        Some(Description {
            rtp: SocketAddr::new(ip?, port),
            codecs: types.iter().filter_map(name_of).collect(),
        })
    }

    /// The answer of a phone at `rtp` that knows `own` to this offer: the offer's codecs that it
    /// knows too, under the offer's numbers (RFC 3264 §6.1).
    pub fn answer(&self, rtp: SocketAddr, own: &[Codec]) -> Description {
        let known = |c: &&Codec| {
            own.iter()
                .any(|o| o.encoding.eq_ignore_ascii_case(&c.encoding))
        };
        Description {
            rtp,
            codecs: self.codecs.iter().filter(known).cloned().collect(),
        }
    }

    /// The payload type for an encoding, in this description's numbering.
    pub fn payload_type(&self, encoding: &str) -> Option<u8> {
        self.codecs
            .iter()
            .find(|c| c.encoding.eq_ignore_ascii_case(encoding))
            .map(|c| c.payload_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_back() {
        let offer = Description {
            rtp: "127.0.0.1:4000".parse().unwrap(),
            codecs: vec![
                Codec::new(8, "PCMA/8000"),
                Codec::new(97, "telephone-event/8000"),
            ],
        };
        assert_eq!(
            Description::read(offer.print(5).as_bytes()),
            Some(offer.clone())
        );
        assert_eq!(offer.payload_type("Telephone-Event/8000"), Some(97));
    }

    #[test]
    fn static_types_and_a_streams_own_address() {
        let text = "v=0\nc=IN IP4 192.0.2.1\nm=audio 10 RTP/AVP 0 96\nc=IN IP4 192.0.2.2\n\
                    m=video 12 RTP/AVP 99\nc=IN IP4 192.0.2.3\n";
        let read = Description::read(text.as_bytes()).unwrap();
        assert_eq!(read.rtp, "192.0.2.2:10".parse().unwrap());
        assert_eq!(read.codecs, vec![Codec::new(0, "PCMU/8000")]);
    }

    #[test]
    fn an_answer_keeps_the_offers_numbers_and_order() {
        let offer = Description {
            rtp: "127.0.0.1:4000".parse().unwrap(),
            codecs: vec![
                Codec::new(110, "telephone-event/8000"),
                Codec::new(18, "G729/8000"),
                Codec::new(0, "PCMU/8000"),
            ],
        };
        let own = [
            Codec::new(0, "PCMU/8000"),
            Codec::new(101, "telephone-event/8000"),
        ];
        let answer = offer.answer("127.0.0.1:5000".parse().unwrap(), &own);
        let types: Vec<u8> = answer.codecs.iter().map(|c| c.payload_type).collect();
        assert_eq!(types, [110, 0]);
    }
}
