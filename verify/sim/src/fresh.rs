// SPDX-License-Identifier: GPL-2.0

//! The library's statics, as they are when a module has been loaded: each run needs them so.

use super::cpu::hotplug::CREATING;
use super::cpu::slot::Access;
use super::smpboot::cpuhp::{Callbacks, StateSlot};
use super::smpboot::{HotplugThread, ThreadSlot};

/// Those that all share. Before all else of a run.
pub fn library() {
    // SAFETY: Not in use: its type is of the same layout.
    unsafe { (&raw const CREATING).cast_mut().cast::<usize>().write(0) };
}

/// That of a type of threads.
pub fn threads<T: HotplugThread>() {
    let slot: *const ThreadSlot<T> = T::slot(Access::new());
    // SAFETY: Not in use, and in memory that may be written, for it has interior mutability.
    unsafe { slot.cast_mut().write(ThreadSlot::new()) };
}

/// That of a type of hotplug states.
pub fn state<T: Callbacks>() {
    let slot: *const StateSlot<T> = T::slot(Access::new());
    // SAFETY: As above.
    unsafe { slot.cast_mut().write(StateSlot::new()) };
}
