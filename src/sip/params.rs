//! Parameters after a semicolon (RFC 3261 §7.3.1, §25.1 `generic-param`).

use super::text::{cut, find_unquoted, split_once, trim};

/// The parameters of a header value or URI: a view of the raw text from the first `;` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Params<'a> {
    raw: &'a [u8],
}

impl<'a> Params<'a> {
    /// `raw` is empty or begins at the first semicolon.
    pub(super) fn new(raw: &'a [u8]) -> Params<'a> {
        Params { raw }
    }

    /// The first parameter of this name, in any case: `Some(None)` when it stands without a
    /// value. The value is raw: a quoted string keeps its quotes.
    pub fn get(&self, name: &str) -> Option<Option<&'a [u8]>> {
        self.iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// The value of the first parameter of this name, when it has one.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).flatten()
    }

    /// Whether a parameter of this name is there, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Name and value of each, in order. Empty ones (`;;`) are passed over.
    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.raw;
        std::iter::from_fn(move || {
            loop {
                rest = match rest {
                    [] => return None,
                    [b';', after @ ..] => after,
                    _ => rest,
                };
                let end = find_unquoted(rest, |b| b == b';').unwrap_or(rest.len());
                let (one, after) = cut(rest, end);
                rest = after;
                let (name, value) = match split_once(one, b'=') {
                    Some((name, value)) => (trim(name), Some(trim(value))),
                    None => (trim(one), None),
                };
                if !name.is_empty() {
                    return Some((name, value));
                }
            }
        })
    }

    /// The raw text, from the first semicolon on.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ignore_case_and_values_keep_quotes() {
        let p = Params::new(b" ;Tag=a ; lr;q=\"x;y=1\" ;;empty=;\r\n late = 2");
        assert_eq!(p.value("tag"), Some(&b"a"[..]));
        assert_eq!(p.get("LR"), Some(None));
        assert_eq!(p.value("q"), Some(&b"\"x;y=1\""[..]));
        assert_eq!(p.get("empty"), Some(Some(&b""[..])));
        assert_eq!(p.value("late"), Some(&b"2"[..]));
        assert_eq!(p.get("y"), None);
        assert_eq!(p.iter().count(), 5);
    }

    #[test]
    fn the_first_of_two_counts() {
        let p = Params::new(b";a=1;a=2");
        assert_eq!(p.value("a"), Some(&b"1"[..]));
        assert_eq!(Params::default().iter().count(), 0);
    }
}
