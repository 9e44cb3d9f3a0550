//! Rules of ExoPhones: add, set, remove.

use std::sync::Arc;

use super::super::change::Change;
use super::super::exophone::{
    ExoPhone, ExoPhonePatch, MAX_ANNOUNCEMENT_PATH, MAX_NAME, NewExoPhone, Sharing,
};
use super::super::view::View;
use super::super::{Refusal, Reply};
use super::allocation::known_exophone;
use super::{Decision, account_of, clear, refuse};
use crate::number::Number;

pub(super) fn add(view: &View, new: NewExoPhone, now_ms: u64) -> Result<Decision, Refusal> {
    let account = account_of(view, new.account)?;
    if view.exophone(new.number).is_some() {
        return Err(exists(new.number));
    }
    let exophone = ExoPhone {
        number: new.number,
        account,
        trunk: new.trunk,
        pool: new.pool,
        region: new.region,
        max_calls: new
            .max_calls
            .unwrap_or_else(|| new.sharing.default_max_calls()),
        sharing: new.sharing,
        announcement: new.announcement,
        record: new.record,
        created_ms: now_ms,
        updated_ms: now_ms,
    };
    check_texts(&exophone)?;
    let mut changes = Vec::new();
    not_a_party(view, new.number, now_ms, &mut changes)?;
    Ok(with_exophone(changes, exophone))
}

pub(super) fn set(
    view: &View,
    number: Number,
    patch: ExoPhonePatch,
    now_ms: u64,
) -> Result<Decision, Refusal> {
    let old = known_exophone(view, number)?;
    let sharing = patch.sharing.unwrap_or(old.sharing);
    // A limit nobody chose follows the sharing it came from: an ExoPhone that many pairs now
    // share would otherwise answer all but one of them with busy.
    let follows = sharing != old.sharing && old.max_calls == old.sharing.default_max_calls();
    let max_calls = match patch.max_calls {
        Some(given) => given,
        None if follows => sharing.default_max_calls(),
        None => old.max_calls,
    };
    let new = ExoPhone {
        trunk: patch.trunk.unwrap_or_else(|| old.trunk.clone()),
        pool: patch.pool.unwrap_or_else(|| old.pool.clone()),
        region: patch.region.unwrap_or_else(|| old.region.clone()),
        max_calls,
        sharing,
        announcement: patch
            .announcement
            .unwrap_or_else(|| old.announcement.clone()),
        record: patch.record.unwrap_or(old.record),
        ..ExoPhone::clone(old)
    };
    check_texts(&new)?;
    let mut changes = Vec::new();
    if (old.sharing, new.sharing) == (Sharing::PerParty, Sharing::Exclusive) {
        only_one_claim(view, number, now_ms, &mut changes)?;
    }
    if new == **old {
        return Ok(Decision {
            changes,
            reply: Reply::ExoPhone(Box::new(new)),
        });
    }
    let new = ExoPhone {
        updated_ms: now_ms,
        ..new
    };
    Ok(with_exophone(changes, new))
}

pub(super) fn remove(view: &View, number: Number, now_ms: u64) -> Result<Decision, Refusal> {
    let old = known_exophone(view, number)?;
    let mut changes = Vec::new();
    clear(view.line(number).active(), now_ms, &mut changes).map_err(|blocker| {
        refuse(
            "exophone_in_use",
            format!("{} has an active allocation: {}", number.e164(), blocker.id),
            "deactivate it first, or wait for its expiry",
        )
        .blocked_by(blocker.id)
    })?;
    changes.push(Change::ExoPhoneRemoved(number));
    let reply = Reply::ExoPhone(Box::new(ExoPhone::clone(old)));
    Ok(Decision { changes, reply })
}

/// A number that active allocations call as a party cannot become an ExoPhone: we would call
/// ourselves.
pub(super) fn not_a_party(
    view: &View,
    number: Number,
    now_ms: u64,
    changes: &mut Vec<Change>,
) -> Result<(), Refusal> {
    clear(view.naming(number), now_ms, changes).map_err(|blocker| {
        refuse(
            "exophone_is_party",
            format!(
                "{} is a party of the active allocation {}",
                number.e164(),
                blocker.id
            ),
            "deactivate it first, or use another number",
        )
        .blocked_by(blocker.id)
    })
}

/// Going back to exclusive needs at most one allocation that still holds.
fn only_one_claim(
    view: &View,
    number: Number,
    now_ms: u64,
    changes: &mut Vec<Change>,
) -> Result<(), Refusal> {
    let line = view.line(number);
    // The one that lasts longest may stay; it is the last, and may itself have expired.
    let stays = line.holder_at(now_ms).map(|a| a.id);
    let others = line.active().filter(|a| Some(a.id) != stays);
    clear(others, now_ms, changes).map_err(|blocker| {
        refuse(
            "sharing_in_use",
            format!(
                "{} has more than one active allocation, {} among them",
                number.e164(),
                blocker.id
            ),
            "deactivate all but one first",
        )
        .blocked_by(blocker.id)
    })
}

pub(super) fn check_texts(exophone: &ExoPhone) -> Result<(), Refusal> {
    let texts = [
        ("trunk", &exophone.trunk, MAX_NAME),
        ("pool", &exophone.pool, MAX_NAME),
        ("region", &exophone.region, MAX_NAME),
        (
            "announcement",
            &exophone.announcement,
            MAX_ANNOUNCEMENT_PATH,
        ),
    ];
    for (name, text, most) in texts {
        let Some(text) = text else { continue };
        if !(1..=most).contains(&text.len()) {
            return Err(refuse(
                "text_length",
                format!("the {name} has {} bytes", text.len()),
                format!("give 1 to {most} bytes, or leave it out"),
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(refuse(
                "text_control",
                format!("the {name} has a control character in it"),
                "write it without line breaks and other control characters",
            ));
        }
    }
    Ok(())
}

pub(super) fn exists(number: Number) -> Refusal {
    refuse(
        "exophone_exists",
        format!("{} is an ExoPhone already", number.e164()),
        "change it with exophone set, or add another number",
    )
}

fn with_exophone(mut changes: Vec<Change>, exophone: ExoPhone) -> Decision {
    let reply = Reply::ExoPhone(Box::new(exophone.clone()));
    changes.push(Change::ExoPhone(Arc::new(exophone)));
    Decision { changes, reply }
}
