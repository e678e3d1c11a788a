// SPDX-License-Identifier: GPL-2.0

//! Registering hotplug threads: the part that does not depend on their type.

use super::{
    super::{
        bindings,
        cpu::{
            cpuhp,
            hotplug::{
                self,
                CpusReadGuard, //
            },
            slot::{
                Claim,
                Ending,
                Entry,
                Kind, //
            },
            Context, //
        },
        module_scope::{
            ModuleScope,
            REGISTERED, //
        },
        percpu::{
            PossibleCpu,
            RawPerCpu, //
        },
        seam::{
            per_cpu_ptr,
            smp_mb,
            synchronize_rcu,
            ESHUTDOWN, //
        }, //
    },
    wake::{
        Head,
        Thread,
        ThreadState, //
    }, //
};
use core::{
    alloc::Layout,
    cell::{
        Cell,
        UnsafeCell, //
    },
    mem::ManuallyDrop,
    ptr::null_mut, //
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

/// A registration of threads, without its type.
pub(super) type Core = Entry<Threads>;

/// The state of a registration of threads. It includes the descriptor that the C core links into
/// its list.
///
/// # Invariants
///
/// - `ht`, `storage` and `parking` are written only by the task that owns the entry, in the state
///   `BUSY` with no wakers left; `parking` also in the state `REGISTERING`.
/// - `storage` is a per-CPU address in the states `REGISTERING` and `REGISTERED`, and after them
///   for as long as the C core knows `ht` and until their wakers have finished; also in the state
///   `REVOKED`, and during the move to it. It has the layout `layout`, which begins with a
///   [`Head`].
/// - Tasks that `storage` points to in the state `REGISTERED` are valid in the state `REVOKED`,
///   too.
/// - In the state `REGISTERED`, `ht` is registered. If `parking` is not 0, that hotplug state is
///   registered, too.
pub(super) struct Threads {
    ht: UnsafeCell<bindings::smp_hotplug_thread>,
    storage: Cell<*mut c_void>,
    layout: Layout,
    /// The hotplug state that parks and unparks the threads; 0 if the core does.
    parking: Cell<c_int>,
    /// Set once a task has looked up threads under RCU.
    pub(super) rcu_users: AtomicFlag,
}

// SAFETY: The invariants protect `ht` and the cells. Each thread owns its local state.
unsafe impl Sync for Threads {}

/// Installs the hotplug state that parks and unparks the threads.
///
/// # Safety
///
/// The threads are registered, and stay registered until the state is removed.
pub(super) type InstallParking = unsafe fn(&'static Core) -> Result<c_int>;

impl Threads {
    /// Returns the state for threads with `ht` and storage of `layout`.
    pub(super) const fn new(ht: bindings::smp_hotplug_thread, layout: Layout) -> Self {
        Self {
            ht: UnsafeCell::new(ht),
            storage: Cell::new(null_mut()),
            layout,
            parking: Cell::new(0),
            rcu_users: AtomicFlag::new(false),
        }
    }

    /// Returns the address of the storage of the thread of `cpu`, if that CPU is possible. The
    /// storage begins with a [`Head`].
    ///
    /// # Safety
    ///
    /// The storage exists.
    #[inline(always)]
    pub(super) unsafe fn per_thread(&self, cpu: CpuId) -> *mut Head {
        per_cpu_ptr(self.storage.get().cast(), cpu)
    }

    /// Returns the head of the storage of the thread of `cpu`.
    ///
    /// # Safety
    ///
    /// The storage exists during `'a`.
    #[inline(always)]
    pub(super) unsafe fn head<'a>(&self, cpu: PossibleCpu) -> &'a Head {
        // SAFETY: By the requirements of this function. Zeroed memory is a valid head. Every field
        // has interior mutability, and the C core writes only the task pointer.
        unsafe { &*self.per_thread(cpu.get()) }
    }

    /// Returns access to the threads.
    ///
    /// # Safety
    ///
    /// The storage exists, and the tasks are kept, during `'a`.
    #[inline(always)]
    pub(super) unsafe fn live(&self) -> Live<'_> {
        // INVARIANT: By the requirements of this function.
        Live(self)
    }

    /// Returns whether wakers that started before the change of the state may use RCU.
    ///
    /// The barrier pairs with the one in `rcu_state`. Most modules wake through their registration,
    /// and have no such wakers.
    #[inline]
    fn had_rcu_users(&self) -> bool {
        smp_mb();
        self.rcu_users.load(Relaxed)
    }

    /// Waits for wakers that use RCU. In the present state new wakers return early.
    #[inline]
    fn wait_for_wakers(&self) {
        if self.had_rcu_users() {
            synchronize_rcu();
        }
    }
}

/// The threads of a registration.
///
/// # Invariants
///
/// The storage exists, and the tasks are kept, during `'a`.
#[derive(Clone, Copy)]
pub(super) struct Live<'a>(&'a Threads);

impl<'a> Live<'a> {
    /// Returns the thread of `cpu`.
    #[inline(always)]
    pub(super) fn thread(self, cpu: PossibleCpu) -> Thread<'a> {
        // SAFETY: By the type invariant.
        unsafe { Thread::new(self.0.head(cpu)) }
    }

    /// With `keep`, takes a reference to each task, forever; otherwise wakes the threads whose flag
    /// is set.
    #[inline(never)]
    fn visit(self, keep: bool) {
        // A loop by hand: an iterator takes twice the code.
        let mut number = 0;
        while let Some(cpu) = CpuId::from_u32(number) {
            if let Some(cpu) = PossibleCpu::new(cpu) {
                self.thread(cpu).visit(keep);
            }
            number = number.wrapping_add(1);
        }
    }
}

impl Entry<Threads> {
    /// Records that the current thread has run its `setup`.
    #[inline(never)]
    pub(super) fn set_up(&self, head: &Head, _cx: &Context<'_>) {
        head.is_up.set();
        if let Some(scope) = self.scope() {
            scope.notify();
        }
    }

    /// Waits until all of the threads are up.
    pub(super) fn wait_until_up(&self, threads: Live<'_>) -> Result {
        let scope: &ModuleScope = self.scope().ok_or(ESHUTDOWN)?;
        // With the lock held, no thread is parked or unparked.
        let _cpus = CpusReadGuard::new(scope)?;
        for cpu in hotplug::online_cpus().filter_map(PossibleCpu::new) {
            let thread = threads.thread(cpu);
            let info = thread.info();
            // A CPU whose CPU-up stopped half-way has no thread, or a parked one. The thread of an
            // active CPU has been unparked, and is in this state only until it runs.
            let is_parked = |state| state == ThreadState::Parked && !hotplug::is_active(cpu.get());
            if info.is_some_and(|info| !is_parked(info.state)) {
                scope.wait_until(|| thread.is_up() || self.state() != REGISTERED)?;
            }
        }
        if self.state() != REGISTERED {
            return Err(ESHUTDOWN);
        }
        Ok(())
    }
}

/// Transfers the ownership to the caller, who frees the storage with `free_percpu()`.
fn into_base(storage: RawPerCpu) -> *mut c_void {
    ManuallyDrop::new(storage).base()
}

impl Claim<Threads> {
    /// Registers the threads. On error, the entry is free, or the scope ends the registration.
    #[inline(never)]
    pub(super) fn register(self, parking: Option<InstallParking>) -> Result {
        let this = self.entry();
        let storage = RawPerCpu::new_zeroed(this.layout).map_or(null_mut(), into_base);
        this.storage.set(storage);
        if storage.is_null() {
            self.free();
            return Err(ENOMEM);
        }
        this.parking.set(0);
        let ht = this.ht.get();
        // SAFETY: This task owns the entry, in the state `BUSY`, and no wakers exist.
        unsafe {
            // A per-CPU pointer to the first field of `Head`: all entries are null.
            (*ht).store = storage.cast();
            (*ht).selfparking = parking.is_some();
        }
        let open = self.open();

        // SAFETY:
        // - `ht` is in a static, and stays registered until `end` unregisters it: before the
        //   module's code is freed, because the scope has the entry in its list.
        // - `store` is per-CPU storage whose entries are null, and is freed after `end` has
        //   unregistered `ht`.
        // - The value and the storage, which the callbacks use, exist.
        // - The name is a static format string that takes one number.
        let mut result = to_result(unsafe { bindings::smpboot_register_percpu_thread(ht) });
        if let (Ok(()), Some(install)) = (result, parking) {
            // SAFETY: The threads are registered. `end` removes the state before it unregisters
            // them.
            result = unsafe { install(this) }.map(|state| this.parking.set(state));
            if result.is_err() {
                // SAFETY: Registered above, and not published, so only this task unregisters it.
                unsafe { bindings::smpboot_unregister_percpu_thread(ht) };
            }
        }
        if result.is_err() {
            // SAFETY: The C core does not know `ht`: it failed, or was unregistered.
            let claim = unsafe { open.abort() };
            this.wait_for_wakers();
            claim.free();
            return result;
        }
        // INVARIANT: The threads are registered, and so is the hotplug state.
        open.publish()?;

        // Earlier wakers only set their flag, because until now registration could fail and the
        // core stop the threads. If a waker's second load of the state did not see `REGISTERED`,
        // this task sees its flag here.
        if this.had_rcu_users() {
            // SAFETY: No other task frees the storage: this task has yet to return the
            // registration. If the scope ends it during the visit, the storage and the tasks stay.
            unsafe { this.live() }.visit(false);
        }
        Ok(())
    }

    /// Frees the storage and the entry. No wakers exist.
    #[inline(never)]
    fn free(self) {
        // SAFETY: Null, or from `into_base`. The C core does not know `ht`, and no registration
        // exists.
        unsafe { bindings::free_percpu(self.entry().storage.get()) };
        self.release();
    }
}

impl Kind for Threads {
    #[inline(always)]
    fn end(ending: Ending<Self>) {
        let this = ending.entry();
        let leaked = ending.is_leaked();
        if leaked {
            // From here to the end of the unregistration no thread may be created: its task would
            // not be kept.
            // SAFETY: Process context, with no hotplug lock held.
            unsafe { bindings::cpu_hotplug_disable() };
            // SAFETY: The threads are registered, and no other task unregisters them.
            unsafe { this.live() }.visit(true);
        }
        // C drops its references to the tasks before it clears the pointers.
        this.wait_for_wakers();
        let parking = this.parking.get();
        if parking != 0 {
            // This parks the threads of the online CPUs.
            // SAFETY: Installed, by the type invariants, and removed only here.
            unsafe { cpuhp::remove_state(parking, cpuhp::Invoke::Yes) };
        }
        // SAFETY: By the type invariants `ht` is registered. Wakers under RCU have finished.
        // Without a registration, no wakers through it exist. With a leaked one, the value, the
        // storage and the tasks stay.
        unsafe { bindings::smpboot_unregister_percpu_thread(this.ht.get()) };
        if leaked {
            // SAFETY: Disabled above.
            unsafe { bindings::cpu_hotplug_enable() };
            ending.revoke();
        } else {
            // SAFETY: The C core does not know `ht` any more, and the registration is not leaked.
            unsafe { ending.ended() }.free();
        }
    }
}
