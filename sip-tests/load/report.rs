//! Rows of figures: for people as tables, for programs as JSON lines. A row whose checks do not
//! all hold is printed all the same, marked, and makes the whole run fail.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Map, Value, json};

use crate::failure::{Doing, Outcome};
use crate::machine::{description, load_average};

/// One measurement of one subject.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    scenario: &'static str,
    subject: &'static str,
    round: usize,
    /// What was set, then what was measured: name with its unit, value.
    set: Vec<(&'static str, f64)>,
    figures: Vec<(&'static str, f64)>,
    /// What makes the row honest, and whether it held.
    checks: Vec<(&'static str, bool)>,
    notes: Vec<String>,
    load: f64,
}

impl Row {
    /// An empty row.
    pub(crate) fn new(scenario: &'static str, subject: &'static str, round: usize) -> Row {
        Row {
            scenario,
            subject,
            round,
            set: Vec::new(),
            figures: Vec::new(),
            checks: Vec::new(),
            notes: Vec::new(),
            load: load_average(),
        }
    }

    /// What was set.
    pub(crate) fn set(&mut self, name: &'static str, value: f64) {
        self.set.push((name, value));
    }

    /// What was measured.
    pub(crate) fn figure(&mut self, name: &'static str, value: f64) {
        self.figures.push((name, value));
    }

    /// What must hold, and whether it does.
    pub(crate) fn check(&mut self, name: &'static str, holds: bool) {
        self.checks.push((name, holds));
    }

    /// What a reader should know.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// The middle and the far end of some times, in microseconds.
    pub(crate) fn times(&mut self, names: [&'static str; 2], times_ns: &mut [u64]) {
        times_ns.sort_unstable();
        for (name, share) in names.into_iter().zip([0.50, 0.99]) {
            self.figure(name, quantile(times_ns, share) / 1e3);
        }
    }

    fn broken(&self) -> Vec<&'static str> {
        self.checks
            .iter()
            .filter(|(_, holds)| !holds)
            .map(|(name, _)| *name)
            .collect()
    }

    fn json(&self) -> Value {
        let numbers = |list: &[(&'static str, f64)]| -> Map<String, Value> {
            list.iter()
                .map(|(name, value)| ((*name).to_owned(), json!(round(*value))))
                .collect()
        };
        let checks: Map<String, Value> = self
            .checks
            .iter()
            .map(|(name, holds)| ((*name).to_owned(), json!(holds)))
            .collect();
        json!({
            "scenario": self.scenario, "subject": self.subject, "round": self.round,
            "set": numbers(&self.set), "figures": numbers(&self.figures), "checks": checks,
            "notes": self.notes, "load_average": self.load,
        })
    }
}

/// The value below which this share of sorted values lies; 0 without values.
fn quantile(sorted: &[u64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(place.saturating_sub(1))
        .map_or(0.0, |v| *v as f64)
}

/// Three digits behind the point are more than any figure here is worth.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// All rows, and where they go.
pub(crate) struct Report {
    rows: Vec<Row>,
    file: Option<File>,
}

impl Report {
    /// Prints the head; with a path, JSON lines go there as they are measured.
    pub(crate) fn begin(path: Option<&Path>, versions: &[(String, String)]) -> Outcome<Report> {
        let mut head = Map::new();
        println!("load: caller, callee and audio on one CPU, the subject on another");
        let machine = description().into_iter().map(|(k, v)| (k.to_owned(), v));
        for (key, value) in machine.chain(versions.iter().cloned()) {
            println!("  {key:<10} {value}");
            head.insert(key, json!(value));
        }
        let file = path.map(File::create).transpose().doing("the JSON file")?;
        let mut report = Report {
            rows: Vec::new(),
            file,
        };
        report.line(&json!({ "machine": head }))?;
        Ok(report)
    }

    fn line(&mut self, value: &Value) -> Outcome<()> {
        match &mut self.file {
            Some(file) => writeln!(file, "{value}").doing("the JSON file"),
            None => Ok(()),
        }
    }

    /// Takes a row and shows that it came.
    pub(crate) fn add(&mut self, row: Row) -> Outcome<()> {
        let mut text = format!("  {} {} #{}", row.scenario, row.subject, row.round);
        for (name, value) in row.set.iter().chain(&row.figures) {
            // Writing to a String cannot fail.
            let _ = write!(text, "  {name} {}", number(*value));
        }
        println!("{text}");
        for broken in row.broken() {
            println!("    NOT HONEST: {broken}");
        }
        for note in &row.notes {
            println!("    note: {note}");
        }
        self.line(&row.json())?;
        self.rows.push(row);
        Ok(())
    }

    /// Prints the tables; whether every check of every row held.
    pub(crate) fn finish(&self) -> bool {
        let mut scenarios: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !scenarios.contains(&row.scenario) {
                scenarios.push(row.scenario);
            }
        }
        for scenario in scenarios {
            self.table(scenario);
        }
        let broken = self.rows.iter().filter(|r| !r.broken().is_empty()).count();
        println!("\nload: {} rows, {broken} not honest", self.rows.len());
        broken == 0 && !self.rows.is_empty()
    }

    /// One scenario: the median of the rounds of each subject, side by side.
    fn table(&self, scenario: &str) {
        let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
        for row in self.rows.iter().filter(|r| r.scenario == scenario) {
            let key = format!("{:?}{}", row.set, row.subject);
            match groups.iter_mut().find(|(k, _)| *k == key) {
                Some((_, rows)) => rows.push(row),
                None => groups.push((key, vec![row])),
            }
        }
        let mut columns: Vec<&str> = Vec::new();
        for row in groups.iter().filter_map(|(_, rows)| rows.first()) {
            for (name, _) in row.set.iter().chain(&row.figures) {
                if !columns.contains(name) {
                    columns.push(name);
                }
            }
        }
        let mut table = Table::new();
        table.load_style(NOTHING);
        let head = ["", "rounds"]
            .into_iter()
            .chain(columns.iter().copied())
            .chain(["honest"]);
        table.set_header(head.map(|name| name.replace('_', "\n")));
        for (_, rows) in &groups {
            let Some(first) = rows.first() else { continue };
            let mut cells = vec![first.subject.to_owned(), rows.len().to_string()];
            let mut values: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
            for (name, value) in rows.iter().flat_map(|r| r.set.iter().chain(&r.figures)) {
                values.entry(name).or_default().push(*value);
            }
            for column in &columns {
                let middle = values.get_mut(column).map(|v| median(v));
                cells.push(middle.map_or_else(|| "-".to_owned(), number));
            }
            let honest = rows.iter().all(|r| r.broken().is_empty());
            cells.push(if honest { "yes" } else { "NO" }.to_owned());
            table.add_row(cells);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        println!("\n{scenario}, medians of the rounds\n{table}");
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let at = |i: usize| values.get(i).copied().unwrap_or_default();
    if values.len() % 2 == 1 {
        at(middle)
    } else {
        (at(middle.saturating_sub(1)) + at(middle)) / 2.0
    }
}

fn number(value: f64) -> String {
    match value {
        v if v == v.trunc() && v.abs() < 1e9 => format!("{v:.0}"),
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.3}"),
    }
}
