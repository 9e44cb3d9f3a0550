//! Small pieces of the grammar that several values share (RFC 3261 §25.1).

use std::borrow::Cow;

/// Linear white space as it occurs inside a raw header value: folds included.
pub(super) fn is_lws(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The bytes without linear white space at either end.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_lws(*first)
    {
        bytes = rest;
    }
    trim_end(bytes)
}

/// The bytes without linear white space at the end.
pub(super) fn trim_end(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., last] = bytes
        && is_lws(*last)
    {
        bytes = rest;
    }
    bytes
}

/// RFC 3261 §25.1 `token`: at least one character.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    let is_token_char = |b: &u8| TOKEN.get(usize::from(*b)).is_some_and(|is| *is);
    !bytes.is_empty() && bytes.iter().all(is_token_char)
}

/// For each byte, whether a token may hold it. A table, because every header name is checked.
#[allow(clippy::indexing_slicing, reason = "evaluated while compiling")]
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    loop {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
            );
        if byte == u8::MAX {
            break table;
        }
        byte += 1;
    }
};

/// At least one byte, and neither white space nor a control character among them.
pub(super) fn is_solid(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| *b > b' ' && *b != 0x7f)
}

/// A tag or branch that can be written back as it is. The grammar says `token`, but `/`, `=` and
/// `@` occur in real ones and do no harm.
pub(super) fn is_id(bytes: &[u8]) -> bool {
    is_solid(bytes) && !bytes.iter().any(|b| b"\",;<>\\".contains(b))
}

/// Splits at the first `separator`; `None` when there is none.
pub(super) fn split_once(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|b| *b == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

/// Splits into what comes before index `at` and what follows it, `at` included.
pub(super) fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    bytes.split_at(at.min(bytes.len()))
}

/// Reads an unsigned decimal number of at least one digit; `None` when it is none or exceeds
/// `most`.
pub(super) fn number(bytes: &[u8], most: u64) -> Option<u64> {
    if bytes.is_empty() {
        return None;
    }
    bytes.iter().try_fold(0u64, |value, b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'))?;
        let value = value.checked_mul(10)?.checked_add(digit)?;
        (value <= most).then_some(value)
    })
}

/// Reads a port number (RFC 3261 §25.1 `port`).
pub(super) fn port(bytes: &[u8]) -> Option<u16> {
    number(bytes, u64::from(u16::MAX)).and_then(|n| u16::try_from(n).ok())
}

/// Index of the first byte, outside quoted strings, for which `stop` holds. A quoted string
/// that never ends reaches to the end.
pub(super) fn find_unquoted(bytes: &[u8], stop: impl Fn(u8) -> bool) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (i, &b) in bytes.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted {
            match b {
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
        } else if stop(b) {
            return Some(i);
        } else if b == b'"' {
            quoted = true;
        }
    }
    None
}

/// Whether every quoted string ends. One that does not would swallow what we write behind it.
pub(super) fn quotes_close(bytes: &[u8]) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for &b in bytes {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

/// Decodes `%HH` escapes (RFC 3261 §25.1 `escaped`); what is no escape stays as it is. Bytes
/// that are not UTF-8 become U+FFFD.
pub(super) fn percent_decode(bytes: &[u8]) -> Cow<'_, str> {
    if !bytes.contains(&b'%') {
        return String::from_utf8_lossy(bytes);
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let escape = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|d| d as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trimming_removes_folds() {
        assert_eq!(trim(b" \r\n\t a b \r\n "), b"a b");
        assert_eq!(trim(b" \r\n "), b"");
    }

    #[test]
    fn numbers_are_decimal_and_bounded() {
        assert_eq!(number(b"0", 9), Some(0));
        assert_eq!(number(b"0000065535", 65_535), Some(65_535));
        for bad in [
            "",
            "-1",
            "+1",
            " 1",
            "1a",
            "65536",
            "99999999999999999999999",
        ] {
            assert_eq!(number(bad.as_bytes(), 65_535), None, "{bad}");
        }
    }

    #[test]
    fn quoted_strings_hide_separators() {
        assert_eq!(find_unquoted(b"\"a;b\\\";\" ;c", |b| b == b';'), Some(9));
        assert_eq!(find_unquoted(b"\"never ends;", |b| b == b';'), None);
    }

    #[test]
    fn open_quotes_are_seen() {
        for text in ["", "a", "\"\"", "\"a\\\"\"", "\\ \"x\" \"y\""] {
            assert!(quotes_close(text.as_bytes()), "{text}");
        }
        for text in ["\"", "\"a\\\"", "\"x\" \"y"] {
            assert!(!quotes_close(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn escapes_decode_and_broken_ones_stay() {
        assert_eq!(percent_decode(b"%2B91"), "+91");
        assert_eq!(percent_decode(b"%2b%zz%4"), "+%zz%4");
        assert_eq!(percent_decode(b"plain"), "plain");
        assert_eq!(percent_decode(b"%ff"), "\u{fffd}");
    }
}
