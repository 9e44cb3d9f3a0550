//! The structured header values we read: name-addr (RFC 3261 §20.10), Via (§20.42), CSeq
//! (§20.16).

use std::net::IpAddr;

use super::header::Header;
use super::malformed::Malformed;
use super::method::Method;
use super::params::Params;
use super::text::{cut, find_unquoted, is_lws, is_solid, is_token, number, split_once, trim};
use super::uri::{Uri, host_address, split_host_port};

/// The highest CSeq number (RFC 3261 §8.1.1.5: less than 2**31).
pub const MAX_CSEQ: u32 = (1 << 31) - 1;

/// An address with its header parameters: From, To, Contact, Route, P-Asserted-Identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameAddr<'a> {
    /// The display name, raw: escapes stand, quotes around it do not. `None` when absent or
    /// empty.
    pub display: Option<&'a [u8]>,
    /// The URI as written, without angle brackets; see [`NameAddr::uri`].
    pub uri: &'a [u8],
    /// Parameters of the header, not of the URI.
    pub params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Reads one element, in the name-addr or the addr-spec form.
    pub fn parse(bytes: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        let bytes = trim(bytes);
        let Some(open) = find_unquoted(bytes, |b| b == b'<') else {
            return NameAddr::parse_addr_spec(bytes);
        };
        let (before, rest) = cut(bytes, open);
        let (uri, after) = rest
            .get(1..)
            .and_then(|r| split_once(r, b'>'))
            .ok_or(Malformed::NameAddr)?;
        let after = trim(after);
        if !is_solid(uri) || !matches!(after.first(), None | Some(b';')) {
            return Err(Malformed::NameAddr);
        }
        let display = match trim(before) {
            [b'"', inside @ .., b'"'] => inside,
            // An opening quote without its partner (RFC 4475 §3.1.2.6).
            text if text.contains(&b'"') => return Err(Malformed::NameAddr),
            text => text,
        };
        Ok(NameAddr {
            display: (!display.is_empty()).then_some(display),
            uri,
            params: Params::new(after),
        })
    }

    fn parse_addr_spec(bytes: &'a [u8]) -> Result<NameAddr<'a>, Malformed> {
        // RFC 3261 §20.10: without angle brackets every parameter is the header's.
        let end = bytes.iter().position(|b| *b == b';').unwrap_or(bytes.len());
        let (uri, params) = cut(bytes, end);
        let uri = trim(uri);
        // §20.10: a URI with a comma or question mark must stand in angle brackets.
        if !is_solid(uri)
            || !uri.contains(&b':')
            || uri.iter().any(|b| matches!(b, b',' | b'?' | b'"' | b'>'))
        {
            return Err(Malformed::NameAddr);
        }
        Ok(NameAddr {
            display: None,
            uri,
            params: Params::new(params),
        })
    }

    /// The tag (RFC 3261 §19.3), when there is one that is not empty.
    pub fn tag(&self) -> Option<&'a [u8]> {
        self.params.value("tag").filter(|t| !t.is_empty())
    }

    /// The URI in its parts.
    pub fn parse_uri(&self) -> Result<Uri<'a>, Malformed> {
        Uri::parse(self.uri)
    }
}

/// One Via element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Via<'a> {
    /// The transport token as written: `UDP`, `TCP`, `TLS`.
    pub transport: &'a [u8],
    /// The host of sent-by, an IPv6 address in its brackets.
    pub host: &'a [u8],
    /// The port of sent-by, when it is written.
    pub port: Option<u16>,
    /// The branch (RFC 3261 §8.1.1.7), when there is one that is not empty.
    pub branch: Option<&'a [u8]>,
    /// Whether `rport` stands without a value: the sender asks for its source port
    /// (RFC 3581 §3).
    pub rport: bool,
    /// The `received` parameter, when it is an address (RFC 3261 §18.2.1; RFC 5118 §4.5 allows
    /// brackets).
    pub received: Option<IpAddr>,
    /// All parameters.
    pub params: Params<'a>,
}

impl<'a> Via<'a> {
    /// Reads one element.
    pub fn parse(bytes: &'a [u8]) -> Result<Via<'a>, Malformed> {
        Via::read(bytes).ok_or(Malformed::Value(Header::Via))
    }

    fn read(bytes: &'a [u8]) -> Option<Via<'a>> {
        let bytes = trim(bytes);
        let (name, rest) = split_once(bytes, b'/')?;
        let (version, rest) = split_once(rest, b'/')?;
        let (name, version, rest) = (trim(name), trim(version), trim(rest));
        if !name.eq_ignore_ascii_case(b"SIP") || version != b"2.0" {
            return None;
        }
        let (transport, rest) = cut(rest, rest.iter().position(|b| is_lws(*b))?);
        let rest = trim(rest);
        let (sent_by, params) = cut(
            rest,
            rest.iter().position(|b| *b == b';').unwrap_or(rest.len()),
        );
        let (host, port) = split_sent_by(trim(sent_by))?;
        if !is_token(transport) {
            return None;
        }
        let params = Params::new(params);
        let branch = params.value("branch").filter(|b| !b.is_empty());
        Some(Via {
            transport,
            host,
            port,
            branch,
            rport: params.get("rport") == Some(None),
            received: params.value("received").and_then(host_address),
            params,
        })
    }

    /// The canonical key of sent-by: host in lower case, port with its default filled in
    /// (RFC 3261 §17.2.3, §18.2.1).
    pub fn sent_by(&self) -> String {
        let host = String::from_utf8_lossy(self.host).to_ascii_lowercase();
        format!("{host}:{}", self.port.unwrap_or(self.default_port()))
    }

    /// The port when none is written (RFC 3261 §18.2.2).
    pub fn default_port(&self) -> u16 {
        if self.transport.eq_ignore_ascii_case(b"TLS") {
            5061
        } else {
            5060
        }
    }

    /// The address in sent-by; `None` for a name.
    pub fn host_address(&self) -> Option<IpAddr> {
        host_address(self.host)
    }

    /// Whether the branch has the magic cookie of RFC 3261 §8.1.1.7, so that it alone names the
    /// transaction.
    pub fn has_magic_cookie(&self) -> bool {
        self.branch
            .and_then(|b| b.get(..7))
            .is_some_and(|b| b.eq_ignore_ascii_case(b"z9hG4bK"))
    }
}

/// `host [: port]` with white space allowed around the colon (RFC 3261 §25.1 `COLON`).
fn split_sent_by(bytes: &[u8]) -> Option<(&[u8], Option<u16>)> {
    if !bytes.iter().any(|b| is_lws(*b)) {
        return split_host_port(bytes);
    }
    let at = bytes.iter().rposition(|b| *b == b':')?;
    let (host, after) = cut(bytes, at);
    let digits = trim(after.get(1..)?);
    let (host, none) = split_host_port(trim(host))?;
    none.is_none()
        .then_some((host, Some(super::text::port(digits)?)))
}

/// CSeq: number and method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CSeq {
    /// 0 to [`MAX_CSEQ`].
    pub number: u32,
    /// The method.
    pub method: Method,
}

impl CSeq {
    /// Reads the value and gives back the method's own name too, which tells two unknown
    /// methods apart.
    pub(super) fn read(bytes: &[u8]) -> Option<(CSeq, &[u8])> {
        let bytes = trim(bytes);
        let (digits, rest) = cut(bytes, bytes.iter().position(|b| is_lws(*b))?);
        let name = trim(rest);
        let number = number(digits, u64::from(MAX_CSEQ))?;
        is_token(name).then_some(())?;
        let cseq = CSeq {
            number: u32::try_from(number).ok()?,
            method: Method::from_bytes(name),
        };
        Some((cseq, name))
    }

    /// Reads the value of a CSeq header.
    pub fn parse(bytes: &[u8]) -> Result<CSeq, Malformed> {
        CSeq::read(bytes)
            .map(|(cseq, _)| cseq)
            .ok_or(Malformed::Value(Header::CSeq))
    }
}
