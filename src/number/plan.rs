//! From numbers as trunks write them to E.164, and back to the national form (RFC 3966 §3, §5.1).

use super::{MAX_DIGITS, Number, NumberError};

/// How numbers without a country code are dialled: `[sip] country_code`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberPlan {
    country_code: String,
    rules: Rules,
}

/// How national numbers of one country look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    /// Fewest digits of a national number, without trunk prefix.
    shortest: usize,
    /// Most digits of a national number.
    longest: usize,
    /// Whether national dialling puts a 0 before it.
    trunk_zero: bool,
}

const fn rules(shortest: usize, longest: usize, trunk_zero: bool) -> Rules {
    Rules {
        shortest,
        longest,
        trunk_zero,
    }
}

/// For a country code that is not in [`RULES`].
const OTHER_RULES: Rules = rules(6, 12, true);

/// Lengths of geographic and mobile national (significant) numbers, from the national numbering
/// plans notified to ITU-T (E.164 §6.2). Service and toll-free numbers are not counted: they are
/// no parties. Short on purpose: a country that is missing works with wider bounds.
const RULES: [(&str, Rules); 20] = [
    ("1", rules(10, 10, false)),
    ("7", rules(10, 10, false)),
    ("27", rules(9, 9, true)),
    ("33", rules(9, 9, true)),
    ("34", rules(9, 9, false)),
    ("39", rules(6, 11, false)),
    ("44", rules(9, 10, true)),
    ("49", rules(6, 11, true)),
    ("55", rules(10, 11, true)),
    ("60", rules(8, 10, true)),
    ("61", rules(9, 9, true)),
    ("62", rules(8, 12, true)),
    ("63", rules(8, 10, true)),
    ("65", rules(8, 8, false)),
    ("81", rules(9, 10, true)),
    ("91", rules(10, 10, true)),
    ("92", rules(9, 10, true)),
    ("94", rules(9, 9, true)),
    ("966", rules(8, 9, true)),
    ("971", rules(8, 9, true)),
];

impl NumberPlan {
    /// The plan of a country code: one to three digits, with or without `+`.
    pub fn new(country_code: &str) -> Result<NumberPlan, NumberError> {
        let digits = country_code.strip_prefix('+').unwrap_or(country_code);
        let is_code = (1..=3).contains(&digits.len())
            && digits.bytes().all(|b| b.is_ascii_digit())
            && !digits.starts_with('0');
        if !is_code {
            return Err(NumberError::CountryCode);
        }
        let known = RULES.iter().find(|(code, _)| *code == digits);
        Ok(NumberPlan {
            country_code: digits.to_owned(),
            rules: known.map_or(OTHER_RULES, |(_, rules)| *rules),
        })
    }

    /// The country code's digits.
    pub fn country_code(&self) -> &str {
        &self.country_code
    }

    /// Reads a number the way trunks write them: `+91…`, `0091…`, `91…` of full length, `0…`,
    /// a bare national number; with `tel:` before it, visual separators (RFC 3966 §5.1.1) or
    /// `%2B` in it, and parameters behind it, of which only `phone-context` counts (§5.1.5).
    ///
    /// Digits that can be read as country code and national number are read so before they are
    /// taken for a bare national number; where lengths are fixed the two never meet. Nothing is
    /// guessed: digits that fit no form are an error, and so are names and placeholders such as
    /// `anonymous`.
    pub fn normalise(&self, text: &str) -> Result<Number, NumberError> {
        let text = text.trim();
        let text = match text.split_at_checked(4) {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel:") => rest,
            _ => text,
        };
        let (written, params) = text.split_once(';').unwrap_or((text, ""));
        let (plus, digits) = dialled(written)?;
        if plus {
            return Number::from_digits(&digits);
        }
        match phone_context(params) {
            Some(context) => self.in_context(context, &digits),
            None => self.local(&digits),
        }
    }

    /// A number without `+` and without context, as dialled here.
    fn local(&self, digits: &str) -> Result<Number, NumberError> {
        if let Some(international) = digits.strip_prefix("00") {
            return Number::from_digits(international);
        }
        if let Some(national) = digits.strip_prefix('0').filter(|_| self.rules.trunk_zero) {
            return self.join(national);
        }
        match digits.strip_prefix(self.country_code.as_str()) {
            Some(national) if self.is_national(national) => Number::from_digits(digits),
            _ => self.join(digits),
        }
    }

    /// A local number in a `phone-context` (RFC 3966 §5.1.5): a country code makes it a national
    /// number of that country, a longer prefix stands before it. A domain name says nothing
    /// about the country.
    fn in_context(&self, context: &str, digits: &str) -> Result<Number, NumberError> {
        let (true, prefix) = dialled(context).map_err(|_| NumberError::Context)? else {
            return Err(NumberError::Context);
        };
        if prefix == self.country_code {
            return self.local(digits);
        }
        if RULES.iter().any(|(code, _)| *code == prefix) {
            return NumberPlan::new(&prefix)?.local(digits);
        }
        Number::from_digits(&format!("{prefix}{digits}"))
    }

    fn join(&self, national: &str) -> Result<Number, NumberError> {
        if !self.is_national(national) {
            return Err(NumberError::NotNational);
        }
        Number::from_digits(&format!("{}{national}", self.country_code))
    }

    fn is_national(&self, digits: &str) -> bool {
        (self.rules.shortest..=self.rules.longest).contains(&digits.len())
            && !(self.rules.trunk_zero && digits.starts_with('0'))
    }

    /// The number as it is dialled within the country, with the trunk prefix 0 where there is
    /// one; `None` for a number of another country.
    pub fn national(&self, number: Number) -> Option<String> {
        let digits = number.0.to_string();
        let national = digits.strip_prefix(self.country_code.as_str())?;
        let trunk = if self.rules.trunk_zero { "0" } else { "" };
        Some(format!("{trunk}{national}"))
    }
}

/// Whether a written number begins with `+`, and its digits without visual separators
/// (RFC 3966 §3). Escapes are decoded first: `%2B`, `%20`.
fn dialled(written: &str) -> Result<(bool, String), NumberError> {
    let mut plus = false;
    let mut digits = String::with_capacity(MAX_DIGITS + 1);
    let mut rest = written.trim();
    while let Some(c) = rest.chars().next() {
        let (c, length) = match rest.get(..3) {
            Some("%2B" | "%2b") => ('+', 3),
            Some("%20") => (' ', 3),
            Some("%28") => ('(', 3),
            Some("%29") => (')', 3),
            _ => (c, c.len_utf8()),
        };
        rest = rest.get(length..).unwrap_or_default();
        match c {
            '0'..='9' => digits.push(c),
            '+' if digits.is_empty() && !plus => plus = true,
            '-' | '.' | '(' | ')' | ' ' => {}
            _ => return Err(NumberError::NotANumber),
        }
        if digits.len() > MAX_DIALLED {
            return Err(NumberError::TooLong);
        }
    }
    if digits.is_empty() {
        return Err(NumberError::Empty);
    }
    Ok((plus, digits))
}

/// Most digits as dialled: an international prefix and a full number.
const MAX_DIALLED: usize = MAX_DIGITS + 2;

fn phone_context(params: &str) -> Option<&str> {
    params
        .split(';')
        .filter_map(|p| p.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("phone-context"))
        .map(|(_, value)| value.trim())
}
