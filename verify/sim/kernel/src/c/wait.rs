// SPDX-License-Identifier: GPL-2.0

//! Wait queues. Each section in which C holds the queue's lock is one step.

use crate::bindings::*;
use crate::world::{current, touch};
use core::ffi::{c_char, c_int, c_uint, c_void};
use core::ptr::null_mut;

#[repr(C)]
pub struct wait_queue_head {
    pub head: list_head,
}

#[repr(C)]
pub struct wait_queue_entry {
    entry: list_head,
    task: *mut task_struct,
}

unsafe fn init_list(list: *mut list_head) {
    (*list).next = list;
    (*list).prev = list;
}

unsafe fn del_init(entry: *mut list_head) {
    (*(*entry).next).prev = (*entry).prev;
    (*(*entry).prev).next = (*entry).next;
    init_list(entry);
}

pub unsafe fn __init_waitqueue_head(
    head: *mut wait_queue_head,
    _: *const c_char,
    _: *mut lock_class_key,
) {
    init_list(&raw mut (*head).head);
}

pub unsafe fn init_wait_entry(entry: *mut wait_queue_entry, _flags: c_int) {
    // C: kernel/sched/wait.c init_wait_entry
    //: wq_entry->private = current;
    (*entry).task = current();
    //: INIT_LIST_HEAD(&wq_entry->entry);
    init_list(&raw mut (*entry).entry);
}

pub unsafe fn prepare_to_wait_event(
    head: *mut wait_queue_head,
    entry: *mut wait_queue_entry,
    state: c_int,
) -> c_int {
    touch(head);
    // C: kernel/sched/wait.c prepare_to_wait_event
    //: spin_lock_irqsave(&wq_head->lock, flags);
    //: if (list_empty(&wq_entry->entry)) {
    let this = &raw mut (*entry).entry;
    if (*this).next == this {
        //: __add_wait_queue(wq_head, wq_entry);
        let list = &raw mut (*head).head;
        let first = (*list).next;
        (*this).next = first;
        (*this).prev = list;
        (*first).prev = this;
        (*list).next = this;
    }
    //: set_current_state(state);
    (*current()).__state = state as u32;
    //: spin_unlock_irqrestore(&wq_head->lock, flags);
    crate::world::step();
    0
}

pub unsafe fn finish_wait(head: *mut wait_queue_head, entry: *mut wait_queue_entry) {
    // C: kernel/sched/wait.c finish_wait
    //: __set_current_state(TASK_RUNNING);
    set_state(TASK_RUNNING);
    touch(head);
    //: if (!list_empty_careful(&wq_entry->entry)) {
    let this = &raw mut (*entry).entry;
    if (*this).next != this {
        //: list_del_init(&wq_entry->entry);
        del_init(this);
    }
}

pub unsafe fn __wake_up(
    head: *mut wait_queue_head,
    mode: c_uint,
    _exclusive: c_int,
    _key: *mut c_void,
) -> c_int {
    touch(head);
    // C: kernel/sched/wait.c __wake_up_common
    //: list_for_each_entry_safe_from(curr, next, &wq_head->head, entry) {
    let list = &raw mut (*head).head;
    let mut at = (*list).next;
    let mut woken = vec![];
    while at != list {
        let next = (*at).next;
        let entry = at.cast::<wait_queue_entry>();
        //: ret = curr->func(curr, mode, wake_flags, key);
        // C: kernel/sched/wait.c autoremove_wake_function
        let task = (*entry).task;
        super::kthread::alive(task);
        //: int ret = default_wake_function(wq_entry, mode, sync, key);
        //: if (ret)
        if (*task).__state & mode != 0 {
            (*task).__state = TASK_RUNNING;
            //: list_del_init_careful(&wq_entry->entry);
            del_init(at);
            woken.push(task);
        }
        at = next;
    }
    crate::world::changed();
    woken.len() as c_int
}

pub unsafe fn __wake_up_pollfree(head: *mut wait_queue_head) {
    touch(head);
    let list = &raw mut (*head).head;
    assert!((*list).next == list, "a wait queue is dropped with a task in it");
}

pub unsafe fn poll_wait(_: *mut file, _: *mut wait_queue_head, _: *mut poll_table) {
    let _: *mut c_void = null_mut();
}
