// SPDX-License-Identifier: GPL-2.0

//! Waiting for a condition that others bring about without a lock.
//!
//! The kernel crate's `CondVar` belongs to a lock, which whoever changes the condition has to hold.
//! Here the condition may change in any context, hard-irq included: this is the kernel's plain
//! wait queue, with `wait_event()` and `wait_event_interruptible()`.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::seam::{
    synchronize_rcu,
    waitqueue_active, //
};
use core::mem::MaybeUninit;
use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// A wait queue.
///
/// # Invariants
///
/// `head` is an initialized `wait_queue_head`.
#[pin_data(PinnedDrop)]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue may be dropped by any task.
unsafe impl Send for WaitQueue {}
// SAFETY: A wait queue has a lock of its own.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// A wait queue with nobody waiting; `key` is its class for lockdep.
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: Initialized here.
            head <- Opaque::ffi_init(|head| {
                // SAFETY: `head` is to be initialized, and is pinned; name and key are static.
                unsafe {
                    bindings::__init_waitqueue_head(head, name.as_char_ptr(), key.as_ptr())
                }
            }),
        })
    }

    /// Wakes all that wait, so that they look at their conditions again.
    ///
    /// Any context but NMI. What changed the condition must be followed by a full memory barrier
    /// before this, as an atomic operation with the order `Full` is: it costs next to nothing when
    /// nobody waits, because then it does not even take the queue's lock.
    #[inline]
    pub fn notify(&self) {
        let head = self.head.get();

        // As `waitqueue_active()`. The barrier pairs with the one in `prepare_to_wait_event()`:
        // either this finds the waiter in the queue, or the waiter finds its condition met.
        // SAFETY: `head` is initialized, by the type invariant.
        if unsafe { waitqueue_active(head) } {
            // SAFETY: `head` is initialized, by the type invariant.
            unsafe { bindings::__wake_up(head, bindings::TASK_NORMAL, 0, core::ptr::null_mut()) };
        }
    }

    /// Sleeps until `condition` says true; it is asked first, and whenever somebody notifies.
    ///
    /// Process context. `condition` must not sleep. Returns `ERESTARTSYS` on a signal.
    pub fn wait_until(&self, condition: impl FnMut() -> bool) -> Result {
        self.wait_in(bindings::TASK_INTERRUPTIBLE, condition)
    }

    /// Like [`wait_until`](Self::wait_until), whatever signals come.
    pub fn wait_uninterruptibly(&self, condition: impl FnMut() -> bool) {
        // Only a signal makes it fail.
        let _ = self.wait_in(bindings::TASK_UNINTERRUPTIBLE, condition);
    }

    fn wait_in(&self, state: u32, mut condition: impl FnMut() -> bool) -> Result {
        if condition() {
            return Ok(());
        }

        let head = self.head.get();
        let mut entry = MaybeUninit::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writing.
        unsafe { bindings::init_wait_entry(entry.as_mut_ptr(), 0) };

        let result = loop {
            // SAFETY: Both are initialized; `entry` stays in its place until `finish_wait()`.
            let interrupted = unsafe {
                bindings::prepare_to_wait_event(head, entry.as_mut_ptr(), state as c_int)
            };
            if condition() {
                break Ok(());
            }
            if interrupted != 0 {
                break Err(ERESTARTSYS);
            }
            // SAFETY: Process context is the caller's promise.
            unsafe { bindings::schedule() };
        };

        // SAFETY: As above; this takes `entry` out of the queue.
        unsafe { bindings::finish_wait(head, entry.as_mut_ptr()) };
        result
    }

    /// Makes a poller of `file` wait here.
    ///
    /// # Safety
    ///
    /// `table` is null or the valid table of a poll of `file`.
    #[inline]
    pub(super) unsafe fn poll_wait(&self, file: &File, table: *mut bindings::poll_table) {
        // SAFETY: By the requirements of this function; the queue is valid until `drop` has thrown
        // the pollers out.
        unsafe { bindings::poll_wait(file.as_ptr(), self.head.get(), table) };
    }
}

#[pinned_drop]
impl PinnedDrop for WaitQueue {
    #[inline]
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: `head` is initialized, by the type invariant.
        unsafe { bindings::__wake_up_pollfree(self.head.get()) };
        // epoll looks at the queue for another grace period.
        synchronize_rcu();
    }
}
