//! The runtime guard: the last look at a message before it leaves.
//!
//! Every message is printed from typed fields that hold nothing of the other party, so the guard
//! never finds anything; it is there for the day a change of ours breaks that. It reads only
//! what *we* wrote: reading what a peer sent us and gets back would tell that peer whether its
//! guess of a number was right.

use serde::{Deserialize, Serialize};

use crate::number::Number;

/// Fewest digits that count as a telephone number.
const MIN_RUN: usize = 7;
/// Most digits of a country code: what a number may lack and still be recognised.
const MAX_COUNTRY_CODE: usize = 3;

/// What may not appear in messages to one party, and what may.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Guard {
    forbidden: Vec<Number>,
    exempt: Vec<Number>,
}

impl Guard {
    /// `forbidden`: the other party's numbers. `exempt`: the ExoPhone and the recipient.
    pub(super) fn new(forbidden: Vec<Number>, exempt: Vec<Number>) -> Guard {
        Guard { forbidden, exempt }
    }

    /// Whether a digit run in `bytes` contains a forbidden number in any national or
    /// international writing.
    pub(super) fn finds(&self, bytes: &[u8]) -> bool {
        if self.forbidden.is_empty() {
            return false;
        }
        bytes
            .split(|b| !b.is_ascii_digit())
            .filter(|run| run.len() >= MIN_RUN)
            .any(|run| self.is_forbidden(run))
    }

    fn is_forbidden(&self, run: &[u8]) -> bool {
        let ends_as = |number: &Number| {
            let digits = number.digits().to_string();
            let significant = significant(&digits).to_owned();
            // The same number in another writing: with or without country code, 0 or 00.
            run.ends_with(significant.as_bytes()) && run.len() <= digits.len() + 2
        };
        if self.exempt.iter().any(ends_as) {
            return false;
        }
        self.forbidden.iter().any(|number| {
            let digits = number.digits().to_string();
            let needle = significant(&digits).as_bytes();
            run.windows(needle.len()).any(|window| window == needle)
        })
    }
}

/// The digits of a number that every way of writing it has.
fn significant(digits: &str) -> &str {
    let keep = digits
        .len()
        .saturating_sub(MAX_COUNTRY_CODE)
        .max(MIN_RUN)
        .min(digits.len());
    &digits[digits.len() - keep..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse_e164(text).unwrap()
    }

    fn guard() -> Guard {
        Guard::new(
            vec![number("+919876543210")],
            vec![number("+914412345678"), number("+919876543211")],
        )
    }

    #[test]
    fn finds_every_writing_of_the_number() {
        for text in [
            "<sip:+919876543210@x>",
            "tel:09876543210",
            "00919876543210",
            "x9876543210y",
            "v=0 1234987654321099",
        ] {
            assert!(guard().finds(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn lets_the_exophone_the_recipient_and_short_runs_pass() {
        for text in [
            "<sip:+914412345678@x>",
            "sip:09876543211@y",
            "543210",
            "127.0.0.1:65535",
        ] {
            assert!(!guard().finds(text.as_bytes()), "{text}");
        }
    }
}
