// SPDX-License-Identifier: GPL-2.0

//! How long wakes took: from the first wake that a run answers to that run.

use crate::model::Cpu;
use crate::spark::{Figures, Histogram};
use crate::view::joins;

/// The latencies of a CPU's thread.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Latencies {
    pub histogram: Histogram,
    /// Nothing if there are no latencies.
    pub figures: Option<Figures>,
    /// Whether events were lost, so that the figures are those of the module's buckets.
    pub estimated: bool,
    /// Runs that answered a wake which was pending while the thread was parked, or not set up. Their times are no
    /// latencies.
    pub pending: u64,
}

impl Latencies {
    /// Of the events, or, where some are missing, of the module's buckets and its maximum.
    pub fn of(cpu: &Cpu, buckets: &Histogram, max: Option<u64>) -> Self {
        let (events, joins) = joins(cpu);
        let (pending, counted): (Vec<_>, Vec<_>) =
            joins.into_iter().filter(|join| join.first).partition(|join| join.pending);
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
    use crate::model::{Event, Kind, Lost, Nanos};
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

        // The module's buckets say otherwise, and are believed where events were lost.
        let mut buckets = Histogram::default();
        buckets.record(3000);
        cpu.lost.push(Lost { first: 302, count: 1 });
        let latencies = Latencies::of(&cpu, &buckets, Some(3000));
        let figures = Figures { p50: 3000, p99: 3000, max: 3000 };
        assert_eq!((latencies.figures, latencies.estimated), (Some(figures), true));
    }

    #[test]
    fn a_wake_that_was_pending_without_its_cpu_is_no_latency() {
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
}
