//! Where a response goes (RFC 3261 §18.2.2, RFC 3581 §4).

use std::net::SocketAddr;

use super::header::Header;
use super::message::Message;
use super::value::Via;

/// The address for a response to a request that came by datagram from `source`.
///
/// `maddr` is not obeyed: it would let a request send our answer, which is larger and repeated,
/// to any third address. A Via that cannot be read is answered at the source.
pub fn response_target(request: &Message<'_>, source: SocketAddr) -> SocketAddr {
    let top = request.elements(Header::Via).next();
    match top.map(Via::parse) {
        // RFC 3581 §4: asked for, the source's own port.
        Some(Ok(via)) if !via.rport => {
            // RFC 3261 §18.2.2: `received` is the source by our own §18.2.1, so the address is
            // the source's and only the port is the sender's word.
            let port = via.port.filter(|port| *port != 0);
            SocketAddr::new(source.ip(), port.unwrap_or(via.default_port()))
        }
        _ => source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_go_where_via_says_but_never_to_another_address() {
        let table = [
            ("192.0.2.9:5062;branch=z9hG4bKa;rport", "198.51.100.7:40000"),
            (
                "192.0.2.9:5062;branch=z9hG4bKa;rport=",
                "198.51.100.7:40000",
            ),
            ("192.0.2.9:5062;branch=z9hG4bKa", "198.51.100.7:5062"),
            ("192.0.2.9;branch=z9hG4bKa", "198.51.100.7:5060"),
            ("192.0.2.9:0;branch=z9hG4bKa", "198.51.100.7:5060"),
            ("host.example;maddr=203.0.113.1", "198.51.100.7:5060"),
            ("host.example;received=203.0.113.1", "198.51.100.7:5060"),
            ("bad host;;", "198.51.100.7:40000"),
        ];
        let source = "198.51.100.7:40000".parse().unwrap();
        for (via, target) in table {
            let text = format!("BYE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\n\r\n");
            let message = Message::scan(text.as_bytes()).unwrap();
            let target: SocketAddr = target.parse().unwrap();
            assert_eq!(response_target(&message, source), target, "{via}");
        }
        let none = Message::scan(b"BYE sip:a@b SIP/2.0\r\n\r\n").unwrap();
        assert_eq!(response_target(&none, source), source);
    }
}
