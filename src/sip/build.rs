//! The writer of our messages: start line, headers in the order they are given, body with its
//! Content-Length last (RFC 3261 §7, §8.2.6).
//!
//! Whatever is put in, a line break can never come out of a value: control characters are left
//! out of what we write, and echoed values are unfolded.

use std::fmt::{self, Display, Write as _};
use std::net::SocketAddr;

use super::MAX_ECHO;
use super::header::Header;
use super::message::Message;
use super::method::Method;
use super::phrase::reason_phrase;
use super::text::{cut, is_lws};
use super::value::{NameAddr, Via};

/// A finished message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The whole message.
    pub bytes: Vec<u8>,
    /// Where what we wrote ourselves begins: 0 in a request; in a response behind the status
    /// line (a constant) and the headers echoed from the request.
    pub own_from: usize,
}

/// Writes one message.
#[derive(Debug, Clone)]
pub struct Builder {
    bytes: Vec<u8>,
    own_from: usize,
    /// Bytes of the peer that may still be echoed.
    echo_left: usize,
}

/// Room for the usual message, so that it is written without growing.
const USUAL_LENGTH: usize = 1024;

impl Builder {
    /// Begins a request.
    pub fn request(method: Method, uri: &[u8]) -> Builder {
        let mut builder = Builder::empty_builder();
        builder.bytes.extend_from_slice(method.as_str().as_bytes());
        builder.bytes.push(b' ');
        // A Request-URI holds neither white space nor controls (RFC 3261 §7.1).
        let visible = uri.iter().filter(|b| **b > b' ' && **b != 0x7f);
        builder.bytes.extend(visible);
        builder.bytes.extend_from_slice(b" SIP/2.0\r\n");
        builder
    }

    /// Begins a response to a request that came from `source`.
    ///
    /// Writes the status line with our own phrase, then the echoed headers of RFC 3261 §8.2.6.2:
    /// every Via, the topmost completed with `received` and `rport` (§18.2.1, RFC 3581 §4),
    /// From, To with `to_tag` when it has no tag, Call-ID and CSeq. What a malformed request
    /// lacks is left out. At most [`MAX_ECHO`] bytes are echoed.
    pub fn response(
        status: u16,
        request: &Message<'_>,
        source: SocketAddr,
        to_tag: Option<&str>,
    ) -> Builder {
        let mut builder = Builder::empty_builder();
        let phrase = reason_phrase(status);
        builder.push_fmt(format_args!("SIP/2.0 {status} {phrase}"));
        builder.bytes.extend_from_slice(b"\r\n");
        let mut vias = request.elements(Header::Via);
        if let Some(top) = vias.next() {
            builder.echo_top_via(top, source);
        }
        for via in vias {
            builder.echo_with(Header::Via, via, "");
        }
        if let Some(from) = request.first(Header::From) {
            builder.echo_with(Header::From, from, "");
        }
        if let Some(to) = request.first(Header::To) {
            let tagged = NameAddr::parse(to).is_ok_and(|to| to.params.has("tag"));
            match to_tag {
                Some(tag) if !tagged => builder.echo_with(Header::To, to, &format!(";tag={tag}")),
                _ => builder.echo_with(Header::To, to, ""),
            }
        }
        for header in [Header::CallId, Header::CSeq] {
            if let Some(value) = request.first(header) {
                builder.echo_with(header, value, "");
            }
        }
        // RFC 3261 §8.2.6.1: a 100 gives the Timestamp back. Its grammar has digits only.
        let timestamp = request.first(Header::Timestamp).filter(|_| status == 100);
        if let Some(value) = timestamp.filter(|v| is_timestamp(v)) {
            builder.echo_with(Header::Timestamp, value, "");
        }
        builder.own_from = builder.bytes.len();
        builder
    }

    fn empty_builder() -> Builder {
        Builder {
            bytes: Vec::with_capacity(USUAL_LENGTH),
            own_from: 0,
            echo_left: MAX_ECHO,
        }
    }

    /// Echoes the request's Record-Route, in order (RFC 3261 §12.1.1). Before any `header`.
    pub fn echo_record_route(&mut self, request: &Message<'_>) -> &mut Builder {
        debug_assert_eq!(self.own_from, self.bytes.len(), "echo before header");
        for value in request.all(Header::RecordRoute) {
            self.echo_with(Header::RecordRoute, value, "");
        }
        self.own_from = self.bytes.len();
        self
    }

    /// Repeats to a peer a value of its own, unfolded: in a dialog its route set and the two
    /// addresses. Before [`Builder::own_from_here`].
    pub fn echo(&mut self, header: Header, value: &[u8]) -> &mut Builder {
        self.echo_with(header, value, "");
        self
    }

    /// What was written so far repeats the peer; what follows is ours.
    pub fn own_from_here(&mut self) -> &mut Builder {
        self.own_from = self.bytes.len();
        self
    }

    /// Adds a header line. Control characters in the value are left out.
    pub fn header(&mut self, header: Header, value: impl Display) -> &mut Builder {
        self.raw_header(header.name(), value)
    }

    /// Adds a header line of a name that [`Header`] does not have.
    pub fn raw_header(&mut self, name: &'static str, value: impl Display) -> &mut Builder {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.push_fmt(format_args!("{value}"));
        self.bytes.extend_from_slice(b"\r\n");
        self
    }

    /// Ends the message with a body.
    pub fn body(mut self, content_type: &'static str, body: &[u8]) -> Built {
        self.header(Header::ContentType, content_type);
        self.header(Header::ContentLength, body.len());
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes.extend_from_slice(body);
        self.built()
    }

    /// Ends the message without a body.
    pub fn empty(mut self) -> Built {
        self.header(Header::ContentLength, 0);
        self.bytes.extend_from_slice(b"\r\n");
        self.built()
    }

    /// Ends the message with what an earlier one had from its `own_from` on, headers and body.
    pub fn ending(mut self, own: &[u8]) -> Built {
        self.bytes.extend_from_slice(own);
        self.built()
    }

    fn built(self) -> Built {
        Built {
            bytes: self.bytes,
            own_from: self.own_from,
        }
    }

    /// Echoes one value of the peer, unfolded, with `added` of ours behind it.
    fn echo_with(&mut self, header: Header, value: &[u8], added: &str) {
        if value.len() > self.echo_left {
            return;
        }
        self.echo_left -= value.len();
        self.bytes.extend_from_slice(header.name().as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.push_unfolded(value);
        self.bytes.extend_from_slice(added.as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn echo_top_via(&mut self, top: &[u8], source: SocketAddr) {
        let Ok(via) = Via::parse(top) else {
            // The answer to a malformed Via goes back as it came.
            return self.echo_with(Header::Via, top, "");
        };
        if top.len() > self.echo_left {
            return;
        }
        self.echo_left -= top.len();
        let source_ip = source.ip().to_canonical();
        self.bytes.extend_from_slice(b"Via: ");
        let before = cut(top, top.len() - via.params.raw().len()).0;
        self.push_unfolded(super::text::trim(before));
        for (name, value) in via.params.iter() {
            // A sender's own `received` is not believed (RFC 3261 §18.2.1).
            if name.eq_ignore_ascii_case(b"received") {
                continue;
            }
            self.bytes.push(b';');
            self.push_unfolded(name);
            if via.rport && name.eq_ignore_ascii_case(b"rport") {
                self.push_fmt(format_args!("={}", source.port()));
            } else if let Some(value) = value {
                self.bytes.push(b'=');
                self.push_unfolded(value);
            }
        }
        // RFC 3261 §18.2.1: `received` when sent-by is a name or another address; RFC 3581 §4:
        // always beside `rport`.
        let differs = via.host_address().map(|ip| ip.to_canonical()) != Some(source_ip);
        if via.rport || differs {
            self.push_fmt(format_args!(";received={source_ip}"));
        }
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Writes a value of the peer on one line: each run of white space with a line break in it
    /// becomes one space (RFC 3261 §7.3.1).
    fn push_unfolded(&mut self, value: &[u8]) {
        let mut rest = value;
        while let Some(at) = rest.iter().position(|b| matches!(b, b'\r' | b'\n')) {
            let (before, fold) = cut(rest, at);
            self.bytes.extend_from_slice(super::text::trim_end(before));
            self.bytes.push(b' ');
            let end = fold.iter().position(|b| !is_lws(*b)).unwrap_or(fold.len());
            rest = cut(fold, end).1;
        }
        self.bytes.extend_from_slice(rest);
    }

    fn push_fmt(&mut self, value: fmt::Arguments<'_>) {
        struct Line<'a>(&'a mut Vec<u8>);
        impl fmt::Write for Line<'_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                let safe = text.bytes().filter(|b| !b.is_ascii_control());
                self.0.extend(safe);
                Ok(())
            }
        }
        // Only a value's own `Display` can fail, and then the line is what it wrote so far.
        let _ = Line(&mut self.bytes).write_fmt(value);
    }
}

/// RFC 3261 §20.38: seconds with a fraction.
fn is_timestamp(value: &[u8]) -> bool {
    value.len() <= 32 && value.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "198.51.100.7:40000";

    fn respond(request: &str, status: u16, tag: Option<&str>) -> String {
        let message = Message::scan(request.as_bytes()).unwrap();
        let mut builder = Builder::response(status, &message, SOURCE.parse().unwrap(), tag);
        builder.echo_record_route(&message);
        builder.header(Header::Server, "callmask");
        let built = builder.empty();
        let own = &built.bytes[built.own_from..];
        assert_eq!(own, b"Server: callmask\r\nContent-Length: 0\r\n\r\n");
        String::from_utf8(built.bytes).unwrap()
    }

    #[test]
    fn a_response_echoes_what_rfc_3261_8_2_6_2_asks_for() {
        let request = "INVITE sip:x@y SIP/2.0\r\n\
            v: SIP/2.0/UDP h.example;rport;\r\n received=1.2.3.4;branch=z9hG4bKa, SIP/2.0/TCP b\r\n\
            Via:SIP/2.0/UDP c\r\n\
            f: \"A\"\r\n\t <sip:a@b>;tag=1\r\n\
            t: sip:x@y\r\n\
            Record-Route: <sip:p1;lr>,\r\n <sip:p2;lr>\r\n\
            Subject: secret\r\n\
            i: c1\r\n\
            CSeq:  7   INVITE\r\n\
            Record-Route: <sip:p3;lr>\r\n\
            Timestamp: 54.2\r\n\r\n";
        assert_eq!(
            respond(request, 180, Some("our")),
            "SIP/2.0 180 Ringing\r\n\
             Via: SIP/2.0/UDP h.example;rport=40000;branch=z9hG4bKa;received=198.51.100.7\r\n\
             Via: SIP/2.0/TCP b\r\n\
             Via: SIP/2.0/UDP c\r\n\
             From: \"A\" <sip:a@b>;tag=1\r\n\
             To: sip:x@y;tag=our\r\n\
             Call-ID: c1\r\n\
             CSeq: 7   INVITE\r\n\
             Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\n\
             Record-Route: <sip:p3;lr>\r\n\
             Server: callmask\r\nContent-Length: 0\r\n\r\n"
        );
        let trying = respond(request, 100, None);
        assert!(trying.contains("\r\nTo: sip:x@y\r\n"));
        assert!(trying.contains("\r\nTimestamp: 54.2\r\n"));
    }

    #[test]
    fn a_tag_the_request_has_is_left_alone() {
        let request = "BYE sip:x@y SIP/2.0\r\nTo: <sip:x@y>;tag=theirs\r\n\r\n";
        assert!(respond(request, 200, Some("our")).contains("To: <sip:x@y>;tag=theirs\r\n"));
    }

    #[test]
    fn received_is_added_only_when_it_says_something() {
        let top = |sent_by: &str| {
            let request = format!("BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP {sent_by}\r\n\r\n");
            let response = respond(&request, 200, None);
            response.lines().nth(1).unwrap().to_owned()
        };
        assert_eq!(
            top("198.51.100.7:5060;branch=b"),
            "Via: SIP/2.0/UDP 198.51.100.7:5060;branch=b"
        );
        assert_eq!(
            top("198.51.100.7;rport;branch=b"),
            "Via: SIP/2.0/UDP 198.51.100.7;rport=40000;branch=b;received=198.51.100.7"
        );
        assert_eq!(
            top("h;branch=b"),
            "Via: SIP/2.0/UDP h;branch=b;received=198.51.100.7"
        );
        assert_eq!(
            top("[2001:db8::1]"),
            "Via: SIP/2.0/UDP [2001:db8::1];received=198.51.100.7"
        );
        assert_eq!(
            top("h i;branch=b"),
            "Via: SIP/2.0/UDP h i;branch=b",
            "unreadable: as it came"
        );
    }

    #[test]
    fn no_line_break_comes_out_of_a_value() {
        let uri = b"sip:a@b\r\nX: y";
        let mut builder = Builder::request(Method::Invite, uri);
        builder.header(Header::Reason, "a\r\nEvil: 1\n\0b");
        let bytes = builder.empty().bytes;
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "INVITE sip:a@bX:y SIP/2.0\r\nReason: aEvil: 1b\r\nContent-Length: 0\r\n\r\n"
        );
        let lone_cr = "BYE sip:x SIP/2.0\r\nFrom: <sip:a@b>;x=1\rEvil: 1\r\n\r\n";
        assert!(respond(lone_cr, 200, None).contains("\r\nFrom: <sip:a@b>;x=1 Evil: 1\r\n"));
    }

    #[test]
    fn echoes_are_bounded() {
        let via = format!("Via: SIP/2.0/UDP h;x={}\r\n", "y".repeat(1000));
        let request = format!("BYE sip:x SIP/2.0\r\n{}i: c\r\n\r\n", via.repeat(60));
        let response = respond(&request, 400, None);
        assert!(response.len() < MAX_ECHO + 2_000, "{}", response.len());
        assert!(response.contains("Call-ID: c\r\n"));
    }

    #[test]
    fn a_body_comes_with_its_type_and_length() {
        let built =
            Builder::request(Method::Update, b"sip:a@b").body("application/sdp", b"v=0\r\n");
        assert_eq!(built.own_from, 0);
        assert_eq!(
            String::from_utf8(built.bytes).unwrap(),
            "UPDATE sip:a@b SIP/2.0\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
        );
    }
}
