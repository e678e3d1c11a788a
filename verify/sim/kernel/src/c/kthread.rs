// SPDX-License-Identifier: GPL-2.0

//! Kernel threads, parking and stopping.

use crate::bindings::*;
use crate::world::{
    self, changed, current, new_task, note, set_current, step, wait_until, with, Sendable,
};
use core::ffi::{c_int, c_void};

/// Ends the run if the task was freed. Its memory is kept, so that this can be detected.
pub(crate) unsafe fn alive(task: *mut task_struct) {
    if (*task).usage == 0 && !std::thread::panicking() {
        panic!("a task is used after it was freed");
    }
}

pub unsafe fn get_task_struct(task: *mut task_struct) {
    step();
    alive(task);
    (*task).usage += 1;
}

unsafe fn put_task_struct(task: *mut task_struct) {
    step();
    alive(task);
    (*task).usage -= 1;
    if (*task).usage == 0 {
        // So that a user of the task continues, and is detected.
        (*task).__state = TASK_NORMAL;
        (*task).pid = -1;
    }
}

pub unsafe fn kthread_func(task: *mut task_struct) -> *mut c_void {
    (*task).func as *mut c_void
}

pub unsafe fn kthread_should_stop() -> bool {
    step();
    (*current()).should_stop
}

pub unsafe fn kthread_should_park() -> bool {
    step();
    (*current()).should_park
}

pub(crate) unsafe fn kthread_create_on_cpu(
    threadfn: unsafe fn(*mut c_void),
    data: *mut c_void,
    cpu: u32,
    name: &'static str,
) -> *mut task_struct {
    let mut task = task_struct::new(name, cpu);
    task.flags = PF_KTHREAD;
    task.func = threadfn as usize;
    // C: kernel/kthread.c kthread
    //: __set_current_state(TASK_UNINTERRUPTIBLE);
    task.__state = TASK_UNINTERRUPTIBLE;
    let task = new_task(task);
    with(|w| w.threads_alive += 1);
    let arguments = Sendable((task, data));
    shuttle::thread::spawn(move || {
        let arguments = arguments;
        let (task, data) = arguments.0;
        set_current(task);
        //: schedule_preempt_disabled();
        schedule();
        step();
        //: if (!test_bit(KTHREAD_SHOULD_STOP, &self->flags)) {
        if !(*task).should_stop {
            //: __kthread_parkme(self);
            kthread_parkme();
            //: ret = threadfn(data);
            threadfn(data);
        }
        //: kthread_exit(ret);
        step();
        note(|| "exits".into());
        (*task).__state = TASK_DEAD;
        (*task).exited = true;
        with(|w| w.threads_alive -= 1);
        changed();
        put_task_struct(task);
    });
    task
}

pub(crate) unsafe fn kthread_parkme() {
    world::might_sleep();
    let this = current();
    // C: kernel/kthread.c __kthread_parkme
    //: for (;;) {
    loop {
        //: set_special_state(TASK_PARKED);
        step();
        (*this).__state = TASK_PARKED;
        step();
        //: if (!test_bit(KTHREAD_SHOULD_PARK, &self->flags))
        if !(*this).should_park {
            //: break;
            break;
        }
        //: complete(&self->parked);
        step();
        (*this).parked += 1;
        changed();
        //: schedule_preempt_disabled();
        schedule();
    }
    //: __set_current_state(TASK_RUNNING);
    set_state(TASK_RUNNING);
}

pub unsafe fn kthread_unpark(k: *mut task_struct) {
    step();
    alive(k);
    // C: kernel/kthread.c kthread_unpark
    //: if (!test_bit(KTHREAD_SHOULD_PARK, &kthread->flags))
    if !(*k).should_park {
        //: return;
        return;
    }
    note(|| format!("unparks {}", (*k).name));
    //: clear_bit(KTHREAD_SHOULD_PARK, &kthread->flags);
    (*k).should_park = false;
    //: wake_up_state(k, TASK_PARKED);
    wake_up_state(k, TASK_PARKED);
}

pub unsafe fn kthread_park(k: *mut task_struct) -> c_int {
    step();
    alive(k);
    note(|| format!("parks {}", (*k).name));
    // C: kernel/kthread.c kthread_park
    //: if (WARN_ON(k->flags & PF_EXITING))
    //: return -ENOSYS;
    assert!(!(*k).exited, "kthread_park() of a thread that has exited");
    //: if (WARN_ON_ONCE(test_bit(KTHREAD_SHOULD_PARK, &kthread->flags)))
    //: return -EBUSY;
    assert!(!(*k).should_park, "kthread_park() of a thread that should park already");
    //: set_bit(KTHREAD_SHOULD_PARK, &kthread->flags);
    (*k).should_park = true;
    //: wake_up_process(k);
    wake_up_process(k);
    //: wait_for_completion(&kthread->parked);
    wait_until(|| (*k).parked > 0);
    (*k).parked -= 1;
    //: WARN_ON_ONCE(!wait_task_inactive(k, TASK_PARKED));
    assert!((*k).__state == TASK_PARKED, "the thread is not parked");
    0
}

unsafe fn kthread_stop(k: *mut task_struct) {
    // C: kernel/kthread.c kthread_stop
    //: get_task_struct(k);
    get_task_struct(k);
    //: set_bit(KTHREAD_SHOULD_STOP, &kthread->flags);
    note(|| format!("stops {}", (*k).name));
    (*k).should_stop = true;
    //: kthread_unpark(k);
    kthread_unpark(k);
    //: wake_up_process(k);
    wake_up_process(k);
    //: wait_for_completion(&kthread->exited);
    wait_until(|| (*k).exited);
    //: put_task_struct(k);
    put_task_struct(k);
}

pub(crate) unsafe fn kthread_stop_put(k: *mut task_struct) {
    // C: kernel/kthread.c kthread_stop_put
    //: ret = kthread_stop(k);
    kthread_stop(k);
    //: put_task_struct(k);
    put_task_struct(k);
}
