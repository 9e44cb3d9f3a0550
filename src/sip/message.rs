//! A scanned message: header access without copying, and the check that every message must
//! pass before anything is done with it (RFC 3261 §8.1.1, §16.3).

use super::header::Header;
use super::malformed::Malformed;
use super::method::Method;
use super::scan::{self, Line, Start};
use super::text::{cut, find_unquoted, is_id, is_solid, number, trim};
use super::uri::Uri;
use super::value::{CSeq, NameAddr, Via};
use super::{MAX_ECHO, MAX_ID};

/// A SIP message as offsets into the bytes it came in. Values are read when they are asked for.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    bytes: &'a [u8],
    start: Start<'a>,
    lines: Vec<Line<'a>>,
    body: &'a [u8],
    defect: Option<Malformed>,
}

/// What every valid message has (RFC 3261 §8.1.1).
#[derive(Debug, Clone, Copy)]
pub struct Essentials<'a> {
    /// The topmost Via.
    pub via: Via<'a>,
    /// How many Via elements there are: a response to us has exactly one (§8.1.3.3).
    pub via_count: usize,
    /// From.
    pub from: NameAddr<'a>,
    /// To.
    pub to: NameAddr<'a>,
    /// Call-ID.
    pub call_id: &'a [u8],
    /// CSeq.
    pub cseq: CSeq,
    /// Max-Forwards; `None` when absent, as from RFC 2543 elements.
    pub max_forwards: Option<u8>,
}

impl<'a> Message<'a> {
    /// Scans a datagram, or one message framed from a stream.
    ///
    /// Empty lines before the message are skipped and bytes after its body cut off. Fails only
    /// when the lines cannot be told apart or a limit is exceeded; whatever else is wrong is
    /// kept for [`Message::essentials`], so that a 400 can still be sent.
    pub fn scan(bytes: &'a [u8]) -> Result<Message<'a>, Malformed> {
        let scan::Scan {
            bytes,
            start,
            lines,
            body,
            defect,
        } = scan::scan(bytes)?;
        Ok(Message {
            bytes,
            start,
            lines,
            body,
            defect,
        })
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        matches!(self.start, Start::Request(..))
    }

    /// The method of a request.
    pub fn method(&self) -> Option<Method> {
        match self.start {
            Start::Request(method, ..) => Some(method),
            Start::Response(_) => None,
        }
    }

    /// The method's name as a request writes it: an unknown method is told from another by it.
    pub fn method_name(&self) -> Option<&'a [u8]> {
        match self.start {
            Start::Request(_, name, _) => Some(name),
            Start::Response(_) => None,
        }
    }

    /// The status code of a response; 0 when it is not 100 to 699, which
    /// [`Message::essentials`] refuses.
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Request(..) => None,
            Start::Response(status) => Some(status),
        }
    }

    /// The Request-URI of a request, as written.
    pub fn request_uri(&self) -> Option<&'a [u8]> {
        match self.start {
            Start::Request(_, _, uri) => Some(uri),
            Start::Response(_) => None,
        }
    }

    /// The trimmed value of the first line of this header; folds inside it stand.
    pub fn first(&self, header: Header) -> Option<&'a [u8]> {
        self.all(header).next()
    }

    /// The trimmed value of every line of this header.
    pub fn all(&self, header: Header) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        self.lines
            .iter()
            .filter(move |line| line.header == header)
            .map(|line| line.value)
    }

    /// The elements of this header over all its lines (RFC 3261 §7.3.1), each trimmed. Commas
    /// in quoted strings and in angle brackets separate nothing; empty elements are passed over.
    pub fn elements(&self, header: Header) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        self.all(header).flat_map(split_commas)
    }

    /// The body: as long as Content-Length says, or up to the end.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The message without empty lines before it and bytes after it.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether this token is among the elements of the header, in any case: `Supported: 100rel`.
    /// Parameters of an element are not compared.
    pub fn has_token(&self, header: Header, token: &str) -> bool {
        self.elements(header).any(|element| {
            let end = element
                .iter()
                .position(|b| *b == b';')
                .unwrap_or(element.len());
            trim(cut(element, end).0).eq_ignore_ascii_case(token.as_bytes())
        })
    }

    /// Checks what must hold of every message and reads the mandatory headers.
    pub fn essentials(&self) -> Result<Essentials<'a>, Malformed> {
        if let Some(defect) = self.defect {
            return Err(defect);
        }
        if let Some(uri) = self.request_uri() {
            // RFC 3261 §19.1.1: a Request-URI has no headers; acting on one would let it add
            // headers of its choice.
            if Uri::parse(uri)?.headers.is_some() {
                return Err(Malformed::Uri);
            }
        }
        let (via, via_count) = self.top_via()?;
        let (cseq, cseq_method) =
            CSeq::read(self.only(Header::CSeq)?).ok_or(Malformed::Value(Header::CSeq))?;
        // RFC 3261 §8.1.1.5: the methods match; two unknown ones by their names.
        if self.method_name().is_some_and(|name| name != cseq_method) {
            return Err(Malformed::CSeqMethod);
        }
        let essentials = Essentials {
            via,
            via_count,
            from: self.party(Header::From)?,
            to: self.party(Header::To)?,
            call_id: self.only(Header::CallId)?,
            cseq,
            max_forwards: self.max_forwards()?,
        };
        if !is_solid(essentials.call_id) {
            return Err(Malformed::Value(Header::CallId));
        }
        let ids = [
            (Header::Via, via.branch),
            (Header::From, essentials.from.tag()),
            (Header::To, essentials.to.tag()),
        ];
        if let Some((header, _)) = ids.iter().find(|(_, id)| id.is_some_and(|i| !is_id(i))) {
            return Err(Malformed::Value(*header));
        }
        let mut ids = ids.iter().filter_map(|(_, id)| *id);
        let too_long = |id: &[u8]| id.len() > MAX_ID;
        if ids.any(too_long) || too_long(essentials.call_id) || self.echo_length() > MAX_ECHO {
            return Err(Malformed::EchoTooLong);
        }
        Ok(essentials)
    }

    fn top_via(&self) -> Result<(Via<'a>, usize), Malformed> {
        let mut elements = self.elements(Header::Via);
        let top = elements.next().ok_or(Malformed::Missing(Header::Via))?;
        Ok((Via::parse(top)?, 1 + elements.count()))
    }

    fn party(&self, header: Header) -> Result<NameAddr<'a>, Malformed> {
        NameAddr::parse(self.only(header)?).map_err(|_| Malformed::Value(header))
    }

    /// RFC 3261 §20.22: 0 to 255.
    fn max_forwards(&self) -> Result<Option<u8>, Malformed> {
        let mut lines = self.all(Header::MaxForwards);
        let Some(value) = lines.next() else {
            return Ok(None);
        };
        if lines.next().is_some() {
            return Err(Malformed::Repeated(Header::MaxForwards));
        }
        number(value, 255)
            .and_then(|n| u8::try_from(n).ok())
            .map(Some)
            .ok_or(Malformed::Value(Header::MaxForwards))
    }

    /// The value of a header that must stand exactly once (RFC 3261 §7.3.1: only list headers
    /// may repeat).
    fn only(&self, header: Header) -> Result<&'a [u8], Malformed> {
        let mut lines = self.all(header);
        match (lines.next(), lines.next()) {
            (None, _) => Err(Malformed::Missing(header)),
            (Some(_), Some(_)) => Err(Malformed::Repeated(header)),
            (Some(value), None) => Ok(value),
        }
    }

    /// Bytes that a response to this message would echo.
    fn echo_length(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| {
                matches!(
                    line.header,
                    Header::Via
                        | Header::From
                        | Header::To
                        | Header::CallId
                        | Header::CSeq
                        | Header::RecordRoute
                )
            })
            .map(|line| line.value.len())
            .sum()
    }
}

/// Splits a value at its commas outside quoted strings and angle brackets.
pub(super) fn split_commas<'a>(value: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        while let Some(value) = rest {
            let (element, after) = match find_comma(value) {
                Some(at) => {
                    let (element, after) = cut(value, at);
                    (element, after.get(1..))
                }
                None => (value, None),
            };
            rest = after;
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
        None
    })
}

fn find_comma(value: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let tail = value.get(from..)?;
        let at = find_unquoted(tail, |b| matches!(b, b',' | b'<'))?;
        match tail.get(at)? {
            b',' => return Some(from + at),
            // Inside angle brackets neither commas nor quotes mean anything.
            _ => {
                let close = tail.get(at..)?.iter().position(|b| *b == b'>')?;
                from += at + close + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVITE: &str = "INVITE sip:+914412345678@gw.example SIP/2.0\r\n\
        Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n\
        Max-Forwards: 70\r\n\
        From: \"A\" <sip:+919876543210@gw.example>;tag=t1\r\n\
        To: <sip:+914412345678@gw.example>\r\n\
        Call-ID: c1@192.0.2.1\r\n\
        CSeq: 7 INVITE\r\n\
        Content-Length: 4\r\n\
        \r\n\
        v=0\n";

    fn check(text: &str) -> Result<(), Malformed> {
        Message::scan(text.as_bytes())?.essentials().map(|_| ())
    }

    /// The INVITE above with one piece of it replaced.
    fn with(old: &str, new: &str) -> String {
        assert!(INVITE.contains(old), "{old}");
        INVITE.replacen(old, new, 1)
    }

    #[test]
    fn a_plain_request_is_read() {
        let m = Message::scan(INVITE.as_bytes()).unwrap();
        assert!(m.is_request());
        assert_eq!(m.method(), Some(Method::Invite));
        assert_eq!(m.status(), None);
        assert_eq!(m.request_uri(), Some(&b"sip:+914412345678@gw.example"[..]));
        assert_eq!(m.body(), b"v=0\n");
        assert_eq!(m.bytes(), INVITE.as_bytes());
        let e = m.essentials().unwrap();
        assert_eq!(e.via.host, b"192.0.2.1");
        assert_eq!(e.via_count, 1);
        assert_eq!(e.from.tag(), Some(&b"t1"[..]));
        assert_eq!(e.to.tag(), None);
        assert_eq!(e.call_id, b"c1@192.0.2.1");
        assert_eq!((e.cseq.number, e.cseq.method), (7, Method::Invite));
        assert_eq!(e.max_forwards, Some(70));
    }

    #[test]
    fn a_response_is_read_with_and_without_a_phrase() {
        for (line, status) in [
            ("SIP/2.0 200 OK", 200),
            ("sip/2.0 100 ", 100),
            ("SIP/2.0 486", 486),
            ("SIP/2.0 699 =2**3 * \u{441}", 699),
        ] {
            let text = with("INVITE sip:+914412345678@gw.example SIP/2.0", line);
            let m = Message::scan(text.as_bytes()).unwrap();
            assert!(!m.is_request());
            assert_eq!((m.status(), m.method()), (Some(status), None), "{line}");
            assert!(m.essentials().is_ok(), "{line}");
        }
        for line in [
            "SIP/2.0 99 x",
            "SIP/2.0 700 x",
            "SIP/2.0 4294967301 x",
            "SIP/2.0 2x0 y",
        ] {
            let text = with("INVITE sip:+914412345678@gw.example SIP/2.0", line);
            assert_eq!(check(&text), Err(Malformed::StatusCode), "{line}");
        }
    }

    #[test]
    fn each_defect_has_its_reason() {
        use Malformed::*;
        let table = [
            (
                with("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n", ""),
                Missing(Header::Via),
            ),
            (with("SIP/2.0/UDP", "SIP/2.0/"), Value(Header::Via)),
            (
                with("Call-ID: c1@192.0.2.1\r\n", ""),
                Missing(Header::CallId),
            ),
            (with("c1@192.0.2.1", ""), Value(Header::CallId)),
            (with("c1@192.0.2.1", "c1 c2"), Value(Header::CallId)),
            (with("CSeq:", "i: x\r\nCSeq:"), Repeated(Header::CallId)),
            (
                with("CSeq:", "f: <sip:x@y>\r\nCSeq:"),
                Repeated(Header::From),
            ),
            (
                with("CSeq:", "To: <sip:x@y>\r\nCSeq:"),
                Repeated(Header::To),
            ),
            (
                with("CSeq:", "CSeq: 1 INVITE\r\nCSeq:"),
                Repeated(Header::CSeq),
            ),
            (with("\"A\" <", "\"A <"), Value(Header::From)),
            (with("=t1", "=\"t1\""), Value(Header::From)),
            (
                with("gw.example>\r\nCall", "gw.example>;tag=a\r\n b\r\nCall"),
                Value(Header::To),
            ),
            (with("bK1", "bK1 2"), Value(Header::Via)),
            (with("To: <", "To: < "), Value(Header::To)),
            (with("7 INVITE", "7 invite"), CSeqMethod),
            (with("7 INVITE", "7 ACK"), CSeqMethod),
            (with("7 INVITE", "4294967296 INVITE"), Value(Header::CSeq)),
            (with(": 70", ": 256"), Value(Header::MaxForwards)),
            (
                with(": 70", ": 70\r\nMax-Forwards: 70"),
                Repeated(Header::MaxForwards),
            ),
            (with("Length: 4", "Length: 5"), ShortBody),
            (
                with("Length: 4", "Length: -4"),
                Value(Header::ContentLength),
            ),
            (
                with("Length: 4", "Length: 99999999999999999999"),
                Value(Header::ContentLength),
            ),
            (
                with("Length: 4", "Length: 4\r\nl: 4"),
                Repeated(Header::ContentLength),
            ),
            (with("\r\n\r\n", "\r\n"), HeaderLine),
            (with("Max-Forwards: 70", "Max-Forwards 70"), HeaderLine),
            (with("Max-Forwards: 70", ": 70"), HeaderLine),
            (with("gw.example SIP/2.0", "gw.example SIP/7.0"), Version),
            (with("gw.example SIP/2.0", "gw.example  SIP/2.0"), StartLine),
            (with("gw.example SIP/2.0", "gw.example SIP/2.0 "), StartLine),
            (with("INVITE sip", "INVITE  sip"), StartLine),
            (
                with(
                    "sip:+914412345678@gw.example S",
                    "<sip:+914412345678@gw.example> S",
                ),
                Uri,
            ),
            (with("gw.example S", "gw.example?Route=%3Csip:x%3E S"), Uri),
            (with("c1@", &"c".repeat(MAX_ID)), EchoTooLong),
            (with("bK1", &"1".repeat(MAX_ID)), EchoTooLong),
            (
                with(
                    "To:",
                    &format!("v: SIP/2.0/UDP {}\r\nTo:", "h".repeat(MAX_ECHO)),
                ),
                EchoTooLong,
            ),
        ];
        for (text, malformed) in table {
            assert_eq!(check(&text), Err(malformed), "{text}");
        }
        assert_eq!(check(INVITE), Ok(()));
    }

    #[test]
    fn only_what_cannot_be_told_apart_fails_to_scan() {
        let long = vec![b'a'; crate::sip::MAX_MESSAGE + 1];
        let many = with("CSeq:", &format!("{}CSeq:", "X: y\r\n".repeat(128)));
        let table: [(&[u8], Malformed); 7] = [
            (b"", Malformed::Empty),
            (b"\r\n\r\n", Malformed::Empty),
            (b"\0\x01\0\0 \x21\x12\xa4\x42\n", Malformed::StartLine),
            (b"INVITE\r\n\r\n", Malformed::StartLine),
            (b"INVITE sip:a@b SIP/2.0", Malformed::StartLine),
            (&long, Malformed::TooLong),
            (many.as_bytes(), Malformed::TooManyHeaders),
        ];
        for (bytes, malformed) in table {
            assert_eq!(Message::scan(bytes).err(), Some(malformed));
        }
    }

    #[test]
    fn headers_that_end_early_leave_a_message_to_answer() {
        let text = INVITE.split("CSeq").next().unwrap();
        let m = Message::scan(text.as_bytes()).unwrap();
        assert_eq!(m.first(Header::CallId), Some(&b"c1@192.0.2.1"[..]));
        assert_eq!(m.essentials().err(), Some(Malformed::NoEmptyLine));
        assert_eq!(m.body(), b"");
    }

    #[test]
    fn the_datagram_is_trimmed_at_both_ends() {
        let text = format!("\r\n\r\n{INVITE}BYE sip:x SIP/2.0\r\n");
        let m = Message::scan(text.as_bytes()).unwrap();
        assert_eq!(m.bytes(), INVITE.as_bytes());
        assert!(m.essentials().is_ok());
        let text = with("Content-Length: 4\r\n", "");
        let m = Message::scan(text.as_bytes()).unwrap();
        assert_eq!(m.body(), b"v=0\n", "without Content-Length, up to the end");
    }

    #[test]
    fn lone_line_feeds_end_lines_too() {
        let m = INVITE.replace("\r\n", "\n");
        assert_eq!(check(&m), Ok(()));
    }

    #[test]
    fn list_headers_are_taken_apart_with_care() {
        let text = with(
            "CSeq:",
            "v: SIP/2.0/UDP a;branch=1 ,, SIP/2.0/TCP b;x=\"1,2\"\r\n\
             Supported\t : 100REL,\r\n\t timer ;x=y\r\nk:\r\n\
             Record-Route: <sip:r1;lr;x=,>, \"q\\\",<\" <sip:r2>\r\nrecord-route: <sip:r3>\r\nCSeq:",
        );
        let m = Message::scan(text.as_bytes()).unwrap();
        assert_eq!(m.essentials().unwrap().via_count, 3);
        let routes: Vec<&[u8]> = m.elements(Header::RecordRoute).collect();
        assert_eq!(
            routes,
            [
                &b"<sip:r1;lr;x=,>"[..],
                &b"\"q\\\",<\" <sip:r2>"[..],
                &b"<sip:r3>"[..]
            ]
        );
        assert_eq!(m.all(Header::RecordRoute).count(), 2);
        assert!(m.has_token(Header::Supported, "100rel"));
        assert!(m.has_token(Header::Supported, "TIMER"));
        assert!(!m.has_token(Header::Supported, "replaces"));
        assert!(!m.has_token(Header::Require, "100rel"));
    }

    #[test]
    fn unknown_methods_are_compared_by_name() {
        let foo = with("INVITE sip", "FOO sip").replace("7 INVITE", "7 FOO");
        assert_eq!(check(&foo), Ok(()));
        assert_eq!(
            check(&foo.replace("7 FOO", "7 BAR")),
            Err(Malformed::CSeqMethod)
        );
        let m = Message::scan(foo.as_bytes()).unwrap();
        assert_eq!(
            (m.method(), m.method_name()),
            (Some(Method::Other), Some(&b"FOO"[..]))
        );
    }
}
