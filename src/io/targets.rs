//! Where each trunk's calls go: host names become addresses once, at start.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::{Config, Endpoint};
use crate::sip::Transport;
use crate::switch::settings::Target;

/// Longest time for one name.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// Most addresses taken of one name.
const MAX_ADDRESSES: usize = 16;

/// A target of a trunk leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[[trunk]] \"{trunk}\": target \"{target}\" {why}")]
pub struct TargetError {
    /// The trunk's name.
    pub trunk: String,
    /// As configured.
    pub target: String,
    /// What was wrong and what to do.
    pub why: String,
}

/// Looks up every target of every trunk, in configured order. Only addresses that one of our
/// sockets can reach are kept: IPv4 ones for an IPv4 socket, IPv6 ones for an IPv6 socket.
pub async fn resolve(
    config: &Config,
    sockets: &[SocketAddr],
) -> Result<Vec<Vec<Target>>, TargetError> {
    let mut trunks = Vec::with_capacity(config.trunks.len());
    for trunk in &config.trunks {
        let mut targets = Vec::new();
        for endpoint in &trunk.targets {
            let addresses = reachable(endpoint, sockets)
                .await
                .map_err(|why| TargetError {
                    trunk: trunk.name.clone(),
                    target: endpoint.host_port.clone(),
                    why,
                })?;
            targets.extend(addresses.into_iter().map(|address| Target {
                transport: Transport::Udp,
                address,
                host_port: endpoint.host_port.clone(),
            }));
        }
        trunks.push(targets);
    }
    Ok(trunks)
}

async fn reachable(endpoint: &Endpoint, sockets: &[SocketAddr]) -> Result<Vec<SocketAddr>, String> {
    let found = addresses(endpoint).await?;
    let mut seen = BTreeSet::new();
    let usable: Vec<SocketAddr> = found
        .iter()
        .copied()
        .filter(|a| sockets.iter().any(|s| s.is_ipv4() == a.is_ipv4()) && seen.insert(*a))
        .take(MAX_ADDRESSES)
        .collect();
    if usable.is_empty() {
        let family = if found.iter().any(SocketAddr::is_ipv6) {
            "IPv6"
        } else {
            "IPv4"
        };
        return Err(format!(
            "has {family} addresses only and [sip] listen has no {family} socket; add one"
        ));
    }
    Ok(usable)
}

async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, String> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let lookup = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port));
    match tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await {
        Ok(Ok(found)) => {
            let found: Vec<SocketAddr> = found.collect();
            if found.is_empty() {
                return Err("has no address; check the name".to_owned());
            }
            Ok(found)
        }
        Ok(Err(error)) => Err(format!(
            "cannot be resolved ({error}); check the name and this machine's resolver, or write \
             the address"
        )),
        Err(_) => Err(format!(
            "was not resolved within {} s; check this machine's resolver, or write the address",
            LOOKUP_TIMEOUT.as_secs()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(target: &str) -> Config {
        let text = format!(
            "[[trunk]]\nname = \"carrier\"\ntargets = [\"{target}\"]\n\
             accept_from = [\"127.0.0.1\"]\n"
        );
        Config::parse(&text, None).unwrap()
    }

    fn v4() -> Vec<SocketAddr> {
        vec!["127.0.0.1:5060".parse().unwrap()]
    }

    #[tokio::test]
    async fn literals_need_no_lookup_and_keep_what_was_written() {
        let targets = resolve(&config("udp:127.0.0.9:5070"), &v4()).await.unwrap();
        let target = &targets[0][0];
        assert_eq!(target.address, "127.0.0.9:5070".parse().unwrap());
        assert_eq!(target.host_port, "127.0.0.9:5070");
    }

    #[tokio::test]
    async fn a_name_gives_the_addresses_a_socket_can_reach() {
        let targets = resolve(&config("udp:localhost:5070"), &v4()).await.unwrap();
        assert!(!targets[0].is_empty());
        assert!(targets[0].iter().all(|t| t.address.is_ipv4()));
        assert_eq!(targets[0][0].host_port, "localhost:5070");
    }

    #[tokio::test]
    async fn failures_name_trunk_and_target() {
        for (target, part) in [
            ("udp:nowhere.invalid:5070", "resolve"),
            ("udp:[::1]:5070", "IPv6"),
        ] {
            let error = resolve(&config(target), &v4()).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("\"carrier\""), "{text}");
            assert!(text.contains(&target[4..]), "{text}");
            assert!(text.contains(part), "{text}");
        }
    }
}
