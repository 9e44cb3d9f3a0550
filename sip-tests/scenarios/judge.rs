//! What is said about a case when it has been played: by what each side sent and received, by
//! the records, by what the server still holds, and by its log.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;
use tokio::time::{Duration, interval, timeout};

use crate::case::{Case, EXOPHONE, PEOPLE, Side, Target};
use crate::rules;
use crate::run::{POLL, Stage, text};
use crate::script::{Logged, fill};
use crate::watch::Watch;

/// Longest time from the end of a call to its record, and to the end of the server's own waits
/// for somebody who is gone (64·T1 for our BYE).
const RECORD_PATIENCE: [Duration; 2] = [Duration::from_secs(6), Duration::from_secs(40)];

impl Stage<'_> {
    /// What the caller received.
    pub(crate) fn judge_caller(
        &self,
        log: &[Logged],
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let says = &self.case.says;
        let heard = log.iter().filter(|l| l.received).count();
        if says.expect.caller_hears_nothing && heard > 0 {
            wrong.push(format!("the caller received {heard} messages"));
        }
        if !says.expect.caller_hears_nothing && heard == 0 {
            wrong.push("the caller received nothing".to_owned());
        }
        self.judge_side(Side::Caller, log, wrong)
    }

    /// What the far end received: at most one leg B, and none where there must be none.
    pub(crate) fn judge_callee(
        &self,
        log: &[Logged],
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let heard: Vec<&str> = log
            .iter()
            .filter(|l| l.received)
            .map(|l| l.text.as_str())
            .collect();
        let mut legs: Vec<&str> = heard
            .iter()
            .filter(|text| text.starts_with("INVITE "))
            .filter_map(|text| text.lines().find(|l| l.starts_with("Call-ID:")))
            .collect();
        legs.sort_unstable();
        legs.dedup();
        let target = self.case.says.target;
        let wanted = usize::from(target != Target::Untouched);
        if legs.len() != wanted {
            wrong.push(format!("{} legs B were tried, not {wanted}", legs.len()));
        }
        if target == Target::Untouched && !heard.is_empty() {
            wrong.push(format!("the target received {} messages", heard.len()));
        }
        self.judge_side(Side::Callee, log, wrong)
    }

    /// Nothing of the other side, nothing that no side may receive, and what the case counts.
    fn judge_side(
        &self,
        side: Side,
        log: &[Logged],
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let says = &self.case.says;
        let (name, owner, canary) = match side {
            Side::Caller => ("caller", &says.caller, "canary-b"),
            Side::Callee => ("callee", &says.callee, "canary-a"),
        };
        let heard = || log.iter().filter(|l| l.received);
        let mut forbidden: Vec<String> = Case::hidden_from(owner)
            .iter()
            .map(|n| (*n).to_owned())
            .collect();
        forbidden.push(canary.to_owned());
        forbidden.extend(says.expect.forbidden.iter().cloned());
        for pattern in forbidden {
            let pattern = Regex::new(&pattern).map_err(|e| e.to_string())?;
            if let Some(leak) = heard().find(|l| pattern.is_match(&l.text)) {
                let line = leak.text.lines().find(|l| pattern.is_match(l));
                let line = line.unwrap_or_default();
                wrong.push(format!("the {name} received {pattern}, as in: {line}"));
            }
        }
        let broken = rules::broken(log);
        wrong.extend(broken.iter().map(|rule| format!("the {name}: {rule}")));
        for times in says.expect.heard.iter().filter(|t| t.side == side) {
            let pattern = Regex::new(&times.like).map_err(|e| e.to_string())?;
            let count = heard().filter(|l| pattern.is_match(&l.text)).count();
            let most = times.most.unwrap_or(times.least);
            if !(times.least..=most).contains(&count) {
                let wanted = format!("{} to {most} times", times.least);
                wrong.push(format!(
                    "the {name} received {count} like {pattern}, not {wanted}"
                ));
            }
        }
        Ok(())
    }

    /// As many records as expected, the oldest as expected, no live call, no port in use, and
    /// nobody whose answer is awaited. Without `watch` the server has ended.
    pub(crate) async fn judge_records(
        &self,
        watch: Option<&Watch>,
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let expect = &self.case.says.expect;
        let watch = watch.filter(|_| !expect.lingers);
        let mut last = (Vec::new(), Vec::new(), None);
        let mut pace = interval(POLL);
        let settled = async {
            loop {
                pace.tick().await;
                let list = |v: Value| v.as_array().cloned().unwrap_or_default();
                let records = self.home.ask_json(&["call", "list"]).await;
                let live = self.home.ask_json(&["call", "live"]).await;
                let left = match watch {
                    Some(watch) => watch.look().await?.left(),
                    None => None,
                };
                last = (
                    records.map(list).map_err(|e| e.to_string())?,
                    live.map(list).map_err(|e| e.to_string())?,
                    left,
                );
                let settled = last.0.len() == expect.record.len();
                if settled && last.1.is_empty() && last.2.is_none() {
                    return Ok::<(), String>(());
                }
            }
        };
        let patience = RECORD_PATIENCE[usize::from(self.case.says.long)];
        if let Ok(result) = timeout(patience, settled).await {
            result?;
        }
        let (mut records, live, left) = last;
        if !live.is_empty() {
            wrong.push(format!("{} calls are still live", live.len()));
        }
        if let Some(left) = left {
            wrong.push(format!("the server still holds {left}"));
        }
        if records.len() != expect.record.len() {
            let (found, wanted) = (records.len(), expect.record.len());
            wrong.push(format!("{found} records, not {wanted}"));
        }
        // Call ids begin with the time of the INVITE.
        records.sort_by_key(|r| text(r, "sid").map(str::to_owned));
        for (record, wanted) in records.iter().zip(&expect.record) {
            self.judge_record(record, wanted, wrong)?;
        }
        Ok(())
    }

    fn judge_record(
        &self,
        record: &Value,
        wanted: &BTreeMap<String, toml::Value>,
        wrong: &mut Vec<String>,
    ) -> Result<(), String> {
        let exophone = toml::Value::String(EXOPHONE.to_owned());
        let always = [("exophone".to_owned(), exophone)];
        for (key, value) in always.iter().map(|(k, v)| (k, v)).chain(wanted) {
            let value = match value {
                toml::Value::String(s) if s == "null" => Value::Null,
                toml::Value::String(s) => {
                    let values = self.values(false, &crate::run::Known::default());
                    fill(s, &values, &self.places.fragments)?.into()
                }
                other => serde_json::to_value(other).map_err(|e| e.to_string())?,
            };
            let found = record.get(key).unwrap_or(&Value::Null);
            if *found != value {
                wrong.push(format!("the record's {key} is {found}, not {value}"));
            }
        }
        Ok(())
    }

    /// No full number in the log; the line the case expects.
    pub(crate) fn judge_log(&self, log: &str, wrong: &mut Vec<String>) -> Result<(), String> {
        for (_, number) in PEOPLE {
            if log.contains(number.trim_start_matches("+91")) {
                wrong.push("a full number stands in the server's log".to_owned());
            }
        }
        if log.contains("panicked at") {
            wrong.push("something panicked in the server".to_owned());
        }
        if let Some(pattern) = &self.case.says.expect.log {
            let pattern = Regex::new(pattern).map_err(|e| e.to_string())?;
            if !pattern.is_match(log) {
                wrong.push(format!("no line of the server's log matches {pattern}"));
            }
        }
        Ok(())
    }
}
