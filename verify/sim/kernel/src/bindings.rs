// SPDX-License-Identifier: GPL-2.0

//! The bindings that `bindgen` would make of the kernel's headers, and the C functions behind them.

pub use crate::c::{cpu::*, kthread::*, sched::*, smpboot::*, wait::*};
use crate::world::{CPUS, STRIDE};
use core::ffi::{c_char, c_int, c_uint, c_void};

pub const TASK_RUNNING: u32 = 0;
pub const TASK_INTERRUPTIBLE: u32 = 1;
pub const TASK_UNINTERRUPTIBLE: u32 = 2;
pub const TASK_PARKED: u32 = 0x40;
pub const TASK_DEAD: u32 = 0x80;
pub const TASK_WAKING: u32 = 0x200;
pub const TASK_NOLOAD: u32 = 0x400;
pub const TASK_IDLE: u32 = TASK_UNINTERRUPTIBLE | TASK_NOLOAD;
pub const TASK_NORMAL: u32 = TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE;
pub const TASK_COMM_LEN: u32 = 16;
pub const NR_CPUS: u32 = 64;
pub const PF_KTHREAD: u32 = 0x0020_0000;
pub const GFP_KERNEL: u32 = 0;
pub const SCHED_FIFO: u32 = 1;
pub const ENOMEM: u32 = 12;
pub const EBUSY: u32 = 16;
pub const EINVAL: u32 = 22;
pub const ENOSPC: u32 = 28;
pub const EDEADLK: u32 = 35;
pub const ESHUTDOWN: u32 = 108;
pub const ECANCELED: u32 = 125;
pub const EINTR: u32 = 4;
pub const hrtimer_mode_HRTIMER_MODE_ABS_HARD: u32 = 8;

#[repr(C)]
pub struct list_head {
    pub next: *mut list_head,
    pub prev: *mut list_head,
}

#[repr(C)]
pub struct cpumask {
    pub bits: [usize; 1],
}

pub static mut __cpu_possible_mask: cpumask = cpumask { bits: [(1 << CPUS) - 1] };
pub static mut __cpu_online_mask: cpumask = cpumask { bits: [1] };
pub static mut __cpu_active_mask: cpumask = cpumask { bits: [1] };
pub static __per_cpu_offset: [usize; CPUS] = [0, STRIDE];

pub struct task_struct {
    pub __state: u32,
    pub flags: u32,
    pub pid: c_int,
    pub policy: u32,
    pub nr_cpus_allowed: c_int,
    pub(crate) usage: u32,
    pub(crate) cpu: u32,
    pub(crate) should_stop: bool,
    pub(crate) should_park: bool,
    /// Completions.
    pub(crate) parked: u32,
    pub(crate) exited: bool,
    pub(crate) func: usize,
    /// The number of atomic contexts that must end before the task may sleep.
    pub(crate) atomic: i32,
    pub(crate) interrupt: bool,
    /// How often the task has disabled interrupts, and on which CPU.
    pub(crate) irqs_off: Option<(usize, usize)>,
    pub(crate) name: &'static str,
}

impl task_struct {
    pub(crate) fn new(name: &'static str, cpu: u32) -> Self {
        Self {
            __state: TASK_RUNNING,
            flags: 0,
            pid: 0,
            policy: 0,
            nr_cpus_allowed: 1,
            usage: 1,
            cpu,
            should_stop: false,
            should_park: false,
            parked: 0,
            exited: false,
            func: 0,
            atomic: 0,
            interrupt: false,
            irqs_off: None,
            name,
        }
    }

    /// Returns the CPU on which the task runs: its own, or another one if that is offline.
    pub(crate) fn on_cpu(&self) -> usize {
        if let Some((_, cpu)) = self.irqs_off {
            cpu
        } else if online(self.cpu) {
            self.cpu as usize
        } else {
            0
        }
    }
}

#[repr(C)]
pub struct smp_hotplug_thread {
    pub store: *mut *mut task_struct,
    pub list: list_head,
    pub thread_should_run: Option<unsafe extern "C" fn(c_uint) -> c_int>,
    pub thread_fn: Option<unsafe extern "C" fn(c_uint)>,
    pub create: Option<unsafe extern "C" fn(c_uint)>,
    pub setup: Option<unsafe extern "C" fn(c_uint)>,
    pub cleanup: Option<unsafe extern "C" fn(c_uint, bool)>,
    pub park: Option<unsafe extern "C" fn(c_uint)>,
    pub unpark: Option<unsafe extern "C" fn(c_uint)>,
    pub selfparking: bool,
    pub thread_comm: *const u8,
}

pub struct module {
    pub state: c_uint,
}
pub const module_state_MODULE_STATE_LIVE: c_uint = 0;
pub static mut __this_module: module = module { state: module_state_MODULE_STATE_LIVE };
pub struct lock_class_key;
pub struct file;
pub struct poll_table;

/// Resets the mask of online CPUs, for the start of a run.
pub(crate) fn reset() {
    set_online_mask(0, true);
    set_online_mask(1, true);
}

fn set_online_mask(cpu: u32, on: bool) {
    // SAFETY: All tasks of a run share one thread.
    unsafe {
        match on {
            true => __cpu_online_mask.bits[0] |= 1 << cpu,
            false => __cpu_online_mask.bits[0] &= !(1 << cpu),
        }
    }
}

pub fn set_online(cpu: u32, on: bool) {
    set_online_mask(cpu, on);
    crate::world::changed();
}

pub(crate) fn set_active(cpu: u32, on: bool) {
    // SAFETY: As above.
    unsafe {
        match on {
            true => __cpu_active_mask.bits[0] |= 1 << cpu,
            false => __cpu_active_mask.bits[0] &= !(1 << cpu),
        }
    }
}

pub fn online(cpu: u32) -> bool {
    // SAFETY: As above.
    unsafe { __cpu_online_mask.bits[0] >> cpu & 1 != 0 }
}

fn percpu() -> core::alloc::Layout {
    core::alloc::Layout::from_size_align(STRIDE * CPUS, 64).unwrap()
}

pub unsafe fn pcpu_alloc_noprof(size: usize, _: usize, _: bool, _: u32) -> *mut c_void {
    assert!(size <= STRIDE, "{size}");
    crate::world::alloc(percpu()).cast()
}

pub unsafe fn free_percpu(at: *mut c_void) {
    // C: mm/percpu.c free_percpu
    //: if (!ptr)
    if !at.is_null() {
        crate::world::free(at.cast(), percpu());
    }
}

pub unsafe fn smp_mb() {
    crate::world::step();
}

pub unsafe fn synchronize_rcu() {
    crate::world::synchronize_rcu();
}

pub unsafe fn _printk(
    _format: *const c_char,
    _prefix: *const u8,
    name: *const c_char,
    what: *const c_char,
) -> c_int {
    // SAFETY: Strings.
    let (name, what) =
        unsafe { (core::ffi::CStr::from_ptr(name), core::ffi::CStr::from_ptr(what)) };
    crate::world::log(format!("{}: {}", name.to_str().unwrap(), what.to_str().unwrap()));
    0
}

// Not simulated.
pub unsafe fn sched_set_normal(_: *mut task_struct, _: c_int) {}
pub unsafe fn sched_set_fifo(_: *mut task_struct) {}
pub unsafe fn sched_set_fifo_low(_: *mut task_struct) {}
pub unsafe fn play_idle_precise(_: u64, _: u64) {}
pub unsafe fn bitmap_parselist(_: *const c_char, _: *mut usize, _: c_int) -> c_int {
    -(EINVAL as c_int)
}
