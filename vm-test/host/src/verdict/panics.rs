// SPDX-License-Identifier: GPL-2.0

//! Turns the panic of a failed assertion into a message.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// The message of a panic, while a test runs in this thread.
    static CAUGHT: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs `f`; turns its panic into an error with the panic's message and place.
pub fn catch<T>(f: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let caught = CAUGHT.with_borrow_mut(|slot| slot.replace(info.to_string()).is_some());
            if !caught {
                CAUGHT.set(None);
                usual(info);
            }
        }));
    });
    let outer = CAUGHT.replace(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    let message = CAUGHT.replace(outer).unwrap_or_default();
    result.map_err(|_| message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_becomes_its_message() {
        let message = catch(|| assert_eq!(1 + 1, 3, "so many")).unwrap_err();
        assert!(message.contains("panics.rs") && message.contains("so many"), "{message}");
        assert_eq!(catch(|| 5), Ok(5));
    }

    #[test]
    fn catching_nests() {
        let outer = catch(|| {
            let inner = catch(|| panic!("inner"));
            assert!(inner.unwrap_err().contains("inner"));
            panic!("outer");
        });
        assert!(outer.unwrap_err().contains("outer"));
    }
}
