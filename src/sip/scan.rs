//! One pass over the bytes of a message: where its lines are and which headers they hold
//! (RFC 3261 §7). Values are not looked into, except Content-Length, which ends the message.

use super::header::Header;
use super::malformed::Malformed;
use super::method::Method;
use super::text::{cut, is_solid, is_token, number, split_once, trim, trim_end};
use super::{MAX_HEADERS, MAX_MESSAGE};

/// What a start line says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start<'a> {
    /// A request: method, its name as written, and the Request-URI.
    Request(Method, &'a [u8], &'a [u8]),
    /// A response and its status code; 0 when it has no valid one.
    Response(u16),
}

/// One header line: which header, and its trimmed value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) header: Header,
    pub(super) value: &'a [u8],
}

/// Everything one pass finds.
pub(super) struct Scan<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) start: Start<'a>,
    pub(super) lines: Vec<Line<'a>>,
    pub(super) body: &'a [u8],
    /// The first thing that is wrong, though the lines could be told apart.
    pub(super) defect: Option<Malformed>,
}

/// How many lines to make room for at once: more than the usual message has.
const USUAL_HEADERS: usize = 24;

pub(super) fn scan(datagram: &[u8]) -> Result<Scan<'_>, Malformed> {
    if datagram.len() > MAX_MESSAGE {
        return Err(Malformed::TooLong);
    }
    // RFC 3261 §7.5: empty lines before the start line are ignored.
    let skipped = datagram
        .iter()
        .position(|b| !matches!(b, b'\r' | b'\n'))
        .ok_or(Malformed::Empty)?;
    let bytes = cut(datagram, skipped).1;
    let (first, mut rest) = take_line(bytes).ok_or(Malformed::StartLine)?;
    let mut defect = None;
    let start = start_line(first, &mut defect)?;
    let mut lines = Vec::with_capacity(USUAL_HEADERS);
    let mut lengths = Lengths::default();
    loop {
        let Some((line, after)) = take_folded(rest) else {
            // The datagram ends within the headers.
            defect.get_or_insert(Malformed::NoEmptyLine);
            rest = b"";
            break;
        };
        rest = after;
        if line.is_empty() {
            break;
        }
        if lines.len() == MAX_HEADERS {
            return Err(Malformed::TooManyHeaders);
        }
        match header_line(line) {
            Some(line) => {
                if line.header == Header::ContentLength {
                    lengths.read(line.value);
                }
                lines.push(line);
            }
            None => {
                defect.get_or_insert(Malformed::HeaderLine);
            }
        }
    }
    // RFC 3261 §18.3: what follows the body in a datagram is discarded; a body that is cut
    // short is an error; without Content-Length it reaches to the end.
    let body = match lengths.agreed() {
        Ok(Some(length)) if length <= rest.len() => cut(rest, length).0,
        Ok(Some(_)) => {
            defect.get_or_insert(Malformed::ShortBody);
            rest
        }
        Ok(None) => rest,
        Err(malformed) => {
            defect.get_or_insert(malformed);
            rest
        }
    };
    let trailing = rest.len() - body.len();
    Ok(Scan {
        bytes: cut(bytes, bytes.len() - trailing).0,
        start,
        lines,
        body,
        defect,
    })
}

/// The Content-Length lines of one message.
#[derive(Default)]
struct Lengths {
    seen: usize,
    first: Option<usize>,
    defect: Option<Malformed>,
}

impl Lengths {
    fn read(&mut self, value: &[u8]) {
        self.seen += 1;
        if self.seen > 1 {
            self.defect
                .get_or_insert(Malformed::Repeated(Header::ContentLength));
            return;
        }
        // Values beyond what we would ever accept are well-formed but never fit.
        match number(value, u64::from(u32::MAX)).and_then(|n| usize::try_from(n).ok()) {
            Some(length) => self.first = Some(length),
            None => {
                self.defect
                    .get_or_insert(Malformed::Value(Header::ContentLength));
            }
        }
    }

    fn agreed(self) -> Result<Option<usize>, Malformed> {
        match self.defect {
            Some(malformed) => Err(malformed),
            None => Ok(self.first),
        }
    }
}

/// One line without its end, and what follows. A lone LF ends a line too.
fn take_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = cut(bytes, memchr::memchr(b'\n', bytes)? + 1);
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest))
}

/// One header line with the lines folded into it (RFC 3261 §7.3.1).
fn take_folded(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, mut rest) = take_line(bytes)?;
    if line.is_empty() || !matches!(rest.first(), Some(b' ' | b'\t')) {
        return Some((line, rest));
    }
    while matches!(rest.first(), Some(b' ' | b'\t')) {
        (_, rest) = take_line(rest)?;
    }
    let (whole, _) = cut(bytes, bytes.len() - rest.len());
    Some((trim_end(whole), rest))
}

fn header_line(line: &[u8]) -> Option<Line<'_>> {
    let (name, value) = split_once(line, b':')?;
    // RFC 3261 §7.3.1: white space may stand before the colon.
    let name = trim_end(name);
    is_token(name).then(|| Line {
        header: Header::from_name(name),
        value: trim(value),
    })
}

/// Reads a start line; what is irregular but still tells request from response is a defect.
fn start_line<'a>(line: &'a [u8], defect: &mut Option<Malformed>) -> Result<Start<'a>, Malformed> {
    let (first, rest) = split_once(line, b' ').ok_or(Malformed::StartLine)?;
    if first
        .get(..4)
        .is_some_and(|p| p.eq_ignore_ascii_case(b"SIP/"))
    {
        if !is_version(first) {
            defect.get_or_insert(Malformed::Version);
        }
        // RFC 3261 §7.2: three digits, then a reason phrase that may be empty.
        let digits = split_once(rest, b' ').map_or(rest, |(digits, _)| digits);
        let status = number(digits, 699).filter(|s| *s >= 100 && digits.len() == 3);
        if status.is_none() {
            defect.get_or_insert(Malformed::StatusCode);
        }
        return Ok(Start::Response(status.unwrap_or(0) as u16));
    }
    if !is_token(first) {
        return Err(Malformed::StartLine);
    }
    // RFC 3261 §7.1: single spaces, none at the end, none in the URI. Where there are others
    // the message is answered with 400 (RFC 4475 §3.1.2.7 to §3.1.2.9).
    let at = rest
        .iter()
        .rposition(|b| *b == b' ')
        .ok_or(Malformed::StartLine)?;
    let (uri, version) = cut(rest, at);
    let version = trim(version);
    if !is_solid(uri) || version.is_empty() {
        defect.get_or_insert(Malformed::StartLine);
    } else if !is_version(version) {
        defect.get_or_insert(Malformed::Version);
    }
    Ok(Start::Request(Method::from_bytes(first), first, trim(uri)))
}

/// RFC 3261 §7.1: the version is compared without regard to case.
fn is_version(version: &[u8]) -> bool {
    version.eq_ignore_ascii_case(b"SIP/2.0")
}
