//! RTP and RTCP as arithmetic on bytes: header, relay rewrite, statistics, reports, G.711, tones
//! (RFC 3550, RFC 3551, RFC 4733). Pure: time and randomness are arguments.

pub mod wav;
