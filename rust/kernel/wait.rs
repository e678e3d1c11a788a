// SPDX-License-Identifier: GPL-2.0

//! Waiting for a condition that other tasks change without a lock.
//!
//! The kernel crate's `CondVar` belongs to a lock, which a task must hold to change the condition.
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
/// A queue may be dropped in any context, and wakes no task then. No task waits in it at that time:
/// a task that waits borrows it, and a polled file holds a reference until it is closed. So a queue
/// of [files](super::debugfs::Dir::stream) is in an [`Arc`](kernel::sync::Arc).
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
    /// Returns an empty queue. `key` is its class for lockdep. Any context.
    #[inline]
    pub fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            // INVARIANT: Initialized here.
            head <- Opaque::ffi_init(|head| {
                // SAFETY: `head` is valid for initialization, and is pinned; name and key are
                // static.
                unsafe {
                    bindings::__init_waitqueue_head(head, name.as_char_ptr(), key.as_ptr())
                }
            }),
        })
    }

    /// Wakes all waiting tasks, so that they evaluate their conditions again.
    ///
    /// May be called in any context that may take a `spinlock_t`. On `PREEMPT_RT` that lock sleeps,
    /// so not in NMI or a hard timer, and not with preemption or interrupts off. lockdep reports a
    /// call in a hard timer on any kernel.
    ///
    /// Between the change of the condition and this call the caller must execute a full memory
    /// barrier, such as an atomic operation with the order `Full`, or both sides must use a lock.
    /// Otherwise a wake may be lost; memory stays safe. In return, a call takes no lock while no
    /// task waits.
    #[inline]
    pub fn notify(&self) {
        // Like `waitqueue_active()`. The caller's barrier pairs with the one in
        // `prepare_to_wait_event()` or `poll_wait()`: either this finds the waiter in the queue, or
        // the waiter finds its condition met.
        // SAFETY: `head` is initialized, by the type invariant.
        if unsafe { waitqueue_active(self.head.get()) } {
            self.wake_all();
        }
    }

    /// Wakes all waiting tasks as [`notify`](Self::notify) does, but the caller needs no barrier.
    #[inline]
    pub(super) fn wake_all(&self) {
        // SAFETY: `head` is initialized, by the type invariant. Without a key, pollers of all
        // events are woken.
        unsafe {
            bindings::__wake_up(
                self.head.get(),
                bindings::TASK_NORMAL,
                0,
                core::ptr::null_mut(),
            )
        };
    }

    /// Sleeps until `condition` returns true. Evaluates it first, and again after each
    /// notification.
    ///
    /// Process context. `condition` runs in the calling task. It may take a spinlock, but must not
    /// sleep. Returns `ERESTARTSYS` if a signal is pending and the condition does not hold.
    ///
    /// A kernel thread gets no signals. A callback of a hotplug thread must not call this: its CPU
    /// cannot go offline before the callback returns, and this does not test
    /// [`should_park`](super::smpboot::Context::should_park).
    #[inline]
    pub fn wait_until(&self, condition: impl FnMut() -> bool) -> Result {
        self.wait_in(bindings::TASK_INTERRUPTIBLE, condition)
    }

    /// Sleeps like [`wait_until`](Self::wait_until), but ignores signals: the task cannot be killed
    /// while it waits. Use it only for conditions that will become true without user action.
    #[inline]
    pub fn wait_uninterruptibly(&self, condition: impl FnMut() -> bool) {
        // Only a signal can end an interruptible wait early.
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
            // SAFETY: Both are initialized; `entry` stays in place until `finish_wait()`.
            let interrupted =
                unsafe { bindings::prepare_to_wait_event(head, entry.get(), state as c_int) };
            if condition() {
                break Ok(());
            }
            if interrupted != 0 {
                break Err(ERESTARTSYS);
            }
            // SAFETY: The caller ensures process context.
            unsafe { bindings::schedule() };
        };

        // SAFETY: Both are initialized, as above. This removes `entry` from the queue.
        unsafe { bindings::finish_wait(head, entry.get()) };
        result
    }

    /// Makes a poller of `file` wait here.
    ///
    /// # Safety
    ///
    /// - `table` is null or the valid table of a poll of `file`.
    /// - The queue exists until `file` is released. The poller's entry stays in the queue until it
    ///   stops polling, and it holds the file until then; epoll's entry stays until the file's
    ///   release begins.
    #[inline]
    pub(super) unsafe fn poll_wait(&self, file: &File, table: *mut bindings::poll_table) {
        // SAFETY: By the requirements of this function.
        unsafe { bindings::poll_wait(file.as_ptr(), self.head.get(), table) };
    }
}
