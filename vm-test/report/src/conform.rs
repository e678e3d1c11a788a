// SPDX-License-Identifier: GPL-2.0

//! Whether a run is one that can be: the life of a hotplug thread as `kernel/smpboot.c` defines it, as a state machine
//! that the events of each CPU must walk through, and the kernel's own trace, which must agree.

use crate::ftrace::{THREAD, What};
use crate::model::{Cpu, Event, Kind, Nanos, Run};
use crate::view::{CpuView, Life, Power, Span, Step, View};
use std::collections::BTreeSet;
use std::fmt;

/// Where a thread is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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
}

impl State {
    const ALL: [Self; 5] = [Self::None, Self::Created, Self::Active, Self::Parked, Self::Gone];

    /// The state after the callback; nothing if it must not be called in this one.
    fn after(self, kind: Kind) -> Option<Self> {
        use State::*;
        Some(match (self, kind) {
            // Any CPU may record one at any time.
            (state, Kind::Wake) => state,
            (None, Kind::Create) => Created,
            (Created, Kind::Setup) => Active,
            (Active, Kind::Run) => Active,
            (Active, Kind::Park) => Parked,
            (Parked, Kind::Unpark) => Active,
            // Hotplug and unregistration exclude each other: an active thread has its CPU.
            (Active, Kind::CleanupOnline) => Gone,
            (Parked, Kind::CleanupOffline) => Gone,
            // The CPU is back, and the thread sees that it is to stop before it sees that it is unparked.
            (Parked, Kind::CleanupOnline) => Gone,
            _ => return Option::None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Created => "created",
            Self::Active => "active",
            Self::Parked => "parked",
            Self::Gone => "stopped",
        }
    }
}

/// Every state that a thread may be in: more than one after lost events.
struct States(BTreeSet<State>);

impl States {
    fn after(&self, kind: Kind) -> Self {
        Self(self.0.iter().filter_map(|state| state.after(kind)).collect())
    }

    /// After so many events of which nothing is known.
    fn after_any(mut self, events: u64) -> Self {
        for _ in 0..events.min(State::ALL.len() as u64) {
            self = Self(Kind::ALL.iter().flat_map(|kind| self.after(*kind).0).collect());
        }
        self
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|state| state.name()).collect();
        f.write_str(&names.join(" or "))
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

/// Checks the module's events alone.
pub fn life(cpus: &[Cpu]) -> Vec<Violation> {
    cpus.iter().flat_map(life_of).collect()
}

/// The same, of one CPU.
pub fn life_of(cpu: &Cpu) -> Vec<Violation> {
    let mut violations = vec![];
    let mut lost = cpu.lost.iter().peekable();
    let mut states = States(BTreeSet::from([State::None]));
    let mut last = Nanos::MIN;
    // Each run takes at least one wake, which was recorded before. Lost events may have been wakes.
    let (mut wakes, mut lost_wakes, mut runs) = (vec![], 0, 0);
    for event in &cpu.events {
        let mut violation = |what| violations.push(Violation { cpu: cpu.id, event: *event, what });
        while let Some(lost) = lost.next_if(|lost| lost.first < event.number) {
            states = states.after_any(lost.count);
            lost_wakes += lost.count;
        }

        let after = states.after(event.kind);
        states = match after.0.is_empty() {
            false => after,
            true => {
                violation(format!("not after {states}"));
                States(State::ALL.into()).after(event.kind)
            }
        };
        match event.kind {
            // Several CPUs may record wakes at once, not quite in the order of time.
            Kind::Wake => {
                wakes.insert(wakes.partition_point(|time| *time <= event.time), event.time);
                continue;
            }
            Kind::Run => {
                runs += 1;
                let woken = wakes.partition_point(|time| *time <= event.time) as u64 + lost_wakes;
                if runs > woken {
                    violation(format!("run {runs} after {woken} wakes"));
                }
            }
            _ => {}
        }
        if event.time < last {
            violation("earlier than the callback before it".into());
        }
        last = last.max(event.time);
    }
    violations
}

/// Checks all that is known of a run.
pub fn violations(run: &Run) -> Vec<Violation> {
    let mut violations = life(&run.cpus);
    if !run.trace.events.is_empty() && run.trace.lost == 0 {
        let view = View::new(run);
        for cpu in &view.cpus {
            traced(cpu, run.clock_error, &mut violations);
            on_its_cpu(run, cpu, &mut violations);
            parked(cpu, run.clock_error, &mut violations);
        }
    }
    violations
}

/// The kernel's trace agrees with each callback. Times are true to `error`.
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
            // The thread of whoever creates it records that.
            Kind::Create => {
                if offline && !inside("smpboot_create_threads", event) {
                    fault("outside of smpboot_create_threads()");
                }
                continue;
            }
            // The kernel waits for the thread to be parked, but not for what it does when unparked.
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

/// An active thread is switched to on its own CPU alone.
fn on_its_cpu(run: &Run, cpu: &CpuView, violations: &mut Vec<Violation>) {
    let thread = format!("{THREAD}/{}", cpu.id);
    let error = run.clock_error;
    for span in cpu.life.iter().filter(|span| span.what == Life::Active) {
        let stray = run.trace.events.iter().find(|event| {
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

/// The kernel parks no active thread without its callback.
fn parked(cpu: &CpuView, error: Nanos, violations: &mut Vec<Violation>) {
    let mut parks = cpu.steps.iter().filter(|step| step.function == "smpboot_park_threads");
    while let Some(step) = parks.find(|step| step.ret == Some(0)) {
        let active = |span: &&Span<Life>| {
            let during = span.begin + error < step.begin && step.end + error < span.end;
            span.what == Life::Active && during
        };
        let last = cpu.events.iter().rfind(|event| event.time <= step.begin);
        if let (Some(_), Some(event)) = (cpu.life.iter().find(active), last) {
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
            // Two CPUs record a wake each before the first one is answered.
            &[Create, Setup, Wake, Wake, Run, Run],
        ] {
            assert_eq!(faults(kinds), [], "{kinds:?}");
        }
    }

    /// The shortest way into each state, and what may follow there; a wake always may.
    const STATES: [(&str, &[Kind], &[Kind]); 5] = [
        ("none", &[], &[Create]),
        ("created", &[Create], &[Setup]),
        ("active", &[Create, Setup], &[Run, Park, CleanupOnline]),
        ("parked", &[Create, Setup, Park], &[Unpark, CleanupOnline, CleanupOffline]),
        ("stopped", &[Create, Setup, CleanupOnline], &[]),
    ];

    #[test]
    fn each_illegal_successor_of_each_state_is_a_violation() {
        for (state, way, legal) in STATES {
            for kind in Kind::ALL {
                // With a wake that a run may answer.
                let kinds = [&[Wake], way, &[kind]].concat();
                let wanted = match kind == Wake || legal.contains(&kind) {
                    true => vec![],
                    false => vec![(kinds.len() as u64 - 1, format!("not after {state}"))],
                };
                assert_eq!(faults(&kinds), wanted, "{kinds:?}");
            }
        }
    }

    #[test]
    fn a_run_without_a_wake_is_a_violation() {
        let what = |runs, wakes| format!("run {runs} after {wakes} wakes");
        assert_eq!(faults(&[Create, Setup, Run]), [(2, what(1, 0))]);
        assert_eq!(faults(&[Create, Setup, Wake, Run, Run, Wake]), [(4, what(2, 1))]);
        // Recorded before the run, but later.
        let mut late = cpu(&[Create, Setup, Wake, Run]);
        late.events[2].time = 4;
        assert_eq!(life(&[late])[0].what, what(1, 0));
    }

    #[test]
    fn time_that_runs_back_is_a_violation() {
        let mut cpu = cpu(&[Create, Setup, Wake, Wake, Run, Park]);
        cpu.events.swap(2, 3);
        assert_eq!(life(std::slice::from_ref(&cpu)), [], "wakes come from several CPUs");
        cpu.events[5].time = 3;
        let violations = life(&[cpu]);
        assert_eq!(violations[0].what, "earlier than the callback before it");
        assert_eq!(violations.len(), 1);
    }

    #[test]
    fn after_a_gap_only_what_fits_into_it_is_believed() {
        let gap = |before: &[Kind], lost: u64, after: Kind| {
            let mut cpu = cpu(&[before, &[after]].concat());
            let first = before.len() as u64;
            cpu.events[before.len()].number = first + lost;
            cpu.lost.push(Lost { first, count: lost });
            life(&[cpu]).into_iter().map(|v| v.what).collect::<Vec<_>>()
        };
        assert_eq!(gap(&[], 3, Run), [""; 0]);
        assert_eq!(gap(&[], 1, Run), ["not after none or created"]);
        assert_eq!(gap(&[Create, Setup], 1, Unpark), [""; 0]);
        assert_eq!(gap(&[Create, Setup], 1, CleanupOffline), [""; 0]);
        assert_eq!(gap(&[Create, Setup], 9, Setup), ["not after active or parked or stopped"]);
        assert_eq!(gap(&[Create, Setup], 9, Create), ["not after active or parked or stopped"]);
        assert_eq!(gap(&[Create, Setup, CleanupOnline], 9, Park), ["not after stopped"]);
        assert_eq!(gap(&[Create, Setup, Wake, Run], 1, Run), [""; 0]);
    }

    #[test]
    fn a_violation_hides_no_later_one() {
        let wanted = |number, state: &str| (number, format!("not after {state}"));
        assert_eq!(
            faults(&[Create, Setup, Unpark, Unpark, Setup]),
            [wanted(2, "active"), wanted(3, "active"), wanted(4, "active")]
        );
    }

    #[test]
    fn a_violation_names_cpu_event_and_time() {
        let violations = life(&[cpu(&[Create, Create])]);
        assert_eq!(violations[0].to_string(), "cpu0: event 1 at 1 ns, create: not after created");
    }
}
