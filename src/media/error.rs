//! Why a media plane cannot start.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::rtp::wav;

/// Why a media plane cannot start. Every one is a matter of the configuration or of the machine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No address to listen on.
    #[error("no media address: set media.listen to at least one address of this machine")]
    NoAddress,
    /// The range holds no even/odd pair.
    #[error("media.ports {0}-{1} holds no even/odd port pair: give a range such as 20000-29999")]
    NoPorts(u16, u16),
    /// The address is not one of this machine's.
    #[error(
        "cannot bind media address {address}: {source}; set media.listen to an address of this machine and media.advertise to the one others reach it at"
    )]
    Address {
        /// As configured.
        address: IpAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The default announcement cannot be read.
    #[error("cannot read announcement {path}: {source}")]
    AnnouncementFile {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The default announcement is no usable WAV file.
    #[error("cannot use announcement {path}: {source}")]
    Announcement {
        /// As configured.
        path: PathBuf,
        /// What is wrong with it.
        source: wav::Error,
    },
    /// epoll, eventfd or a thread could not be had.
    #[error("cannot set up the media worker: {0}")]
    System(#[from] std::io::Error),
}
