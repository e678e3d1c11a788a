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
            slot::Slot,
            Context, //
        },
        module_scope::{
            ModuleScope,
            NodeRef,
            Owned,
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
    cell::{
        Cell,
        UnsafeCell, //
    },
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    cpu::CpuId,
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
/// - `ht`, `storage` and `parking` are written only by the task that owns `slot`, in the state `BUSY`
///   with no wakers left; `parking` also in the state `REGISTERING`.
/// - `storage` is a per-CPU address in the states `REGISTERING` and `REGISTERED`, as long as the C core
///   knows `ht`, and until the wakers of those times are gone; and in the state `REVOKED`, and on the way
///   there. It has the layout `layout`, which begins with a [`Head`].
/// - Tasks that `storage` points to in the state `REGISTERED` are valid in the state `REVOKED`, too.
/// - In the state `REGISTERED`, `ht` is registered, and, if it is not 0, so is the hotplug state
///   `parking`.
#[repr(C)]
pub(super) struct Core {
    pub(super) slot: Slot,
    ht: UnsafeCell<bindings::smp_hotplug_thread>,
    storage: Cell<*mut c_void>,
    layout: Layout,
    /// The hotplug state that parks and unparks the threads, if it is not the core; or 0.
    parking: Cell<c_int>,
    /// A task looked for threads under RCU, ever.
    pub(super) rcu_users: AtomicFlag,
}

// SAFETY: `ht` and the cells are protected as the invariants say. Local states belong to their threads.
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
            slot: Slot::new::<T>(T::NAME, Claim::end),
            ht: UnsafeCell::new(ht),
            storage: Cell::new(null_mut()),
            layout,
            parking: Cell::new(0),
            rcu_users: AtomicFlag::new(false),
        }
    }

    /// Returns the node of the slot.
    #[inline(always)]
    pub(super) fn node(&'static self) -> NodeRef {
        // SAFETY: The node is the first field, and the address is that of the whole, which is static.
        unsafe { NodeRef::new(NonNull::from(self).cast()) }
    }

    /// Returns the address of what belongs to the thread of `cpu`, if that is possible. It begins with a
    /// [`Head`].
    ///
    /// # Safety
    ///
    /// There is storage.
    #[inline(always)]
    pub(super) unsafe fn per_thread(&self, cpu: CpuId) -> *mut Head {
        per_cpu_ptr(self.storage.get().cast(), cpu)
    }

    /// Returns the head of what belongs to the thread of `cpu`.
    ///
    /// # Safety
    ///
    /// There is storage during `'a`, and `cpu` is possible.
    #[inline(always)]
    pub(super) unsafe fn head<'a>(&self, cpu: CpuId) -> &'a Head {
        // SAFETY: By the requirements of this function. Zeroed memory is a valid head. All of it has
        // interior mutability, and the C core writes the task pointer only.
        unsafe { &*self.per_thread(cpu) }
    }

    /// Takes a reference to each task, for ever, or else wakes the threads whose flag is set.
    ///
    /// # Safety
    ///
    /// There is storage, and the tasks are kept during the call.
    #[inline(never)]
    unsafe fn for_each_task(&self, keep: bool) {
        // A loop by hand: the iterator is twice the code.
        let mut number = 0;
        while let Some(cpu) = CpuId::from_u32(number) {
            if hotplug::is_possible(cpu) {
                // SAFETY: By the requirements of this function, and `cpu` is possible.
                unsafe { self.head(cpu).visit(keep) };
            }
            number = number.wrapping_add(1);
        }
    }

    /// Returns whether there may be wakers that use RCU, who came before the state was changed.
    ///
    /// The barrier pairs with that of [`rcu_state`](Self::rcu_state). Most modules wake by their
    /// registration, and have no such wakers.
    #[inline]
    fn had_rcu_users(&self) -> bool {
        smp_mb();
        self.rcu_users.load(Relaxed)
    }

    /// Waits for wakers that use RCU. The state is such that new ones stay away.
    #[inline]
    fn wait_for_wakers(&self) {
        if self.had_rcu_users() {
            synchronize_rcu();
        }
    }

    /// # Safety
    ///
    /// There is a registration, which is being dropped.
    #[inline(never)]
    pub(super) unsafe fn unregister(&'static self) {
        if let Some(owned) = self.slot.retire(self.node()) {
            // SAFETY: It is the ownership of this core, which was registered.
            unsafe { Claim::end(owned) };
        }
    }

    /// Takes note that a thread has run its `setup`: the current one.
    #[inline(never)]
    pub(super) fn set_up(&self, head: &Head, _cx: &Context<'_>) {
        head.is_up.set();
        if let Some(scope) = self.slot.scope() {
            scope.notify();
        }
    }

    /// # Safety
    ///
    /// There is a registration during the call.
    pub(super) unsafe fn wait_until_up(&self) -> Result {
        let scope: &ModuleScope = self.slot.scope().ok_or(ESHUTDOWN)?;
        // No thread is parked or unparked.
        let _cpus = CpusReadGuard::new(scope)?;
        for cpu in hotplug::online_cpus() {
            // SAFETY: There is storage as long as there is a registration.
            let head = unsafe { self.head(cpu) };
            // SAFETY: There is a registration, so the task is kept.
            let thread = unsafe { head.info() };
            // There is no thread, or a parked one, where the CPU is stopped half-way up.
            if thread.is_some_and(|thread| thread.state != ThreadState::Parked) {
                scope.wait_until(|| head.is_up.is_set() || self.slot.state() != REGISTERED)?;
            }
        }
        if self.slot.state() != REGISTERED {
            return Err(ESHUTDOWN);
        }
        Ok(())
    }
}

/// The ownership of a core, whose slot has a value.
///
/// # Invariants
///
/// It is that of the node of a static [`Core`].
pub(super) struct Claim(Owned);

impl Claim {
    /// # Safety
    ///
    /// `owned` is the ownership of a [`Core`], whose slot has a value.
    #[inline(always)]
    pub(super) unsafe fn new(owned: Owned) -> Self {
        // INVARIANT: By the requirements of this function.
        Self(owned)
    }

    #[inline(always)]
    fn core(&self) -> &'static Core {
        // SAFETY: By the type invariant; it is the address that `Core::node` returned.
        unsafe { &*self.0.node().as_ptr().cast() }
    }

    /// Registers the threads. On error, the slot is free, or the scope ends the registration.
    #[inline(never)]
    pub(super) fn register(self, parking: Option<InstallParking>) -> Result {
        let this = self.core();
        let result = self.register_threads(parking);
        if result.is_err() {
            // SAFETY: The C core does not know `ht`, and wakers are gone. There is no registration.
            unsafe { self.free() };
            return result;
        }
        // INVARIANT: The threads are registered, and so is the hotplug state.
        self.0.publish()?;

        // Wakers that came before only left their flag: until now the core could have taken the threads
        // away again. A waker that did not find the new state in its second look at it is found here.
        if this.had_rcu_users() {
            // SAFETY: No other task frees the storage: this one is about to return the registration. If
            // the scope ends that meanwhile, storage and tasks stay.
            unsafe { this.for_each_task(false) };
        }
        Ok(())
    }

    /// On error the slot is in the state `BUSY`, the C core does not know `ht`, and there are no wakers.
    #[inline]
    fn register_threads(&self, parking: Option<InstallParking>) -> Result {
        let this = self.core();
        let storage = RawPerCpu::new_zeroed(this.layout).map_or(null_mut(), RawPerCpu::into_base);
        this.storage.set(storage);
        if storage.is_null() {
            return Err(ENOMEM);
        }
        this.parking.set(0);
        let ht = this.ht.get();
        // SAFETY: This task owns the slot, in the state `BUSY`, and there are no wakers.
        unsafe {
            // A per-CPU pointer to the first field of `Head`: all entries are null.
            (*ht).store = storage.cast();
            (*ht).selfparking = parking.is_some();
        }
        self.0.open();

        // SAFETY:
        // - `ht` is in a static, and stays registered until this core unregisters it: before the
        //   module goes away, because the scope has the slot in its list.
        // - `store` is per-CPU storage whose entries are null, and is freed after that.
        // - All that the callbacks use is there: value and storage.
        // - The name is a static format string that takes one number.
        let mut result = to_result(unsafe { bindings::smpboot_register_percpu_thread(ht) });
        if let (Ok(()), Some(install)) = (result, parking) {
            // SAFETY: The threads are registered. `end` removes the state first.
            result = unsafe { install(this) }.map(|state| this.parking.set(state));
            if result.is_err() {
                // SAFETY: Registered above, and not published, so that only this task unregisters it.
                unsafe { bindings::smpboot_unregister_percpu_thread(ht) };
            }
        }
        if result.is_err() {
            self.0.abort();
            this.wait_for_wakers();
        }
        result
    }

    /// Frees the storage, and releases the slot.
    ///
    /// # Safety
    ///
    /// The C core does not know `ht`, and there are no wakers and no registration.
    #[inline(never)]
    unsafe fn free(self) {
        let this = self.core();
        // SAFETY: By the type invariants, and the requirements of this function.
        unsafe { RawPerCpu::free(this.storage.get()) };
        // SAFETY: By the requirements of this function. Wakers never refer to the value.
        unsafe { this.slot.release(self.0) };
    }

    /// Stops the threads. Frees the slot, or revokes it if the owner of the registration may still be
    /// using that.
    ///
    /// # Safety
    ///
    /// As of the function that [`Node::new`](super::super::module_scope::Node::new) takes; the node is that
    /// of a `Core`.
    #[inline(never)]
    unsafe fn end(owned: Owned) {
        // SAFETY: By the requirements of this function. What was registered has a value.
        let this = unsafe { Self::new(owned) };
        let core = this.core();
        let leaked = core.slot.is_leaked(&this.0);
        if leaked {
            // No thread may come into being between here and the end of all, whose task would not be
            // kept.
            // SAFETY: Process context, with no hotplug lock held.
            unsafe { bindings::cpu_hotplug_disable() };
            // SAFETY: The threads are registered, and no other task unregisters them.
            unsafe { core.for_each_task(true) };
        }
        // C drops its references to the tasks before it forgets the pointers.
        core.wait_for_wakers();
        let parking = core.parking.get();
        if parking != 0 {
            // Parks the threads of the CPUs that are online.
            // SAFETY: Installed, by the type invariants, and removed only here.
            unsafe { cpuhp::remove_state(parking, cpuhp::Invoke::Yes) };
        }
        // SAFETY: By the type invariants `ht` is registered. Wakers are gone: those under RCU, and, if
        // there is no registration, those that wake by it. Otherwise value, storage and tasks stay.
        unsafe { bindings::smpboot_unregister_percpu_thread(core.ht.get()) };
        if leaked {
            // SAFETY: Disabled above.
            unsafe { bindings::cpu_hotplug_enable() };
            this.0.revoke();
        } else {
            // SAFETY: C has just forgotten `ht`. There is no registration, as it is abandoned.
            unsafe { this.free() };
        }
    }
}
