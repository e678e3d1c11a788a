// SPDX-License-Identifier: GPL-2.0

//! Checks whether a run conforms to `kernel/smpboot.c`: the order of each thread's events, and
//! their agreement with the kernel's trace.

use crate::ftrace::What;
use crate::view::{CpuView, Power, Span, Step, View};
use demo_format::Nanos;
use demo_format::events::Event;
use demo_format::format::{Kind, State, THREAD};
use demo_format::life::{self, Violation};

/// Checks the events and the trace of a run.
pub fn violations(view: &View) -> Vec<Violation> {
    let run = &view.run;
    let mut violations = life::check(&run.cpus);
    if !run.trace.events.is_empty() && run.trace.lost == 0 {
        for cpu in &view.cpus {
            traced(cpu, run.clock_error, &mut violations);
            on_its_cpu(view, cpu, &mut violations);
            parked(cpu, run.clock_error, &mut violations);
        }
    }
    violations
}

/// Checks that the kernel's trace agrees with each callback. Times are exact to `error`.
fn traced(cpu: &CpuView, error: Nanos, violations: &mut Vec<Violation>) {
    let begun = |step: &Step, event: &Event| step.begin - error <= event.time;
    let inside = |name: &str, event: &Event| {
        let steps = cpu.steps.iter().filter(|step| step.function == name);
        steps.clone().any(|step| begun(step, event) && event.time <= step.end + error)
    };
    let mut unparks = cpu.steps.iter().filter(|step| step.function == "smpboot_unpark_threads");
    for event in cpu.events.iter().filter(|event| event.kind != Kind::Wake) {
        let mut fault = |what: &str| {
            violations.push(Violation { cpu: cpu.id, event: *event, what: what.into() });
        };
        let [offline, online] =
            [Power::Offline, Power::Online].map(|power| is_power(cpu, event, error, power));
        match event.kind {
            // The task that creates the thread records this event.
            Kind::Create => {
                if offline && !inside("smpboot_create_threads", event) {
                    fault("outside of smpboot_create_threads()");
                }
                continue;
            }
            // The kernel waits until the thread is parked, but not until `unpark` returns.
            Kind::Park if !inside("smpboot_park_threads", event) => {
                fault("outside of smpboot_park_threads()");
            }
            Kind::Unpark if !unparks.next().is_some_and(|step| begun(step, event)) => {
                fault("no smpboot_unpark_threads() before it");
            }
            Kind::CleanupOffline if online => fault("the CPU was online"),
            _ => {}
        }
        if offline && event.kind != Kind::CleanupOffline {
            fault("the CPU was offline");
        }
        if !on_cpu(cpu, event, error) {
            fault("the thread was not on the CPU");
        }
    }
}

/// Checks that an active thread runs on its own CPU only.
fn on_its_cpu(view: &View, cpu: &CpuView, violations: &mut Vec<Violation>) {
    let thread = format!("{THREAD}/{}", cpu.id);
    let (trace, error) = (&view.run.trace, view.run.clock_error);
    for span in cpu.states.iter().filter(|span| span.what == Some(State::Active)) {
        let stray = trace.events.iter().find(|event| {
            let to_it = matches!(&event.what, What::Switch { to, .. } if *to == thread);
            let during = span.begin + error < event.time && event.time < span.end - error;
            to_it && during && event.cpu != cpu.id
        });
        let last = |time| cpu.events.iter().rfind(|event| event.time <= time);
        if let Some((stray, event)) = stray.and_then(|stray| Some((stray, last(stray.time)?))) {
            let what = format!("then the thread was on CPU {} at {} ns", stray.cpu, stray.time);
            violations.push(Violation { cpu: cpu.id, event: *event, what });
        }
    }
}

/// Checks that the kernel parks no active thread without its callback.
fn parked(cpu: &CpuView, error: Nanos, violations: &mut Vec<Violation>) {
    let mut parks = cpu.steps.iter().filter(|step| step.function == "smpboot_park_threads");
    while let Some(step) = parks.find(|step| step.ret == Some(0)) {
        let active = |span: &&Span<Option<State>>| {
            let during = span.begin + error < step.begin && step.end + error < span.end;
            span.what == Some(State::Active) && during
        };
        let last = cpu.events.iter().rfind(|event| event.time <= step.begin);
        if let (Some(_), Some(event)) = (cpu.states.iter().find(active), last) {
            let what = format!("no park during smpboot_park_threads() at {} ns", step.begin);
            violations.push(Violation { cpu: cpu.id, event: *event, what });
        }
    }
}

fn on_cpu(cpu: &CpuView, event: &Event, error: Nanos) -> bool {
    let mut spans = cpu.running.iter();
    spans.any(|span| span.begin - error <= event.time && event.time <= span.end + error)
}

fn is_power(cpu: &CpuView, event: &Event, error: Nanos, power: Power) -> bool {
    let mut spans = cpu.power.iter().filter(|span| span.what == power);
    spans.any(|span| span.begin + error < event.time && event.time < span.end - error)
}
