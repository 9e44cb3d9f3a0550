//! SIP messages: read, checked, written. Pure: bytes in, values out.

mod transport;

pub use transport::Transport;
