//! What the command line prints: data on standard output, messages on standard error, and no
//! panic when the reader has gone away.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use comfy_table::{ContentArrangement, Table, presets};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::store::Refusal;

/// Set when a write to standard output failed; the process has one standard output.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    /// For programs instead of people.
    pub(super) json: bool,
}

impl Output {
    /// Prints a text to standard output. A closed pipe is no error: the reader has seen enough.
    pub(super) fn text(&self, text: &str) {
        match put(&mut io::stdout().lock(), text) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                UNPRINTED.store(true, Ordering::Relaxed);
                self.note(&format!(
                    "callmask: the command was carried out, but its answer could not be written \
                     to standard output: {error}"
                ));
            }
            _ => {}
        }
    }

    /// Whether something meant for standard output is missing there: a script that saves it must
    /// not take the rest for the whole.
    pub(super) fn is_incomplete(&self) -> bool {
        UNPRINTED.load(Ordering::Relaxed)
    }

    /// Prints a value as JSON.
    pub(super) fn json<T: Serialize>(&self, value: &T) {
        match serde_json::to_string_pretty(value) {
            Ok(text) => self.text(&text),
            // Our shapes have string keys and finite numbers, so this does not happen.
            Err(error) => self.note(&format!("cannot print the answer as JSON: {error}")),
        }
    }

    /// Prints a message for people to standard error.
    pub(super) fn note(&self, text: &str) {
        // Who does not listen cannot be told so.
        let _ = put(&mut io::stderr().lock(), text);
    }

    /// Prints rows as a table, or the same values as a bare JSON array.
    pub(super) fn list<T: Serialize>(
        &self,
        values: &[T],
        header: &[&str],
        row: impl Fn(&T) -> Vec<String>,
    ) {
        if self.json {
            self.json(&values);
            return;
        }
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(header.to_vec());
        for value in values {
            table.add_row(row(value));
        }
        self.text(&trimmed(&table.to_string()));
    }

    /// Prints one value as `name  value` lines, or as a JSON object. Values without content are
    /// left out of the lines.
    pub(super) fn object<T: Serialize>(&self, value: &T) {
        if self.json {
            self.json(value);
            return;
        }
        let text = serde_json::to_string(value).unwrap_or_default();
        let Ok(Fields(fields)) = serde_json::from_str(&text) else {
            return self.json(value);
        };
        let mut table = Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled);
        for (name, value) in &fields {
            let shown = plain(value);
            if !shown.is_empty() {
                table.add_row(vec![name.clone(), shown]);
            }
        }
        self.text(&trimmed(&table.to_string()));
    }

    /// Prints a refusal to standard error.
    pub(super) fn refusal(&self, refusal: &Refusal) {
        if self.json {
            let error = serde_json::json!({ "error": refusal });
            self.note(&error.to_string());
            return;
        }
        self.note(&format!("callmask: {refusal}"));
        if let Some(id) = refusal.blocking_id {
            self.note(&format!("in the way: {id}"));
        }
    }
}

/// An object's fields in the order of its type, which a `serde_json::Value` would sort away.
struct Fields(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A JSON value as people read it.
fn plain(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let shown: Vec<String> = items.iter().map(plain).collect();
            shown.join(", ")
        }
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                let shown = plain(value);
                (!shown.is_empty()).then(|| format!("{name} {shown}"))
            };
            let shown: Vec<String> = fields.iter().filter_map(field).collect();
            shown.join(", ")
        }
        other => other.to_string(),
    }
}

/// Without the padding that the table puts around its lines.
fn trimmed(table: &str) -> String {
    let bare = |line: &'_ str| -> String {
        let line = line.strip_prefix(' ').unwrap_or(line);
        line.trim_end().to_owned()
    };
    let lines: Vec<String> = table.lines().map(bare).collect();
    lines.join("\n")
}

fn put(out: &mut impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// An optional value as a cell.
pub(super) fn cell<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |v| v.to_string())
}

/// A limit as a cell: 0 is none.
pub(super) fn limit(value: u32) -> String {
    if value == 0 {
        "no limit".to_owned()
    } else {
        value.to_string()
    }
}

/// A value as its JSON word, as in `in-progress`.
pub(super) fn word<T: Serialize>(value: T) -> String {
    serde_json::to_value(value).map_or_else(|_| String::new(), |v| plain(&v))
}

/// A time stamp as a cell: to the second, in UTC.
pub(super) fn moment(time: crate::api::Time) -> String {
    let text = time.to_string();
    let short = text.get(..19).unwrap_or(&text);
    short.replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_nested_values_read_well() {
        let Fields(fields) = serde_json::from_str(r#"{"b":1,"a":null,"c":["x","y"]}"#).unwrap();
        let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["b", "a", "c"]);
        let shown: Vec<String> = fields.iter().map(|(_, v)| plain(v)).collect();
        assert_eq!(shown, ["1", "", "x, y"]);
        let nested = serde_json::json!({"packets": 5, "mos": null, "lost": 0});
        assert_eq!(plain(&nested), "lost 0, packets 5");
    }

    #[test]
    fn padding_is_taken_off() {
        assert_eq!(trimmed(" a  b  \n   c  d "), "a  b\n  c  d");
    }
}
