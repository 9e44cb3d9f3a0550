//! Durations as people type them: `90s`, `30m`, `2h`, `7d`, or several parts as in `1h30m`.

/// Longest duration accepted, in seconds: a hundred years of 365 days.
pub(super) const MAX_SECS: u64 = 100 * 365 * 86_400;

/// Reads a duration in seconds.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let wrong = || "write a number with s, m, h or d after it, as in 90s, 30m, 2h, 7d or 1h30m";
    let mut total: u64 = 0;
    let mut digits = String::new();
    for c in text.chars() {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong().to_owned()),
        };
        let count: u64 = digits.parse().map_err(|_| wrong().to_owned())?;
        total = total.saturating_add(count.saturating_mul(unit));
        digits.clear();
    }
    if !digits.is_empty() || text.is_empty() {
        return Err(wrong().to_owned());
    }
    if total == 0 {
        return Err("a duration of nothing has no use here".to_owned());
    }
    if total > MAX_SECS {
        return Err("longer than a hundred years".to_owned());
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_understood() {
        let cases = [
            ("90s", 90),
            ("30m", 1_800),
            ("2h", 7_200),
            ("7d", 604_800),
            ("1h30m", 5_400),
        ];
        for (text, secs) in cases {
            assert_eq!(parse(text), Ok(secs), "{text}");
        }
    }

    #[test]
    fn junk_is_refused() {
        for text in [
            "",
            "2",
            "h",
            "2x",
            "-2h",
            "2 h",
            "0s",
            "1h30",
            "99999999999999999999d",
            "40000d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
