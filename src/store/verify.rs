//! Checking a store: every row readable, every rule held, disk and memory the same.

use serde::Serialize;

use super::Revision;
use super::allocation::{Allocation, State};
use super::change::Change;
use super::codec::{self, BadRow, Row};
use super::engine::{Engine, EngineError};
use super::exophone::Sharing;
use super::view::View;
use crate::number::Number;

/// Problems and unreadable rows a report spells out; further ones are only counted.
const MAX_SPELLED_OUT: usize = 100;

/// What a check found. The store is sound when `sound` is true.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// No unreadable row and no problem.
    pub sound: bool,
    /// The last committed change.
    pub revision: Revision,
    /// Accounts.
    pub accounts: usize,
    /// ExoPhones.
    pub exophones: usize,
    /// Allocations, active and ended.
    pub allocations: usize,
    /// Of these, active.
    pub active: usize,
    /// Rows that cannot be read; they take no part in routing.
    pub unreadable_count: usize,
    /// The first of them.
    pub unreadable: Vec<String>,
    /// Broken rules.
    pub problem_count: usize,
    /// The first of them.
    pub problems: Vec<String>,
}

/// Rows of an engine folded into a view.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) view: View,
    pub(super) unreadable: Vec<BadRow>,
    /// False when there is no revision row: nothing was ever committed here.
    pub(super) initialised: bool,
}

/// Reads all rows.
pub(super) fn load(engine: &mut dyn Engine) -> Result<Loaded, EngineError> {
    let mut loaded = Loaded::default();
    engine.load(&mut |key, value| match codec::decode(key, value) {
        Ok(Row::Data(change)) => loaded.view.apply(&change),
        Ok(Row::Revision(revision)) => {
            loaded.view.revision = revision;
            loaded.initialised = true;
        }
        Err(bad) => loaded.unreadable.push(bad),
    })?;
    Ok(loaded)
}

/// Reads all rows again and checks them, also against the view in use when there is one.
pub(super) fn verify(
    engine: &mut dyn Engine,
    live: Option<&View>,
) -> Result<VerifyReport, EngineError> {
    let loaded = load(engine)?;
    let mut report = report(&loaded);
    if live.is_some_and(|live| *live != loaded.view) {
        problem(
            &mut report,
            "memory and disk differ: restart the server".to_owned(),
        );
    }
    report.sound = report.unreadable_count == 0 && report.problem_count == 0;
    Ok(report)
}

/// Counts rows and checks the rules that must hold between them.
pub(super) fn report(loaded: &Loaded) -> VerifyReport {
    let view = &loaded.view;
    let mut report = VerifyReport {
        revision: view.revision,
        unreadable_count: loaded.unreadable.len(),
        unreadable: loaded
            .unreadable
            .iter()
            .take(MAX_SPELLED_OUT)
            .map(ToString::to_string)
            .collect(),
        ..VerifyReport::default()
    };
    for row in view.rows() {
        match row {
            Change::Account(_) => report.accounts += 1,
            Change::ExoPhone(e) => {
                report.exophones += 1;
                if view.account(e.account).is_none() {
                    problem(&mut report, format!("ExoPhone {} has no account", e.number));
                }
                let held = view.line(e.number).active().count();
                if e.sharing == Sharing::Exclusive && held > 1 {
                    problem(
                        &mut report,
                        format!(
                            "exclusive ExoPhone {} has {held} active allocations",
                            e.number
                        ),
                    );
                }
            }
            Change::Allocation(a) => {
                report.allocations += 1;
                if a.state == State::Active {
                    report.active += 1;
                    check_active(view, &a, &mut report);
                }
            }
            Change::ExoPhoneRemoved(_) => {}
        }
    }
    report.sound = report.unreadable_count == 0 && report.problem_count == 0;
    report
}

fn check_active(view: &View, a: &Allocation, report: &mut VerifyReport) {
    for number in [a.exophone, a.agent_exophone] {
        if view.exophone(number).is_none() {
            problem(
                report,
                format!("allocation {} is on an unknown ExoPhone", a.id),
            );
            break;
        }
    }
    let sides = [(a.exophone, &a.customer), (a.agent_exophone, &a.agent)];
    for (number, callers) in sides {
        let line = view.line(number);
        let claimed = |n: &Number| line.claim_of(*n).is_some_and(|by| by.id == a.id);
        if !callers.iter().all(claimed) {
            problem(
                report,
                format!("allocation {} shares a caller with another", a.id),
            );
        }
    }
    if a.parties().any(|n| view.exophone(n).is_some()) {
        problem(
            report,
            format!("allocation {} has an ExoPhone as a party", a.id),
        );
    }
}

fn problem(report: &mut VerifyReport, text: String) {
    report.problem_count += 1;
    if report.problems.len() < MAX_SPELLED_OUT {
        report.problems.push(text);
    }
}
