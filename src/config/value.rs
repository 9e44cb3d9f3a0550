//! Values that need more than a TOML type: endpoints, port ranges, words.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// The port of a target that names none (RFC 3261 §19.1.2).
pub const DEFAULT_SIP_PORT: u16 = 5060;
/// Longest host name (RFC 1035 §2.3.4).
const MAX_HOST: usize = 253;

/// Where a trunk is reached: a host name or an address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What is written in URIs: `host` or `host:port`, as configured, IPv6 in brackets.
    pub host_port: String,
}

/// What happens to datagrams from addresses that belong to no trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strangers {
    /// Nothing comes back: a scanner learns nothing.
    Drop,
    /// A stateless 403.
    Reject,
}

/// The least severe level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What must be looked at.
    Error,
    /// What should be.
    Warn,
    /// Starts, answers and ends of calls.
    Info,
    /// State changes.
    Debug,
    /// Messages, with numbers in them.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        })
    }
}

/// Why a value was not understood: what was wrong and what to do.
pub(super) type Complaint = (String, String);

/// Takes the transport word off `udp:host:port`.
fn after_transport(text: &str) -> Result<&str, Complaint> {
    match text.split_once(':') {
        Some(("udp", rest)) => Ok(rest),
        Some((other @ ("tcp" | "tls" | "ws" | "wss"), _)) => Err((
            format!("\"{text}\": {other} is not supported yet"),
            "write udp: for now".to_owned(),
        )),
        _ => Err((
            format!("\"{text}\" does not begin with a transport"),
            "write it as udp:host:port".to_owned(),
        )),
    }
}

/// Reads `udp:address:port`, a socket to bind.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Complaint> {
    after_transport(text)?.parse().map_err(|_| {
        (
            format!("\"{text}\" has no address and port to bind"),
            "write it as udp:127.0.0.1:5060 or udp:[::1]:5060".to_owned(),
        )
    })
}

/// Reads `udp:host` or `udp:host:port`.
pub(super) fn endpoint(text: &str) -> Result<Endpoint, Complaint> {
    let rest = after_transport(text)?;
    let wrong = |what: &str| {
        (
            format!("\"{text}\": {what}"),
            "write it as udp:host:port, udp:192.0.2.7:5060 or udp:[2001:db8::7]:5060".to_owned(),
        )
    };
    if let Some(inner) = rest.strip_prefix('[') {
        let (host, after) = inner
            .split_once(']')
            .ok_or_else(|| wrong("the bracket is not closed"))?;
        if host.parse::<std::net::Ipv6Addr>().is_err() {
            return Err(wrong("no IPv6 address between the brackets"));
        }
        let port = match after {
            "" => DEFAULT_SIP_PORT,
            _ => (after.strip_prefix(':').and_then(port))
                .ok_or_else(|| wrong("the port is not a number from 1 to 65535"))?,
        };
        return Ok(Endpoint {
            host: host.to_owned(),
            port,
            host_port: rest.to_owned(),
        });
    }
    let (host, port) = match rest.split_once(':') {
        None => (rest, DEFAULT_SIP_PORT),
        Some((host, digits)) => (
            host,
            port(digits).ok_or_else(|| wrong("the port is not a number from 1 to 65535"))?,
        ),
    };
    if !is_host(host) {
        return Err(wrong("no host name or address"));
    }
    Ok(Endpoint {
        host: host.to_owned(),
        port,
        host_port: rest.to_owned(),
    })
}

/// Reads `first-last`.
pub(super) fn ports(text: &str) -> Result<(u16, u16), Complaint> {
    let range = || -> Option<(u16, u16)> {
        let (first, last) = text.split_once('-')?;
        Some((port(first.trim())?, port(last.trim())?))
    };
    let Some((first, last)) = range() else {
        return Err((
            format!("\"{text}\" is not a port range"),
            "write it as 20000-29999".to_owned(),
        ));
    };
    if first < 1024 {
        return Err((
            format!("the range begins at {first}, among the privileged ports"),
            "begin at 1024 or above".to_owned(),
        ));
    }
    if first >= last {
        return Err((
            format!("the range {first}-{last} holds no port pair"),
            "write a range of at least two ports, an even one first, as in 20000-29999".to_owned(),
        ));
    }
    // RTP takes the even port and RTCP the odd one after it (RFC 3550 §11).
    if first % 2 != 0 || last % 2 != 1 {
        let (even, odd) = (first & !1, last | 1);
        return Err((
            format!("the range {first}-{last} splits an RTP/RTCP pair"),
            format!("begin with an even port and end with an odd one, as in {even}-{odd}"),
        ));
    }
    Ok((first, last))
}

fn port(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|p| digits && *p > 0)
}

/// A host name (RFC 1123 §2.1), an IPv4 address, or an IPv6 address without brackets.
pub(super) fn is_host(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    // Only digits and dots that are no address are a slip, not a name.
    let slip = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    !slip && text.len() <= MAX_HOST && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read() {
        let cases = [
            ("udp:127.0.0.1:5070", "127.0.0.1", 5070, "127.0.0.1:5070"),
            (
                "udp:sip.example.com",
                "sip.example.com",
                5060,
                "sip.example.com",
            ),
            (
                "udp:[2001:db8::7]:5080",
                "2001:db8::7",
                5080,
                "[2001:db8::7]:5080",
            ),
            ("udp:[::1]", "::1", 5060, "[::1]"),
        ];
        for (text, host, port, host_port) in cases {
            let read = endpoint(text).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port), "{text}");
            assert_eq!(read.host_port, host_port);
        }
    }

    #[test]
    fn bad_endpoints_are_refused() {
        for text in [
            "127.0.0.1:5070",
            "tcp:127.0.0.1:5070",
            "udp:",
            "udp::5060",
            "udp:host:",
            "udp:host:0",
            "udp:host:65536",
            "udp:host:+80",
            "udp:300.1.2.3:5060",
            "udp:[::1",
            "udp:[host]:5060",
            "udp:[::1]x",
            "udp:[::1]5060",
            "udp:-bad.example:5060",
            "udp:two words",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn port_ranges_hold_whole_pairs() {
        assert_eq!(ports("20000-29999"), Ok((20000, 29999)));
        assert_eq!(ports("20000-20001"), Ok((20000, 20001)));
        for text in [
            "",
            "20000",
            "20001-20004",
            "20000-20002",
            "20000-20000",
            "30000-20001",
        ] {
            assert!(ports(text).is_err(), "{text}");
        }
        let (_, remedy) = ports("20001-20004").unwrap_err();
        assert!(remedy.contains("20000-20005"), "{remedy}");
    }
}
