// SPDX-License-Identifier: GPL-2.0

//! CPU hotplug: the lock, CPU-up and CPU-down, dynamic hotplug states.

use super::smpboot::{
    smpboot_create_threads, smpboot_park_threads, smpboot_thread_fn, smpboot_unpark_threads,
};
use crate::bindings::*;
use crate::world::{
    self, changed, current, lock, new_task, note, set_current, step, unlock, wait_until, with,
    Step, World, CPUS,
};
use core::ffi::{c_char, c_int, c_uint};

pub type cpuhp_state = u32;
/// The first of the dynamic states.
pub const cpuhp_state_CPUHP_AP_ONLINE_DYN: u32 = 200;

type Callback = Option<unsafe extern "C" fn(c_uint) -> c_int>;

pub unsafe fn cpus_read_lock() {
    step();
    wait_until(|| with(|w| !w.cpu_hotplug_writer));
    with(|w| w.cpu_hotplug_readers += 1);
}

pub unsafe fn cpus_read_unlock() {
    step();
    with(|w| w.cpu_hotplug_readers -= 1);
    changed();
}

fn cpu_add_remove_lock(w: &mut World) -> &mut bool {
    &mut w.cpu_add_remove_lock
}

fn cpuhp_state_mutex(w: &mut World) -> &mut bool {
    &mut w.cpuhp_state_mutex
}

pub unsafe fn cpu_hotplug_disable() {
    // C: kernel/cpu.c cpu_hotplug_disable
    //: cpu_maps_update_begin();
    lock(cpu_add_remove_lock);
    //: cpu_hotplug_disabled++;
    with(|w| w.cpu_hotplug_disabled += 1);
    //: cpu_maps_update_done();
    unlock(cpu_add_remove_lock);
}

pub unsafe fn cpu_hotplug_enable() {
    // C: kernel/cpu.c cpu_hotplug_enable
    //: cpu_maps_update_begin();
    lock(cpu_add_remove_lock);
    //: __cpu_hotplug_enable();
    with(|w| w.cpu_hotplug_disabled -= 1);
    //: cpu_maps_update_done();
    unlock(cpu_add_remove_lock);
}

/// Runs a callback in the thread `cpuhp/N` of that CPU, which the caller waits for.
unsafe fn cpuhp_invoke_ap_callback(cpu: u32, callback: Callback) -> c_int {
    let Some(callback) = callback else { return 0 };
    assert!(online(cpu), "a hotplug state's callback ran on an offline CPU");
    let mut task = task_struct::new(["cpuhp/0", "cpuhp/1"][cpu as usize], cpu);
    task.flags = PF_KTHREAD;
    task.func = smpboot_thread_fn as usize;
    let caller = current();
    set_current(new_task(task));
    step();
    let ret = callback(cpu);
    step();
    set_current(caller);
    ret
}

fn steps() -> [Option<Step>; 4] {
    with(|w| w.cpuhp_hp_states)
}

unsafe fn bring_up(cpu: u32) -> c_int {
    for at in 0..4 {
        with(|w| w.cpuhp_reached[cpu as usize] = at + 1);
        let ret = cpuhp_invoke_ap_callback(cpu, steps()[at].and_then(|s| s.startup));
        if ret != 0 {
            take_down(cpu, at);
            return ret;
        }
    }
    step();
    set_active(cpu, true);
    0
}

unsafe fn take_down(cpu: u32, from: usize) {
    step();
    set_active(cpu, false);
    for at in (0..from).rev() {
        cpuhp_invoke_ap_callback(cpu, steps()[at].and_then(|s| s.teardown));
        with(|w| w.cpuhp_reached[cpu as usize] = at);
    }
    with(|w| w.cpuhp_reached[cpu as usize] = 0);
}

/// Takes the CPU offline when its interrupts are enabled, as `stop_machine()` waits for that.
fn go_offline(cpu: u32) {
    step();
    wait_until(|| world::interruptible(cpu as usize));
    set_online(cpu, false);
}

fn hotplug(f: impl FnOnce() -> c_int) -> c_int {
    // C: kernel/cpu.c cpu_up
    //: cpu_maps_update_begin();
    lock(cpu_add_remove_lock);
    //: if (cpu_hotplug_disabled) {
    let ret = if with(|w| w.cpu_hotplug_disabled > 0) {
        //: err = -EBUSY;
        -(EBUSY as c_int)
    } else {
        //: err = _cpu_up(cpu, 0, target);
        // C: kernel/cpu.c _cpu_up
        //: cpus_write_lock();
        step();
        wait_until(|| with(|w| w.cpu_hotplug_readers == 0));
        with(|w| w.cpu_hotplug_writer = true);
        let ret = f();
        //: cpus_write_unlock();
        step();
        with(|w| w.cpu_hotplug_writer = false);
        changed();
        ret
    };
    unlock(cpu_add_remove_lock);
    ret
}

/// Brings a CPU online. `late`: a step after all others fails, and the CPU-up is rolled back.
pub fn cpu_up(cpu: u32, late: bool) -> c_int {
    // SAFETY: The calls follow the order in the kernel.
    hotplug(|| unsafe {
        note(|| "CPU-up begins".into());
        // C: kernel/cpu.c cpuhp_hp_states
        //: .startup.single = smpboot_create_threads,
        let ret = smpboot_create_threads(cpu);
        if ret != 0 {
            return ret;
        }
        step();
        set_online(cpu, true);
        //: .startup.single = smpboot_unpark_threads,
        smpboot_unpark_threads(cpu);
        let mut ret = bring_up(cpu);
        if ret == 0 && late {
            take_down(cpu, 4);
            ret = -11;
        }
        if ret != 0 {
            smpboot_park_threads(cpu);
            go_offline(cpu);
        }
        note(|| format!("CPU-up ends: {ret}"));
        ret
    })
}

/// Takes a CPU offline. `late`: a step after all others fails, and the CPU-down is rolled back.
pub fn cpu_down(cpu: u32, late: bool) -> c_int {
    // SAFETY: The calls follow the order in the kernel.
    hotplug(|| unsafe {
        note(|| "CPU-down begins".into());
        take_down(cpu, 4);
        // C: kernel/cpu.c cpuhp_hp_states
        //: .teardown.single = smpboot_park_threads,
        smpboot_park_threads(cpu);
        step();
        if late {
            smpboot_unpark_threads(cpu);
            bring_up(cpu);
            return -11;
        }
        go_offline(cpu);
        note(|| "CPU-down ends".into());
        0
    })
}

pub unsafe fn __cpuhp_setup_state(
    _state: u32,
    _name: *const c_char,
    invoke: bool,
    startup: Callback,
    teardown: Callback,
    _multi: bool,
) -> c_int {
    let mut ret = 0;
    // C: kernel/cpu.c __cpuhp_setup_state
    //: cpus_read_lock();
    cpus_read_lock();
    // C: kernel/cpu.c __cpuhp_setup_state_cpuslocked
    //: mutex_lock(&cpuhp_state_mutex);
    lock(cpuhp_state_mutex);
    // C: kernel/cpu.c cpuhp_reserve_state
    //: if (!step->name)
    let state = steps().iter().position(|step| step.is_none());
    if let Some(state) = state {
        with(|w| w.cpuhp_hp_states[state] = Some(Step { startup, teardown }));
        // C: kernel/cpu.c __cpuhp_setup_state_cpuslocked
        //: if (ret || !invoke || !startup)
        if invoke && startup.is_some() {
            //: for_each_present_cpu(cpu) {
            for cpu in 0..CPUS as u32 {
                //: if (cpustate < state)
                if !reached(cpu, state) {
                    //: continue;
                    continue;
                }
                //: ret = cpuhp_issue_call(cpu, state, true, NULL);
                ret = cpuhp_invoke_ap_callback(cpu, startup);
                //: if (ret) {
                if ret != 0 {
                    //: if (teardown)
                    //: cpuhp_rollback_install(cpu, state, NULL);
                    for other in (0..cpu).filter(|cpu| reached(*cpu, state)) {
                        cpuhp_invoke_ap_callback(other, teardown);
                    }
                    //: cpuhp_store_callbacks(state, NULL, NULL, NULL, false);
                    with(|w| w.cpuhp_hp_states[state] = None);
                    //: goto out;
                    break;
                }
            }
        }
    } else {
        ret = -(ENOSPC as c_int);
    }
    //: mutex_unlock(&cpuhp_state_mutex);
    unlock(cpuhp_state_mutex);
    cpus_read_unlock();
    if ret == 0 {
        200 + state.unwrap() as c_int
    } else {
        ret
    }
}

fn reached(cpu: u32, state: usize) -> bool {
    with(|w| w.cpuhp_reached[cpu as usize] > state)
}

pub unsafe fn __cpuhp_remove_state(state: u32, invoke: bool) {
    let state = state as usize - 200;
    cpus_read_lock();
    // C: kernel/cpu.c __cpuhp_remove_state_cpuslocked
    //: mutex_lock(&cpuhp_state_mutex);
    lock(cpuhp_state_mutex);
    let step = steps()[state].expect("no such hotplug state");
    //: if (!invoke || !cpuhp_get_teardown_cb(state))
    if invoke && step.teardown.is_some() {
        //: for_each_present_cpu(cpu) {
        for cpu in 0..CPUS as u32 {
            //: if (cpustate >= state)
            if reached(cpu, state) {
                //: cpuhp_issue_call(cpu, state, false, NULL);
                cpuhp_invoke_ap_callback(cpu, step.teardown);
            }
        }
    }
    //: cpuhp_store_callbacks(state, NULL, NULL, NULL, false);
    with(|w| w.cpuhp_hp_states[state] = None);
    //: mutex_unlock(&cpuhp_state_mutex);
    unlock(cpuhp_state_mutex);
    cpus_read_unlock();
}

/// Sets whether CPU 1 is online, at the start of a run.
pub fn boot(cpu1: bool) {
    world::with(|w| w.cpuhp_reached = [4, if cpu1 { 4 } else { 0 }]);
    set_online(1, cpu1);
    set_active(1, cpu1);
}
