// SPDX-License-Identifier: GPL-2.0

//! Dynamic CPU hotplug states.
//!
//! To come online, a CPU passes through a sequence of states; to go offline, it passes through them
//! in reverse order. Each state has a startup and a teardown callback. This module registers a pair
//! of them at `CPUHP_AP_ONLINE_DYN`: the states that any driver may allocate, in which the CPU is
//! up and schedules.
//!
//! C header: [`include/linux/cpuhotplug.h`](srctree/include/linux/cpuhotplug.h)

use crate::{
    bindings,
    container_of,
    cpu::CpuId,
    error::{
        from_result,
        to_result, //
    },
    prelude::*,
    types::Opaque, //
};

/// The callbacks of a hotplug state: one when a CPU comes online, one when it goes offline.
///
/// Both callbacks run in the CPU's own hotplug thread, `cpuhp/N`, on that CPU, while it is online,
/// and may sleep. The task that changes the CPU's state waits, with the hotplug lock held. So a
/// callback must not take that lock, directly or indirectly: it must not register or unregister
/// hotplug states or threads, nor wait for a task that does. As long as `cpuhp/N` does not exist,
/// which is before the other CPUs are started and without `CONFIG_SMP`, the task that registers or
/// unregisters calls them itself.
pub trait Callbacks: Send + Sync {
    /// Runs when `cpu` has come online, and during registration for each online CPU.
    ///
    /// An error ends the CPU-up, which is rolled back, or the registration. `teardown` does not
    /// run for a call that failed. If the registration fails, `teardown` runs for the CPUs for
    /// which this has succeeded.
    ///
    /// When a later step of a CPU-down fails, this runs after [`teardown`](Self::teardown). An
    /// error then rolls nothing back, as in C: the kernel warns, and the CPU stays online between
    /// two states. So return an error only from work that `teardown` does not undo.
    fn startup(&self, _cpu: CpuId) -> Result {
        Ok(())
    }

    /// Runs before `cpu` goes offline, also if a later step of its CPU-up fails, and for each
    /// online CPU when the registration is dropped.
    ///
    /// It cannot fail: an error while the registration is dropped would be a `BUG()`. The CPU may
    /// stay online: when a later step of a CPU-down fails, [`startup`](Self::startup) follows, and
    /// should succeed.
    fn teardown(&self, _cpu: CpuId) {}
}

/// A hotplug state with its callbacks, until it is dropped.
///
/// Dropping it runs `teardown` for all online CPUs, and waits for callbacks in progress. Drop it in
/// process context, with no hotplug lock held, and not in a callback of a hotplug state or a
/// hotplug thread.
///
/// # Examples
///
/// ```
/// use kernel::{
///     cpu::{
///         cpuhp,
///         hotplug,
///         CpuId, //
///     },
///     sync::atomic::{
///         Atomic,
///         Relaxed, //
///     }, //
/// };
///
/// struct Up(Atomic<i32>);
///
/// impl cpuhp::Callbacks for Up {
///     fn startup(&self, _cpu: CpuId) -> Result {
///         self.0.add(1, Relaxed);
///         Ok(())
///     }
///
///     fn teardown(&self, _cpu: CpuId) {
///         self.0.add(-1, Relaxed);
///     }
/// }
///
/// // SAFETY: The registration is dropped below.
/// let up = unsafe { cpuhp::Registration::new(c"example/up:online", Up(Atomic::new(0))) };
/// let up = KBox::pin_init(up, GFP_KERNEL)?;
///
/// let cpus = hotplug::CpusReadGuard::new();
/// assert_eq!(up.callbacks().0.load(Relaxed) as usize, hotplug::online_cpus().count());
/// // Dropping the registration takes the same lock.
/// drop(cpus);
/// drop(up);
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// `state` is a multi-instance state that this value allocated, and `node` is its only instance.
#[pin_data(PinnedDrop)]
pub struct Registration<T: Callbacks> {
    #[pin]
    node: Opaque<bindings::hlist_node>,
    state: bindings::cpuhp_state,
    #[pin]
    callbacks: T,
}

// SAFETY: Any task may drop it, and `T` may be dropped by another task.
unsafe impl<T: Callbacks> Send for Registration<T> {}
// SAFETY: A shared reference gives access only to `&T`, and `T` is `Sync`.
unsafe impl<T: Callbacks> Sync for Registration<T> {}

type Single = unsafe extern "C" fn(c_uint) -> c_int;
type Multi = unsafe extern "C" fn(c_uint, *mut bindings::hlist_node) -> c_int;

impl<T: Callbacks> Registration<T> {
    /// Registers a state, and runs `startup` for all CPUs that are online.
    ///
    /// `name` is the name of the state in `/sys/devices/system/cpu/hotplug/states`, by custom
    /// `subsystem/driver:online`. Process context, with no hotplug lock held.
    ///
    /// # Errors
    ///
    /// - `ENOSPC`: the kernel has no dynamic state left. It also logs a warning.
    /// - The error of `callbacks` or of `startup`.
    ///
    /// # Safety
    ///
    /// The value must be dropped before anything that `T` borrows ends, and before the code of `T`
    /// is unloaded. In particular, do not leak it, for example by [`core::mem::forget`].
    pub unsafe fn new<E>(
        name: &'static CStr,
        callbacks: impl PinInit<T, E>,
    ) -> impl PinInit<Self, Error>
    where
        Error: From<E>,
    {
        // INVARIANT: If initialization succeeds, `state` was allocated here, and `node` was added
        // as its instance. No other code knows the state, so it has no other instance.
        try_pin_init!(&this in Self {
            callbacks <- callbacks,
            node <- Opaque::new(pin_init::zeroed()),
            state: Self::allocate(name)?,
            _: {
                let state = *state;
                // SAFETY: `this` is valid.
                let node = Opaque::cast_into(unsafe { &raw const (*this.as_ptr()).node });
                // SAFETY: `state` was allocated just now. `callbacks` is initialized, and both stay
                // in place until `drop` removes the instance, or until this fails.
                let result = to_result(unsafe {
                    bindings::__cpuhp_state_add_instance(state, node, true)
                });
                if let Err(e) = result {
                    // SAFETY: Allocated just now, and has no instance.
                    unsafe { bindings::__cpuhp_remove_state(state, false) };
                    return Err(e);
                }
            },
        }? Error)
    }

    /// Returns the callbacks' value.
    #[inline]
    pub fn callbacks(&self) -> &T {
        &self.callbacks
    }

    /// Allocates a multi-instance state without an instance.
    fn allocate(name: &'static CStr) -> Result<bindings::cpuhp_state> {
        let (startup, teardown): (Multi, Multi) = (Self::startup, Self::teardown);
        // SAFETY: The C core calls the callbacks of a multi-instance state by their true type, as
        // `cpuhp_setup_state_multi()` relies on.
        let (startup, teardown) = unsafe {
            (
                core::mem::transmute::<Multi, Single>(startup),
                core::mem::transmute::<Multi, Single>(teardown),
            )
        };

        // SAFETY: The name is static, and the state has no instance yet for which the callbacks
        // could be called.
        let state = unsafe {
            bindings::__cpuhp_setup_state(
                bindings::cpuhp_state_CPUHP_AP_ONLINE_DYN,
                name.as_char_ptr(),
                false,
                Some(startup),
                Some(teardown),
                true,
            )
        };
        to_result(state)?;
        Ok(state as bindings::cpuhp_state)
    }

    /// # Safety
    ///
    /// Must only be called by the hotplug core, with the node of a registered `Self`.
    unsafe fn from_node<'a>(node: *mut bindings::hlist_node) -> &'a Self {
        // SAFETY: By the requirements of this function, `node` is in a `Self`, whose other fields
        // are initialized.
        unsafe { &*container_of!(Opaque::cast_from(node), Self, node) }
    }

    /// # Safety
    ///
    /// Must only be called by the hotplug core, with the node of a registered `Self`.
    unsafe extern "C" fn startup(cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
        // SAFETY: By the requirements of this function.
        let this = unsafe { Self::from_node(node) };
        // SAFETY: The core passes the number of a possible CPU.
        let cpu = unsafe { CpuId::from_u32_unchecked(cpu) };
        from_result(|| {
            this.callbacks.startup(cpu)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Must only be called by the hotplug core, with the node of a registered `Self`.
    unsafe extern "C" fn teardown(cpu: c_uint, node: *mut bindings::hlist_node) -> c_int {
        // SAFETY: By the requirements of this function.
        let this = unsafe { Self::from_node(node) };
        // SAFETY: The core passes the number of a possible CPU.
        let cpu = unsafe { CpuId::from_u32_unchecked(cpu) };
        this.callbacks.teardown(cpu);
        0
    }
}

#[pinned_drop]
impl<T: Callbacks> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: By the type invariant. After this the core does not use the state or the node.
        unsafe {
            bindings::__cpuhp_state_remove_instance(self.state, self.node.get(), true);
            bindings::__cpuhp_remove_state(self.state, false);
        }
    }
}
