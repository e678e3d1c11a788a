// SPDX-License-Identifier: GPL-2.0

//! Registering hotplug threads: what does not depend on their type.

use super::{
    super::{
        bindings,
        cpu::{
            cpuhp,
            hotplug::{
                self,
                CpusReadGuard, //
            },
            slot::Slot, //
        },
        module_scope::{
            ModuleScope,
            Node,
            REGISTERED, //
        },
        percpu::RawPerCpu,
        seam::{
            per_cpu_ptr,
            smp_mb,
            synchronize_rcu,
            ESHUTDOWN, //
        }, //
    },
    thread::HotplugThread,
    wake::{
        Head,
        ThreadState, //
    }, //
};
use core::{
    alloc::Layout,
    cell::UnsafeCell, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    error::to_result,
    prelude::*,
    sync::atomic::{
        AtomicFlag,
        Relaxed, //
    }, //
};

/// All of a registration but its type: also the descriptor that the C core links into its list.
///
/// # Invariants
///
/// - `ht`, `storage` and `park_state` are written only by the task that owns `slot`, in the state
///   `BUSY` with no wakers left; `park_state` also in the state `REGISTERING`.
/// - `storage` is `Some` in the states `REGISTERING` and `REGISTERED`, as long as the C core knows
///   `ht`, and until the wakers of those times are gone; and in the state `REVOKED`, and on the way
///   there. It has the layout `layout`, which begins with a [`Head`].
/// - Tasks that `storage` points to in the state `REGISTERED` are valid in the state `REVOKED`, too.
/// - In the state `REGISTERED`, `ht` is registered, and, if it is `Some`, so is the hotplug state
///   `park_state`.
#[repr(C)]
pub(super) struct Core {
    pub(super) slot: Slot,
    ht: UnsafeCell<bindings::smp_hotplug_thread>,
    storage: UnsafeCell<Option<RawPerCpu>>,
    layout: Layout,
    /// The hotplug state that parks and unparks the threads, if it is not the core.
    park_state: UnsafeCell<Option<c_int>>,
    /// A wake came while the threads were being registered.
    pub(super) early_wake: AtomicFlag,
    /// A task looked for threads under RCU, ever.
    pub(super) rcu_users: AtomicFlag,
}

// SAFETY: `ht`, `storage` and `park_state` are protected as the invariants say. Local states belong to
// their threads. The slot is `Sync`.
unsafe impl Sync for Core {}

/// Installs the hotplug state that parks and unparks the threads.
///
/// # Safety
///
/// The threads are registered, and stay so until the state is removed.
pub(super) type InstallParking = unsafe fn(&'static Core) -> Result<c_int>;

impl Core {
    /// Returns an unused core for the slot of `T`, whose threads have `ht` and storage of `layout`.
    pub(super) const fn new<T: HotplugThread>(
        ht: bindings::smp_hotplug_thread,
        layout: Layout,
    ) -> Self {
        Self {
            slot: Slot::new::<T>(T::NAME, Self::end),
            ht: UnsafeCell::new(ht),
            storage: UnsafeCell::new(None),
            layout,
            park_state: UnsafeCell::new(None),
            early_wake: AtomicFlag::new(false),
            rcu_users: AtomicFlag::new(false),
        }
    }

    /// Returns what belongs to the thread of `cpu`, which begins with a [`Head`].
    ///
    /// # Safety
    ///
    /// `storage` is `Some`, and `cpu` is possible.
    #[inline(always)]
    pub(super) unsafe fn per_thread(&'static self, cpu: u32) -> *mut Head {
        // SAFETY: Not written while it is `Some` and in use, by the type invariants.
        let storage = unsafe { &*self.storage.get() };
        // SAFETY: It is `Some`, by the requirements of this function.
        let base = unsafe { storage.as_ref().unwrap_unchecked() }.base();
        // SAFETY: `cpu` is possible.
        unsafe { per_cpu_ptr(base.cast(), cpu) }
    }

    /// Returns the head of what belongs to the thread of `cpu`.
    ///
    /// # Safety
    ///
    /// `storage` is `Some` during `'a`, and `cpu` is possible.
    #[inline(always)]
    pub(super) unsafe fn head<'a>(&'static self, cpu: CpuId) -> &'a Head {
        // SAFETY: By the requirements of this function. Zeroed memory is a valid head. All of it has
        // interior mutability, and the C core writes the task pointer only.
        unsafe { &*self.per_thread(cpu.as_u32()) }
    }

    /// Registers the threads of type `T`.
    ///
    /// # Safety
    ///
    /// This is the core of `T`'s slot.
    #[inline]
    pub(super) unsafe fn register<T: HotplugThread, E>(
        &'static self,
        scope: &'static ModuleScope,
        init: impl PinInit<T, E>,
        parking: Option<InstallParking>,
    ) -> Result
    where
        Error: From<E>,
    {
        // SAFETY:
        // - The node is the first field, and the address is that of the whole.
        // - `T` is the slot's type.
        unsafe {
            let node = core::ptr::from_ref(self).cast();
            self.slot.claim::<T, E>(node, scope, init)
        }?;
        // SAFETY: This task owns the slot, with a value.
        unsafe { self.register_claimed(parking) }
    }

    /// Registers the threads. On error, the slot is free, or the scope ends the registration.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value in it.
    #[inline(never)]
    unsafe fn register_claimed(&'static self, parking: Option<InstallParking>) -> Result {
        // SAFETY: This task owns the slot.
        let result = unsafe { self.register_threads(parking) };
        if result.is_err() {
            // SAFETY: This task owns the slot. The C core does not know `ht`, and wakers are gone.
            unsafe { self.free() };
            return result;
        }
        // SAFETY: This task owns the slot, with a value.
        // INVARIANT: The threads are registered, and so is the hotplug state.
        unsafe { self.slot.publish() }?;

        // Wakers that came before only left their flag: until now the core could have taken the
        // threads away again. The barrier pairs with the one between their `early_wake` and their
        // second look at the state.
        smp_mb();
        if self.early_wake.load(Relaxed) {
            // SAFETY: No other task frees the storage: this one is about to return the registration. If
            // the scope ends that meanwhile, storage and tasks stay.
            unsafe { self.for_each_task(false) };
        }
        Ok(())
    }

    /// # Safety
    ///
    /// As of `register_claimed`. On error the caller owns the slot, in the state `BUSY`, the C core does
    /// not know `ht`, and there are no wakers.
    #[inline]
    unsafe fn register_threads(&'static self, parking: Option<InstallParking>) -> Result {
        let storage = RawPerCpu::new_zeroed(self.layout)?;
        // SAFETY: This task owns the slot, in the state `BUSY`, and there are no wakers.
        unsafe {
            let ht = self.ht.get();
            // A per-CPU pointer to the first field of `Head`: all entries are null.
            (*ht).store = storage.base().cast();
            (*ht).selfparking = parking.is_some();
            *self.storage.get() = Some(storage);
            *self.park_state.get() = None;
        }
        self.early_wake.store(false, Relaxed);
        // SAFETY: This task owns the slot, with a value and storage.
        unsafe { self.slot.open() };

        // SAFETY:
        // - `ht` is in a static, and stays registered until this core unregisters it: before the
        //   module goes away, because the scope has the slot in its list.
        // - `store` is per-CPU storage whose entries are null, and is freed after that.
        // - All that the callbacks use is there: value and storage.
        // - The name is a static format string that takes one number.
        let ret = unsafe { bindings::smpboot_register_percpu_thread(self.ht.get()) };
        let mut result = to_result(ret);
        if let (Ok(()), Some(install)) = (result, parking) {
            // SAFETY: The threads are registered. `unregister_threads` removes the state first. This task
            // owns the slot.
            result = unsafe { install(self).map(|state| *self.park_state.get() = Some(state)) };
            if result.is_err() {
                // SAFETY: As above.
                unsafe { self.unregister_threads() };
            }
        }
        if result.is_err() {
            // SAFETY: This task owns the slot, in the state `REGISTERING`.
            unsafe { self.slot.abort() };
            self.wait_for_wakers();
        }
        result
    }

    /// Takes a reference to each task, for ever, or else wakes the threads whose flag is set.
    ///
    /// # Safety
    ///
    /// There is storage, and the tasks are kept during the call.
    #[inline(never)]
    unsafe fn for_each_task(&'static self, keep: bool) {
        // A loop by hand: the iterator is twice the code.
        for cpu in 0..nr_cpu_ids() {
            // SAFETY: Below `nr_cpu_ids`.
            let cpu = unsafe { CpuId::from_u32_unchecked(cpu) };
            if hotplug::is_possible(cpu) {
                // SAFETY: By the requirements of this function, and `cpu` is possible.
                unsafe { self.head(cpu).visit(keep) };
            }
        }
    }

    /// Waits for wakers that use RCU. The state is such that new ones stay away.
    ///
    /// The barrier pairs with that of [`rcu_state`](Self::rcu_state). Most modules wake by their
    /// registration, and have nobody to wait for.
    #[inline]
    fn wait_for_wakers(&self) {
        smp_mb();
        if self.rcu_users.load(Relaxed) {
            synchronize_rcu();
        }
    }

    /// Stops the threads. The shared value and the storage stay.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, and the threads are registered.
    #[inline(never)]
    unsafe fn unregister_threads(&'static self) {
        // SAFETY: Only written by the owner of the slot.
        if let Some(state) = unsafe { *self.park_state.get() } {
            // Parks the threads of the CPUs that are online.
            // SAFETY: Installed, as it is `Some`.
            unsafe { cpuhp::remove_state(state, cpuhp::Invoke::Yes) };
        }

        // SAFETY: `ht` is registered, by the requirements of this function.
        unsafe { bindings::smpboot_unregister_percpu_thread(self.ht.get()) };
    }

    /// Frees the storage, and releases the slot.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, in the state `BUSY`, with a value. The C core does not know `ht`, and
    /// there are no wakers and no registration.
    #[inline(never)]
    unsafe fn free(&'static self) {
        // SAFETY: By the requirements of this function. Wakers never refer to the value.
        unsafe {
            *self.storage.get() = None;
            self.slot.release();
        }
    }

    /// Stops the threads. Frees the slot, or leaks it if the owner of the registration may still be
    /// using that.
    ///
    /// # Safety
    ///
    /// The caller owns the slot, which was registered. Unless it is leaked, there is no registration any
    /// more.
    #[inline(never)]
    unsafe fn dispose(&'static self, leak: bool) {
        if leak {
            // No thread may come into being between here and the end of all, whose task would not be
            // kept.
            // SAFETY: Process context, with no hotplug lock held.
            unsafe { bindings::cpu_hotplug_disable() };
            // SAFETY: The threads are registered, and no other task unregisters them.
            unsafe { self.for_each_task(true) };
        }
        // The core drops its references to the tasks before it forgets the pointers.
        self.wait_for_wakers();
        // SAFETY: This task owns the slot, and by the type invariants the threads are registered. Wakers
        // are gone: those under RCU, and, if there is no registration, those that wake by it. Otherwise
        // value, storage and tasks stay.
        unsafe {
            self.unregister_threads();
            if leak {
                bindings::cpu_hotplug_enable();
                self.slot.leak();
            } else {
                self.free();
            }
        }
    }

    /// # Safety
    ///
    /// There is a registration, which is being dropped.
    #[inline(never)]
    pub(super) unsafe fn unregister(&'static self) {
        // SAFETY: There is a registration.
        if unsafe { self.slot.retire() } {
            // SAFETY: `retire` gave the slot to this task.
            unsafe { self.dispose(false) };
        }
    }

    /// Ends a registration that has no owner, or whose owner has leaked it.
    ///
    /// # Safety
    ///
    /// As of the function that [`Node::new`] takes; the node is that of a `Core`.
    unsafe fn end(node: *const Node) {
        // SAFETY: The address that `register` passed, of a `Core` in a static.
        let this: &'static Self = unsafe { &*node.cast() };
        // SAFETY: This task owns the slot, for its scope; it was registered.
        unsafe { this.dispose(this.slot.is_leaked()) };
    }

    /// Takes note that a thread has run its `setup`.
    ///
    /// # Safety
    ///
    /// The core calls back, in that thread.
    #[inline(never)]
    pub(super) unsafe fn set_up(&'static self, head: &Head) {
        head.is_up.set();
        // SAFETY: The core calls back.
        unsafe { self.slot.scope() }.notify();
    }

    /// # Safety
    ///
    /// There is a registration during the call.
    pub(super) unsafe fn wait_until_up(&'static self) -> Result {
        // SAFETY: There is a registration.
        let scope = unsafe { self.slot.scope() };
        // No thread is parked or unparked.
        let _cpus = CpusReadGuard::new(scope)?;
        for cpu in hotplug::online_cpus() {
            // SAFETY: There is storage as long as there is a registration.
            let head = unsafe { self.head(cpu) };
            // SAFETY: There is a registration.
            let thread = unsafe { head.info() };
            // There is no thread, or a parked one, where the CPU is stopped half-way up. Where it is up, the
            // thread is unparked, and only passes through the state on its way.
            let is_parked = |state| state == ThreadState::Parked && !hotplug::is_active(cpu);
            if thread.is_some_and(|thread| !is_parked(thread.state)) {
                scope.wait_until(|| head.is_up.is_set() || self.slot.state() != REGISTERED)?;
            }
        }
        if self.slot.state() != REGISTERED {
            return Err(ESHUTDOWN);
        }
        Ok(())
    }
}
