// SPDX-License-Identifier: GPL-2.0

//! The life cycle of each thread: checks that its events are in an order that [`State`] allows, and
//! derives the states between them.

use crate::Nanos;
use crate::events::{Cpu, Event};
use crate::format::{Kind, State};
use std::fmt;

/// The states that a thread may be in: more than one after lost events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States(u8);

impl States {
    const NONE: Self = Self(1 << State::None as u8);
    const ALL: Self = Self((1 << State::ALL.len()) - 1);

    fn iter(self) -> impl Iterator<Item = State> {
        State::ALL.iter().copied().filter(move |state| self.0 & (1 << *state as u8) != 0)
    }

    /// Returns the state, if it is known.
    pub fn only(self) -> Option<State> {
        self.iter().next().filter(|_| self.0.is_power_of_two())
    }

    /// Returns the states after the event: none if it is illegal in each of these.
    fn after(self, kind: Kind) -> Self {
        self.iter()
            .filter_map(|state| state.after(kind))
            .fold(Self(0), |states, state| Self(states.0 | (1 << state as u8)))
    }

    /// Returns the states after this number of unknown events.
    fn after_any(mut self, events: u64) -> Self {
        for _ in 0..events.min(State::ALL.len() as u64) {
            let after = Kind::ALL.iter().map(|kind| self.after(*kind).0);
            self = Self(after.fold(0, |states, more| states | more));
        }
        self
    }
}

impl fmt::Display for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(State::name).collect();
        f.write_str(&names.join(" or "))
    }
}

/// An event, and the states of the thread before and after it.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    pub event: &'a Event,
    /// Number of events lost since the previous event.
    pub lost: u64,
    pub before: States,
    pub after: States,
    /// Whether the event is legal in a state of `before`.
    pub legal: bool,
}

/// Returns the events with their states, in the order of the events' numbers.
pub fn steps(cpu: &Cpu) -> impl Iterator<Item = Step<'_>> {
    let mut lost = cpu.lost.iter().peekable();
    let mut states = States::NONE;
    cpu.events.iter().map(move |event| {
        let mut missing = 0;
        while let Some(lost) = lost.next_if(|lost| lost.first < event.number) {
            missing += lost.count;
        }
        let before = states.after_any(missing);
        let legal = before.after(event.kind).0 != 0;
        states = if legal { before } else { States::ALL }.after(event.kind);
        Step { event, lost: missing, before, after: states, legal }
    })
}

/// An event that contradicts the others, or the kernel's trace.
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

/// Checks the events of all CPUs.
pub fn check(cpus: &[Cpu]) -> Vec<Violation> {
    cpus.iter().flat_map(check_cpu).collect()
}

/// Checks the events of one CPU.
pub fn check_cpu(cpu: &Cpu) -> Vec<Violation> {
    let mut violations = vec![];
    let mut last = Nanos::MIN;
    // Each run takes at least one wake, which was recorded before. Lost events may have been wakes.
    let (mut wakes, mut lost_wakes, mut runs) = (vec![], 0, 0);
    for step in steps(cpu) {
        let event = step.event;
        let mut violation = |what| violations.push(Violation { cpu: cpu.id, event: *event, what });
        lost_wakes += step.lost;
        if !step.legal {
            violation(format!("not after {}", step.before));
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Lost;
    use Kind::*;

    fn cpu(kinds: &[Kind]) -> Cpu {
        let events = kinds.iter().enumerate();
        let events =
            events.map(|(i, kind)| Event { time: i as Nanos, number: i as u64, kind: *kind });
        Cpu { events: events.collect(), ..Cpu::new(0) }
    }

    fn faults(kinds: &[Kind]) -> Vec<(u64, String)> {
        check(&[cpu(kinds)]).into_iter().map(|v| (v.event.number, v.what)).collect()
    }

    #[test]
    fn legal_life_cycles_have_no_violations() {
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

    /// Each state, the shortest sequence to it, and its legal successors. A wake is always legal.
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
            for &kind in Kind::ALL {
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
        assert_eq!(check(&[late])[0].what, what(1, 0));
    }

    #[test]
    fn decreasing_time_is_a_violation() {
        let mut cpu = cpu(&[Create, Setup, Wake, Wake, Run, Park]);
        cpu.events.swap(2, 3);
        assert_eq!(check(std::slice::from_ref(&cpu)), [], "several CPUs record wakes");
        cpu.events[5].time = 3;
        let violations = check(&[cpu]);
        assert_eq!(violations[0].what, "earlier than the callback before it");
        assert_eq!(violations.len(), 1);
    }

    #[test]
    fn after_a_gap_only_reachable_states_are_legal() {
        let gap = |before: &[Kind], lost: u64, after: Kind| {
            let mut cpu = cpu(&[before, &[after]].concat());
            let first = before.len() as u64;
            cpu.events[before.len()].number = first + lost;
            cpu.lost.push(Lost { first, count: lost });
            check(&[cpu]).into_iter().map(|v| v.what).collect::<Vec<_>>()
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
        let violations = check(&[cpu(&[Create, Create])]);
        assert_eq!(violations[0].to_string(), "cpu0: event 1 at 1 ns, create: not after created");
    }
}
