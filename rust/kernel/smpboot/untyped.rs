// SPDX-License-Identifier: GPL-2.0

//! Registering hotplug threads: what does not depend on their type.

use super::{
    super::{
        bindings,
        cpu::{
            cpuhp,
            hotplug::{
                self,
                CpusReadGuard,
                PossibleCpu, //
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
        percpu::RawPerCpu,
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

/// All of a registration of threads but its type.
pub(super) type Core = Entry<Threads>;

/// What threads need: also the descriptor that the C core links into its list.
///
/// # Invariants
///
/// - `ht`, `storage` and `parking` are written only by the task that owns the entry, in the state
///   `BUSY` with no wakers left; `parking` also in the state `REGISTERING`.
/// - `storage` is a per-CPU address in the states `REGISTERING` and `REGISTERED`, as long as the C
///   core knows `ht`, and until the wakers of those times are gone; and in the state `REVOKED`, and
///   on the way there. It has the layout `layout`, which begins with a [`Head`].
/// - Tasks that `storage` points to in the state `REGISTERED` are valid in the state `REVOKED`, too.
/// - In the state `REGISTERED`, `ht` is registered, and, if it is not 0, so is the hotplug state
///   `parking`.
pub(super) struct Threads {
    ht: UnsafeCell<bindings::smp_hotplug_thread>,
    storage: Cell<*mut c_void>,
    layout: Layout,
    /// The hotplug state that parks and unparks the threads, if it is not the core; or 0.
    parking: Cell<c_int>,
    /// A task looked for threads under RCU, ever.
    pub(super) rcu_users: AtomicFlag,
}

// SAFETY: `ht` and the cells are protected as the invariants say. Local states belong to their
// threads.
unsafe impl Sync for Threads {}

/// Installs the hotplug state that parks and unparks the threads.
///
/// # Safety
///
/// The threads are registered, and stay so until the state is removed.
pub(super) type InstallParking = unsafe fn(&'static Core) -> Result<c_int>;

impl Threads {
    /// Returns what threads with `ht` and storage of `layout` need.
    pub(super) const fn new(ht: bindings::smp_hotplug_thread, layout: Layout) -> Self {
        Self {
            ht: UnsafeCell::new(ht),
            storage: Cell::new(null_mut()),
            layout,
            parking: Cell::new(0),
            rcu_users: AtomicFlag::new(false),
        }
    }

    /// Returns the address of what belongs to the thread of `cpu`, if that is possible. It begins
    /// with a [`Head`].
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
    /// There is storage during `'a`.
    #[inline(always)]
    pub(super) unsafe fn head<'a>(&self, cpu: PossibleCpu) -> &'a Head {
        // SAFETY: By the requirements of this function. Zeroed memory is a valid head. All of it has
        // interior mutability, and the C core writes the task pointer only.
        unsafe { &*self.per_thread(cpu.get()) }
    }

    /// Returns access to the threads.
    ///
    /// # Safety
    ///
    /// There is storage, and the tasks are kept, during `'a`.
    #[inline(always)]
    pub(super) unsafe fn live(&self) -> Live<'_> {
        // INVARIANT: By the requirements of this function.
        Live(self)
    }

    /// Returns whether there may be wakers that use RCU, who came before the state was changed.
    ///
    /// The barrier pairs with that of `rcu_state`. Most modules wake by their registration, and
    /// have no such wakers.
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
}

/// The threads of a registration.
///
/// # Invariants
///
/// There is storage, and the tasks are kept, during `'a`.
#[derive(Clone, Copy)]
pub(super) struct Live<'a>(&'a Threads);

impl<'a> Live<'a> {
    /// Returns the thread of `cpu`.
    #[inline(always)]
    pub(super) fn thread(self, cpu: PossibleCpu) -> Thread<'a> {
        // SAFETY: By the type invariant.
        unsafe { Thread::new(self.0.head(cpu)) }
    }

    /// Takes a reference to each task, for ever, or else wakes the threads whose flag is set.
    #[inline(never)]
    fn visit(self, keep: bool) {
        // A loop by hand: the iterator is twice the code.
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
    /// Takes note that a thread has run its `setup`: the current one.
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
        // No thread is parked or unparked.
        let _cpus = CpusReadGuard::new(scope)?;
        for cpu in hotplug::online_cpus().filter_map(PossibleCpu::new) {
            let thread = threads.thread(cpu);
            let info = thread.info();
            // There is no thread, or a parked one, where the CPU is stopped half-way up. Where it is up,
            // the thread is unparked, and only passes through the state on its way.
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

impl Claim<Threads> {
    /// Registers the threads. On error, the entry is free, or the scope ends the registration.
    #[inline(never)]
    pub(super) fn register(self, parking: Option<InstallParking>) -> Result {
        let this = self.entry();
        let storage = RawPerCpu::new_zeroed(this.layout).map_or(null_mut(), RawPerCpu::into_base);
        this.storage.set(storage);
        if storage.is_null() {
            self.free();
            return Err(ENOMEM);
        }
        this.parking.set(0);
        let ht = this.ht.get();
        // SAFETY: This task owns the entry, in the state `BUSY`, and there are no wakers.
        unsafe {
            // A per-CPU pointer to the first field of `Head`: all entries are null.
            (*ht).store = storage.cast();
            (*ht).selfparking = parking.is_some();
        }
        let open = self.open();

        // SAFETY:
        // - `ht` is in a static, and stays registered until `end` unregisters it: before the module
        //   goes away, because the scope has the entry in its list.
        // - `store` is per-CPU storage whose entries are null, and is freed after that.
        // - All that the callbacks use is there: value and storage.
        // - The name is a static format string that takes one number.
        let mut result = to_result(unsafe { bindings::smpboot_register_percpu_thread(ht) });
        if let (Ok(()), Some(install)) = (result, parking) {
            // SAFETY: The threads are registered. `end` removes the state first.
            result = unsafe { install(this) }.map(|state| this.parking.set(state));
            if result.is_err() {
                // SAFETY: Registered above, and not published, so that only this task unregisters
                // it.
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

        // Wakers that came before only left their flag: until now the core could have taken the
        // threads away again. A waker that did not find the new state in its second look at it is
        // found here.
        if this.had_rcu_users() {
            // SAFETY: No other task frees the storage: this one is about to return the registration. If
            // the scope ends it during the visit, storage and tasks stay.
            unsafe { this.live() }.visit(false);
        }
        Ok(())
    }

    /// Frees the storage, and the entry. There are no wakers.
    #[inline(never)]
    fn free(self) {
        // SAFETY: Null, or from `into_base`. The C core does not know `ht`, and there is no
        // registration.
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
            // No thread may come into being between here and the end of all, whose task would not be
            // kept.
            // SAFETY: Process context, with no hotplug lock held.
            unsafe { bindings::cpu_hotplug_disable() };
            // SAFETY: The threads are registered, and no other task unregisters them.
            unsafe { this.live() }.visit(true);
        }
        // C drops its references to the tasks before it forgets the pointers.
        this.wait_for_wakers();
        let parking = this.parking.get();
        if parking != 0 {
            // Parks the threads of the CPUs that are online.
            // SAFETY: Installed, by the type invariants, and removed only here.
            unsafe { cpuhp::remove_state(parking, cpuhp::Invoke::Yes) };
        }
        // SAFETY: By the type invariants `ht` is registered. Wakers are gone: those under RCU, and,
        // if there is no registration, those that wake by it. Otherwise value, storage and tasks
        // stay.
        unsafe { bindings::smpboot_unregister_percpu_thread(this.ht.get()) };
        if leaked {
            // SAFETY: Disabled above.
            unsafe { bindings::cpu_hotplug_enable() };
            ending.revoke();
        } else {
            // SAFETY: C has just forgotten `ht`, and nothing is leaked.
            unsafe { ending.ended() }.free();
        }
    }
}
