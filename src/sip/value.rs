//! The structured header values we read: name-addr (RFC 3261 §20.10), Via (§20.42), CSeq
//! (§20.16).

use std::net::IpAddr;

use super::header::Header;
use super::malformed::Malformed;
use super::method::Method;
use super::params::Params;
use super::text::{
    cut, find_unquoted, is_lws, is_solid, is_token, number, quotes_close, split_once, trim,
};
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
        if !is_solid(uri) || !matches!(after.first(), None | Some(b';')) || !quotes_close(after) {
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
            || !quotes_close(params)
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
        if !is_token(transport) || !quotes_close(params) {
            return None;
        }
        let params = Params::new(params);
        let branch = params.value("branch").filter(|b| !b.is_empty());
        Some(Via {
            transport,
            host,
            port,
            branch,
            // `rport=` with nothing behind it can only mean the same.
            rport: params
                .get("rport")
                .is_some_and(|v| v.is_none_or(<[u8]>::is_empty)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> NameAddr<'_> {
        NameAddr::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}"))
    }

    fn via(text: &str) -> Via<'_> {
        Via::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text:?}: {e}"))
    }

    #[test]
    fn both_forms_of_an_address_are_read() {
        // Text, display name, URI, tag.
        let table = [
            ("<sip:a@b>;tag=1", None, "sip:a@b", Some("1")),
            ("sip:a@b;tag=1", None, "sip:a@b", Some("1")),
            ("sip:a@b ; Tag = 1", None, "sip:a@b", Some("1")),
            ("caller<sip:a@b>", Some("caller"), "sip:a@b", None),
            ("A B. <sip:a@b;x=y>", Some("A B."), "sip:a@b;x=y", None),
            (
                "\"Bell, \\\"A\\\" <x>;\" <sip:a,b@c?d=e>;x=\";tag=2\";tag=3",
                Some("Bell, \\\"A\\\" <x>;"),
                "sip:a,b@c?d=e",
                Some("3"),
            ),
            ("\"\" <sip:a@b>;tag=", None, "sip:a@b", None),
            (
                "\"x\"\r\n <tel:+911234567>\r\n\t;tag=7",
                Some("x"),
                "tel:+911234567",
                Some("7"),
            ),
            // RFC 3261 §20.10: this `user` is a header parameter.
            ("tel:+911234567;user=phone", None, "tel:+911234567", None),
        ];
        for (text, display, uri, tag) in table {
            let a = address(text);
            assert_eq!(a.display, display.map(str::as_bytes), "{text}");
            assert_eq!(a.uri, uri.as_bytes(), "{text}");
            assert_eq!(a.tag(), tag.map(str::as_bytes), "{text}");
        }
        assert_eq!(
            address("sip:a@b;x=y").parse_uri().unwrap().params.raw(),
            b""
        );
    }

    #[test]
    fn display_names_may_be_latin_1() {
        let a = NameAddr::parse(b"\"Fran\xe7ois\" <sip:f@x>").unwrap();
        assert_eq!(a.display, Some(&b"Fran\xe7ois"[..]));
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for text in [
            "",
            "<>",
            "<sip:a@b",
            "sip:a@b>",
            "\"x <sip:a@b>",
            "x\" <sip:a@b>",
            "< sip:a@b >",
            "<sip:a@b> tag=1",
            "sip:a@b?x=y",
            "sip:a,b@c",
            "nonsense",
            "sip:a b@c",
            ";tag=1",
            "<sip:a@b>;tag=\"1",
            "sip:a@b;x=\"1",
        ] {
            assert_eq!(
                NameAddr::parse(text.as_bytes()),
                Err(Malformed::NameAddr),
                "{text:?}"
            );
        }
    }

    #[test]
    fn via_is_read_with_all_the_space_its_grammar_allows() {
        let v = via(
            "SIP / 2.0 /\r\n UDP first.Example.com : 4000 ;ttl=16 ;rport\r\n ;branch = z9hG4bKa7c6a8dlze.1",
        );
        assert_eq!(v.transport, b"UDP");
        assert_eq!(v.host, b"first.Example.com");
        assert_eq!(v.port, Some(4000));
        assert_eq!(v.branch, Some(&b"z9hG4bKa7c6a8dlze.1"[..]));
        assert!(v.rport && v.has_magic_cookie());
        assert_eq!(v.sent_by(), "first.example.com:4000");
    }

    #[test]
    fn sent_by_has_its_default_port() {
        assert_eq!(via("SIP/2.0/UDP Host").sent_by(), "host:5060");
        assert_eq!(via("SIP/2.0/tls h").sent_by(), "h:5061");
        assert_eq!(
            via("SIP/2.0/TCP [2001:DB8::9:1]:6050").sent_by(),
            "[2001:db8::9:1]:6050"
        );
    }

    #[test]
    fn received_is_an_address_with_or_without_brackets() {
        for text in ["2001:db8::9:255", "[2001:db8::9:255]"] {
            let text = format!("SIP/2.0/UDP [2001:db8::9:1];received={text};branch=b");
            let v = via(&text);
            assert_eq!(v.received, Some("2001:db8::9:255".parse().unwrap()));
            assert!(!v.rport && !v.has_magic_cookie());
        }
        assert_eq!(via("SIP/2.0/UDP h;received=x").received, None);
        assert!(!via("SIP/2.0/UDP h;rport=4").rport);
    }

    #[test]
    fn malformed_vias_are_refused() {
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/3.0/UDP h",
            "HTTP/2.0/UDP h",
            "SIP/2.0 UDP h",
            "SIP/2.0/UDP ;branch=x",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:65536",
            "SIP/2.0/UDP h i;branch=x",
            "SIP/2.0/UDP h : 1 2",
            "SIP/2.0/U@P h",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h;branch=\"z9hG4bK",
        ] {
            assert_eq!(
                Via::parse(text.as_bytes()),
                Err(Malformed::Value(Header::Via)),
                "{text:?}"
            );
        }
    }

    #[test]
    fn cseq_is_below_two_to_the_31st() {
        let read = |t: &str| CSeq::parse(t.as_bytes()).map(|c| (c.number, c.method));
        assert_eq!(read("0009\r\n  INVITE"), Ok((9, Method::Invite)));
        assert_eq!(read("2147483647 BYE"), Ok((MAX_CSEQ, Method::Bye)));
        assert_eq!(read("0 invite"), Ok((0, Method::Other)));
        for bad in [
            "2147483648 BYE",
            "-1 BYE",
            "1",
            "1 ",
            "BYE",
            "1 B@E",
            "1BYE",
            "",
        ] {
            assert_eq!(read(bad), Err(Malformed::Value(Header::CSeq)), "{bad:?}");
        }
    }
}
