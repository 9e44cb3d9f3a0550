//! Reading CSV files for imports (RFC 4180): a header row that names the columns, quoted fields,
//! CRLF or LF.

/// A row: its line in the file, from 1, and its fields by the header's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// Where it begins.
    pub(super) line: usize,
    /// Its fields.
    pub(super) fields: Vec<String>,
}

/// A file: header and rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// Column names, lower case.
    pub(super) columns: Vec<String>,
    /// The rows, empty lines left out.
    pub(super) rows: Vec<Row>,
}

impl Table {
    /// Reads a file whose columns are all among `known`; `needed` must be there.
    pub(super) fn parse(text: &str, known: &[&str], needed: &[&str]) -> Result<Table, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rows = split(text)?.into_iter();
        let header = rows
            .next()
            .ok_or("the file is empty; it begins with column names")?;
        let name = |f: &String| f.trim().to_ascii_lowercase();
        let columns: Vec<String> = header.fields.iter().map(name).collect();
        for (i, column) in columns.iter().enumerate() {
            if !known.contains(&column.as_str()) {
                return Err(format!(
                    "line 1: unknown column \"{column}\"; known columns: {}",
                    known.join(", ")
                ));
            }
            if columns.iter().take(i).any(|c| c == column) {
                return Err(format!(
                    "line 1: the column \"{column}\" stands there twice"
                ));
            }
        }
        for column in needed {
            if !columns.iter().any(|c| c == column) {
                return Err(format!("line 1: the column \"{column}\" is missing"));
            }
        }
        let rows: Vec<Row> = rows.collect();
        if let Some(row) = rows.iter().find(|r| r.fields.len() != columns.len()) {
            let (has, wants) = (row.fields.len(), columns.len());
            return Err(format!(
                "line {}: {has} fields where the header has {wants}",
                row.line
            ));
        }
        Ok(Table { columns, rows })
    }

    /// A row's field, `None` when the column is absent or the field empty.
    pub(super) fn field(&self, row: &Row, column: &str) -> Option<String> {
        let index = self.columns.iter().position(|c| c == column)?;
        let text = row.fields.get(index)?.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

fn split(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut row = Row {
        line: 1,
        fields: Vec::new(),
    };
    let mut field = String::new();
    let mut line = 1;
    let mut quoted = false;
    let mut was_quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        line += usize::from(c == '\n');
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            c if quoted => field.push(c),
            '"' if field.is_empty() && !was_quoted => {
                quoted = true;
                was_quoted = true;
            }
            '"' => return Err(format!("line {line}: a quote inside a field; double it")),
            ',' => {
                row.fields.push(std::mem::take(&mut field));
                was_quoted = false;
            }
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                row.fields.push(std::mem::take(&mut field));
                was_quoted = false;
                let next = Row {
                    line,
                    fields: Vec::new(),
                };
                keep(&mut rows, std::mem::replace(&mut row, next));
            }
            _ if was_quoted => {
                return Err(format!("line {line}: text after a closing quote"));
            }
            c => field.push(c),
        }
    }
    if quoted {
        return Err(format!("line {}: a quote is never closed", row.line));
    }
    row.fields.push(field);
    keep(&mut rows, row);
    Ok(rows)
}

/// Leaves out empty lines.
fn keep(rows: &mut Vec<Row>, row: Row) {
    let empty = row.fields.len() == 1 && row.fields.iter().all(|f| f.trim().is_empty());
    if !empty {
        rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_line_ends_and_empty_lines() {
        let text = "\u{feff}A,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\r\n2,\n";
        let table = Table::parse(text, &["a", "b"], &["a"]).unwrap();
        assert_eq!(table.rows.len(), 2);
        assert_eq!(table.field(&table.rows[0], "b").unwrap(), "x, \"y\"\nz");
        assert_eq!((table.rows[0].line, table.rows[1].line), (2, 5));
        assert_eq!(table.field(&table.rows[1], "b"), None);
        assert_eq!(table.field(&table.rows[1], "a").unwrap(), "2");
    }

    #[test]
    fn mistakes_name_their_line() {
        for (text, says) in [
            ("", "empty"),
            ("a,c\n", "unknown column \"c\""),
            ("a,a\n", "twice"),
            ("b\n", "\"a\" is missing"),
            ("a,b\n1\n", "line 2: 1 fields where the header has 2"),
            ("a,b\n1,x\"y\n", "line 2: a quote inside"),
            ("a,b\n\n1,\"y\n", "line 3: a quote is never closed"),
            ("a,b\n1,\"y\"z\n", "line 2: text after"),
        ] {
            let e = Table::parse(text, &["a", "b"], &["a"]).unwrap_err();
            assert!(e.contains(says), "{text:?}: {e}");
        }
    }
}
