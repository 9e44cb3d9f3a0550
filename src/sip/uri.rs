//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966 §3), split into their parts.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use super::malformed::Malformed;
use super::params::Params;
use super::text::{cut, is_solid, percent_decode, port, split_once};

/// What kind of URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:` (RFC 3966)
    Tel,
    /// Any other; nothing of it is split.
    Other,
}

/// A URI in its parts, all raw: nothing is decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Uri<'a> {
    /// Which kind.
    pub scheme: Scheme,
    /// sip: the user part with its own parameters (`+91…;npdi;rn=…`), without the password;
    /// tel: the number as written.
    pub user: Option<&'a [u8]>,
    /// sip: the password, which we never use (RFC 3261 §19.1.1 advises against it).
    pub password: Option<&'a [u8]>,
    /// sip: the host, an IPv6 address in its brackets; empty for the other schemes.
    pub host: &'a [u8],
    /// sip: the port, when it is written.
    pub port: Option<u16>,
    /// URI parameters: `transport`, `user`, `lr`; for tel: `phone-context`, `isub`, `ext`.
    pub params: Params<'a>,
    /// sip: what follows `?`, raw. We never act on it (RFC 3261 §19.1.5).
    pub headers: Option<&'a [u8]>,
}

impl<'a> Uri<'a> {
    /// Splits a URI without angle brackets around it.
    pub fn parse(bytes: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        if !is_solid(bytes) || bytes.iter().any(|b| matches!(b, b'<' | b'>')) {
            return Err(Malformed::Uri);
        }
        let (scheme, rest) = split_once(bytes, b':').ok_or(Malformed::Uri)?;
        if !is_scheme(scheme) || rest.is_empty() {
            return Err(Malformed::Uri);
        }
        if scheme.eq_ignore_ascii_case(b"sip") {
            Uri::parse_sip(Scheme::Sip, rest)
        } else if scheme.eq_ignore_ascii_case(b"sips") {
            Uri::parse_sip(Scheme::Sips, rest)
        } else if scheme.eq_ignore_ascii_case(b"tel") {
            Uri::parse_tel(rest)
        } else {
            Ok(Uri::bare(Scheme::Other))
        }
    }

    fn bare(scheme: Scheme) -> Uri<'a> {
        Uri {
            scheme,
            user: None,
            password: None,
            host: b"",
            port: None,
            params: Params::default(),
            headers: None,
        }
    }

    fn parse_sip(scheme: Scheme, rest: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        let mut uri = Uri::bare(scheme);
        // `;` and `?` are legal in a user part (RFC 3261 §25.1 user-unreserved) and `@` is legal
        // nowhere else, so the one `@` decides where the host begins.
        let host_part = match split_once(rest, b'@') {
            Some((userinfo, after)) => {
                let (user, password) = match split_once(userinfo, b':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (userinfo, None),
                };
                if user.is_empty() || after.contains(&b'@') {
                    return Err(Malformed::Uri);
                }
                (uri.user, uri.password) = (Some(user), password);
                after
            }
            None => rest,
        };
        let end = host_part
            .iter()
            .position(|b| matches!(b, b';' | b'?'))
            .unwrap_or(host_part.len());
        let (host_port, after) = cut(host_part, end);
        (uri.host, uri.port) = split_host_port(host_port).ok_or(Malformed::Uri)?;
        let (params, headers) = match split_once(after, b'?') {
            Some((params, headers)) => (params, Some(headers)),
            None => (after, None),
        };
        uri.params = Params::new(params);
        uri.headers = headers;
        Ok(uri)
    }

    fn parse_tel(rest: &'a [u8]) -> Result<Uri<'a>, Malformed> {
        let mut uri = Uri::bare(Scheme::Tel);
        let end = rest.iter().position(|b| *b == b';').unwrap_or(rest.len());
        let (number, params) = cut(rest, end);
        if number.is_empty() {
            return Err(Malformed::Uri);
        }
        uri.user = Some(number);
        uri.params = Params::new(params);
        Ok(uri)
    }

    /// The user part, or the number of a tel URI, with escapes decoded and without parameters of
    /// its own; empty when there is none. For ASCII nothing is lost.
    pub fn user_text(&self) -> Cow<'a, str> {
        let user = self.user.unwrap_or_default();
        let end = user.iter().position(|b| *b == b';').unwrap_or(user.len());
        percent_decode(cut(user, end).0)
    }

    /// The telephone number as written, with its parameters (`;phone-context=`, `;npdi`):
    /// what [`NumberPlan::normalise`](crate::number::NumberPlan::normalise) reads. `None` when
    /// the URI has no user part.
    pub fn telephone(&self) -> Option<Cow<'a, str>> {
        let user = percent_decode(self.user?);
        Some(match self.scheme {
            Scheme::Tel if !self.params.raw().is_empty() => {
                Cow::Owned(format!("{user}{}", percent_decode(self.params.raw())))
            }
            _ => user,
        })
    }

    /// Where the URI points when its host is an address: default port 5060, for sips 5061
    /// (RFC 3261 §19.1.2). `None` for a host name.
    pub fn address(&self) -> Option<SocketAddr> {
        let default = match self.scheme {
            Scheme::Sips => 5061,
            _ => 5060,
        };
        let ip = host_address(self.host)?;
        Some(SocketAddr::new(ip, self.port.unwrap_or(default)))
    }

    /// Whether a URI parameter of this name is there, as `lr` in a route.
    pub fn has_param(&self, name: &str) -> bool {
        self.params.has(name)
    }
}

/// RFC 3261 §25.1 `scheme`.
fn is_scheme(scheme: &[u8]) -> bool {
    matches!(scheme.first(), Some(b) if b.is_ascii_alphabetic())
        && scheme
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
}

/// Splits `host[:port]`; an IPv6 address keeps its brackets. `None` when either is malformed.
pub(super) fn split_host_port(bytes: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match bytes.first()? {
        b'[' => bytes.iter().position(|b| *b == b']')? + 1,
        _ => bytes.iter().position(|b| *b == b':').unwrap_or(bytes.len()),
    };
    let (host, after) = cut(bytes, end);
    if !is_host(host) {
        return None;
    }
    match after {
        [] => Some((host, None)),
        [b':', digits @ ..] => Some((host, Some(port(digits)?))),
        _ => None,
    }
}

/// A host name, IPv4 address or bracketed IPv6 address, by its characters. Underscores are no
/// part of RFC 3261's grammar, but real host names have them.
fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', inside @ .., b']'] => {
            !inside.is_empty()
                && inside
                    .iter()
                    .all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        _ => {
            !host.is_empty()
                && host
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    }
}

/// The address a host spells, with or without brackets; `None` for a name.
pub(super) fn host_address(host: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(host).ok()?;
    let text = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri<'_> {
        Uri::parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn sip_parts_are_separated() {
        let u = uri("sip:alice:secret@Example.com:5062;transport=tcp;lr?Subject=x&To=y");
        assert_eq!(u.scheme, Scheme::Sip);
        assert_eq!(u.user, Some(&b"alice"[..]));
        assert_eq!(u.password, Some(&b"secret"[..]));
        assert_eq!(u.host, b"Example.com");
        assert_eq!(u.port, Some(5062));
        assert_eq!(u.params.value("transport"), Some(&b"tcp"[..]));
        assert!(u.has_param("LR"));
        assert_eq!(u.headers, Some(&b"Subject=x&To=y"[..]));
        assert_eq!(u.address(), None);
    }

    #[test]
    fn user_parts_may_hold_what_looks_like_parameters() {
        let u = uri("sip:+919876543210;npdi;rn=+911400@gw.example;user=phone");
        assert_eq!(u.user_text(), "+919876543210");
        assert_eq!(u.telephone().unwrap(), "+919876543210;npdi;rn=+911400");
        assert_eq!(u.params.value("user"), Some(&b"phone"[..]));
        let u = uri("sip:a?b/c@gw");
        assert_eq!(u.user, Some(&b"a?b/c"[..]));
        assert_eq!(uri("sip:%2B91%2098@gw").user_text(), "+91 98");
        // Separators that are escaped belong to the user (RFC 4475 §3.1.1.3).
        assert_eq!(uri("sip:a%3Bb%40c@gw").user_text(), "a;b@c");
    }

    #[test]
    fn tel_has_a_number_and_a_context() {
        let u = uri("TEL:9876-543210;phone-context=+91;isub=12");
        assert_eq!(u.scheme, Scheme::Tel);
        assert_eq!(u.user_text(), "9876-543210");
        assert_eq!(u.params.value("phone-context"), Some(&b"+91"[..]));
        assert_eq!(
            u.telephone().unwrap(),
            "9876-543210;phone-context=+91;isub=12"
        );
        assert_eq!(u.host, b"");
    }

    #[test]
    fn addresses_are_literal_hosts() {
        let table = [
            ("sip:192.0.2.1", Some("192.0.2.1:5060")),
            ("sips:x@192.0.2.1", Some("192.0.2.1:5061")),
            ("sip:x@[2001:db8::1]:5070;lr", Some("[2001:db8::1]:5070")),
            ("sip:x@[::ffff:192.0.2.1]", Some("[::ffff:192.0.2.1]:5060")),
            ("sip:x@host.example", None),
            ("tel:+91123", None),
        ];
        for (text, address) in table {
            assert_eq!(
                uri(text).address(),
                address.map(|a| a.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn malformed_ones_are_refused() {
        for text in [
            "",
            "sip:",
            "sip",
            ":x",
            "sip:@host",
            "sip:a@",
            "sip:a@b@c",
            "sip:a@b:",
            "sip:a@b:99999",
            "sip:a@b:5060x",
            "sip:a@[::1",
            "sip:a@[]",
            "sip:a@[::1]x",
            "sip:a@b c",
            "sip:a@b\r\nX: y",
            "<sip:a@b>",
            "sip:a@b\0",
            "s ip:a@b",
            "1sip:a@b",
            "tel:",
            "tel:;phone-context=+91",
            "sip:h\u{e9}te",
        ] {
            assert_eq!(Uri::parse(text.as_bytes()), Err(Malformed::Uri), "{text:?}");
        }
    }

    #[test]
    fn other_schemes_are_known_to_be_other() {
        for text in ["http://x/y?z", "urn:service:sos", "nobodyKnowsThisScheme:a"] {
            assert_eq!(uri(text).scheme, Scheme::Other, "{text}");
            assert_eq!(uri(text).telephone(), None);
            assert_eq!(uri(text).user_text(), "");
        }
    }
}
