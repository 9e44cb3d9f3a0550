//! callmask: a number-masking SIP back-to-back user agent.

pub mod api;
pub mod config;
pub mod io;
pub mod media;
pub mod number;
pub mod phone;
pub mod rtp;
pub mod sdp;
pub mod sid;
pub mod sip;
pub mod store;
pub mod switch;
pub mod telemetry;
