//! Why a message or a value is not SIP (RFC 3261 §7, §16.3, §21.4.1).
//!
//! Each reason is a constant text, so that a 400 can name it without quoting the peer.

use std::fmt;

use super::header::Header;

/// What is wrong with what a peer sent. Never holds bytes of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// No start line at all: an empty datagram or a keep-alive.
    Empty,
    /// Longer than [`MAX_MESSAGE`](super::MAX_MESSAGE).
    TooLong,
    /// More header lines than [`MAX_HEADERS`](super::MAX_HEADERS).
    TooManyHeaders,
    /// The first line is neither a Request-Line nor a Status-Line (RFC 3261 §7.1, §7.2).
    StartLine,
    /// The version is not `SIP/2.0` (RFC 3261 §21.5.6).
    Version,
    /// The status code is not 100 to 699.
    StatusCode,
    /// A header line has no name or no colon (RFC 3261 §7.3.1).
    HeaderLine,
    /// The empty line after the headers is missing.
    NoEmptyLine,
    /// The body is shorter than Content-Length says (RFC 3261 §18.3).
    ShortBody,
    /// The header block we would have to echo is longer than [`MAX_ECHO`](super::MAX_ECHO), or
    /// a tag, branch or Call-ID is longer than [`MAX_ID`](super::MAX_ID).
    EchoTooLong,
    /// CSeq names another method than the Request-Line (RFC 3261 §8.1.1.5).
    CSeqMethod,
    /// This mandatory header is missing.
    Missing(Header),
    /// This header may stand once only.
    Repeated(Header),
    /// The value of this header breaks its grammar or range.
    Value(Header),
    /// A name-addr or addr-spec breaks RFC 3261 §20.10.
    NameAddr,
    /// A URI breaks RFC 3261 §19.1.1 or RFC 3966 §3.
    Uri,
}

impl Malformed {
    /// The constant text, fit to stand after `400 ` as a reason phrase.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::Empty => "Empty Message",
            Malformed::TooLong => "Message Too Long",
            Malformed::TooManyHeaders => "Too Many Headers",
            Malformed::StartLine => "Malformed Start Line",
            Malformed::Version => "Version Not Supported",
            Malformed::StatusCode => "Malformed Status Code",
            Malformed::HeaderLine => "Malformed Header Line",
            Malformed::NoEmptyLine => "Missing Empty Line",
            Malformed::ShortBody => "Body Shorter Than Content-Length",
            Malformed::EchoTooLong => "Routing Headers Too Long",
            Malformed::CSeqMethod => "CSeq Method Differs",
            Malformed::Missing(header) => match header {
                Header::Via => "Missing Via",
                Header::From => "Missing From",
                Header::To => "Missing To",
                Header::CallId => "Missing Call-ID",
                Header::CSeq => "Missing CSeq",
                _ => "Missing Header",
            },
            Malformed::Repeated(header) => match header {
                Header::From => "Repeated From",
                Header::To => "Repeated To",
                Header::CallId => "Repeated Call-ID",
                Header::CSeq => "Repeated CSeq",
                Header::MaxForwards => "Repeated Max-Forwards",
                Header::ContentLength => "Repeated Content-Length",
                _ => "Repeated Header",
            },
            Malformed::Value(header) => match header {
                Header::Via => "Malformed Via",
                Header::From => "Malformed From",
                Header::To => "Malformed To",
                Header::CallId => "Malformed Call-ID",
                Header::CSeq => "Malformed CSeq",
                Header::MaxForwards => "Malformed Max-Forwards",
                Header::ContentLength => "Malformed Content-Length",
                Header::Contact => "Malformed Contact",
                _ => "Malformed Header",
            },
            Malformed::NameAddr => "Malformed Address",
            Malformed::Uri => "Malformed URI",
        }
    }

    /// The status code that says this: 505 for a foreign version (RFC 3261 §21.5.6), 513 for
    /// what is too long to handle (§21.5.7), else 400.
    pub fn status(self) -> u16 {
        match self {
            Malformed::Version => 505,
            Malformed::TooLong | Malformed::TooManyHeaders | Malformed::EchoTooLong => 513,
            _ => 400,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Malformed {}
