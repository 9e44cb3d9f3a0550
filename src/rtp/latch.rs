//! From whom a port accepts packets. Strict: the address and port the party signalled, and
//! nobody else; guessing ports or speaking first gains a stranger nothing.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// How a source is compared. One way today; a party behind NAT that signals an address it does
/// not send from would need "same address, any port" or "learn once", each as one more variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[repr(u8)]
pub enum Mode {
    /// Address and port must both be the signalled ones.
    #[default]
    Strict,
}

/// The source a port accepts; none before it is set. IPv4 is held IPv4-mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[repr(C)]
pub struct Latch {
    address: [u8; 16],
    port: u16,
    set: bool,
    mode: Mode,
}

impl Latch {
    /// A latch on the signalled address. An unspecified address or port 0 (a held party, RFC
    /// 3264 §8.4) accepts nobody.
    pub fn on(signalled: SocketAddr) -> Latch {
        Latch {
            address: mapped(signalled.ip()),
            port: signalled.port(),
            set: !signalled.ip().is_unspecified() && signalled.port() != 0,
            mode: Mode::Strict,
        }
    }

    /// Whether a packet from this source is accepted.
    pub fn accepts(&self, source: SocketAddr) -> bool {
        match self.mode {
            Mode::Strict => {
                self.set && self.port == source.port() && self.address == mapped(source.ip())
            }
        }
    }
}

fn mapped(address: IpAddr) -> [u8; 16] {
    let v6: Ipv6Addr = match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    };
    v6.octets()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_signalled_address_and_port() {
        let latch = Latch::on(at("192.0.2.7:4000"));
        assert!(latch.accepts(at("192.0.2.7:4000")));
        assert!(latch.accepts(at("[::ffff:192.0.2.7]:4000")));
        assert!(!latch.accepts(at("192.0.2.7:4001")));
        assert!(!latch.accepts(at("192.0.2.8:4000")));
        assert!(!latch.accepts(at("[2001:db8::7]:4000")));
    }

    #[test]
    fn nobody_before_it_is_set_and_nobody_while_unspecified() {
        assert!(!Latch::default().accepts(at("0.0.0.0:0")));
        assert!(!Latch::default().accepts(at("[::]:0")));
        assert!(!Latch::on(at("0.0.0.0:4000")).accepts(at("0.0.0.0:4000")));
        assert!(!Latch::on(at("192.0.2.7:0")).accepts(at("192.0.2.7:0")));
    }
}
