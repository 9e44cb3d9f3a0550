//! How many calls the ports and the descriptors allow.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Config;

/// Descriptors for everything that is not media: SIP and HTTP sockets, the store, logs, admin
/// connections.
pub const RESERVED_DESCRIPTORS: u64 = 512;
/// Sockets of one port pair: RTP and RTCP.
const DESCRIPTORS_PER_PAIR: u64 = 2;
/// Port pairs of one call: one per leg.
const PAIRS_PER_CALL: u64 = 2;

/// What this configuration can carry on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// RTP/RTCP port pairs in the range, on all addresses together.
    pub port_pairs: u64,
    /// Calls the port pairs allow.
    pub calls_by_ports: u64,
    /// Descriptors the process may open.
    pub descriptor_limit: u64,
    /// Descriptors the whole port range needs, with the reserve.
    pub descriptors_needed: u64,
    /// Calls the descriptors allow.
    pub calls_by_descriptors: u64,
}

/// The descriptors do not suffice for the port range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "[media] ports needs {needed} descriptors for {pairs} port pairs, but the process may open \
     {limit}; narrow the range, or raise the hard limit (LimitNOFILE= in systemd, ulimit -Hn)"
)]
pub struct TooFewDescriptors {
    /// Port pairs in the range.
    pub pairs: u64,
    /// Descriptors they need, with the reserve.
    pub needed: u64,
    /// Descriptors allowed.
    pub limit: u64,
}

impl Capacity {
    /// Computes it for a descriptor limit.
    pub fn of(config: &Config, descriptor_limit: u64) -> Capacity {
        let media = &config.media;
        let ports = u64::from(media.last_port) + 1 - u64::from(media.first_port);
        let port_pairs = ports / 2 * media.listen.len() as u64;
        let free = descriptor_limit.saturating_sub(RESERVED_DESCRIPTORS);
        Capacity {
            port_pairs,
            calls_by_ports: port_pairs / PAIRS_PER_CALL,
            descriptor_limit,
            descriptors_needed: port_pairs * DESCRIPTORS_PER_PAIR + RESERVED_DESCRIPTORS,
            calls_by_descriptors: free / (DESCRIPTORS_PER_PAIR * PAIRS_PER_CALL),
        }
    }

    /// Masked calls at once.
    pub fn calls(&self) -> u64 {
        self.calls_by_ports.min(self.calls_by_descriptors)
    }

    /// Refuses a range that the descriptors cannot serve.
    pub fn check(&self) -> Result<(), TooFewDescriptors> {
        if self.descriptors_needed <= self.descriptor_limit {
            return Ok(());
        }
        Err(TooFewDescriptors {
            pairs: self.port_pairs,
            needed: self.descriptors_needed,
            limit: self.descriptor_limit,
        })
    }
}

/// Raises the soft descriptor limit to the hard one; returns what is allowed now.
pub fn raise_descriptor_limit() -> std::io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// The hard descriptor limit, which [`raise_descriptor_limit`] would reach.
pub fn descriptor_limit() -> std::io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_count() {
        let text = "[media]\nlisten = [\"127.0.0.1\", \"127.0.0.2\"]\nports = \"20000-20099\"\n";
        let config = Config::parse(text, None).unwrap();
        let plenty = Capacity::of(&config, 100_000);
        assert_eq!((plenty.port_pairs, plenty.calls()), (100, 50));
        assert_eq!(plenty.check(), Ok(()));
        let poor = Capacity::of(&config, 512 + 40);
        assert_eq!((poor.calls(), poor.descriptors_needed), (10, 712));
        let refused = poor.check().unwrap_err().to_string();
        assert!(
            refused.contains("712") && refused.contains("552"),
            "{refused}"
        );
    }
}
