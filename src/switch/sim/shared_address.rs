//! Trunks that share an address: calls in by one, calls out by the other, one carrier behind both.

use super::bench::{Bench, callee, caller, in_dialog};
use crate::switch::record::Cause;

/// The first trunk takes calls only; the carrier at its target is listed by the second.
fn bench() -> Bench {
    Bench::new(|scene| {
        let trunks = &mut scene.settings.trunks;
        trunks[0].targets.truncate(1);
        trunks[1].accept_from = std::mem::take(&mut trunks[0].accept_from);
    })
}

#[test]
fn the_callee_is_heard() {
    let mut b = bench();
    b.up(0.1);
    let ack = b.last(callee(), "ACK");
    assert_eq!(b.told(callee()), ["0.1 INVITE", "0.1 ACK"]);
    b.at(1.0).hear(callee(), &in_dialog("BYE", 2, "bye", &ack));
    assert_eq!(b.told(callee()), ["1 200 BYE"]);
    assert!(b.told(caller()).contains(&"1 BYE".to_owned()));
    assert_eq!(b.records[0].cause, Cause::Normal);
}
