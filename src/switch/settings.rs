//! What the switch needs to know of the configuration, resolved: no names to look up, no files.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::number::NumberPlan;
use crate::sip::Transport;

/// Index into [`Settings::trunks`].
pub type TrunkId = u16;

/// The switch's own view of the configuration. Times are in the unit their names say.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Our sockets, and how others reach each.
    pub listeners: Vec<Listener>,
    /// Host in our From, P-Asserted-Identity and To URIs.
    pub domain: String,
    /// How to read national numbers.
    pub plan: NumberPlan,
    /// The trunks, in configured order.
    pub trunks: Vec<Trunk>,
    /// Longest time a callee may ring.
    pub ring_timeout_secs: u32,
    /// Longest call.
    pub max_call_secs: u32,
    /// What A hears of B's early media.
    pub early_media: EarlyMedia,
    /// How the announcement is given, unless the trunk says otherwise.
    pub announcement_mode: AnnouncementMode,
    /// End a call after this time without RTP or RTCP from either side; 0 = never.
    pub media_timeout_secs: u32,
}

/// One of our SIP sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// UDP or TCP.
    pub transport: Transport,
    /// The address the socket is bound to.
    pub local: SocketAddr,
    /// What we write in Via and Contact (`host:port`).
    pub advertised: String,
}

/// A carrier.
#[derive(Debug, Clone)]
pub struct Trunk {
    /// Its name in the configuration.
    pub name: String,
    /// Where its calls go, tried in order.
    pub targets: Vec<Target>,
    /// Addresses whose calls and identity headers we trust.
    pub accept_from: Vec<Cidr>,
    /// Where to look for the caller, in order.
    pub identity_order: Vec<IdentityHeader>,
    /// How numbers are written to this trunk.
    pub number_format: NumberFormat,
    /// The trunk's own announcement mode.
    pub announcement_mode: Option<AnnouncementMode>,
}

/// One resolved target of a trunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
    /// What we write in the Request-URI and To (`host` or `host:port`), as configured.
    pub host_port: String,
}

/// What A hears before the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EarlyMedia {
    /// B's 183 becomes a plain 180.
    Hide,
    /// B's early audio is relayed.
    Relay,
}

/// How "This number is not active" is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AnnouncementMode {
    /// 200, audio, BYE.
    Answer,
    /// 183 with media, audio, 480: not billed.
    Early,
}

/// Headers that can name the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityHeader {
    /// P-Asserted-Identity (RFC 3325 §9.1).
    PAssertedIdentity,
    /// Remote-Party-ID.
    RemotePartyId,
    /// From (RFC 3261 §20.20).
    From,
}

/// How a number is written in the URIs sent to a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NumberFormat {
    /// `+914412345678`
    E164,
    /// `914412345678`
    Plain,
    /// `04412345678` for numbers of our country, `00…` for others.
    National,
}

/// An address prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// A prefix of `prefix` bits; `None` when there are more than the address has.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Cidr> {
        let most = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= most).then_some(Cidr { address, prefix })
    }

    /// Reads `192.0.2.0/24`, `192.0.2.7` or the IPv6 forms.
    pub fn parse(text: &str) -> Option<Cidr> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        Cidr::new(
            address,
            prefix.unwrap_or(if address.is_ipv4() { 32 } else { 128 }),
        )
    }

    /// Whether it leaves out no address of its family.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }

    /// Whether the address lies in this prefix. An IPv4-mapped IPv6 address counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(one)) => {
                let shift = 32 - u32::from(self.prefix.min(32));
                u32::from(net).checked_shr(shift) == u32::from(one).checked_shr(shift)
            }
            (IpAddr::V6(net), IpAddr::V6(one)) => {
                let shift = 128 - u32::from(self.prefix);
                u128::from(net).checked_shr(shift) == u128::from(one).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl Settings {
    /// The trunk that an address belongs to: one whose `accept_from` lists it, else one that has
    /// it as a target. `None`: a stranger.
    pub fn trunk_of(&self, address: IpAddr) -> Option<TrunkId> {
        let listed = self.trunks.iter().position(|t| t.trusts(address));
        let target = || {
            self.trunks.iter().position(|t| {
                t.targets
                    .iter()
                    .any(|x| x.address.ip() == address.to_canonical())
            })
        };
        listed.or_else(target).map(|i| i as TrunkId)
    }

    /// The trunk of this name.
    pub fn trunk_named(&self, name: &str) -> Option<TrunkId> {
        self.trunks
            .iter()
            .position(|t| t.name == name)
            .map(|i| i as TrunkId)
    }
}

impl Trunk {
    /// Whether calls and identity headers from this address are trusted.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.accept_from.iter().any(|c| c.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn prefixes_match_whole_and_part() {
        let net = Cidr::parse("192.0.2.0/24").unwrap();
        assert!(net.contains(ip("192.0.2.255")));
        assert!(!net.contains(ip("192.0.3.0")));
        assert!(net.contains(ip("::ffff:192.0.2.9")));
        assert!(
            Cidr::parse("0.0.0.0/0")
                .unwrap()
                .contains(ip("203.0.113.5"))
        );
        assert!(
            Cidr::parse("2001:db8::/32")
                .unwrap()
                .contains(ip("2001:db8:1::1"))
        );
        assert!(
            !Cidr::parse("2001:db8::/32")
                .unwrap()
                .contains(ip("192.0.2.1"))
        );
        assert!(Cidr::parse("192.0.2.1").unwrap().contains(ip("192.0.2.1")));
        for junk in ["", "192.0.2.0/33", "host", "192.0.2.0/", "::/129"] {
            assert!(Cidr::parse(junk).is_none(), "{junk}");
        }
    }
}
