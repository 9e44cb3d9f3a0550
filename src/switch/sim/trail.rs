//! The debug log lets an engineer follow a call, and shows nothing a party wrote.

use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::bench::{Bench, caller, invite};
use super::directory::exophone;
use super::style::{Flavour, number_of};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Set in the process that has the log to itself.
const ALONE: &str = "CALLMASK_TRAIL_ALONE";
const NAME: &str = "switch::sim::trail::debug_tells_each_state_and_what_led_to_it_and_no_number";

#[test]
fn debug_tells_each_state_and_what_led_to_it_and_no_number() {
    // Whether a line is wanted is remembered for the whole process, so that a test beside this
    // one, which wants none, could take it away: this test runs in a process of its own.
    if std::env::var_os(ALONE).is_none() {
        let binary = std::env::current_exe().unwrap();
        let alone = Command::new(binary)
            .args([NAME, "--exact", "--nocapture"])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    let callee = tracing::subscriber::with_default(subscriber, || {
        let mut b = Bench::new(|_| {});
        b.up(0.1);
        b.at(1.0)
            .hear(caller(), &invite(|fields| fields.truncate(5)));
        let unknown = String::from_utf8(invite(|fields| fields[4].1 = "x".to_owned())).unwrap();
        b.hear(caller(), unknown.replace("INVITE", "FETCH").as_bytes());
        let dialled = b.dialled.unwrap();
        let to = dialled.field("To").unwrap();
        let number = to.split(['+', '@']).nth(1).unwrap();
        number.to_owned()
    });
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for line in [
        "→ Calling (INVITE) call=",
        "Calling → Ringing (180 INVITE) call=",
        "Ringing → Answered (200 INVITE) call=",
        "Answered → Up (ACK) call=",
        "not usable: ",
        "OTHER: 405, and no call",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let caller = number_of(0, Flavour::Plain).e164();
    for number in [caller, callee, exophone(0).e164()] {
        let digits = number.trim_start_matches('+');
        assert!(
            digits.len() > 9 && !text.contains(digits),
            "{digits}\n{text}"
        );
    }
}
