//! callmask: a number-masking SIP back-to-back user agent.

pub mod number;
pub mod sdp;
pub mod sid;
pub mod sip;
pub mod store;
pub mod switch;
