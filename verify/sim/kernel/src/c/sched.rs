// SPDX-License-Identifier: GPL-2.0

//! Task states, wakes and sleeps.

use super::kthread::alive;
use crate::bindings::*;
use crate::world::{self, changed, current, might_sleep, note, step, with, Timer};
use core::ffi::c_int;

/// `__set_current_state()`
pub(crate) unsafe fn set_state(state: u32) {
    step();
    (*current()).__state = state;
}

pub(crate) unsafe fn set_current_state(state: u32) {
    // C: include/linux/sched.h set_current_state
    //: smp_store_mb(current->__state, (state_value));
    set_state(state);
    step();
}

pub unsafe fn schedule() {
    might_sleep();
    let this = current();
    step();
    world::wait_until(|| (*this).__state == TASK_RUNNING);
}

pub(crate) unsafe fn wake_up_state(task: *mut task_struct, states: u32) -> c_int {
    // C: kernel/sched/core.c try_to_wake_up
    //: if (!ttwu_state_match(p, state, &success))
    step();
    alive(task);
    if (*task).__state & states == 0 {
        return 0;
    }
    note(|| format!("wakes {}", (*task).name));
    //: WRITE_ONCE(p->__state, TASK_WAKING);
    (*task).__state = TASK_RUNNING;
    changed();
    1
}

pub unsafe fn wake_up_process(task: *mut task_struct) -> c_int {
    // C: kernel/sched/core.c wake_up_process
    //: return try_to_wake_up(p, TASK_NORMAL, 0);
    wake_up_state(task, TASK_NORMAL)
}

pub unsafe fn ktime_get() -> i64 {
    step();
    with(|w| w.now)
}

pub unsafe fn schedule_hrtimeout_range(expires: *mut i64, _delta: u64, _mode: u32) -> c_int {
    unsafe fn fire(id: usize) {
        wake_up_process(id as *mut task_struct);
    }
    // C: kernel/time/sleep_timeout.c schedule_hrtimeout_range_clock
    let this = current();
    let id = this as usize;
    //: hrtimer_sleeper_start_expires(&t, mode);
    step();
    let (expires, cpu) = (*expires, (*this).on_cpu());
    with(|w| w.timers.push(Timer { id, expires, cpu, running: false, fire }));
    changed();
    //: schedule();
    schedule();
    //: hrtimer_cancel(&t.timer);
    let fired = with(|w| !w.timers.iter().any(|t| t.id == id && !t.running));
    world::stop_timer(id);
    //: __set_current_state(TASK_RUNNING);
    set_state(TASK_RUNNING);
    //: return !t.task ? 0 : -EINTR;
    if fired {
        0
    } else {
        -(EINTR as c_int)
    }
}
