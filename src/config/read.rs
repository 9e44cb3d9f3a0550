//! Reading TOML key by key: each key asked for is remembered, so what nobody asked for is an
//! unknown key, and the nearest known one can be named.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::Error;

/// Longest unknown key for which a known one is sought.
const MAX_SLIP: usize = 64;

/// The text being read, for line numbers and error messages.
pub(super) struct Document<'a> {
    text: &'a str,
    file: Option<&'a Path>,
}

/// A value and the line it stands on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Item<T> {
    pub(super) value: T,
    pub(super) line: usize,
}

/// One table of the file, emptied key by key.
pub(super) struct Section<'a> {
    document: &'a Document<'a>,
    /// As written in errors: `[sip]`, `[[trunk]]`; empty for the file itself.
    name: &'static str,
    /// The line of its header; `None` when the file does not have it.
    line: Option<usize>,
    entries: Vec<Entry<'a>>,
    asked: Vec<&'static str>,
}

struct Entry<'a> {
    key: String,
    line: usize,
    value: Option<&'a Spanned<DeValue<'a>>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(text: &'a str, file: Option<&'a Path>) -> Self {
        Document { text, file }
    }

    /// Parses the text, with the parser's complaint as our error.
    pub(super) fn table(&self) -> Result<DeTable<'a>, Error> {
        let parsed = DeTable::parse(self.text).map_err(|e| Error {
            file: self.file.map(Path::to_owned),
            line: e.span().map(|s| self.line_at(s.start)),
            key: String::new(),
            message: format!("not valid TOML: {}", e.message()),
            remedy: "correct the line; text needs quotes, lists need brackets".to_owned(),
        })?;
        Ok(parsed.into_inner())
    }

    /// Where relative paths begin: the folder of the file, or the working folder.
    pub(super) fn folder(&self) -> PathBuf {
        match self.file.and_then(Path::parent) {
            Some(folder) => folder.to_owned(),
            None => PathBuf::new(),
        }
    }

    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.map(Path::to_owned)
    }

    fn line_at(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or_default();
        1 + before.iter().filter(|b| **b == b'\n').count()
    }
}

impl<'a> Section<'a> {
    /// The file's own top level.
    pub(super) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>) -> Self {
        Section::over(document, "", None, table)
    }

    fn over(
        document: &'a Document<'a>,
        name: &'static str,
        line: Option<usize>,
        table: &'a DeTable<'a>,
    ) -> Self {
        let entry = |(key, value): (&'a Spanned<_>, &'a Spanned<DeValue<'a>>)| {
            let text: &std::borrow::Cow<'a, str> = key.get_ref();
            Entry {
                key: text.to_string(),
                line: document.line_at(key.span().start),
                value: Some(value),
            }
        };
        Section {
            document,
            name,
            line,
            entries: table.iter().map(entry).collect(),
            asked: Vec::new(),
        }
    }

    /// The section `key`, empty when the file does not have it.
    pub(super) fn section(
        &mut self,
        key: &'static str,
        name: &'static str,
    ) -> Result<Section<'a>, Error> {
        let empty = Section {
            document: self.document,
            name,
            line: None,
            entries: Vec::new(),
            asked: Vec::new(),
        };
        match self.take(key) {
            None => Ok(empty),
            Some((line, value)) => match value.get_ref() {
                DeValue::Table(table) => Ok(Section::over(self.document, name, Some(line), table)),
                _ => Err(self.error(key, Some(line), "is not a section", format!("write {name}"))),
            },
        }
    }

    /// The sections of a `[[key]]` list.
    pub(super) fn sections(
        &mut self,
        key: &'static str,
        name: &'static str,
    ) -> Result<Vec<Section<'a>>, Error> {
        let Some((line, value)) = self.take(key) else {
            return Ok(Vec::new());
        };
        let wrong = |s: &Self| {
            let remedy = format!("begin each one with {name} in two pairs of brackets");
            s.error(key, Some(line), "is not a list of sections", remedy)
        };
        let DeValue::Array(items) = value.get_ref() else {
            return Err(wrong(self));
        };
        let mut found = Vec::new();
        for item in items.iter() {
            let DeValue::Table(table) = item.get_ref() else {
                return Err(wrong(self));
            };
            let line = self.document.line_at(item.span().start);
            found.push(Section::over(self.document, name, Some(line), table));
        }
        Ok(found)
    }

    /// A text.
    pub(super) fn text(&mut self, key: &'static str) -> Result<Option<Item<String>>, Error> {
        let Some((line, value)) = self.take(key) else {
            return Ok(None);
        };
        match value.get_ref() {
            DeValue::String(text) => Ok(Some(Item {
                value: text.to_string(),
                line,
            })),
            other => Err(self.wrong_type(key, line, other, "a text in quotes")),
        }
    }

    /// A list of texts; one text counts as a list of one.
    pub(super) fn texts(
        &mut self,
        key: &'static str,
    ) -> Result<Option<Item<Vec<Item<String>>>>, Error> {
        let Some((line, value)) = self.take(key) else {
            return Ok(None);
        };
        let want = "a list of texts, as in [\"…\", \"…\"]";
        let mut texts = Vec::new();
        match value.get_ref() {
            DeValue::String(text) => texts.push(Item {
                value: text.to_string(),
                line,
            }),
            DeValue::Array(items) => {
                for item in items.iter() {
                    let line = self.document.line_at(item.span().start);
                    match item.get_ref() {
                        DeValue::String(text) => texts.push(Item {
                            value: text.to_string(),
                            line,
                        }),
                        other => return Err(self.wrong_type(key, line, other, want)),
                    }
                }
            }
            other => return Err(self.wrong_type(key, line, other, want)),
        }
        Ok(Some(Item { value: texts, line }))
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Error> {
        let Some((line, value)) = self.take(key) else {
            return Ok(None);
        };
        let DeValue::Integer(integer) = value.get_ref() else {
            return Err(self.wrong_type(key, line, value.get_ref(), "a whole number"));
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|n| range.contains(n));
        number.map(Some).ok_or_else(|| {
            let message = format!("{integer} is out of range");
            let remedy = format!("write a number from {} to {}", range.start(), range.end());
            self.error(key, Some(line), message, remedy)
        })
    }

    /// One word of several.
    pub(super) fn choice<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
    ) -> Result<Option<T>, Error> {
        match self.text(key)? {
            None => Ok(None),
            Some(item) => self.one_of(key, &item, words).map(Some),
        }
    }

    /// The meaning of one word, or an error that lists the words.
    pub(super) fn one_of<T: Copy>(
        &self,
        key: &'static str,
        item: &Item<String>,
        words: &[(&str, T)],
    ) -> Result<T, Error> {
        let found = words.iter().find(|(word, _)| *word == item.value);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let known: Vec<String> = words.iter().map(|(w, _)| format!("\"{w}\"")).collect();
            let message = format!("\"{}\" is not known here", item.value);
            let remedy = format!("write one of {}", known.join(", "));
            self.error(key, Some(item.line), message, remedy)
        })
    }

    /// Refuses what nobody asked for.
    pub(super) fn finish(self) -> Result<Vec<&'static str>, Error> {
        let Some(unknown) = self.entries.iter().find(|e| e.value.is_some()) else {
            return Ok(self.asked);
        };
        let what = if self.name.is_empty() {
            "section"
        } else {
            "key"
        };
        let remedy = match nearest(&unknown.key, &self.asked) {
            Some(known) => format!("did you mean {known}?"),
            None => format!("known here: {}", self.asked.join(", ")),
        };
        let message = format!("unknown {what}");
        Err(self.error(&unknown.key, Some(unknown.line), message, remedy))
    }

    /// An error about a key of this section. Without a line it points at the section's header.
    pub(super) fn error(
        &self,
        key: &str,
        line: Option<usize>,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Error {
        let key = match self.name {
            "" => format!("[{key}]"),
            name => format!("{name} {key}"),
        };
        Error {
            file: self.document.file(),
            line: line.or(self.line),
            key,
            message: message.into(),
            remedy: remedy.into(),
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(usize, &'a Spanned<DeValue<'a>>)> {
        self.asked.push(key);
        let entry = self.entries.iter_mut().find(|e| e.key == key)?;
        let value = entry.value.take()?;
        Some((entry.line, value))
    }

    fn wrong_type(&self, key: &str, line: usize, found: &DeValue<'_>, want: &str) -> Error {
        let found = match found {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a section",
        };
        self.error(
            key,
            Some(line),
            format!("is {found}"),
            format!("write {want}"),
        )
    }
}

/// The known word fewest edits away, when it is near enough to be a slip of the pen. Of equals
/// the one with the same first letter wins: slips are rare there.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    if word.len() > MAX_SLIP {
        return None;
    }
    let near = |k: &'static str| (edits(word, k), word.get(..1) != k.get(..1), k);
    let (distance, _, best) = known.iter().map(|k| near(k)).min()?;
    (distance <= 2.max(word.len() / 3)).then_some(best)
}

/// Edits from one word to the other; swapping neighbours is one edit (optimal string alignment).
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let differs = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (above[j - 1] + differs)
                .min(above[j] + 1)
                .min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, n) in [
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("same", "same", 0),
            ("spi", "sip", 1),
        ] {
            assert_eq!(edits(a, b), n, "{a} {b}");
            assert_eq!(edits(b, a), n, "{b} {a}");
        }
    }

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["listen", "advertise", "domain"];
        assert_eq!(nearest("lisetn", &known), Some("listen"));
        assert_eq!(nearest("advertised", &known), Some("advertise"));
        assert_eq!(nearest("colour", &known), None);
    }
}
