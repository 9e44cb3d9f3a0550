//! SDP: parsed into a typed model that holds no free text, printed anew (RFC 8866, RFC 3264).

mod codec;

pub use codec::{Codec, CodecKind, Direction, Format};
