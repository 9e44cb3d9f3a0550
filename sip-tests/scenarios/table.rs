//! The table of requirements in `sip-tests/README.md`, generated from the cases and from the tests
//! on bare sockets, whose doc comments say `requirement: 6, 17` after one sentence of what happens.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::Case;

const BEGIN: &str = "<!-- begin of the generated table: sip-tests/run --write-table -->\n";
const END: &str = "<!-- end of the generated table -->\n";

/// The requirements that cases may name: number, where it stands, what it says.
const REQUIREMENTS: [(u32, &str, &str); 33] = [
    (
        1,
        "RFC 3261 §8.1.1, §20",
        "every request has the six mandatory fields, once each",
    ),
    (2, "RFC 3261 §8.2.1", "unknown method: 405 with Allow"),
    (
        3,
        "RFC 3261 §8.2.2",
        "unsupported scheme 416, unknown Require 420",
    ),
    (4, "RFC 3261 §8.2.2.2", "merged request: 482"),
    (
        5,
        "RFC 3261 §8.2.3",
        "body of an unknown type: 415 with Accept",
    ),
    (
        6,
        "RFC 3261 §8.2.6, §17.2.1",
        "100 at once, one To tag in everything above it",
    ),
    (
        7,
        "RFC 3261 §8.1.3.3, §17.1.3",
        "responses with two Vias or of no transaction are dropped",
    ),
    (
        8,
        "RFC 3261 §9",
        "CANCEL: same branch, never before a provisional response",
    ),
    (
        9,
        "RFC 3261 §9, §17.1.1.3",
        "487 after CANCEL, ACK for it; a 200 that crosses it gets ACK and BYE",
    ),
    (
        10,
        "RFC 3261 §11",
        "OPTIONS: 200 with Allow, Accept, Supported",
    ),
    (
        11,
        "RFC 3261 §12.1",
        "tag and Contact in what makes a dialog",
    ),
    (
        12,
        "RFC 3261 §12.2",
        "requests inside a dialog by its target; unknown dialog: 481",
    ),
    (
        13,
        "RFC 3261 §13.2.2.4",
        "each 2xx has its ACK; the 2xx of another phone gets ACK and BYE",
    ),
    (
        14,
        "RFC 3261 §13.3.1.4",
        "our 2xx comes again until its ACK, and BYE after 64·T1 without",
    ),
    (
        15,
        "RFC 3261 §14",
        "an INVITE inside the call: 488, 491 or 500, and the session stays as it was",
    ),
    (
        16,
        "RFC 3261 §15",
        "BYE is always answered, and answered calls end by it",
    ),
    (
        17,
        "RFC 3261 §17",
        "timers of the transactions; retransmissions are absorbed",
    ),
    (
        18,
        "RFC 3261 §17.1.1.3",
        "a refusal is acknowledged on the INVITE's own branch",
    ),
    (
        19,
        "RFC 3261 §17.2.3",
        "requests are matched by branch, sent-by and method",
    ),
    (26, "RFC 3261 §20.14", "Content-Length tells the truth"),
    (
        27,
        "RFC 3261 §21.5.4",
        "503 only for overload, drain and lack of ports, Retry-After where it helps",
    ),
    (
        29,
        "RFC 3263 §4.3, RFC 3261 §8.1.3.1",
        "a target that cannot be reached is a failure at once",
    ),
    (
        30,
        "RFC 6026",
        "an INVITE that comes again after its 200 is absorbed",
    ),
    (
        31,
        "RFC 4320",
        "neither 408 nor provisional responses to other methods than INVITE",
    ),
    (
        34,
        "RFC 3264",
        "offer and answer: own lines, numbers of the offer, one codec at least or 488",
    ),
    (
        35,
        "RFC 8866",
        "SDP with exactly the lines that it must have",
    ),
    (
        38,
        "RFC 3323, RFC 3325",
        "who the caller is: P-Asserted-Identity from a trusted trunk",
    ),
    (41, "RFC 7332", "Max-Forwards counts down; 0 is 483"),
    (42, "RFC 3515", "REFER is neither allowed nor obeyed"),
    (
        44,
        "RFC 5393",
        "a request that comes round ends: Max-Forwards, no call of an ExoPhone to itself",
    ),
    (49, "RFC 5407", "crossing requests"),
    (
        50,
        "SIPconnect 2.0",
        "+E.164 and user=phone in Request-URI, From, To, P-Asserted-Identity",
    ),
    (51, "house rule", "an unknown address gets no answer"),
];

/// One row of the table: a case, or a test on bare sockets.
pub(crate) struct Row {
    /// As the list of requirements names it.
    short: String,
    name: String,
    description: String,
    requirements: Vec<u32>,
}

/// The rows: every case, then every test of `raw` (a folder) that names a requirement.
pub(crate) fn rows(cases: &[Case], raw: &Path) -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = cases
        .iter()
        .map(|case| Row {
            short: case.name.get(..2).unwrap_or(&case.name).to_owned(),
            name: case.name.clone(),
            description: case.says.description.clone(),
            requirements: case.says.requirements.clone(),
        })
        .collect();
    let entries = std::fs::read_dir(raw).map_err(|e| format!("{}: {e}", raw.display()))?;
    let mut files: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    files.sort();
    for file in files
        .iter()
        .filter(|f| f.extension().is_some_and(|e| e == "rs"))
    {
        let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
        rows.extend(annotated(&text)?);
    }
    for row in &rows {
        let mut numbers = row.requirements.iter();
        if let Some(odd) = numbers.find(|n| REQUIREMENTS.iter().all(|(r, ..)| r != *n)) {
            return Err(format!("{}: there is no requirement {odd}", row.name));
        }
    }
    Ok(rows)
}

/// The annotated tests of one file.
fn annotated(text: &str) -> Result<Vec<Row>, String> {
    let mut rows = Vec::new();
    let mut words: Vec<&str> = Vec::new();
    let mut numbers: Vec<u32> = Vec::new();
    for line in text.lines() {
        let said = line.strip_prefix("/// ");
        if let Some(list) = said.and_then(|d| d.strip_prefix("requirement:")) {
            let read: Result<Vec<u32>, _> = list.split(',').map(|n| n.trim().parse()).collect();
            numbers = read.map_err(|e| format!("{line}: {e}"))?;
        } else if let Some(said) = said {
            words.push(said);
        } else if let Some((_, rest)) = line.split_once("fn ") {
            if !numbers.is_empty() {
                let name = rest.split('(').next().unwrap_or(rest).to_owned();
                rows.push(Row {
                    short: format!("raw `{name}`"),
                    name: format!("raw `{name}`"),
                    description: words.join(" ").trim_end_matches('.').to_owned(),
                    requirements: std::mem::take(&mut numbers),
                });
            }
            words.clear();
        } else if !line.starts_with('#') {
            words.clear();
        }
    }
    Ok(rows)
}

/// The table as the rows say it.
pub(crate) fn print(rows: &[Row]) -> String {
    let mut text = String::from("| Case | What happens | Requirements |\n|---|---|---|\n");
    let mut by_number: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for row in rows {
        let numbers: Vec<String> = row.requirements.iter().map(u32::to_string).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            row.name,
            row.description,
            numbers.join(", ")
        );
        for number in &row.requirements {
            by_number.entry(*number).or_default().push(&row.short);
        }
    }
    text.push_str("\n| Requirement | Where | What | Shown by |\n|---|---|---|---|\n");
    for (number, place, what) in REQUIREMENTS {
        let names = by_number.remove(&number).unwrap_or_default();
        if !names.is_empty() {
            let _ = writeln!(
                text,
                "| {number} | {place} | {what} | {} |",
                names.join(", ")
            );
        }
    }
    text
}

/// Whether the file holds this table.
pub(crate) fn is_current(file: &Path, rows: &[Row]) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    if text == with_table(&text, &print(rows))? {
        Ok(())
    } else {
        Err("sip-tests/README.md is not what the cases say: run sip-tests/run --write-table".into())
    }
}

/// Puts the table into the file.
pub(crate) fn write(file: &Path, rows: &[Row]) -> Result<(), String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let text = with_table(&text, &print(rows))?;
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
