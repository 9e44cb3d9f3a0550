//! SIP messages: read, checked, written. Pure: bytes in, values out.
//!
//! [`Message::scan`] finds the lines in one pass; values are read when asked for;
//! [`Message::essentials`] is the gate every message passes; [`Builder`] writes ours.

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::panic))]

mod build;
mod header;
mod malformed;
mod message;
mod method;
mod params;
mod phrase;
mod scan;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod transport;
mod uri;
mod value;

pub use build::{Builder, Built};
pub use header::Header;
pub use malformed::Malformed;
pub use message::{Essentials, Message};
pub use method::Method;
pub use params::Params;
pub use phrase::reason_phrase;
pub use target::response_target;
pub use transport::Transport;
pub use uri::{Scheme, Uri};
pub use value::{CSeq, MAX_CSEQ, NameAddr, Via};

/// Longest message we read, in bytes: more than a datagram can hold.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// Most header lines of one message.
pub const MAX_HEADERS: usize = 128;
/// Most bytes of a request that a response echoes.
pub const MAX_ECHO: usize = 16 * 1024;
/// Longest Call-ID, tag or branch we take: they are kept as long as a dialog is.
pub const MAX_ID: usize = 1024;
