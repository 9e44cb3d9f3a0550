//! The reader of session descriptions (RFC 8866 §5, §9). Lines are looked at one by one and
//! forgotten; only what the model has room for is kept.

use std::net::{IpAddr, SocketAddr};

use super::codec::{Codec, Direction, Format};
use super::malformed::Malformed;
use super::session::{Media, MediaKind, Protocol, Session};
use super::{MAX_BODY, MAX_FORMATS, MAX_MEDIA, MAX_PTIME_MS};

pub(super) fn parse(body: &[u8]) -> Result<Session, Malformed> {
    if body.len() > MAX_BODY {
        return Err(Malformed::TooLong);
    }
    let mut common = Section::default();
    let mut sections: Vec<Section> = Vec::new();
    let mut begun = false;
    for line in lines(body) {
        let (letter, value) = line?;
        if !begun {
            // RFC 8866 §5.1: `v=0` comes first.
            if letter != b'v' || value != "0" {
                return Err(Malformed::Version);
            }
            begun = true;
            continue;
        }
        if letter == b'm' {
            if sections.len() == MAX_MEDIA {
                return Err(Malformed::TooManyMedia);
            }
            sections.push(Section::begin(&value)?);
            continue;
        }
        let section = sections.last_mut().unwrap_or(&mut common);
        match letter {
            b'c' => section.connection(&value)?,
            b'a' => section.attribute(&value),
            b'b' => section.bandwidth(&value),
            // All else is free text or says nothing to a relay.
            _ => {}
        }
    }
    if !begun {
        return Err(Malformed::Version);
    }
    let media = sections.into_iter().map(|s| s.finish(&common)).collect();
    Ok(Session { media })
}

/// Letter and value of each line. Values need not be UTF-8 (RFC 8866 §6.10 lets a description
/// choose its character set); nothing of such a one is kept.
fn lines(body: &[u8]) -> impl Iterator<Item = Result<(u8, std::borrow::Cow<'_, str>), Malformed>> {
    body.split(|b| *b == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line {
            // Empty lines at the end are a common slip and harmless anywhere.
            [] => None,
            _ if line.iter().any(|b| matches!(b, b'\r' | 0)) => Some(Err(Malformed::Line)),
            [letter, b'=', value @ ..] if letter.is_ascii_alphabetic() => {
                Some(Ok((*letter, String::from_utf8_lossy(value))))
            }
            _ => Some(Err(Malformed::Line)),
        }
    })
}

/// One section while it is read; the part before the first `m=` is one too.
#[derive(Default)]
struct Section {
    kind: Option<MediaKind>,
    protocol: Option<Protocol>,
    port: u16,
    /// `Some(None)`: there is a `c=` line, but with an address we cannot use.
    address: Option<Option<IpAddr>>,
    rtcp: Option<(u16, Option<IpAddr>)>,
    payload_types: Vec<u8>,
    /// Payload type and codec of each rtpmap; `None` for a codec we do not know.
    rtpmaps: Vec<(u8, Option<Codec>)>,
    /// Payload type and value of each fmtp, until the rtpmaps are all known.
    fmtps: Vec<(u8, String)>,
    ptime_ms: Option<u32>,
    maxptime_ms: Option<u32>,
    direction: Option<Direction>,
    rs_zero: Option<bool>,
    rr_zero: Option<bool>,
}

impl Section {
    /// `<media> <port>[/<number>] <proto> <fmt> …` (RFC 8866 §5.14).
    fn begin(value: &str) -> Result<Section, Malformed> {
        let mut words = value.split_ascii_whitespace();
        let mut next = || words.next().ok_or(Malformed::Media);
        let kind = MediaKind::from_name(next()?);
        let port = next()?.split('/').next().unwrap_or_default();
        let port = port.parse().map_err(|_| Malformed::Media)?;
        let protocol = Protocol::from_name(next()?);
        let formats: Vec<&str> = words.take(MAX_FORMATS + 1).collect();
        if formats.is_empty() {
            return Err(Malformed::Media);
        }
        if formats.len() > MAX_FORMATS {
            return Err(Malformed::TooManyFormats);
        }
        let mut payload_types: Vec<u8> = Vec::new();
        for format in formats {
            match payload_type(format) {
                Some(pt) if !payload_types.contains(&pt) => payload_types.push(pt),
                _ => {}
            }
        }
        Ok(Section {
            kind: Some(kind),
            protocol: Some(protocol),
            port,
            payload_types,
            ..Section::default()
        })
    }

    /// `<nettype> <addrtype> <address>` (RFC 8866 §5.7). Of several the first counts.
    fn connection(&mut self, value: &str) -> Result<(), Malformed> {
        let mut words = value.split_ascii_whitespace();
        let (Some("IN"), Some(family), Some(address), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Malformed::Connection);
        };
        let address = unicast(family, address)?;
        self.address.get_or_insert(address);
        Ok(())
    }

    fn attribute(&mut self, value: &str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        match name {
            "rtpmap" if self.rtpmaps.len() < MAX_FORMATS => {
                if let Some((pt, codec)) = numbered(value) {
                    self.rtpmaps.push((pt, Codec::from_rtpmap(codec)));
                }
            }
            "fmtp" if self.fmtps.len() < MAX_FORMATS => {
                if let Some((pt, value)) = numbered(value) {
                    self.fmtps.push((pt, value.to_owned()));
                }
            }
            "ptime" => self.ptime_ms = packet_time(value),
            "maxptime" => self.maxptime_ms = packet_time(value),
            // RFC 3605 §2.1: `port [nettype addrtype address]`.
            "rtcp" => {
                let mut words = value.split_ascii_whitespace();
                let port = words.next().and_then(|p| p.parse().ok());
                let address = match (words.next(), words.next(), words.next()) {
                    (Some("IN"), Some(family), Some(address)) => {
                        unicast(family, address).ok().flatten()
                    }
                    _ => None,
                };
                self.rtcp = port.filter(|p| *p != 0).map(|port| (port, address));
            }
            _ => {
                if let Some(direction) = Direction::from_name(name) {
                    self.direction = Some(direction);
                }
            }
        }
    }

    fn bandwidth(&mut self, value: &str) {
        match value.split_once(':') {
            Some(("RS", bits)) => self.rs_zero = Some(bits.trim() == "0"),
            Some(("RR", bits)) => self.rr_zero = Some(bits.trim() == "0"),
            _ => {}
        }
    }

    /// Fills in what the session says for all sections (RFC 8866 §5.7, §6.7).
    fn finish(self, common: &Section) -> Media {
        let address = self.address.or(common.address).flatten();
        let rtcp = self.rtcp.and_then(|(port, own)| {
            let ip = own.or(address)?;
            Some(SocketAddr::new(ip, port))
        });
        let (formats, unmapped) = self.formats();
        Media {
            kind: self.kind.unwrap_or(MediaKind::Other),
            protocol: self.protocol.unwrap_or(Protocol::Other),
            port: self.port,
            address,
            rtcp,
            formats,
            unmapped,
            ptime_ms: self.ptime_ms.or(common.ptime_ms),
            maxptime_ms: self.maxptime_ms.or(common.maxptime_ms),
            direction: self
                .direction
                .or(common.direction)
                .unwrap_or(Direction::SendRecv),
            rs_zero: self.rs_zero.or(common.rs_zero).unwrap_or(false),
            rr_zero: self.rr_zero.or(common.rr_zero).unwrap_or(false),
        }
    }

    /// The codecs we know in the order of the `m=` line, and the dynamic payload types nobody
    /// explains.
    fn formats(&self) -> (Vec<Format>, Vec<u8>) {
        let mut formats: Vec<Format> = Vec::new();
        let mut unmapped = Vec::new();
        for &payload_type in &self.payload_types {
            let mapped = self.rtpmaps.iter().find(|(pt, _)| *pt == payload_type);
            let codec = match mapped {
                Some((_, codec)) => *codec,
                None => Codec::of_static(payload_type),
            };
            let Some(mut codec) = codec else {
                // RFC 3551 §3: 96 to 127 mean nothing by themselves.
                if mapped.is_none() && payload_type >= 96 {
                    unmapped.push(payload_type);
                }
                continue;
            };
            if let Some((_, value)) = self.fmtps.iter().find(|(pt, _)| *pt == payload_type) {
                codec.read_fmtp(value);
            }
            // A codec under two numbers is one codec to us: the first number counts.
            if !formats.iter().any(|f| f.codec == codec) {
                formats.push(Format {
                    payload_type,
                    codec,
                });
            }
        }
        (formats, unmapped)
    }
}

/// An address we may send to; `Ok(None)` for a host name, which we do not resolve for a peer,
/// and for multicast and broadcast, which no call has.
fn unicast(family: &str, address: &str) -> Result<Option<IpAddr>, Malformed> {
    // RFC 8866 §5.7: `/ttl` and `/count` follow multicast addresses only.
    let literal = address.split('/').next().unwrap_or_default();
    let ip = match family {
        "IP4" => literal.parse().map(IpAddr::V4).ok(),
        "IP6" => literal.parse().map(IpAddr::V6).ok(),
        _ => return Err(Malformed::Connection),
    };
    let ip = ip.map(|ip: IpAddr| ip.to_canonical());
    Ok(ip.filter(|ip| {
        let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        !ip.is_multicast() && !broadcast && literal.len() == address.len()
    }))
}

/// RFC 3551 §6: 0 to 127.
fn payload_type(text: &str) -> Option<u8> {
    text.parse().ok().filter(|pt| *pt < 128)
}

/// `<payload type> <value>`.
fn numbered(value: &str) -> Option<(u8, &str)> {
    let (pt, value) = value.trim().split_once([' ', '\t'])?;
    Some((payload_type(pt)?, value.trim()))
}

fn packet_time(value: &str) -> Option<u32> {
    let ms = value.trim().parse().ok()?;
    (1..=MAX_PTIME_MS).contains(&ms).then_some(ms)
}
