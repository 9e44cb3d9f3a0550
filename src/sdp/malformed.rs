//! Why a session description cannot be used (RFC 8866 §5, RFC 3264 §6).

use std::fmt;

/// What is wrong with an SDP body. Never holds bytes of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Longer than [`MAX_BODY`](super::MAX_BODY).
    TooLong,
    /// It does not begin with `v=0` (RFC 8866 §5.1).
    Version,
    /// A line is not a letter, `=` and a value, or holds a NUL or a lone CR (RFC 8866 §5).
    Line,
    /// A `c=` line breaks RFC 8866 §5.7.
    Connection,
    /// An `m=` line breaks RFC 8866 §5.14.
    Media,
    /// More `m=` lines than [`MAX_MEDIA`](super::MAX_MEDIA).
    TooManyMedia,
    /// More formats in an `m=` line than [`MAX_FORMATS`](super::MAX_FORMATS).
    TooManyFormats,
    /// An answer with another number of `m=` lines than the offer (RFC 3264 §6).
    MediaCount,
    /// An answer that rejects the audio: port 0, or no address (RFC 3264 §6).
    Rejected,
    /// An answer with none of the codecs offered (RFC 3264 §6.1).
    NoCodec,
}

impl Malformed {
    /// The constant text of this reason.
    pub fn reason(self) -> &'static str {
        match self {
            Malformed::TooLong => "SDP Too Long",
            Malformed::Version => "SDP Version Not Supported",
            Malformed::Line => "Malformed SDP Line",
            Malformed::Connection => "Malformed SDP Connection",
            Malformed::Media => "Malformed SDP Media",
            Malformed::TooManyMedia => "Too Many SDP Media",
            Malformed::TooManyFormats => "Too Many SDP Formats",
            Malformed::MediaCount => "SDP Answer Does Not Match Offer",
            Malformed::Rejected => "SDP Answer Rejects Audio",
            Malformed::NoCodec => "No Codec In Common",
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Malformed {}
