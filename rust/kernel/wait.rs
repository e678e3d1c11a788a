// SPDX-License-Identifier: GPL-2.0

//! Waiting for a condition that others bring about without a lock.
//!
//! The kernel crate's `CondVar` belongs to a lock, which has to be held to change the condition.
//! Here the condition may change without a lock: this is the kernel's plain wait queue, with
//! `wait_event()` and `wait_event_interruptible()`.
//!
//! C header: [`include/linux/wait.h`](srctree/include/linux/wait.h)

use super::seam::waitqueue_active;
use kernel::{
    bindings,
    fs::File,
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// A wait queue.
///
/// Nothing waits in it when it is dropped, in any context, without a word to anybody: a task that
/// waits borrows it, and a file that is polled holds a reference until it is closed. So a queue of
/// [files](super::debugfs::Dir::stream) is in an [`Arc`](kernel::sync::Arc).
///
/// # Examples
///
/// ```
/// use kernel::{static_lock_class, sync::{Arc, atomic::{Atomic, Full, Relaxed}}};
/// use wait::WaitQueue;
///
/// let queue = Arc::pin_init(WaitQueue::new(c"example", static_lock_class!()), GFP_KERNEL)?;
/// let ready = Atomic::<u32>::new(0);
///
/// // In any task or timer:
/// ready.xchg(1, Full);
/// queue.notify();
///
/// // In the task that waits:
/// queue.wait_until(|| ready.load(Relaxed) != 0)?;
/// assert_eq!(ready.load(Relaxed), 1);
/// ```
///
/// # Invariants
///
/// `head` is an initialized `wait_queue_head`.
#[pin_data]
pub struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue belongs to no task.
unsafe impl Send for WaitQueue {}
// SAFETY: A wait queue has a lock of its own.
unsafe impl Sync for WaitQueue {}

impl WaitQueue {
    /// Returns a queue in which nothing waits. `key` is its class for lockdep. Any context.
    #[inline]
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

    /// Wakes all tasks that wait, so that they evaluate their conditions again.
    ///
    /// Any context in which a `spinlock_t` may be taken. With `PREEMPT_RT` that is a lock that
    /// sleeps, so neither in NMI nor in a hard timer, nor with preemption or interrupts off.
    /// Lockdep reports a hard timer on any kernel.
    ///
    /// A full memory barrier must lie between the change of the condition and this call, as an
    /// atomic operation with the order `Full` is, or both sides must use a lock. Otherwise a wake
    /// may be lost, but no memory. For that, a call costs next to nothing while nothing waits: it
    /// takes no lock.
    #[inline]
    pub fn notify(&self) {
        // As `waitqueue_active()`. The barrier pairs with the one in `prepare_to_wait_event()`, or
        // in `poll_wait()`: either this finds the waiter in the queue, or the waiter finds its
        // condition met.
        // SAFETY: `head` is initialized, by the type invariant.
        if unsafe { waitqueue_active(self.head.get()) } {
            self.wake_all();
        }
    }

    /// As [`notify`](Self::notify), without the need for a barrier.
    #[inline]
    pub(super) fn wake_all(&self) {
        // SAFETY: `head` is initialized, by the type invariant. No key: pollers of all events are
        // woken.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }

    /// Sleeps until `condition` returns true. It is evaluated first, and after each notification.
    ///
    /// Process context. `condition` runs in the calling task, and must not sleep; it may take a
    /// spinlock. Returns `ERESTARTSYS` if a signal is pending and the condition does not hold.
    ///
    /// A kernel thread gets no signals. A callback of a hotplug thread must not wait here: its CPU
    /// cannot go offline before the callback returns, and nothing here looks at
    /// [`should_park`](super::smpboot::Context::should_park).
    #[inline]
    pub fn wait_until(&self, condition: impl FnMut() -> bool) -> Result {
        self.wait_in(bindings::TASK_INTERRUPTIBLE, condition)
    }

    /// As [`wait_until`](Self::wait_until), whatever signals are pending: the task cannot be killed
    /// while it waits. Only for conditions that come true by themselves.
    #[inline]
    pub fn wait_uninterruptibly(&self, condition: impl FnMut() -> bool) {
        // Only a signal makes it fail.
        let _ = self.wait_in(bindings::TASK_UNINTERRUPTIBLE, condition);
    }

    fn wait_in(&self, state: u32, mut condition: impl FnMut() -> bool) -> Result {
        if condition() {
            return Ok(());
        }

        let head = self.head.get();
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is valid for writing.
        unsafe { bindings::init_wait_entry(entry.get(), 0) };

        let result = loop {
            // SAFETY: Both are initialized; `entry` stays in its place until `finish_wait()`.
            let interrupted =
                unsafe { bindings::prepare_to_wait_event(head, entry.get(), state as c_int) };
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
        unsafe { bindings::finish_wait(head, entry.get()) };
        result
    }

    /// Makes a poller of `file` wait here.
    ///
    /// # Safety
    ///
    /// - `table` is null or the valid table of a poll of `file`.
    /// - The queue lives until `file` is released. The poller's entry stays in the queue until it
    ///   stops polling, during which it holds the file; epoll's stays until the file's release
    ///   begins.
    #[inline]
    pub(super) unsafe fn poll_wait(&self, file: &File, table: *mut bindings::poll_table) {
        // SAFETY: By the requirements of this function.
        unsafe { bindings::poll_wait(file.as_ptr(), self.head.get(), table) };
    }
}
