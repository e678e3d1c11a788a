// SPDX-License-Identifier: GPL-2.0

//! The kernel's trace as Perfetto's ftrace events, from which it draws what each CPU runs, and the
//! state of each thread.

use super::protobuf::Message;
use crate::ftrace::{Event, Trace, What};
use demo_format::Nanos;
use demo_format::format::THREAD;
use std::collections::BTreeMap;

/// Returns an `FtraceEventBundle` for each CPU. Events that Perfetto's schema lacks are skipped.
pub fn bundles(trace: &Trace, shift: Nanos) -> Vec<Message> {
    let mut bundles: BTreeMap<u32, Message> = BTreeMap::new();
    for event in &trace.events {
        if let Some((field, what)) = what(event) {
            let message = Message::default()
                .int(1, event.time.saturating_add(shift))
                .int(2, event.pid.into())
                .message(field, what);
            let bundle = bundles
                .entry(event.cpu)
                .or_insert_with(|| Message::default().int(1, event.cpu.into()));
            *bundle = std::mem::take(bundle).message(2, message);
        }
    }
    bundles.into_values().collect()
}

/// Returns the threads of the module, by their pids.
pub fn threads(trace: &Trace) -> BTreeMap<i64, &str> {
    let threads = trace.events.iter().filter_map(|event| match &event.what {
        What::Thread { comm } => Some((number(&event.text, " pid=")?, comm.as_str())),
        _ => None,
    });
    threads.filter(|(_, comm)| comm.starts_with(&format!("{THREAD}/"))).collect()
}

/// Returns the field of `FtraceEvent` for this event, and its value.
fn what(event: &Event) -> Option<(u32, Message)> {
    let text = &event.text;
    let numbers = |message: Message, fields: &[(u32, &str)]| {
        fields.iter().try_fold(message, |message, (field, key)| {
            Some(message.int(*field, number(text, key)?))
        })
    };
    Some(match (event.name.as_str(), &event.what) {
        (_, What::Switch { from, state, to }) => {
            let message = Message::default().text(1, from).int(4, state_bits(state)).text(5, to);
            let fields =
                [(2, " prev_pid="), (3, " prev_prio="), (6, " next_pid="), (7, " next_prio=")];
            (4, numbers(message, &fields)?)
        }
        (name, What::Thread { comm }) => {
            let (number, more): (_, &[_]) = match name {
                "sched_wakeup" => (17, &[(5, " target_cpu=")]),
                "sched_waking" => (20, &[(5, " target_cpu=")]),
                "sched_wakeup_new" => (114, &[(5, " target_cpu=")]),
                "sched_migrate_task" => (491, &[(4, " orig_cpu="), (5, " dest_cpu=")]),
                _ => return None,
            };
            let message = Message::default().text(1, comm);
            let fields = [&[(2, " pid="), (3, " prio=")], more].concat();
            (number, numbers(message, &fields)?)
        }
        ("cpuhp_exit", _) => {
            let fields = [(1, "cpu:"), (2, "step:"), (3, "ret:"), (4, "state:")];
            (343, numbers(Message::default(), &fields)?)
        }
        (name, What::HotplugEnter { cpu, target, step, .. }) => {
            let number = if name == "cpuhp_enter" { 345 } else { 344 };
            let message = Message::default().int(1, (*cpu).into());
            (number, message.int(3, (*step).into()).int(4, (*target).into()))
        }
        (_, What::Marker(_)) => (3, Message::default().text(2, text)),
        _ => return None,
    })
}

/// Returns the number that follows `key`. A task's name is before it, and may contain `key`.
fn number(text: &str, key: &str) -> Option<i64> {
    let (_, rest) = text.rsplit_once(key)?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Returns the bits that the kernel printed as these letters; `R` has none.
fn state_bits(letters: &str) -> i64 {
    const BITS: &str = "SDTtXZPI+";
    letters.chars().filter_map(|letter| BITS.find(letter)).map(|bit| 1 << bit).sum()
}
