//! The table of requirements in `sip-tests/README.md`, generated from the cases.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::case::Case;

const BEGIN: &str = "<!-- begin of the generated table: sip-tests/run --write-table -->\n";
const END: &str = "<!-- end of the generated table -->\n";

/// The requirements that cases may name: number, where it stands, what it says.
const REQUIREMENTS: [(u32, &str, &str); 27] = [
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
    (49, "RFC 5407", "crossing requests"),
    (
        50,
        "SIPconnect 2.0",
        "+E.164 and user=phone in Request-URI, From, To, P-Asserted-Identity",
    ),
    (51, "house rule", "an unknown address gets no answer"),
];

/// Names every number that no requirement has.
fn known(cases: &[Case]) -> Result<(), String> {
    for case in cases {
        let mut numbers = case.says.requirements.iter();
        if let Some(odd) = numbers.find(|n| REQUIREMENTS.iter().all(|(r, ..)| r != *n)) {
            return Err(format!("{}: there is no requirement {odd}", case.name));
        }
    }
    Ok(())
}

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
    text.push_str("\n| Requirement | Where | What | Shown by |\n|---|---|---|---|\n");
    for (number, place, what) in REQUIREMENTS {
        let names = by_number.remove(&number).unwrap_or_default();
        let short: Vec<&str> = names.iter().map(|n| n.get(..2).unwrap_or(n)).collect();
        if !short.is_empty() {
            let _ = writeln!(
                text,
                "| {number} | {place} | {what} | {} |",
                short.join(", ")
            );
        }
    }
    text
}

/// Whether the file holds this table.
pub(crate) fn is_current(file: &Path, cases: &[Case]) -> Result<(), String> {
    known(cases)?;
    let text = std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
    if text == with_table(&text, &print(cases))? {
        Ok(())
    } else {
        Err("sip-tests/README.md is not what the cases say: run sip-tests/run --write-table".into())
    }
}

/// Puts the table into the file.
pub(crate) fn write(file: &Path, cases: &[Case]) -> Result<(), String> {
    known(cases)?;
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
