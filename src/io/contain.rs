//! Panics that must not spread: caught, and told without what they say.
//!
//! A panic's text can quote its input ("byte index 3 is not a char boundary in `sip:+91…`"), so
//! the process's hook prints nothing but the place for panics that are contained here, and
//! leaves all others to the hook that was there before.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// A panic was caught; the log says where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// Runs `f` and catches a panic in it. Panics that `f` catches itself are told in the same way.
///
/// The caller vouches that what `f` was changing is usable, or is thrown away, after a panic.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, Panicked> {
    install();
    let outer = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    CONTAINED.set(outer);
    // The payload is dropped unread.
    outcome.map_err(|_| Panicked)
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CONTAINED.get() {
                tell(info);
            } else {
                before(info);
            }
        }));
    });
}

fn tell(info: &PanicHookInfo<'_>) {
    match info.location() {
        Some(place) => tracing::error!("a panic at {place} was caught; please report this defect"),
        None => tracing::error!("a panic was caught; please report this defect"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::{Arc, Mutex};

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

    #[test]
    fn the_log_gets_the_place_and_nothing_of_the_text() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .finish();
        let outcome =
            tracing::subscriber::with_default(subscriber, || contain(|| panic!("+919876543210")));
        assert_eq!(outcome, Err(Panicked));
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(text.contains("contain.rs:"), "{text}");
        assert!(!text.contains("98765"), "{text}");
    }

    #[test]
    fn containers_nest_and_give_values_back() {
        let outer = contain(|| {
            assert_eq!(contain(|| panic!("inner")), Err::<(), _>(Panicked));
            assert!(CONTAINED.get());
            3
        });
        assert_eq!(outer, Ok(3));
        assert!(!CONTAINED.get());
    }
}
