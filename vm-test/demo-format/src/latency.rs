// SPDX-License-Identifier: GPL-2.0

//! Wake latencies: the time from the first wake that a run answers to that run.

use crate::events::{Cpu, Event};
use crate::format::Kind;
use crate::histogram::{Figures, Histogram};
use serde::Serialize;

/// A wake, and the run that answered it, as indices into the events in the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Join {
    pub wake: usize,
    pub run: usize,
    /// Whether this is the first wake that the run answered: its latency counts from this wake.
    pub first: bool,
    /// Whether the thread was parked, or not set up, between wake and run.
    pub pending: bool,
}

/// Returns the events in the order of time, and the wakes with the runs that answered them.
pub fn joins(cpu: &Cpu) -> (Vec<Event>, Vec<Join>) {
    let mut by_time: Vec<usize> = (0..cpu.events.len()).collect();
    by_time.sort_by_key(|index| cpu.events[*index].time);
    let mut place = vec![0; by_time.len()];
    for (at, index) in by_time.iter().enumerate() {
        place[*index] = at;
    }

    // In the order of numbers, a run answers all wakes before it. Across a gap, the answer is
    // unknown.
    let mut joins = vec![];
    let mut wakes: Vec<(usize, bool)> = vec![];
    let mut next = None;
    for (index, event) in cpu.events.iter().enumerate() {
        if next.is_some_and(|next| next != event.number) {
            wakes.clear();
        }
        next = Some(event.number + 1);
        match event.kind {
            Kind::Wake => wakes.push((place[index], false)),
            Kind::Setup | Kind::Unpark => wakes.iter_mut().for_each(|(_, pending)| *pending = true),
            Kind::Run => {
                let run = place[index];
                joins.extend(wakes.drain(..).enumerate().map(|(n, (wake, pending))| Join {
                    wake,
                    run,
                    first: n == 0,
                    pending,
                }));
            }
            _ => {}
        }
    }
    (by_time.into_iter().map(|index| cpu.events[index]).collect(), joins)
}

/// The latencies of a CPU's thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    pub histogram: Histogram,
    /// `None` if there are no latencies.
    pub figures: Option<Figures>,
    /// Whether the figures are estimated from the module's buckets, because events were lost.
    pub estimated: bool,
    /// Number of runs that answered a wake pending while the thread was parked or not set up. Their
    /// times are not latencies.
    pub pending: u64,
}

impl Latencies {
    /// Computes the latencies from the events, or from the module's buckets and maximum if events
    /// were lost.
    pub fn of(cpu: &Cpu, buckets: &Histogram, max: Option<u64>) -> Self {
        Self::joined(cpu, &joins(cpu), buckets, max)
    }

    /// Computes the same, given the CPU's [`joins`].
    pub fn joined(
        cpu: &Cpu,
        (events, joins): &(Vec<Event>, Vec<Join>),
        buckets: &Histogram,
        max: Option<u64>,
    ) -> Self {
        let (pending, counted): (Vec<&Join>, Vec<&Join>) =
            joins.iter().filter(|join| join.first).partition(|join| join.pending);
        let pending = pending.len() as u64;
        if cpu.events.is_empty() || !cpu.lost.is_empty() {
            let (histogram, figures) = (buckets.clone(), buckets.figures(max));
            return Self { histogram, figures, estimated: figures.is_some(), pending };
        }

        let took = |run: usize, wake: usize| (events[run].time - events[wake].time).max(0) as u64;
        let mut each: Vec<u64> = counted.iter().map(|join| took(join.run, join.wake)).collect();
        each.sort_unstable();
        let mut histogram = Histogram::default();
        each.iter().for_each(|latency| histogram.record(*latency));
        Self { histogram, figures: Figures::of(&each), estimated: false, pending }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Nanos;
    use crate::events::Lost;
    use Kind::*;

    fn cpu(events: &[(Nanos, Kind)]) -> Cpu {
        let events = events.iter().zip(0..);
        let events =
            events.map(|((time, kind), number)| Event { time: *time, number, kind: *kind });
        Cpu { events: events.collect(), ..Cpu::new(0) }
    }

    #[test]
    fn figures_are_those_of_single_latencies() {
        let mut events = vec![(0, Create), (1, Setup)];
        for latency in 1..=100 {
            let time = latency * 1_000_000;
            events.extend([(time, Wake), (time + 3, Wake), (time + latency * 1000, Run)]);
        }
        let mut cpu = cpu(&events);
        let latencies = Latencies::of(&cpu, &Histogram::default(), None);
        let figures = Figures { p50: 50_000, p99: 99_000, max: 100_000 };
        assert_eq!(latencies.figures, Some(figures));
        assert_eq!((latencies.histogram.total(), latencies.pending), (100, 0));
        assert!(!latencies.estimated);

        // The module's buckets differ. They are used if events were lost.
        let mut buckets = Histogram::default();
        buckets.record(3000);
        cpu.lost.push(Lost { first: 302, count: 1 });
        let latencies = Latencies::of(&cpu, &buckets, Some(3000));
        let figures = Figures { p50: 3000, p99: 3000, max: 3000 };
        assert_eq!((latencies.figures, latencies.estimated), (Some(figures), true));
    }

    #[test]
    fn a_wake_pending_while_its_cpu_was_offline_is_no_latency() {
        let latencies = |events: &[(Nanos, Kind)]| {
            let latencies = Latencies::of(&cpu(events), &Histogram::default(), None);
            (latencies.figures.map(|figures| figures.max), latencies.pending)
        };
        let born = [(0, Create), (1, Setup), (10, Wake), (14, Run)];
        let with = |events: &[(Nanos, Kind)]| latencies(&[&born, events].concat());
        assert_eq!(with(&[]), (Some(4), 0));
        let parked = [(20, Park), (30, Wake), (900, Unpark), (905, Run)];
        assert_eq!(with(&parked), (Some(4), 1));
        // Woken before it is parked, and after it was unparked.
        assert_eq!(with(&[(19, Wake), (20, Park), (900, Unpark), (905, Run)]), (Some(4), 1));
        assert_eq!(with(&[(20, Park), (900, Unpark), (901, Wake), (907, Run)]), (Some(6), 0));
        // The CPU was never online before.
        assert_eq!(latencies(&[(0, Wake), (800, Create), (801, Setup), (805, Run)]), (None, 1));
    }

    #[test]
    fn wakes_are_joined_to_runs() {
        // The second wake has a later number than the run's, but an earlier time.
        let events =
            [(10, Wake), (12, Wake), (20, Run), (19, Wake), (25, Run), (30, Wake), (40, Run)];
        let mut cpu = cpu(&events);
        // A gap before the last run.
        cpu.events[6].number += 1;
        let (events, joins) = joins(&cpu);
        let joins: Vec<_> =
            joins.iter().map(|j| (events[j.wake].time, events[j.run].time, j.first)).collect();
        assert_eq!(joins, [(10, 20, true), (12, 20, false), (19, 25, true)]);
        assert!(events.is_sorted_by_key(|event| event.time));
    }
}
