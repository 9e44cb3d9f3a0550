//! The headers we read or write (RFC 3261 §20 and extensions). All others are one kind:
//! [`Header::Other`], which nobody looks at.

use std::fmt;

/// A header name we know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Header {
    /// RFC 3261 §20.42, compact `v`.
    Via,
    /// RFC 3261 §20.20, compact `f`.
    From,
    /// RFC 3261 §20.39, compact `t`.
    To,
    /// RFC 3261 §20.8, compact `i`.
    CallId,
    /// RFC 3261 §20.16.
    CSeq,
    /// RFC 3261 §20.22.
    MaxForwards,
    /// RFC 3261 §20.10, compact `m`.
    Contact,
    /// RFC 3261 §20.30.
    RecordRoute,
    /// RFC 3261 §20.34.
    Route,
    /// RFC 3261 §20.15, compact `c`.
    ContentType,
    /// RFC 3261 §20.14, compact `l`.
    ContentLength,
    /// RFC 3261 §20.12, compact `e`.
    ContentEncoding,
    /// `Accept-Encoding`
    AcceptEncoding,
    /// RFC 3261 §20.32.
    Require,
    /// RFC 3261 §20.29.
    ProxyRequire,
    /// RFC 3261 §20.37, compact `k`.
    Supported,
    /// RFC 3261 §20.40.
    Unsupported,
    /// RFC 3261 §20.5.
    Allow,
    /// RFC 3261 §20.1.
    Accept,
    /// RFC 3325 §9.1.
    PAssertedIdentity,
    /// RFC 3325 §9.2.
    PPreferredIdentity,
    /// draft-ietf-sip-privacy-04 §5.
    RemotePartyId,
    /// RFC 3323 §4.2.
    Privacy,
    /// RFC 3261 §20.33.
    RetryAfter,
    /// RFC 3326 §2.
    Reason,
    /// RFC 4028 §4, compact `x`.
    SessionExpires,
    /// RFC 4028 §5.
    MinSe,
    /// RFC 3262 §7.1.
    RSeq,
    /// RFC 3262 §7.2.
    RAck,
    /// RFC 3261 §20.19.
    Expires,
    /// RFC 3261 §20.38; a 100 echoes it (§8.2.6.1).
    Timestamp,
    /// RFC 3261 §20.43.
    Warning,
    /// RFC 3261 §20.35.
    Server,
    /// RFC 3261 §20.41.
    UserAgent,
    /// Any other.
    Other,
}

impl Header {
    const NAMED: [Header; 34] = [
        Header::Via,
        Header::From,
        Header::To,
        Header::CallId,
        Header::CSeq,
        Header::MaxForwards,
        Header::Contact,
        Header::RecordRoute,
        Header::Route,
        Header::ContentType,
        Header::ContentLength,
        Header::ContentEncoding,
        Header::AcceptEncoding,
        Header::Require,
        Header::ProxyRequire,
        Header::Supported,
        Header::Unsupported,
        Header::Allow,
        Header::Accept,
        Header::PAssertedIdentity,
        Header::PPreferredIdentity,
        Header::RemotePartyId,
        Header::Privacy,
        Header::RetryAfter,
        Header::Reason,
        Header::SessionExpires,
        Header::MinSe,
        Header::RSeq,
        Header::RAck,
        Header::Expires,
        Header::Timestamp,
        Header::Warning,
        Header::Server,
        Header::UserAgent,
    ];

    /// The header of this name or compact form, whatever its case (RFC 3261 §7.3.1, §7.3.3).
    pub fn from_name(name: &[u8]) -> Header {
        // By length first: the scanner asks this once a line, and few names share a length.
        let candidates: &[Header] = match name {
            [compact] => return Header::from_compact(*compact),
            _ => match name.len() {
                2 => &[Header::To],
                3 => &[Header::Via],
                4 => &[Header::From, Header::CSeq, Header::RSeq, Header::RAck],
                5 => &[Header::Route, Header::Allow],
                6 => &[
                    Header::Accept,
                    Header::Reason,
                    Header::Server,
                    Header::MinSe,
                ],
                7 => &[
                    Header::CallId,
                    Header::Contact,
                    Header::Require,
                    Header::Privacy,
                    Header::Expires,
                    Header::Warning,
                ],
                9 => &[Header::Supported, Header::Timestamp],
                10 => &[Header::UserAgent],
                11 => &[Header::RetryAfter, Header::Unsupported],
                12 => &[
                    Header::MaxForwards,
                    Header::ContentType,
                    Header::RecordRoute,
                ],
                13 => &[Header::ProxyRequire],
                14 => &[Header::ContentLength],
                15 => &[
                    Header::SessionExpires,
                    Header::RemotePartyId,
                    Header::AcceptEncoding,
                ],
                16 => &[Header::ContentEncoding],
                19 => &[Header::PAssertedIdentity],
                20 => &[Header::PPreferredIdentity],
                _ => &[],
            },
        };
        candidates
            .iter()
            .copied()
            .find(|h| h.name().as_bytes().eq_ignore_ascii_case(name))
            .unwrap_or(Header::Other)
    }

    fn from_compact(letter: u8) -> Header {
        match letter.to_ascii_lowercase() {
            b'v' => Header::Via,
            b'f' => Header::From,
            b't' => Header::To,
            b'i' => Header::CallId,
            b'm' => Header::Contact,
            b'c' => Header::ContentType,
            b'l' => Header::ContentLength,
            b'e' => Header::ContentEncoding,
            b'k' => Header::Supported,
            b'x' => Header::SessionExpires,
            _ => Header::Other,
        }
    }

    /// The canonical name. `X-Other` for [`Header::Other`], which is only ever read.
    pub fn name(self) -> &'static str {
        match self {
            Header::Via => "Via",
            Header::From => "From",
            Header::To => "To",
            Header::CallId => "Call-ID",
            Header::CSeq => "CSeq",
            Header::MaxForwards => "Max-Forwards",
            Header::Contact => "Contact",
            Header::RecordRoute => "Record-Route",
            Header::Route => "Route",
            Header::ContentType => "Content-Type",
            Header::ContentLength => "Content-Length",
            Header::ContentEncoding => "Content-Encoding",
            Header::AcceptEncoding => "Accept-Encoding",
            Header::Require => "Require",
            Header::ProxyRequire => "Proxy-Require",
            Header::Supported => "Supported",
            Header::Unsupported => "Unsupported",
            Header::Allow => "Allow",
            Header::Accept => "Accept",
            Header::PAssertedIdentity => "P-Asserted-Identity",
            Header::PPreferredIdentity => "P-Preferred-Identity",
            Header::RemotePartyId => "Remote-Party-ID",
            Header::Privacy => "Privacy",
            Header::RetryAfter => "Retry-After",
            Header::Reason => "Reason",
            Header::SessionExpires => "Session-Expires",
            Header::MinSe => "Min-SE",
            Header::RSeq => "RSeq",
            Header::RAck => "RAck",
            Header::Expires => "Expires",
            Header::Timestamp => "Timestamp",
            Header::Warning => "Warning",
            Header::Server => "Server",
            Header::UserAgent => "User-Agent",
            Header::Other => "X-Other",
        }
    }

    /// Every header we know by name.
    pub fn named() -> impl Iterator<Item = Header> {
        Header::NAMED.into_iter()
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for header in Header::named() {
            let name = header.name();
            for written in [name.to_string(), name.to_lowercase(), name.to_uppercase()] {
                assert_eq!(Header::from_name(written.as_bytes()), header, "{written}");
            }
        }
        assert_eq!(Header::from_name(b"X-Other"), Header::Other);
        assert_eq!(Header::from_name(b""), Header::Other);
    }

    #[test]
    fn compact_forms_are_those_of_the_rfcs() {
        let forms = [
            (b"v", Header::Via),
            (b"F", Header::From),
            (b"t", Header::To),
            (b"I", Header::CallId),
            (b"m", Header::Contact),
            (b"c", Header::ContentType),
            (b"L", Header::ContentLength),
            (b"e", Header::ContentEncoding),
            (b"k", Header::Supported),
            (b"x", Header::SessionExpires),
            // Subject and Referred-By exist but say nothing to us.
            (b"s", Header::Other),
            (b"b", Header::Other),
        ];
        for (form, header) in forms {
            assert_eq!(Header::from_name(form), header);
        }
    }
}
