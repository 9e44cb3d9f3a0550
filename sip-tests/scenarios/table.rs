//! The table of requirements in `sip-tests/README.md`, generated from the cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::Case;

const BEGIN: &str = "<!-- begin of the generated table: sip-tests/run --write-table -->\n";
const END: &str = "<!-- end of the generated table -->\n";

/// The table as the cases say it.
pub(crate) fn print(cases: &[Case]) -> String {
    let mut text = String::from("| Case | What happens | Requirements |\n|---|---|---|\n");
    let mut by_number: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for case in cases {
        let numbers: Vec<String> = case.says.requirements.iter().map(u32::to_string).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            case.name,
            case.says.description,
            numbers.join(", ")
        );
        for number in &case.says.requirements {
            by_number.entry(*number).or_default().push(&case.name);
        }
    }
    text.push_str("\n| Requirement | Shown by |\n|---|---|\n");
    for (number, names) in by_number {
        let short: Vec<&str> = names.iter().map(|n| n.get(..2).unwrap_or(n)).collect();
        let _ = writeln!(text, "| {number} | {} |", short.join(", "));
    }
    text
}

/// Whether the file holds this table.
pub(crate) fn is_current(file: &Path, cases: &[Case]) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    if text == with_table(&text, &print(cases))? {
        Ok(())
    } else {
        Err("sip-tests/README.md is not what the cases say: run sip-tests/run --write-table".into())
    }
}

/// Puts the table into the file.
pub(crate) fn write(file: &Path, cases: &[Case]) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let text = with_table(&text, &print(cases))?;
    std::fs::write(file, text).map_err(|e| format!("{}: {e}", file.display()))
}

fn with_table(text: &str, table: &str) -> Result<String, String> {
    let cut = || {
        let (before, rest) = text.split_once(BEGIN)?;
        let (_, after) = rest.split_once(END)?;
        Some(format!("{before}{BEGIN}{table}{END}{after}"))
    };
    cut().ok_or_else(|| "sip-tests/README.md lacks the markers of the table".to_owned())
}
