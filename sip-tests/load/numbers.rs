//! The numbers of a load: one allocation a slot, counted through, so that a number tells its slot.

use std::fmt::Write as _;

/// Added to every count, so that all numbers have the same length.
const BASE: usize = 10_000_000;
/// Allocations that share an ExoPhone.
pub(crate) const SHARED: usize = 100;
/// The callee's number in a SIP URI, up to the digits of its slot.
pub(crate) const CALLEE_MARK: &[u8] = b"sip:+9197";
/// Digits of a caller's number that may be seen nowhere: all but its country code.
pub(crate) const CALLER_DIGITS: usize = 10;

/// One allocation: a customer who calls, an agent who is called, the ExoPhone between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) usize);

impl Slot {
    /// The slot of a callee's number, from what follows [`CALLEE_MARK`].
    pub(crate) fn of_callee(digits: usize) -> Option<Slot> {
        digits.checked_sub(BASE).map(Slot)
    }

    /// The customer's number.
    pub(crate) fn caller(self) -> String {
        format!("+9198{}", BASE + self.0)
    }

    /// The agent's number.
    pub(crate) fn callee(self) -> String {
        format!("+9197{}", BASE + self.0)
    }

    /// The ExoPhone.
    pub(crate) fn exophone(self) -> String {
        exophone(self.0 / SHARED)
    }
}

fn exophone(index: usize) -> String {
    format!("+9144{}", BASE + index)
}

/// The ExoPhones of so many slots, for `callmask exophone import`.
pub(crate) fn exophones_csv(slots: usize) -> String {
    let mut text = String::from("number,sharing\n");
    for index in 0..slots.div_ceil(SHARED) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{},per-party", exophone(index));
    }
    text
}

/// The allocations of so many slots, for `callmask allocation import`.
pub(crate) fn allocations_csv(slots: usize) -> String {
    let mut text = String::from("exophone,customer,agent\n");
    for slot in (0..slots).map(Slot) {
        let _ = writeln!(
            text,
            "{},{},{}",
            slot.exophone(),
            slot.caller(),
            slot.callee()
        );
    }
    text
}
