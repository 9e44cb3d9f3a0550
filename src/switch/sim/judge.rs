//! What must hold when all is over, whatever happened: nothing left in the switch, everything
//! given back, one record for each call, and no phone that believes something else.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::caller::Flaw;
use super::ua::{Part, SECOND_US, Talk, Ua};
use super::world::World;
use crate::phone::message::Message;
use crate::sid::Sid;
use crate::switch::record::{CallRecord, LiveCall, Status};

/// The longest a ringing caller may hear nothing, in microseconds (RFC 3261 §13.3.1.1).
const SILENCE_US: u64 = 61 * SECOND_US;
/// The longest before another target is tried, and the time a record may take.
const SECOND_TRY_US: u64 = 10 * SECOND_US;
/// Lateness allowed to call timers, in milliseconds.
const SLACK_MS: u64 = 500;

/// The books: live rows, records and INVITEs.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lives: BTreeMap<Sid, LiveCall>,
    pub records: BTreeMap<Sid, CallRecord>,
    arrived: BTreeMap<usize, bool>,
    problems: Vec<String>,
    /// When each ringing caller was told so last.
    told_us: BTreeMap<usize, u64>,
    dead_ends: Vec<(u64, SocketAddr)>,
    dialled: Vec<(u64, SocketAddr)>,
}

impl Ledger {
    /// A caller's INVITE has come to the switch; `countable` when it should leave a record.
    pub(super) fn arrived(&mut self, ua: usize, flaw: Flaw, countable: bool) {
        let flawless = matches!(
            flaw,
            Flaw::None | Flaw::Merged | Flaw::NoCodec | Flaw::Anonymous
        );
        self.arrived.entry(ua).or_insert(countable && flawless);
    }

    /// The trunk's limit refused this caller's call: no record.
    pub(super) fn refused(&mut self, ua: usize) {
        self.arrived.insert(ua, false);
    }

    pub(super) fn live(&mut self, live: &LiveCall) {
        if self.records.contains_key(&live.sid) {
            self.problems
                .push(format!("a live row of {} after its record", live.sid));
        }
        if let Some(before) = self.lives.get(&live.sid)
            && (before.started_ms, before.exophone, before.caller)
                != (live.started_ms, live.exophone, live.caller)
        {
            self.problems
                .push("a live row that changed its origin".to_owned());
        }
        self.lives.insert(live.sid, live.clone());
    }

    pub(super) fn record(&mut self, record: &CallRecord) {
        let sid = record.call.sid;
        if !self.lives.contains_key(&sid) {
            self.problems
                .push(format!("a record of {sid} without a live row"));
        }
        if self.records.insert(sid, record.clone()).is_some() {
            self.problems.push(format!("a second record of {sid}"));
        }
    }

    /// A new attempt to reach somebody.
    pub(super) fn dialled(&mut self, now_us: u64, to: SocketAddr) {
        self.dialled.push((now_us, to));
    }

    /// An INVITE went where nobody answers.
    pub(super) fn dead_end(&mut self, now_us: u64, to: SocketAddr) {
        self.dead_ends.push((now_us, to));
    }

    /// The switch said something to a phone.
    pub(super) fn said(
        &mut self,
        ua: usize,
        message: &Message,
        now_us: u64,
        problems: &mut Vec<String>,
    ) {
        let to_invite = message.cseq().is_some_and(|c| c.1 == "INVITE");
        let Some(code) = message.code().filter(|_| to_invite) else {
            return;
        };
        if let Some(before) = self.told_us.get(&ua)
            && now_us > before + SILENCE_US
        {
            problems.push(format!(
                "a ringing caller heard nothing for {} s",
                (now_us - before) / SECOND_US
            ));
        }
        match code {
            101..=199 => drop(self.told_us.insert(ua, now_us)),
            200.. => drop(self.told_us.remove(&ua)),
            _ => {}
        }
    }
}

/// Everything that is wrong at the end.
pub(super) fn judge(world: &World) -> Vec<String> {
    let mut problems = world.ledger.problems.clone();
    problems.extend(world.plane.problems.iter().cloned());
    problems.extend(world.pool.missing());
    if !world.switch.is_idle() {
        let core = &world.switch.core;
        problems.push(format!(
            "not idle: {} calls, {} transactions, {} dialogs, {} slots, {} busy, next timer {:?}",
            world.switch.calls.len(),
            core.transactions.len(),
            core.dialogs.len(),
            core.slots.len(),
            core.busy.len(),
            core.timers.next(),
        ));
    }
    let counters = world.switch.counters();
    if counters.panics + counters.guarded + counters.overflow != 0 {
        problems.push(format!("{counters:?}"));
    }
    records(world, &mut problems);
    dead_ends(world, &mut problems);
    for ua in &world.uas {
        if ua.spoke_too_late() {
            continue;
        }
        problems.extend(ua.complaints.iter().cloned());
        if !ua.gone {
            phone(ua, &mut problems);
        }
    }
    problems
}

fn records(world: &World, problems: &mut Vec<String>) {
    let ledger = &world.ledger;
    let due = ledger
        .arrived
        .values()
        .filter(|countable| **countable)
        .count() as u64;
    let written = ledger.records.len() as u64;
    if due != written {
        problems.push(format!("{written} records for {due} calls"));
    }
    for sid in ledger
        .lives
        .keys()
        .filter(|sid| !ledger.records.contains_key(sid))
    {
        problems.push(format!("call {sid} has a live row and no record"));
    }
    let longest_ms = u64::from(world.scene.settings.max_call_secs) * 1_000 + SLACK_MS;
    for record in ledger.records.values() {
        // The record itself waits for the ports' statistics.
        if record.duration_ms() > longest_ms + 2_000 {
            problems.push(format!("a call of {} ms", record.duration_ms()));
        }
        let times = [
            Some(record.call.started_ms),
            record.call.rang_ms,
            record.call.answered_ms,
            Some(record.ended_ms),
        ];
        let times: Vec<u64> = times.into_iter().flatten().collect();
        if !times.is_sorted() && record.call.rang_ms <= record.call.answered_ms {
            problems.push(format!("times out of order: {times:?}"));
        }
        let answered = record.call.answered_ms.is_some();
        if (record.sip_code == 200) != answered {
            problems.push(format!(
                "code {} of a call answered: {answered}",
                record.sip_code
            ));
        }
        if (record.call.status == Status::Completed) != (answered && !record.call.announcement) {
            problems.push(format!(
                "{:?} of a call answered: {answered}",
                record.call.status
            ));
        }
    }
}

fn dead_ends(world: &World, problems: &mut Vec<String>) {
    let ledger = &world.ledger;
    let Some(first) = world.scene.settings.trunks[0].targets.first() else {
        return;
    };
    for (at_us, to) in &ledger.dead_ends {
        let soon = at_us + 1..=at_us + SECOND_TRY_US;
        let elsewhere = |(us, target): &(u64, SocketAddr)| target != to && soon.contains(us);
        let tried = ledger.dialled.iter().any(elsewhere);
        let by_ms = 1_700_000_000_000 + (at_us + SECOND_TRY_US) / 1_000;
        let over = ledger
            .records
            .values()
            .any(|r| r.ended_ms <= by_ms && r.ended_ms * 1_000 >= *at_us);
        if *to == first.address && !tried && !over {
            problems.push("no other target was tried in time".to_owned());
        }
    }
}

fn phone(ua: &Ua, problems: &mut Vec<String>) {
    let mut wrong = |what: &str| {
        problems.push(format!(
            "at the end, {} (code {:?}): {what}",
            ua.call_id, ua.code
        ))
    };
    // Who ended an early dialog with BYE may have crossed a 200 that was lost, and needs no other.
    let ended = ua.dialogs.iter().any(|d| d.bye_code.is_some());
    match ua.part {
        Part::Caller(_) if ua.code.is_none() && !ended => {
            wrong("a caller without a final response")
        }
        Part::Callee(_) if ua.invite.is_none() => wrong("an INVITE that never arrived"),
        Part::Callee(_) if ua.code.is_none() && ua.provisional > 0 && !ua.cancelled => {
            wrong("a callee left ringing")
        }
        Part::Callee(_) if ua.code.is_some_and(|c| c >= 300) && !ua.failure_acked => {
            wrong("a refusal nobody acknowledged")
        }
        _ => {}
    }
    for dialog in &ua.dialogs {
        if dialog.talk == Talk::Up && !ua.deaf_to_bye() {
            wrong("a phone that believes in a call");
        }
        let answered = dialog.up_at_us > 0;
        let told = dialog.bye_received || ua.deaf_to_bye();
        if answered && dialog.bye_code == Some(481) && !told {
            wrong("the switch had forgotten this phone's call");
        }
        // A BYE may overtake a lost ACK, and is as good.
        let heard = dialog.acked || dialog.bye_received;
        if answered && !heard && matches!(ua.part, Part::Callee(_)) {
            wrong("an answer nobody acknowledged");
        }
    }
}
