//! Test phones: trunk-side endpoints that place and take calls through a callmask server, send
//! chosen audio and keep every byte they receive. Used by `callmask demo`, by load and by tests.
//!
//! The phones print and read SIP (RFC 3261), SDP (RFC 8866) and RTP (RFC 3550) with code of their
//! own and never with that of the server, so that a mistake in one cannot be hidden by the same
//! mistake in the other. They are honest user agents, not complete ones: UDP only, one audio
//! stream, no route sets, no authentication.
//!
//! A [`Carrier`] is one UDP socket, as a carrier's switch would be; a [`Phone`] is a number behind
//! it. [`Phone::place`] gives a [`Call`] at once, [`Phone::next_call`] gives those that come in;
//! [`Call::media`] is its audio. Every wait is for a condition and has a limit.

mod bell;
mod call;
mod carrier;
mod dialog;
pub mod ladder;
mod log;
mod media;
pub mod message;
pub mod sdp;
pub mod server;
pub mod sound;

use std::time::Duration;

pub use call::{Call, CallView};
pub use carrier::{Answering, Carrier, Phone, Profile};
pub use log::{LOG_LIMIT, Log, Logged, Way};
pub use media::{Media, PACKET_LIMIT, Received, Source};

/// How long a wait lasts at most, unless the caller of a method says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why a phone could not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a socket.
    #[error("phone socket: {0}")]
    Socket(#[from] std::io::Error),
    /// What was awaited did not come in time.
    #[error("waited {waited_ms} ms for {what}; it did not come")]
    TooLate {
        /// What was awaited.
        what: String,
        /// How long, in milliseconds.
        waited_ms: u64,
    },
    /// The call is in no state for this.
    #[error("{0}")]
    WrongState(&'static str),
    /// The server under test, or a command to it, failed.
    #[error("{0}")]
    Server(String),
}

/// `bytes` random bytes as lower-case hexadecimal: tags, branches, Call-IDs.
///
/// # Errors
/// When the kernel gives no random bytes.
pub(crate) fn random_hex(bytes: usize) -> Result<String, Error> {
    let mut buffer = vec![0_u8; bytes];
    getrandom::fill(&mut buffer)
        .map_err(|e| Error::Socket(std::io::Error::other(e.to_string())))?;
    Ok(buffer.iter().map(|b| format!("{b:02x}")).collect())
}

#[cfg(test)]
mod tests;
