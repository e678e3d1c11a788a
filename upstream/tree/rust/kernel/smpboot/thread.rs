// SPDX-License-Identifier: GPL-2.0

//! The callbacks of a hotplug thread.

use super::Context;
use crate::{
    error::VTABLE_DEFAULT_ERROR,
    prelude::*, //
};

/// One thread per CPU that follows CPU hotplug.
///
/// All threads share a value of the implementing type, and access it through `&self` at the same
/// time. The state of one thread is its [`Local`](Self::Local). The thread makes it in
/// [`setup`](Self::setup), lends it to each callback that it runs, and drops it at the end. So
/// `Local` needs no lock and no atomics.
///
/// All callbacks run in the thread. What they must not do is listed at [`Context`].
///
/// [`Registration`](super::Registration) has an example.
#[vtable]
pub trait HotplugThread: Send + Sync {
    /// The state of one thread.
    ///
    /// It never leaves its thread. [`Send`] excludes values that belong to a context rather than to
    /// a task, such as the guard of a lock. It is pinned, and the thread drops it after
    /// [`cleanup`](Self::cleanup).
    type Local: Send;

    /// Makes the thread's own state.
    ///
    /// Called by the thread, on its CPU, once: after registration if the CPU is online, otherwise
    /// when the CPU comes online for the first time after that. The first case may be after the
    /// registration is complete. May sleep, but a CPU-down may wait for it. Cannot fail: do
    /// fallible work when you make the shared value, before registration.
    fn setup(&self, cx: &Context<'_>) -> impl PinInit<Self::Local>;

    /// Does the work.
    ///
    /// Called by the thread, on its CPU, once after one or more wakes; the wake's flag is cleared
    /// before the call, so a wake during the call leads to another call. May sleep.
    fn run(&self, local: Pin<&mut Self::Local>, cx: &Context<'_>);

    /// Runs before the thread parks: it does not run again until [`unpark`](Self::unpark).
    ///
    /// Called by the thread, on its CPU, which is still online. The CPU may stay online: a CPU-down
    /// that fails later is rolled back. A thread that has not run since it was created or unparked
    /// does not call this, and then does not call `unpark` either. The task that waits holds the
    /// hotplug lock for writing. The callback may sleep, but should return soon. It must not wait
    /// for a timer that `ktimers/N` expires, where interrupts are forced into threads: that thread
    /// may be parked already.
    fn park(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs after the thread was unparked.
    ///
    /// Called by the thread, on its CPU, after [`park`](Self::park). The C core calls it only if
    /// the table has a `park`; here it is called in any case.
    fn unpark(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Runs before the thread exits. The thread drops its `Local` right after.
    ///
    /// Called by the thread, last and once, if [`setup`](Self::setup) has run. If `online` is
    /// false, the CPU is offline, the thread runs on another CPU, and its last callback was `park`.
    fn cleanup(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>, _online: bool) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}
