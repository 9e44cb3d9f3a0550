//! What a new call must be granted before it may exist: trunk limits, announcement room, room
//! in the call log, port pairs. Implemented by the shell over counters that all shards share;
//! every grant is one plain value that the call owns and gives back exactly once.

use crate::switch::event::Now;
use crate::switch::media::PortPair;
use crate::switch::settings::TrunkId;

/// Grants room for new calls.
pub trait Admission {
    /// Takes one call on a trunk against its call and rate limits.
    fn take_call(&self, trunk: TrunkId, now: Now) -> Result<(), Full>;

    /// Gives back what `take_call` granted.
    fn release_call(&self, trunk: TrunkId);

    /// Takes room for one announcement (`announcement.max_concurrent`).
    fn take_announcement(&self) -> Result<(), Full>;

    /// Gives back what `take_announcement` granted.
    fn release_announcement(&self);

    /// Takes a port pair; it comes back by `MediaCommand::Close`.
    fn take_ports(&self) -> Option<PortPair>;
}

/// What there is no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// The trunk's `max_calls` or `max_cps`.
    Trunk,
    /// `announcement.max_concurrent`.
    Announcements,
    /// The call log does not take more calls (its disk is full or too slow).
    Log,
}
