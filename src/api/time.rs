//! Times as programs read them: RFC 3339 in UTC with milliseconds.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Unix milliseconds that print as `2026-01-31T08:15:30.250Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub u64);

/// Why a text is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time: write RFC 3339 with a zone, as in 2026-01-31T08:15:30Z")]
pub struct NotATime;

impl Time {
    /// Now, by the system's clock.
    pub fn now() -> Time {
        Time(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0))
    }

    /// Reads RFC 3339 with any zone; times before 1970 are no times of ours.
    pub fn parse(text: &str) -> Result<Time, NotATime> {
        let stamp: Timestamp = text.parse().map_err(|_| NotATime)?;
        let ms = u64::try_from(stamp.as_millisecond()).map_err(|_| NotATime)?;
        Ok(Time(ms))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Out of jiff's range (the year 9999) only by a damaged row: the last moment it knows.
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let stamp = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
        write!(f, "{stamp:.3}")
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Time::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_print_in_utc_with_milliseconds() {
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Time(1_769_847_330_250).to_string(),
            "2026-01-31T08:15:30.250Z"
        );
        assert!(Time(u64::MAX).to_string().starts_with("9999-12-30T"));
    }

    #[test]
    fn any_zone_is_read_and_junk_is_not() {
        let ist = Time::parse("2026-01-31T13:45:30.25+05:30").unwrap();
        assert_eq!(ist, Time(1_769_847_330_250));
        for junk in [
            "",
            "2026-01-31",
            "2026-01-31T13:45:30",
            "tomorrow",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(Time::parse(junk).is_err(), "{junk}");
        }
    }
}
