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
        let port: u16 = port.parse().map_err(|_| Malformed::Media)?;
        let protocol = Protocol::from_name(next()?);
        let formats: Vec<&str> = words.take(MAX_FORMATS + 1).collect();
        // A rejected section without a format is a slip that harms nobody.
        if formats.is_empty() && port != 0 {
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
        let (Some(network), Some(family), Some(address), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(Malformed::Connection);
        };
        self.address
            .get_or_insert(unicast(network, family, address));
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
                    (Some(network), Some(family), Some(address)) => {
                        unicast(network, family, address)
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

/// An address we may send to; `None` for a network or family we do not know, for a host name,
/// which we do not resolve for a peer, and for multicast and broadcast, which no call has.
fn unicast(network: &str, family: &str, address: &str) -> Option<IpAddr> {
    let ip = match (network, family) {
        ("IN", "IP4") => IpAddr::V4(address.parse().ok()?),
        ("IN", "IP6") => IpAddr::V6(address.parse().ok()?),
        _ => return None,
    };
    let ip = ip.to_canonical();
    let broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
    (!ip.is_multicast() && !broadcast).then_some(ip)
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

#[cfg(test)]
mod tests {
    use super::super::codec::CodecKind;
    use super::*;

    fn read(text: &str) -> Session {
        parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// One audio section with these lines behind a usual head.
    fn audio(lines: &str) -> Media {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        let session = read(&format!("{head}{}", lines.replace('\n', "\r\n")));
        session.media.into_iter().next().unwrap()
    }

    fn names(media: &Media) -> Vec<(u8, &'static str, u32)> {
        let of = |f: &Format| (f.payload_type, f.codec.kind.name(), f.codec.clock);
        media.formats.iter().map(of).collect()
    }

    #[test]
    fn a_usual_offer_is_read() {
        let m = audio(
            "m=audio 49170 RTP/AVP 8 0 96 101 13 99\n\
             a=rtpmap:96 AMR/8000\na=fmtp:96 mode-set=7; octet-align=1\n\
             a=rtpmap:101 telephone-event/8000\na=fmtp:101 0-16\n\
             a=ptime:20\na=maxptime:150\na=sendonly\na=rtcp:53020\nb=RS:0\nb=RR:0\n",
        );
        assert_eq!(
            (m.kind, m.protocol, m.port),
            (MediaKind::Audio, Protocol::RtpAvp, 49170)
        );
        assert_eq!(m.rtp_address(), Some("192.0.2.1:49170".parse().unwrap()));
        assert_eq!(m.rtcp_address(), Some("192.0.2.1:53020".parse().unwrap()));
        assert_eq!(
            names(&m),
            [
                (8, "PCMA", 8000),
                (0, "PCMU", 8000),
                (96, "AMR", 8000),
                (101, "telephone-event", 8000)
            ]
        );
        assert_eq!(m.formats[2].codec.param, Some(1));
        assert_eq!(m.unmapped, [99], "13, comfort noise, is static");
        assert_eq!((m.ptime_ms, m.maxptime_ms), (Some(20), Some(150)));
        assert_eq!(m.direction, Direction::SendOnly);
        assert!(m.rs_zero && m.rr_zero && m.is_held() && m.has_audio_codec());
    }

    #[test]
    fn rtpmaps_are_read_as_they_are_written() {
        // rtpmap, codec and clock.
        let table = [
            ("pcmu/8000", Some((CodecKind::Pcmu, 8_000))),
            ("PCMA/8000/1", Some((CodecKind::Pcma, 8_000))),
            ("PCMA/8000/2", None),
            ("PCMA/16000", None),
            ("G722/8000", Some((CodecKind::G722, 8_000))),
            ("G722/16000", Some((CodecKind::G722, 8_000))),
            ("G729A/8000", Some((CodecKind::G729, 8_000))),
            ("opus/48000/2", Some((CodecKind::Opus, 48_000))),
            ("opus/48000", None),
            ("AMR-WB/16000", Some((CodecKind::AmrWb, 16_000))),
            ("AMR-WB/16000/1", Some((CodecKind::AmrWb, 16_000))),
            (
                "telephone-event/48000",
                Some((CodecKind::TelephoneEvent, 48_000)),
            ),
            ("telephone-event/44100", None),
            ("telephone-event", None),
            ("SILK/16000", None),
            ("PCMU/8000/1/1", None),
            ("PCMU/-8000", None),
            ("", None),
        ];
        for (rtpmap, codec) in table {
            let m = audio(&format!("m=audio 4 RTP/AVP 97\na=rtpmap:97 {rtpmap}\n"));
            let read = m.formats.first().map(|f| (f.codec.kind, f.codec.clock));
            assert_eq!(read, codec, "{rtpmap}");
        }
    }

    #[test]
    fn only_bounded_parameters_are_kept() {
        // Payload type and rtpmap, fmtp, parameter.
        let table = [
            ("18 G729/8000", "annexb=no", Some(0)),
            ("18 G729/8000", "ANNEXB=YES;x=y", Some(1)),
            ("18 G729/8000", "annexb=9876543210", None),
            ("97 iLBC/8000", "mode=20", Some(20)),
            ("97 iLBC/8000", "mode=25", None),
            ("97 AMR/8000", "mode-set=0; octet-align = 0", Some(0)),
            ("97 AMR/8000", "octet-align=2", None),
            ("97 opus/48000/2", "useinbandfec=1; stereo=1", Some(1)),
            ("97 telephone-event/8000", "0-15,66", None),
            ("0 PCMU/8000", "octet-align=1", None),
        ];
        for (rtpmap, fmtp, param) in table {
            let pt = rtpmap.split(' ').next().unwrap();
            // fmtp before rtpmap: the order of attributes is free.
            let m = audio(&format!(
                "m=audio 4 RTP/AVP {pt}\na=fmtp:{pt} {fmtp}\na=rtpmap:{rtpmap}\n"
            ));
            assert_eq!(m.formats[0].codec.param, param, "{rtpmap} {fmtp}");
        }
    }

    #[test]
    fn a_codec_counts_once() {
        let m = audio(
            "m=audio 4 RTP/AVP 0 97 0 98 99 101 102\na=rtpmap:97 PCMU/8000\n\
             a=rtpmap:98 iLBC/8000\na=fmtp:98 mode=20\na=rtpmap:99 iLBC/8000\n\
             a=rtpmap:101 telephone-event/8000\na=rtpmap:102 telephone-event/8000\n",
        );
        let numbers: Vec<u8> = m.formats.iter().map(|f| f.payload_type).collect();
        assert_eq!(numbers, [0, 98, 99, 101]);
    }

    #[test]
    fn sections_inherit_from_the_session() {
        let s = read(
            "v=0\nc=IN IP4 192.0.2.1\na=recvonly\na=ptime:30\nb=RS:0\n\
             m=audio 4000 RTP/AVP 0\n\
             m=audio 5000 RTP/AVP 0\nc=IN IP6 2001:db8::7\na=inactive\na=ptime:20\na=rtcp:9 IN IP4 192.0.2.5\nb=RS:800\n",
        );
        let [first, second] = s.media.as_slice() else {
            panic!("two sections")
        };
        assert_eq!(
            first.rtcp_address(),
            Some("192.0.2.1:4001".parse().unwrap())
        );
        assert_eq!(
            (first.direction, first.ptime_ms),
            (Direction::RecvOnly, Some(30))
        );
        assert!(first.rs_zero && !first.is_held());
        assert_eq!(
            second.rtp_address(),
            Some("[2001:db8::7]:5000".parse().unwrap())
        );
        assert_eq!(second.rtcp_address(), Some("192.0.2.5:9".parse().unwrap()));
        assert_eq!(
            (second.direction, second.ptime_ms),
            (Direction::Inactive, Some(20))
        );
        assert!(!second.rs_zero && second.is_held());
    }

    #[test]
    fn addresses_we_would_not_send_to_are_none() {
        for (connection, address) in [
            ("IN IP4 192.0.2.1", Some("192.0.2.1")),
            ("IN IP4 0.0.0.0", Some("0.0.0.0")),
            ("IN IP6 ::ffff:192.0.2.1", Some("192.0.2.1")),
            ("IN IP4 224.2.1.1/127", None),
            ("IN IP4 224.2.1.1", None),
            ("IN IP4 255.255.255.255", None),
            ("IN IP6 ff02::1", None),
            ("IN IP4 host.example.com", None),
            ("IN IP6 192.0.2.1", None),
            ("ATM NSAP 47.0091", None),
        ] {
            let s = read(&format!("v=0\nc={connection}\nm=audio 4 RTP/AVP 0\n"));
            let expected = address.map(|a| a.parse().unwrap());
            assert_eq!(s.media[0].address, expected, "{connection}");
            assert_eq!(s.audio().is_some(), address.is_some());
        }
        let held = read("v=0\nc=IN IP4 0.0.0.0\nm=audio 4 RTP/AVP 0\n");
        assert!(held.media[0].is_held());
    }

    #[test]
    fn the_first_section_we_can_relay_is_the_audio() {
        let s = read(
            "v=0\nc=IN IP4 192.0.2.1\nm=video 6 RTP/AVP 31\nm=audio 6 RTP/SAVP 0\n\
             m=audio 0 RTP/AVP\nm=audio 8/2 RTP/AVP 8\nm=audio 10 RTP/AVP 0\n",
        );
        assert_eq!(s.audio().map(|(i, m)| (i, m.port)), Some((3, 8)));
        assert_eq!(s.media[1].protocol, Protocol::RtpSavp);
    }

    #[test]
    fn malformed_bodies_have_their_reason() {
        use Malformed::*;
        let line = "v=0\nc=IN IP4 192.0.2.1\n";
        let table = [
            (String::new(), Version),
            ("\r\n".into(), Version),
            ("o=- 1 1 IN IP4 192.0.2.1\nv=0\n".into(), Version),
            ("v=1\n".into(), Version),
            (format!("{line}nonsense\n"), Line),
            (format!("{line}1=x\n"), Line),
            (
                "v=0\rc=IN IP4 192.0.2.1\rm=audio 4 RTP/AVP 0\r".into(),
                Line,
            ),
            (format!("{line}s=a\0b\n"), Line),
            (format!("{line}c=IN IP4\n"), Connection),
            (format!("{line}c=IN IP4 1.2.3.4 5\n"), Connection),
            (format!("{line}m=audio\n"), Media),
            (format!("{line}m=audio x RTP/AVP 0\n"), Media),
            (format!("{line}m=audio 65536 RTP/AVP 0\n"), Media),
            (format!("{line}m=audio 4 RTP/AVP\n"), Media),
            (
                format!("{line}{}", "m=audio 4 RTP/AVP 0\n".repeat(MAX_MEDIA + 1)),
                TooManyMedia,
            ),
            (
                format!("{line}m=audio 4 RTP/AVP{}\n", " 0".repeat(MAX_FORMATS + 1)),
                TooManyFormats,
            ),
            (format!("{line}s={}\n", "x".repeat(MAX_BODY)), TooLong),
        ];
        for (text, malformed) in table {
            assert_eq!(parse(text.as_bytes()), Err(malformed), "{text:.80}");
        }
    }

    #[test]
    fn unknown_lines_and_foreign_characters_are_passed_over() {
        let s = parse(
            b"v=0\r\ns=Fran\xe7ois\r\nk=clear:x\r\nz=0 0\r\nc=IN IP4 192.0.2.1\r\n\
              m=audio 4 RTP/AVP 0 200 x -1\r\ni=\xff\r\na=\r\na=rtpmap:x\r\na=ptime:x\r\na=ptime:0\r\na=rtcp:0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(s.media[0].formats.len(), 1);
        assert_eq!((s.media[0].ptime_ms, s.media[0].rtcp), (None, None));
    }
}
