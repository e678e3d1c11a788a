// SPDX-License-Identifier: GPL-2.0

//! Hotplug threads.

use crate::bindings::*;
use crate::world::{self, lock, note, unlock, with, World, CPUS, STRIDE};
use core::ffi::{c_int, c_void};

#[derive(Clone, Copy, PartialEq)]
enum Status {
    None,
    Active,
    Parked,
}

fn smpboot_threads_lock(w: &mut World) -> &mut bool {
    &mut w.smpboot_threads_lock
}

struct ThreadData {
    cpu: u32,
    ht: *mut smp_hotplug_thread,
}

pub(crate) unsafe fn smpboot_thread_fn(td: *mut c_void) {
    let td = Box::from_raw(td.cast::<ThreadData>());
    let (cpu, ht) = (td.cpu, &*td.ht);
    let mut status = Status::None;
    let bound = || assert!(online(cpu), "a callback ran on an offline CPU");
    // C: kernel/smpboot.c smpboot_thread_fn
    loop {
        //: set_current_state(TASK_INTERRUPTIBLE);
        set_current_state(TASK_INTERRUPTIBLE);
        //: preempt_disable();
        world::atomic(1);
        //: if (kthread_should_stop()) {
        if kthread_should_stop() {
            //: __set_current_state(TASK_RUNNING);
            set_state(TASK_RUNNING);
            //: preempt_enable();
            world::atomic(-1);
            //: if (ht->cleanup && td->status != HP_THREAD_NONE)
            if let (Some(cleanup), true) = (ht.cleanup, status != Status::None) {
                //: ht->cleanup(td->cpu, cpu_online(td->cpu));
                note(|| "cleanup".into());
                cleanup(cpu, online(cpu));
            }
            //: return 0;
            return;
        }
        //: if (kthread_should_park()) {
        if kthread_should_park() {
            //: __set_current_state(TASK_RUNNING);
            set_state(TASK_RUNNING);
            //: preempt_enable();
            world::atomic(-1);
            //: if (ht->park && td->status == HP_THREAD_ACTIVE) {
            if let (Some(park), Status::Active) = (ht.park, status) {
                //: BUG_ON(td->cpu != smp_processor_id());
                bound();
                //: ht->park(td->cpu);
                note(|| "park".into());
                park(cpu);
                //: td->status = HP_THREAD_PARKED;
                status = Status::Parked;
            }
            //: kthread_parkme();
            kthread_parkme();
            //: continue;
            continue;
        }
        //: BUG_ON(td->cpu != smp_processor_id());
        bound();
        match status {
            //: case HP_THREAD_NONE:
            Status::None => {
                //: __set_current_state(TASK_RUNNING);
                set_state(TASK_RUNNING);
                //: preempt_enable();
                world::atomic(-1);
                //: if (ht->setup)
                if let Some(setup) = ht.setup {
                    //: ht->setup(td->cpu);
                    note(|| "setup".into());
                    setup(cpu);
                }
                //: td->status = HP_THREAD_ACTIVE;
                status = Status::Active;
                continue;
            }
            //: case HP_THREAD_PARKED:
            Status::Parked => {
                //: __set_current_state(TASK_RUNNING);
                set_state(TASK_RUNNING);
                //: preempt_enable();
                world::atomic(-1);
                //: if (ht->unpark)
                if let Some(unpark) = ht.unpark {
                    //: ht->unpark(td->cpu);
                    note(|| "unpark".into());
                    unpark(cpu);
                }
                //: td->status = HP_THREAD_ACTIVE;
                status = Status::Active;
                continue;
            }
            Status::Active => {}
        }
        //: if (!ht->thread_should_run(td->cpu)) {
        if ht.thread_should_run.unwrap()(cpu) == 0 {
            //: preempt_enable_no_resched();
            world::atomic(-1);
            //: schedule();
            schedule();
        } else {
            //: __set_current_state(TASK_RUNNING);
            set_state(TASK_RUNNING);
            //: preempt_enable();
            world::atomic(-1);
            //: ht->thread_fn(td->cpu);
            note(|| "run".into());
            ht.thread_fn.unwrap()(cpu);
        }
    }
}

unsafe fn per_cpu_ptr(ht: *mut smp_hotplug_thread, cpu: u32) -> *mut *mut task_struct {
    let at = (*ht).store.byte_add(cpu as usize * STRIDE);
    world::check(at);
    at
}

unsafe fn __smpboot_create_thread(ht: *mut smp_hotplug_thread, cpu: u32) -> c_int {
    // C: kernel/smpboot.c __smpboot_create_thread
    //: struct task_struct *tsk = *per_cpu_ptr(ht->store, cpu);
    //: if (tsk)
    if !(*per_cpu_ptr(ht, cpu)).is_null() {
        //: return 0;
        return 0;
    }
    //: return -ENOMEM;
    if with(|w| world::countdown(&mut w.fail_create)) {
        return -(ENOMEM as c_int);
    }
    //: td->cpu = cpu;
    //: td->ht = ht;
    let td = Box::into_raw(Box::new(ThreadData { cpu, ht }));
    //: tsk = kthread_create_on_cpu(smpboot_thread_fn, td, cpu,
    let name = ["thread/0", "thread/1"][cpu as usize];
    let task = kthread_create_on_cpu(smpboot_thread_fn, td.cast(), cpu, name);
    //: kthread_park(tsk);
    kthread_park(task);
    //: get_task_struct(tsk);
    get_task_struct(task);
    //: *per_cpu_ptr(ht->store, cpu) = tsk;
    *per_cpu_ptr(ht, cpu) = task;
    //: if (ht->create) {
    if let Some(create) = (*ht).create {
        //: ht->create(cpu);
        create(cpu);
    }
    //: return 0;
    0
}

pub(crate) unsafe fn smpboot_create_threads(cpu: u32) -> c_int {
    let mut ret = 0;
    // C: kernel/smpboot.c smpboot_create_threads
    //: mutex_lock(&smpboot_threads_lock);
    lock(smpboot_threads_lock);
    //: list_for_each_entry(cur, &hotplug_threads, list) {
    for cur in with(|w| w.hotplug_threads.clone()) {
        //: ret = __smpboot_create_thread(cur, cpu);
        ret = __smpboot_create_thread(cur, cpu);
        //: break;
        if ret != 0 {
            break;
        }
    }
    //: mutex_unlock(&smpboot_threads_lock);
    unlock(smpboot_threads_lock);
    ret
}

unsafe fn smpboot_unpark_thread(ht: *mut smp_hotplug_thread, cpu: u32) {
    // C: kernel/smpboot.c smpboot_unpark_thread
    //: if (!ht->selfparking)
    if !(*ht).selfparking {
        //: kthread_unpark(tsk);
        kthread_unpark(*per_cpu_ptr(ht, cpu));
    }
}

pub(crate) unsafe fn smpboot_unpark_threads(cpu: u32) {
    // C: kernel/smpboot.c smpboot_unpark_threads
    //: mutex_lock(&smpboot_threads_lock);
    lock(smpboot_threads_lock);
    //: list_for_each_entry(cur, &hotplug_threads, list)
    for cur in with(|w| w.hotplug_threads.clone()) {
        //: smpboot_unpark_thread(cur, cpu);
        smpboot_unpark_thread(cur, cpu);
    }
    //: mutex_unlock(&smpboot_threads_lock);
    unlock(smpboot_threads_lock);
}

unsafe fn smpboot_park_thread(ht: *mut smp_hotplug_thread, cpu: u32) {
    // C: kernel/smpboot.c smpboot_park_thread
    let task = *per_cpu_ptr(ht, cpu);
    //: if (tsk && !ht->selfparking)
    if !task.is_null() && !(*ht).selfparking {
        //: kthread_park(tsk);
        kthread_park(task);
    }
}

pub(crate) unsafe fn smpboot_park_threads(cpu: u32) {
    // C: kernel/smpboot.c smpboot_park_threads
    //: mutex_lock(&smpboot_threads_lock);
    lock(smpboot_threads_lock);
    //: list_for_each_entry_reverse(cur, &hotplug_threads, list)
    for cur in with(|w| w.hotplug_threads.clone()).into_iter().rev() {
        //: smpboot_park_thread(cur, cpu);
        smpboot_park_thread(cur, cpu);
    }
    //: mutex_unlock(&smpboot_threads_lock);
    unlock(smpboot_threads_lock);
}

unsafe fn smpboot_destroy_threads(ht: *mut smp_hotplug_thread) {
    // C: kernel/smpboot.c smpboot_destroy_threads
    //: for_each_possible_cpu(cpu) {
    for cpu in 0..CPUS as u32 {
        //: struct task_struct *tsk = *per_cpu_ptr(ht->store, cpu);
        let task = *per_cpu_ptr(ht, cpu);
        //: if (tsk) {
        if !task.is_null() {
            //: kthread_stop_put(tsk);
            kthread_stop_put(task);
            world::step();
            //: *per_cpu_ptr(ht->store, cpu) = NULL;
            *per_cpu_ptr(ht, cpu) = core::ptr::null_mut();
        }
    }
}

pub unsafe fn smpboot_register_percpu_thread(ht: *mut smp_hotplug_thread) -> c_int {
    let mut ret = 0;
    // C: kernel/smpboot.c smpboot_register_percpu_thread
    //: cpus_read_lock();
    cpus_read_lock();
    //: mutex_lock(&smpboot_threads_lock);
    lock(smpboot_threads_lock);
    //: for_each_online_cpu(cpu) {
    for cpu in (0..CPUS as u32).filter(|cpu| online(*cpu)) {
        //: ret = __smpboot_create_thread(plug_thread, cpu);
        ret = __smpboot_create_thread(ht, cpu);
        //: if (ret) {
        if ret != 0 {
            //: smpboot_destroy_threads(plug_thread);
            smpboot_destroy_threads(ht);
            //: goto out;
            break;
        }
        //: smpboot_unpark_thread(plug_thread, cpu);
        smpboot_unpark_thread(ht, cpu);
    }
    //: list_add(&plug_thread->list, &hotplug_threads);
    if ret == 0 {
        with(|w| w.hotplug_threads.insert(0, ht));
    }
    //: out:
    //: mutex_unlock(&smpboot_threads_lock);
    unlock(smpboot_threads_lock);
    //: cpus_read_unlock();
    cpus_read_unlock();
    ret
}

pub unsafe fn smpboot_unregister_percpu_thread(ht: *mut smp_hotplug_thread) {
    // C: kernel/smpboot.c smpboot_unregister_percpu_thread
    //: cpus_read_lock();
    cpus_read_lock();
    //: mutex_lock(&smpboot_threads_lock);
    lock(smpboot_threads_lock);
    //: list_del(&plug_thread->list);
    let before = with(|w| w.hotplug_threads.len());
    with(|w| w.hotplug_threads.retain(|other| *other != ht));
    assert!(with(|w| w.hotplug_threads.len()) < before, "the threads are not registered");
    //: smpboot_destroy_threads(plug_thread);
    smpboot_destroy_threads(ht);
    //: mutex_unlock(&smpboot_threads_lock);
    unlock(smpboot_threads_lock);
    //: cpus_read_unlock();
    cpus_read_unlock();
}
