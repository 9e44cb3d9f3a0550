//! callmask: a number-masking SIP back-to-back user agent.
//!
//! Two people who must talk never learn each other's number: both dial, and both see, a virtual
//! number, the *ExoPhone*. An *allocation* says which customer and which agent meet on it.
//!
//! # The story of a call
//!
//! 1. A datagram arrives at [`io`]. The trunk filter comes first: whoever is in no trunk's
//!    `accept_from` is dropped before anything is remembered of it.
//! 2. [`sip`] scans the bytes in one pass into a message of offsets; values are read when asked.
//! 3. [`switch`] is one pure state machine: `handle(input, now, directory, admission, out)`.
//!    A request seen before is answered as before (RFC 3261 §17). A new INVITE gets its
//!    100 Trying, and the *directory* is asked who dialled whom: connect, announce or refuse.
//!    The caller's number is believed only from a trusted trunk, and compared whole.
//! 4. *Admission* grants the trunk's call and two port pairs, or says what there is no room for.
//! 5. [`sdp`] reads the caller's offer into a model that holds no text, and a *new* offer is
//!    printed for the callee; a *new* INVITE is printed from typed fields, with the ExoPhone as
//!    its From and P-Asserted-Identity. Nothing is copied from one leg to the other.
//! 6. `out` holds what the shell must do: send bytes, tell the media plane, write a live row.
//! 7. The callee's 180, 183 and 200 become ringing, early media and answered: leg-neutral
//!    events that the other leg says in SIP to its own party. The callee's 200 is acknowledged
//!    at once; the caller's ACK is awaited on its own.
//! 8. [`media`] relays: every packet gets a fresh RTP header of the receiving leg's own stream.
//!    [`rtp`] does the arithmetic, on plain data.
//! 9. BYE, CANCEL, a timer, an administrator or silence: one end, both legs closed, the ports
//!    into quarantine, exactly one record into the call log of [`store`].
//!
//! Without an active allocation the caller hears "This number is not active" instead.
//!
//! # The rooms
//!
//! Arrows point one way, and a test holds them there:
//! `cli → api → io → {media, store} → switch → {sip, sdp, rtp}`.
//! The four on the right are pure: no runtime, no sockets, no files, no clock, no ambient
//! randomness. So a 32-second timer takes a test microseconds, and each race is one line.
//!
//! - [`sip`], [`sdp`], [`rtp`]: read, check and print what is on the wire.
//! - [`switch`]: transactions, dialogs, legs, calls, timers; masking and its runtime guard.
//! - [`media`]: port pairs, relay threads, sounds.
//! - [`store`]: routing state in sled with an fdatasync before every acknowledgement, answers
//!   from memory; the call log in SQLite.
//! - [`io`]: sockets, limits, start, drain and stop.
//! - [`api`]: HTTP for administrators, health and metrics.
//! - [`cli`]: the command line, which always goes through [`api`].
//! - [`phone`]: test phones with SIP, SDP and RTP code of their own, so that a defect of ours
//!   cannot cancel itself out; used by `callmask demo` and the tests.
//!
//! # Deliberately absent
//!
//! No registrar, no SIP user accounts, no dial-plan language, no conference, no voicemail. No
//! header, SDP line, body, reason phrase or RTCP item is ever copied from one leg to the other.

pub mod api;
pub mod cli;
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
