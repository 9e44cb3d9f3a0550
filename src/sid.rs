//! Identifiers of accounts, allocations and calls: 128 bits in UUIDv7 layout (RFC 9562 §5.7),
//! printed as 32 lower-case hex digits. They never appear on the SIP wire.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The identifier of an account, an allocation or a call.
///
/// The first 48 bits are Unix milliseconds, so ids sort by creation time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sid(u128);

impl Sid {
    /// Builds an id from the wall clock (Unix milliseconds) and 80 random bits (the rest of
    /// `random` is ignored).
    pub fn new(wall_ms: u64, random: u128) -> Self {
        let time = u128::from(wall_ms & 0xffff_ffff_ffff) << 80;
        let rand_a = (random >> 64) & 0xfff;
        let rand_b = random & 0x3fff_ffff_ffff_ffff;
        Sid(time | (0x7 << 76) | (rand_a << 64) | (0b10 << 62) | rand_b)
    }

    /// The creation time the id carries, in Unix milliseconds.
    pub fn wall_ms(self) -> u64 {
        (self.0 >> 80) as u64
    }

    /// The 16 bytes, big-endian: the order of keys in the store.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Sid::to_bytes`].
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Sid(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 32 lower-case hexadecimal digits")]
pub struct NotASid;

impl FromStr for Sid {
    type Err = NotASid;

    fn from_str(text: &str) -> Result<Self, NotASid> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() != 32 || !text.bytes().all(hex) {
            return Err(NotASid);
        }
        u128::from_str_radix(text, 16).map(Sid).map_err(|_| NotASid)
    }
}

impl Serialize for Sid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_is_uuid_version_7() {
        let sid = Sid::new(0x0123_4567_89ab, u128::MAX);
        assert_eq!(sid.to_string(), "0123456789ab7fffbfffffffffffffff");
        assert_eq!(sid.wall_ms(), 0x0123_4567_89ab);
    }

    #[test]
    fn text_round_trips_and_junk_is_refused() {
        let sid = Sid::new(1_700_000_000_000, 42);
        assert_eq!(sid.to_string().parse(), Ok(sid));
        assert_eq!(Sid::from_bytes(sid.to_bytes()), sid);
        for junk in [
            "",
            "0123",
            "0123456789AB7FFFBFFFFFFFFFFFFFFF",
            "+123456789ab7fffbfffffffffffffff",
        ] {
            assert_eq!(junk.parse::<Sid>(), Err(NotASid), "{junk}");
        }
    }
}
