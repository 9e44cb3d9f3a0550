//! Telephone numbers in E.164 form, compared whole, printed masked.
//!
//! `Display` and `Debug` hide the middle digits, so that a number that reaches a log line by
//! accident does not identify anyone; the full digits come only from [`Number::e164`] and from
//! serialisation (call records, API answers), which are explicit acts.

mod plan;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use plan::NumberPlan;

/// Fewest digits of an E.164 number we accept as a party: shorter ones are short codes.
pub const MIN_DIGITS: usize = 7;
/// Most digits of an E.164 number (ITU-T E.164 §6.2.1).
pub const MAX_DIGITS: usize = 15;

/// A telephone number: country code and national number, 7 to 15 digits, no leading zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(u64);

/// Why a text is not a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Nothing there, or no digit.
    #[error("no digits: write the number in E.164 form, as in +914412345678")]
    Empty,
    /// Not `+` and digits.
    #[error("not in E.164 form: write + and digits only, as in +914412345678")]
    NotE164,
    /// Fewer than [`MIN_DIGITS`].
    #[error("too short: fewer than 7 digits is a short code, which cannot be a party")]
    TooShort,
    /// More than [`MAX_DIGITS`].
    #[error("too long: E.164 has at most 15 digits")]
    TooLong,
    /// A country code never begins with 0.
    #[error(
        "the country code is missing: after + comes the country code, which never begins with 0"
    )]
    NoCountryCode,
    /// Not one to three digits.
    #[error("not a country code: write one to three digits, as in 91")]
    CountryCode,
    /// A name or a placeholder: `anonymous`, `unavailable`, `restricted`.
    #[error("not a telephone number: only digits, + and the separators - . ( ) may stand in one")]
    NotANumber,
    /// Digits without a country code that are no national number of the configured country.
    #[error("neither a full international number nor a national one of the configured country")]
    NotNational,
    /// A local number in a `phone-context` that names no country.
    #[error("a local number whose phone-context is no country code")]
    Context,
}

impl Number {
    /// Reads `+` and 7 to 15 digits; nothing else is accepted.
    pub fn parse_e164(text: &str) -> Result<Number, NumberError> {
        let digits = text.strip_prefix('+').ok_or(if text.is_empty() {
            NumberError::Empty
        } else {
            NumberError::NotE164
        })?;
        Number::from_digits(digits)
    }

    /// Reads 7 to 15 digits without the `+`.
    pub fn from_digits(digits: &str) -> Result<Number, NumberError> {
        if digits.is_empty() {
            return Err(NumberError::Empty);
        }
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::NotE164);
        }
        if digits.len() > MAX_DIGITS {
            return Err(NumberError::TooLong);
        }
        if digits.starts_with('0') {
            return Err(NumberError::NoCountryCode);
        }
        if digits.len() < MIN_DIGITS {
            return Err(NumberError::TooShort);
        }
        digits.parse().map(Number).map_err(|_| NumberError::NotE164)
    }

    /// The full number with its `+`. An explicit act: never for a log line at debug or above.
    pub fn e164(self) -> String {
        format!("+{}", self.0)
    }

    /// The full digits as an integer: the key of an index.
    pub fn digits(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Number {
    /// The first two and the last two digits: `+91********10`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let (head, tail) = (&digits[..2], &digits[digits.len() - 2..]);
        write!(f, "+{head}{}{tail}", "*".repeat(digits.len() - 4))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.e164())
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Number::parse_e164(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_strict_form_is_e164() {
        use NumberError::*;
        let table = [
            ("+919876543210", Ok(919_876_543_210)),
            ("+1234567", Ok(1_234_567)),
            ("+123456789012345", Ok(123_456_789_012_345)),
            ("", Err(Empty)),
            ("+", Err(Empty)),
            ("919876543210", Err(NotE164)),
            ("+91 9876543210", Err(NotE164)),
            ("++919876543210", Err(NotE164)),
            ("+91987654321x", Err(NotE164)),
            ("+\u{669}19876543210", Err(NotE164)),
            (" +919876543210", Err(NotE164)),
            ("+123456", Err(TooShort)),
            ("+1234567890123456", Err(TooLong)),
            ("+0987654321", Err(NoCountryCode)),
        ];
        for (text, digits) in table {
            assert_eq!(
                Number::parse_e164(text).map(Number::digits),
                digits,
                "{text}"
            );
        }
    }

    #[test]
    fn printing_hides_what_identifies() {
        let number = Number::parse_e164("+919876543210").unwrap();
        assert_eq!(
            format!("{number} {number:?}"),
            "+91********10 +91********10"
        );
        assert_eq!(number.e164(), "+919876543210");
        let json = serde_json::to_string(&number).unwrap();
        assert_eq!(json, "\"+919876543210\"");
        assert_eq!(serde_json::from_str::<Number>(&json).unwrap(), number);
        assert!(serde_json::from_str::<Number>("\"9876543210\"").is_err());
    }
}
