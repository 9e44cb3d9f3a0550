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
            SocketAddr::new(source.ip(), via.port.unwrap_or(via.default_port()))
        }
        _ => source,
    }
}
