// SPDX-License-Identifier: GPL-2.0

//! Rust reference driver for idle injection.
//!
//! C version of this driver: [`drivers/powercap/idle_inject.c`](./idle_inject.c), which documents
//! the functions. The differences:
//!
//! - A mutex for each CPU, which its thread holds while it injects, replaces `should_run` and
//!   `wait_task_inactive()`: a device is stopped when each of its mutexes was free once.
//! - `idle_inject_start()` may sleep. The callers hold mutexes already.
//! - `idle_inject_register()` waits for an injection in progress before it refuses a CPU that has
//!   a device.

use core::ptr::null_mut;
use kernel::{
    bindings,
    cpu::{
        hotplug,
        CpuId, //
    },
    cpumask::Cpumask,
    impl_has_hr_timer,
    new_mutex,
    percpu::PerCpu,
    prelude::*,
    smpboot::{
        Context,
        HotplugThread,
        Registration,
        SchedPolicy, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex,
        SetOnce, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

module! {
    type: IdleInject,
    name: "idle_inject_rust",
    authors: ["Rust for Linux Contributors"],
    description: "Rust reference driver for idle injection",
    license: "GPL",
}

/// Decides before each injection whether it takes place.
type Update = unsafe extern "C" fn() -> bool;

/// The callers' `struct idle_inject_device`.
#[pin_data]
struct Device {
    #[pin]
    timer: HrTimer<Self>,
    /// The timer, while injections are started.
    #[pin]
    handle: Mutex<Option<ArcHrTimerHandle<Self>>>,
    idle_us: Atomic<u32>,
    run_us: Atomic<u32>,
    latency_us: Atomic<u32>,
    started: Atomic<bool>,
    update: Option<Update>,
    cpus: KVec<CpuId>,
}

impl Device {
    fn new(cpus: KVec<CpuId>, update: Option<Update>) -> impl PinInit<Self> {
        pin_init!(Self {
            timer <- HrTimer::new(),
            handle <- new_mutex!(None),
            idle_us: Atomic::new(0),
            run_us: Atomic::new(0),
            latency_us: Atomic::new(u32::MAX),
            started: Atomic::new(false),
            update,
            cpus,
        })
    }

    fn cpus(&self) -> impl Iterator<Item = CpuId> + '_ {
        self.cpus.iter().copied()
    }

    fn idle(&self) -> Delta {
        micros(&self.idle_us)
    }

    fn period(&self) -> Delta {
        self.idle() + micros(&self.run_us)
    }

    /// Wakes the threads of this device's online CPUs.
    fn wake(&self) {
        let Some(threads) = THREADS.as_ref() else {
            return;
        };
        for cpu in self.cpus().filter(|cpu| hotplug::is_online(*cpu)) {
            threads.wake(cpu);
        }
    }

    fn start(this: ArcBorrow<'_, Self>) -> Result {
        let period = this.period();
        if period.is_zero() {
            return Err(EINVAL);
        }
        let mut handle = this.handle.lock();
        this.started.store(true, Relaxed);
        this.wake();
        // Cancels the timer, if it is set, before it is set again.
        *handle = None;
        *handle = Some(Arc::from(this).start(period));
        Ok(())
    }

    fn stop(&self) {
        let mut handle = self.handle.lock();
        *handle = None;
        self.started.store(false, Relaxed);
        // A thread that saw the device started holds its mutex. The others see it stopped.
        let threads = THREADS.as_ref();
        for slot in self
            .cpus()
            .filter_map(|cpu| threads?.shared().slots.get(cpu))
        {
            drop(slot.device.lock());
        }
    }
}

fn micros(value: &Atomic<u32>) -> Delta {
    Delta::from_micros(value.load(Relaxed).into())
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Device {
        mode: RelativeMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Device {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        // SAFETY: By the requirements of `idle_inject_register_full()`. The timer is cancelled when
        // the device is unregistered.
        if this.update.is_none_or(|update| unsafe { update() }) {
            this.wake();
        }
        cx.forward_now(this.period());
        HrTimerRestart::Restart
    }
}

/// The device of one CPU.
#[pin_data]
struct Slot {
    /// Held by the thread while it injects.
    #[pin]
    device: Mutex<Option<Arc<Device>>>,
}

struct Injector {
    slots: PerCpu<Slot>,
}

#[vtable]
impl HotplugThread for Injector {
    type Local = ();

    fn sched_policy(&self) -> SchedPolicy {
        SchedPolicy::Fifo
    }

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        let slot = self.slots.of(cx).device.lock();
        // A wake stays pending while the CPU is offline: the device may be stopped since.
        if let Some(device) = slot.as_ref().filter(|device| device.started.load(Relaxed)) {
            // Fails if the device injects no idle time.
            let _ = cx.play_idle(device.idle(), micros(&device.latency_us));
        }
    }
}

impl Injector {
    /// Gives the CPUs of the device to it, or none if another device has one of them.
    fn claim(&self, device: &Arc<Device>) -> Result {
        for cpu in device.cpus() {
            let Some(slot) = self.slots.get(cpu) else {
                continue;
            };
            let mut slot = slot.device.lock();
            if slot.is_some() {
                pr_err!("cpu{} is already registered\n", cpu.as_u32());
                drop(slot);
                self.release(device);
                return Err(EBUSY);
            }
            *slot = Some(device.clone());
        }
        Ok(())
    }

    /// Takes the CPUs of the device from it.
    fn release(&self, device: &Arc<Device>) {
        for slot in device.cpus().filter_map(|cpu| self.slots.get(cpu)) {
            let mut slot = slot.device.lock();
            if slot
                .as_ref()
                .is_some_and(|owner| Arc::ptr_eq(owner, device))
            {
                *slot = None;
            }
        }
    }
}

static THREADS: SetOnce<Pin<KBox<Registration<Injector>>>> = SetOnce::new();

/// The threads exist already when `module!` makes this, at the level of `device_initcall()`.
struct IdleInject;

impl kernel::Module for IdleInject {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

fn init() -> Result {
    let slots = PerCpu::new(|_| {
        pin_init!(Slot {
            device <- new_mutex!(None),
        })
    })?;
    // SAFETY: The driver is built in: its code is never unloaded. The injector borrows nothing.
    let threads = unsafe { Registration::new(c"idle_inject/%u", Injector { slots }) };
    THREADS.populate(KBox::pin_init(threads, GFP_KERNEL)?);
    Ok(())
}

/// Creates the threads, as an `early_initcall()`.
///
/// # Safety
///
/// No requirements: it is unsafe because of `#[export]`.
#[export]
pub unsafe extern "C" fn idle_inject_rust_init() -> c_int {
    match init() {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

fn register(mask: &Cpumask, update: Option<Update>) -> Result<Arc<Device>> {
    let threads = THREADS.as_ref().ok_or(ENODEV)?;
    let mut cpus = KVec::new();
    for cpu in hotplug::cpus_of(mask) {
        cpus.push(cpu, GFP_KERNEL)?;
    }
    let device = Arc::pin_init(Device::new(cpus, update), GFP_KERNEL)?;
    threads.shared().claim(&device)?;
    Ok(device)
}

/// Borrows the caller's device.
///
/// # Safety
///
/// `device` comes from `idle_inject_register_full()`, and is not unregistered during `'a`.
unsafe fn borrow<'a>(device: *mut bindings::idle_inject_device) -> ArcBorrow<'a, Device> {
    // SAFETY: It comes from `Arc::into_raw`, and the caller owns that reference during `'a`.
    unsafe { ArcBorrow::from_raw(device.cast::<Device>()) }
}

/// # Safety
///
/// `cpumask` must be valid. `update` must be callable in interrupt context until the device is
/// unregistered.
#[export]
pub unsafe extern "C" fn idle_inject_register_full(
    cpumask: *mut bindings::cpumask,
    update: Option<Update>,
) -> *mut bindings::idle_inject_device {
    // SAFETY: By the requirements of this function.
    match register(unsafe { Cpumask::from_raw(cpumask) }, update) {
        Ok(device) => Arc::into_raw(device).cast_mut().cast(),
        Err(_) => null_mut(),
    }
}

/// # Safety
///
/// `cpumask` must be valid.
#[export]
pub unsafe extern "C" fn idle_inject_register(
    cpumask: *mut bindings::cpumask,
) -> *mut bindings::idle_inject_device {
    // SAFETY: By the requirements of this function.
    unsafe { idle_inject_register_full(cpumask, None) }
}

/// # Safety
///
/// `device` comes from `idle_inject_register_full()`, and is not used any more.
#[export]
pub unsafe extern "C" fn idle_inject_unregister(device: *mut bindings::idle_inject_device) {
    // SAFETY: It comes from `Arc::into_raw`, and the caller passes its reference.
    let device = unsafe { Arc::from_raw(device.cast::<Device>().cast_const()) };
    device.stop();
    if let Some(threads) = THREADS.as_ref() {
        threads.shared().release(&device);
    }
}

/// # Safety
///
/// `device` is registered.
#[export]
pub unsafe extern "C" fn idle_inject_start(device: *mut bindings::idle_inject_device) -> c_int {
    // SAFETY: By the requirements of this function.
    match Device::start(unsafe { borrow(device) }) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// # Safety
///
/// `device` is registered.
#[export]
pub unsafe extern "C" fn idle_inject_stop(device: *mut bindings::idle_inject_device) {
    // SAFETY: By the requirements of this function.
    unsafe { borrow(device) }.stop();
}

/// # Safety
///
/// `device` is registered.
#[export]
pub unsafe extern "C" fn idle_inject_set_duration(
    device: *mut bindings::idle_inject_device,
    run_us: c_uint,
    idle_us: c_uint,
) {
    // SAFETY: By the requirements of this function.
    let device = unsafe { borrow(device) };
    if run_us.wrapping_add(idle_us) != 0 {
        device.run_us.store(run_us, Relaxed);
        device.idle_us.store(idle_us, Relaxed);
    }
}

/// # Safety
///
/// `device` is registered. The other pointers are valid for writing.
#[export]
pub unsafe extern "C" fn idle_inject_get_duration(
    device: *mut bindings::idle_inject_device,
    run_us: *mut c_uint,
    idle_us: *mut c_uint,
) {
    // SAFETY: By the requirements of this function.
    unsafe {
        let device = borrow(device);
        run_us.write(device.run_us.load(Relaxed));
        idle_us.write(device.idle_us.load(Relaxed));
    }
}

/// # Safety
///
/// `device` is registered.
#[export]
pub unsafe extern "C" fn idle_inject_set_latency(
    device: *mut bindings::idle_inject_device,
    latency_us: c_uint,
) {
    // SAFETY: By the requirements of this function.
    unsafe { borrow(device) }
        .latency_us
        .store(latency_us, Relaxed);
}
