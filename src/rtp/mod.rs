//! RTP and RTCP as arithmetic on bytes: header, relay rewrite, statistics, reports, G.711, tones
//! (RFC 3550, RFC 3551, RFC 4733). Pure: time and randomness are arguments.

pub mod dtmf;
pub mod flow;
pub mod g711;
pub mod header;
pub mod latch;
pub mod line;
pub mod mos;
pub mod reception;
pub mod rtcp;
pub mod tone;
pub mod wav;
