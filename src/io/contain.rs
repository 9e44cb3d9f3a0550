//! Panics that must not spread: caught, and told without what they say.
//!
//! A panic's text can quote its input ("byte index 3 is not a char boundary in `sip:+91…`"), so
//! the process's hook prints nothing but the place for panics that are contained here, and
//! leaves all others to the hook that was there before.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `f`; a panic in it becomes the place in our source where it happened.
///
/// The caller vouches that what `f` was changing is usable, or is thrown away, after a panic.
pub fn contain<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    install();
    let outer = CONTAINED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(f));
    CONTAINED.set(outer);
    // The payload is dropped unread.
    outcome.map_err(|_| PLACE.take())
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = take_hook();
        set_hook(Box::new(move |info| {
            if CONTAINED.get() {
                remember(info);
            } else {
                before(info);
            }
        }));
    });
}

fn remember(info: &PanicHookInfo<'_>) {
    let place = info
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    PLACE.replace(place);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_place_and_nothing_of_its_text() {
        let place = contain(|| panic!("+919876543210")).unwrap_err();
        assert!(place.contains("contain.rs:"), "{place}");
        assert!(!place.contains("98765"), "{place}");
        assert_eq!(contain(|| 7), Ok(7));
    }

    #[test]
    fn containers_nest() {
        let outer = contain(|| {
            assert!(contain(|| panic!("inner")).is_err());
            assert!(CONTAINED.get());
            3
        });
        assert_eq!(outer, Ok(3));
        assert!(!CONTAINED.get());
    }
}
