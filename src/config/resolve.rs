//! From the configuration to the switch's settings, once the shell has opened its sockets and
//! looked up its host names.

use super::Config;
use crate::switch::settings::{Listener, Settings, Target, Trunk};

/// What only the shell can find out.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The open sockets, in the order of `sip.listen`.
    pub listeners: Vec<Listener>,
    /// The targets of each trunk, in the order of [`Config::trunks`]; a name may give several,
    /// and a trunk whose names do not resolve has none for now.
    pub targets: Vec<Vec<Target>>,
}

impl Config {
    /// The switch's view of this configuration.
    pub fn settings(&self, resolved: Resolved) -> Settings {
        let Resolved { listeners, targets } = resolved;
        let mut targets = targets.into_iter();
        let trunk = |trunk: &super::Trunk| Trunk {
            name: trunk.name.clone(),
            targets: targets.next().unwrap_or_default(),
            accept_from: trunk.accept_from.clone(),
            identity_order: trunk.identity_order.clone(),
            number_format: trunk.number_format,
            announcement_mode: trunk.announcement_mode,
        };
        Settings {
            domain: self.domain(&listeners),
            listeners,
            plan: self.sip.plan.clone(),
            trunks: self.trunks.iter().map(trunk).collect(),
            ring_timeout_secs: self.calls.ring_timeout_secs,
            max_call_secs: self.calls.max_call_secs,
            early_media: self.calls.early_media,
            announcement_mode: self.announcement.mode,
            media_timeout_secs: self.media.media_timeout_secs,
        }
    }

    /// What others reach a socket at, for Via and Contact: the advertised host, or the bound
    /// address, with the real port.
    pub fn advertised(&self, local: std::net::SocketAddr) -> String {
        match &self.sip.advertise {
            Some(host) => format!("{}:{}", bracketed(host), local.port()),
            None => local.to_string(),
        }
    }

    /// The host of our own URIs: configured, advertised, or the first socket's address.
    fn domain(&self, listeners: &[Listener]) -> String {
        let named = self.sip.domain.as_ref().or(self.sip.advertise.as_ref());
        let bound = || listeners.first().map(|l| l.local.ip().to_string());
        let host = named.cloned().or_else(bound);
        bracketed(&host.unwrap_or_else(|| "localhost".to_owned()))
    }
}

/// An IPv6 address in brackets, as URIs have it (RFC 3261 §25.1, IPv6reference).
fn bracketed(host: &str) -> String {
    match host.parse::<std::net::Ipv6Addr>() {
        Ok(_) => format!("[{host}]"),
        Err(_) => host.to_owned(),
    }
}
