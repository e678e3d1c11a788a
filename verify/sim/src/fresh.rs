// SPDX-License-Identifier: GPL-2.0

//! Resets the library's statics to their state in a module that was just loaded, as each run needs
//! them.

use super::cpu::hotplug::CREATING;
use super::cpu::slot::Access;
use super::smpboot::cpuhp::{Callbacks, StateSlot};
use super::smpboot::{HotplugThread, ThreadSlot};

/// Resets the statics that all types share. Each run calls this first.
pub fn library() {
    // SAFETY: It is not in use, and the type has the same layout.
    unsafe { (&raw const CREATING).cast_mut().cast::<usize>().write(0) };
}

/// Resets the static of a type of threads.
pub fn threads<T: HotplugThread>() {
    let slot: *const ThreadSlot<T> = T::slot(Access::new());
    // SAFETY: It is not in use. Its memory is writable, because it has interior mutability.
    unsafe { slot.cast_mut().write(ThreadSlot::new()) };
}

/// Resets the static of a type of hotplug states.
pub fn state<T: Callbacks>() {
    let slot: *const StateSlot<T> = T::slot(Access::new());
    // SAFETY: As above.
    unsafe { slot.cast_mut().write(StateSlot::new()) };
}
