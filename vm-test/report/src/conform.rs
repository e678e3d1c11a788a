// SPDX-License-Identifier: GPL-2.0

//! Whether a run is one that can be: the life of a hotplug thread as `kernel/smpboot.c` defines it, as a state machine
//! that the events of each CPU must walk through, and the kernel's own trace, which must agree.

use crate::model::{Cpu, Event, Kind, Nanos, Run};
use crate::view::{CpuView, Power, Step, View};
use std::fmt;

/// Where a thread is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No thread.
    None,
    /// Made, and parked by `__smpboot_create_thread()`; its function did not run yet.
    Created,
    /// Between `setup` or `unpark` and `park` or `cleanup`.
    Active,
    Parked,
    /// After its `cleanup`, which nothing of this thread follows.
    Gone,
    /// After lost events: whatever comes next is believed.
    Unknown,
}

impl State {
    /// The state after the callback; nothing if it must not be called in this one.
    fn after(self, kind: Kind) -> Option<Self> {
        use State::*;
        Some(match (self, kind) {
            // Of what any CPU may record.
            (state, Kind::Wake) => state,
            (None | Unknown, Kind::Create) => Created,
            (Created | Unknown, Kind::Setup) => Active,
            (Active | Unknown, Kind::Run) => Active,
            (Active | Unknown, Kind::Park) => Parked,
            (Parked | Unknown, Kind::Unpark) => Active,
            // `cleanup(offline)` is that of a thread which was stopped while it was parked.
            (Active | Unknown, Kind::CleanupOnline) => Gone,
            (Active | Parked | Unknown, Kind::CleanupOffline) => Gone,
            // A thread that is stopped while it is parked is not unparked; its CPU may be online again.
            (Parked, Kind::CleanupOnline) => Gone,
            _ => return Option::None,
        })
    }
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub cpu: u32,
    pub event: Event,
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, event, what } = self;
        write!(
            f,
            "cpu{cpu}: event {} at {} ns, {}: {what}",
            event.number,
            event.time,
            event.kind.name()
        )
    }
}

/// Of the module's events alone.
pub fn life(cpus: &[Cpu]) -> Vec<Violation> {
    let mut violations = vec![];
    for cpu in cpus {
        let mut lost = cpu.lost.iter().peekable();
        let mut state = State::None;
        for event in &cpu.events {
            while lost.next_if(|lost| lost.first < event.number).is_some() {
                state = State::Unknown;
            }
            state = state.after(event.kind).unwrap_or_else(|| {
                let what = format!("not after {state:?}");
                violations.push(Violation { cpu: cpu.id, event: *event, what });
                State::Unknown
            });
        }
    }
    violations
}

/// Of all that is known of a run.
pub fn violations(run: &Run) -> Vec<Violation> {
    let mut violations = life(&run.cpus);
    if !run.trace.events.is_empty() && run.trace.lost == 0 {
        let view = View::new(run);
        for cpu in &view.cpus {
            traced(cpu, run.clock_error, &mut violations);
        }
    }
    violations
}

/// The kernel says the same. Times are true to `error`.
fn traced(cpu: &CpuView, error: Nanos, violations: &mut Vec<Violation>) {
    let begun = |step: &Step, event: &Event| step.begin - error <= event.time;
    let inside = |name: &str, event: &Event| {
        let steps = cpu.steps.iter().filter(|step| step.function == name);
        steps.clone().any(|step| begun(step, event) && event.time <= step.end + error)
    };
    let mut unparks = cpu.steps.iter().filter(|step| step.function == "smpboot_unpark_threads");
    for event in &cpu.events {
        let fault = match event.kind {
            // The kernel waits for the thread to be parked, but not for what it does when unparked.
            Kind::Park if !inside("smpboot_park_threads", event) => {
                "outside of smpboot_park_threads()"
            }
            Kind::Unpark if !unparks.next().is_some_and(|step| begun(step, event)) => {
                "no smpboot_unpark_threads() before it"
            }
            Kind::Run | Kind::Setup | Kind::Park | Kind::Unpark if !on_cpu(cpu, event, error) => {
                "the thread was not on the CPU"
            }
            Kind::Run if is_offline(cpu, event, error) => "the CPU was offline",
            _ => continue,
        };
        violations.push(Violation { cpu: cpu.id, event: *event, what: fault.into() });
    }
}

fn on_cpu(cpu: &CpuView, event: &Event, error: Nanos) -> bool {
    let mut spans = cpu.running.iter();
    spans.any(|span| span.begin - error <= event.time && event.time <= span.end + error)
}

fn is_offline(cpu: &CpuView, event: &Event, error: Nanos) -> bool {
    let mut spans = cpu.power.iter().filter(|span| span.what == Power::Offline);
    spans.any(|span| span.begin + error < event.time && event.time < span.end - error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Lost;
    use Kind::*;

    fn cpu(kinds: &[Kind]) -> Cpu {
        let events = kinds.iter().enumerate();
        let events =
            events.map(|(i, kind)| Event { time: i as Nanos, number: i as u64, kind: *kind });
        Cpu { events: events.collect(), ..Cpu::new(0) }
    }

    fn faults(kinds: &[Kind]) -> Vec<(u64, String)> {
        life(&[cpu(kinds)]).into_iter().map(|v| (v.event.number, v.what)).collect()
    }

    #[test]
    fn lives_that_can_be() {
        for kinds in [
            &[][..],
            &[Wake, Wake],
            &[Wake, Create, Wake, Setup, Run, Wake, Run, Park, Wake, Unpark, Run, CleanupOnline],
            &[Create, Setup, Park, CleanupOffline],
            &[Create],
        ] {
            assert_eq!(faults(kinds), [], "{kinds:?}");
        }
    }

    #[test]
    fn lives_that_cannot_be() {
        for (kinds, number, what) in [
            (&[Create, Run][..], 1, "not after Created"),
            (&[Setup], 0, "not after None"),
            (&[Create, Setup, Setup], 2, "not after Active"),
            (&[Create, Setup, Park, Run], 3, "not after Parked"),
            (&[Create, Setup, Park, Park], 3, "not after Parked"),
            (&[Create, Setup, Unpark], 2, "not after Active"),
            (&[Create, CleanupOnline], 1, "not after Created"),
            (&[Create, Setup, CleanupOnline, Run], 3, "not after Gone"),
            (&[Create, Setup, CleanupOnline, CleanupOnline], 3, "not after Gone"),
            (&[Create, Create], 1, "not after Created"),
        ] {
            assert_eq!(faults(kinds), [(number, what.to_owned())], "{kinds:?}");
        }
    }

    #[test]
    fn what_follows_a_gap_is_believed_once() {
        let mut cpu = cpu(&[Create, Setup, Unpark, Unpark]);
        cpu.events[2].number = 5;
        cpu.events[3].number = 6;
        cpu.lost.push(Lost { first: 2, count: 3 });
        let violations = life(&[cpu]);
        assert_eq!(violations.len(), 1);
        assert_eq!(violations[0].to_string(), "cpu0: event 6 at 3 ns, unpark: not after Active");
    }
}
