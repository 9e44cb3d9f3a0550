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
    /// What a leading 0 means.
    zero: Zero,
}

/// What a 0 before a national number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Zero {
    /// The trunk prefix: dialled within the country, no part of the number.
    Trunk,
    /// Nothing: no number begins so.
    Never,
    /// A digit of the number, dialled from abroad too.
    Digit,
}

const fn rules(shortest: usize, longest: usize, zero: Zero) -> Rules {
    Rules {
        shortest,
        longest,
        zero,
    }
}

/// For a country code that is not in [`RULES`].
const OTHER_RULES: Rules = rules(6, 12, Zero::Trunk);

/// Lengths of geographic and mobile national (significant) numbers, from the national numbering
/// plans notified to ITU-T (E.164 §6.2). Service and toll-free numbers are not counted: they are
/// no parties. Short on purpose: a country that is missing works with wider bounds.
const RULES: [(&str, Rules); 20] = [
    ("1", rules(10, 10, Zero::Never)),
    ("7", rules(10, 10, Zero::Never)),
    ("27", rules(9, 9, Zero::Trunk)),
    ("33", rules(9, 9, Zero::Trunk)),
    ("34", rules(9, 9, Zero::Never)),
    ("39", rules(6, 11, Zero::Digit)),
    ("44", rules(9, 10, Zero::Trunk)),
    ("49", rules(6, 11, Zero::Trunk)),
    ("55", rules(10, 11, Zero::Trunk)),
    ("60", rules(8, 10, Zero::Trunk)),
    ("61", rules(9, 9, Zero::Trunk)),
    ("62", rules(8, 12, Zero::Trunk)),
    ("63", rules(8, 10, Zero::Trunk)),
    ("65", rules(8, 8, Zero::Never)),
    ("81", rules(9, 10, Zero::Trunk)),
    ("91", rules(10, 10, Zero::Trunk)),
    ("92", rules(9, 10, Zero::Trunk)),
    ("94", rules(9, 9, Zero::Trunk)),
    ("966", rules(8, 9, Zero::Trunk)),
    ("971", rules(8, 9, Zero::Trunk)),
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
        // 00 is the prefix ITU-T E.164 recommends; the countries of code 1 dial 011.
        let international = match digits.strip_prefix("011") {
            Some(rest) if self.country_code == "1" => Some(rest),
            _ => digits.strip_prefix("00"),
        };
        if let Some(international) = international {
            return Number::from_digits(international);
        }
        if self.rules.zero == Zero::Trunk
            && let Some(national) = digits.strip_prefix('0')
        {
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
            && (self.rules.zero == Zero::Digit || !digits.starts_with('0'))
    }

    /// The number as it is dialled within the country, with the trunk prefix 0 where there is
    /// one; `None` for a number of another country.
    pub fn national(&self, number: Number) -> Option<String> {
        let digits = number.0.to_string();
        let national = digits.strip_prefix(self.country_code.as_str())?;
        let trunk = match self.rules.zero {
            Zero::Trunk => "0",
            Zero::Never | Zero::Digit => "",
        };
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn plan(code: &str) -> NumberPlan {
        NumberPlan::new(code).unwrap()
    }

    #[test]
    fn every_way_to_write_a_number_is_one_number() {
        let india = plan("91");
        for written in [
            "+919876543210",
            "00919876543210",
            "919876543210",
            "09876543210",
            "9876543210",
            " 9876543210 ",
            "tel:+919876543210",
            "TEL:9876543210",
            "tel:+91-98765-43210;ext=12",
            "+91 (98765) 432.10",
            "%2B919876543210",
            "%2b91%2098765%2043210",
            "+919876543210;npdi",
            "+919876543210;rn=+914400;npdi",
            "9876543210;phone-context=+91",
            "tel:09876543210;isub=1;Phone-Context=+91",
            "tel:43210;phone-context=+9198765",
            "tel:+919876543210;phone-context=example.com",
        ] {
            let number = india
                .normalise(written)
                .unwrap_or_else(|e| panic!("{written}: {e}"));
            assert_eq!(number.e164(), "+919876543210", "{written}");
        }
    }

    #[test]
    fn each_country_dials_its_own_way() {
        // Country code, written, meant.
        let table = [
            ("91", "9198765432", "+919198765432"),
            ("91", "+14155550123", "+14155550123"),
            ("91", "0014155550123", "+14155550123"),
            ("91", "04412345678", "+914412345678"),
            ("1", "4155550123", "+14155550123"),
            ("1", "14155550123", "+14155550123"),
            ("+1", "011919876543210", "+919876543210"),
            ("1", "tel:9876543210;phone-context=+91", "+919876543210"),
            ("44", "020 7946 0123", "+442079460123"),
            ("65", "61234567", "+6561234567"),
            ("65", "6561234567", "+6561234567"),
            ("62", "0812-3456-789", "+628123456789"),
            ("62", "628123456789", "+628123456789"),
            ("39", "06 1234567", "+39061234567"),
            ("971", "0501234567", "+971501234567"),
            ("420", "601234567", "+420601234567"),
        ];
        for (code, written, meant) in table {
            let number = plan(code).normalise(written);
            assert_eq!(
                number.map(Number::e164),
                Ok(meant.to_owned()),
                "{code} {written}"
            );
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        use NumberError::*;
        let table = [
            ("", Empty),
            ("tel:", Empty),
            ("+", Empty),
            ("()", Empty),
            ("anonymous", NotANumber),
            ("Unavailable", NotANumber),
            ("restricted", NotANumber),
            ("98765x43210", NotANumber),
            ("9876543210#", NotANumber),
            ("*679876543210", NotANumber),
            ("98+76543210", NotANumber),
            ("++919876543210", NotANumber),
            ("sip:9876543210", NotANumber),
            ("\u{669}876543210", NotANumber),
            ("987654321", NotNational),
            ("98765432101", NotNational),
            ("0987654321", NotNational),
            ("100", NotNational),
            ("91987654321", NotNational),
            ("14155550123", NotNational),
            ("+0919876543210", NoCountryCode),
            ("000919876543210", NoCountryCode),
            ("+91100", TooShort),
            ("+9198765432101234", TooLong),
            ("9876543210;phone-context=example.com", Context),
            ("9876543210;phone-context=", Context),
            ("9876543210;phone-context=91", Context),
        ];
        for (written, error) in table {
            assert_eq!(plan("91").normalise(written), Err(error), "{written}");
        }
        assert_eq!(plan("65").normalise("01234567"), Err(NotNational));
        assert_eq!(plan("1").normalise("0415555012"), Err(NotNational));
        assert_eq!(plan("91").normalise(&"9".repeat(10_000)), Err(TooLong));
        for code in ["", "+", "0", "091", "9144", "IN", "9 1"] {
            assert_eq!(NumberPlan::new(code), Err(CountryCode), "{code}");
        }
    }

    #[test]
    fn the_national_form_is_for_our_own_numbers() {
        let number = |n| Number::parse_e164(n).unwrap();
        let india = plan("91");
        assert_eq!(
            india.national(number("+914412345678")).as_deref(),
            Some("04412345678")
        );
        assert_eq!(india.national(number("+14155550123")), None);
        let america = plan("1");
        assert_eq!(
            america.national(number("+14155550123")).as_deref(),
            Some("4155550123")
        );
        assert_eq!(
            plan("39").national(number("+39061234567")).as_deref(),
            Some("061234567")
        );
    }

    proptest! {
        #[test]
        fn the_forms_of_one_number_agree(
            row in 0..RULES.len(),
            seed in "[1-9][0-9]{11}",
        ) {
            let (code, rules) = RULES[row];
            let national = &seed[..rules.longest];
            let plan = plan(code);
            let number = plan.normalise(&format!("+{code}{national}")).unwrap();
            prop_assert_eq!(plan.normalise(&format!("00{code}{national}")), Ok(number));
            prop_assert_eq!(plan.normalise(&format!("{code}{national}")), Ok(number));
            let dialled = plan.national(number).unwrap();
            if rules.zero == Zero::Trunk || rules.shortest == rules.longest {
                prop_assert_eq!(plan.normalise(&dialled), Ok(number));
            }
        }

        #[test]
        fn no_text_does_harm(text in "\\PC*", code in "[1-9][0-9]{0,2}") {
            if let Ok(number) = plan(&code).normalise(&text) {
                let e164 = number.e164();
                prop_assert_eq!(Number::parse_e164(&e164), Ok(number));
            }
        }
    }
}
