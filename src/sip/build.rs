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
            if let Some(value) = value {
                self.bytes.push(b'=');
                self.push_unfolded(value);
            } else if name.eq_ignore_ascii_case(b"rport") {
                self.push_fmt(format_args!("={}", source.port()));
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
