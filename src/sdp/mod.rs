//! SDP: parsed into a typed model that holds no free text, printed anew (RFC 8866, RFC 3264).

#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::panic))]

mod codec;
mod malformed;
mod negotiate;
mod parse;
mod print;
mod session;
#[cfg(test)]
mod tests;

pub use codec::{Codec, CodecKind, Direction, Format};
pub use malformed::Malformed;
pub use negotiate::{Negotiated, check_answer, choose, offerable};
pub use print::{Local, print_answer, print_offer};
pub use session::{Media, MediaKind, Protocol, Session};

/// Longest body we read, in bytes.
pub const MAX_BODY: usize = 16 * 1024;
/// Most `m=` lines of one description.
pub const MAX_MEDIA: usize = 16;
/// Most formats in one `m=` line.
pub const MAX_FORMATS: usize = 64;
/// Longest packet time we take over, in milliseconds.
pub const MAX_PTIME_MS: u32 = 200;
