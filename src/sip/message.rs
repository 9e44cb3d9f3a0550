//! A scanned message: header access without copying, and the check that every message must
//! pass before anything is done with it (RFC 3261 §8.1.1, §16.3).

use super::header::Header;
use super::malformed::Malformed;
use super::method::Method;
use super::scan::{self, Line, Start};
use super::text::{cut, find_unquoted, is_solid, number, trim};
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
            Some(essentials.call_id),
            via.branch,
            essentials.from.tag(),
            essentials.to.tag(),
        ];
        let too_long = ids.into_iter().flatten().any(|id| id.len() > MAX_ID);
        if too_long || self.echo_length() > MAX_ECHO {
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
