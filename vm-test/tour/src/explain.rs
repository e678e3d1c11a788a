// SPDX-License-Identifier: GPL-2.0

//! Sentences on what just happened, and why.

use crate::{Action, Observation, Sample, Target, times};

/// Explains an action by the observations before it and after it. `error`: the guest's kernel
/// refused it, with this message.
pub fn explain(
    action: &Action,
    before: &Observation,
    after: &Observation,
    error: Option<&str>,
) -> String {
    if let Some(error) = error {
        return format!("{} failed: {error}.", action.command());
    }
    let pending = |cpu: u32| before.cpus.get(&cpu).is_some_and(|thread| thread.pending);
    match *action {
        Action::Load => {
            let threads = times(after.online().count() as u64, "thread");
            format!("Created parked: {threads}, one per CPU. Each ran setup() on its CPU.")
        }
        Action::Unload => "Each thread ran cleanup() and exited.".into(),
        Action::Offline(cpu) => format!(
            "CPU {cpu} is offline. The kernel parked its thread first: the thread keeps its state \
             and its PID."
        ),
        Action::Online(cpu) if pending(cpu) => format!(
            "CPU {cpu} is online. The same thread was unparked, and ran for the wake that was \
             pending."
        ),
        Action::Online(cpu) => {
            format!("CPU {cpu} is online. The same thread was unparked; setup() did not run again.")
        }
        Action::Wake(Target::Cpu(cpu)) if !before.cpus.get(&cpu).is_some_and(|t| t.online) => {
            format!("CPU {cpu} is offline: the wake stays pending until the thread is unparked.")
        }
        Action::Wake(_) => "The wake set a flag and woke the thread, which called run().".into(),
        Action::Period(0) => "The timers stop: each thread stops its own in its next run.".into(),
        Action::Period(us) => format!("A timer on each CPU wakes its thread every {us} µs."),
        Action::FailAt(cpu, state) => {
            format!("The next hotplug operation of CPU {cpu} fails at state {state}.")
        }
        Action::Open => "An open file holds a reference: rmmod fails until it is closed.".into(),
        Action::Close => "The file is closed: rmmod succeeds now.".into(),
        Action::Policy { pid, fifo: Some(priority) } => {
            format!("PID {pid} has SCHED_FIFO with priority {priority}: it runs before fair tasks.")
        }
        Action::Policy { pid, fifo: None } => format!("PID {pid} has the default policy."),
        Action::Hibernate => "All CPUs but one were offline, and are online again.".into(),
        Action::Sample { name, load: true } => {
            let shows = Sample::named(name).map_or("", |sample| sample.shows);
            format!(
                "{name} shows: {shows}. Its threads are parked and unparked with those of the demo."
            )
        }
        Action::Sample { name, load: false } => {
            format!("{name} is unloaded: its threads have exited.")
        }
    }
}
