// SPDX-License-Identifier: GPL-2.0

//! Adds the events of the module to the state's lanes.

use crate::state::{Cpu, Latency, Mark, Span, State};
use demo_format::Nanos;
use demo_format::events::{self, Event};
use demo_format::format::{self, Kind};
use demo_format::histogram::{Figures, Histogram};
use std::collections::{BTreeMap, VecDeque};

/// Number of marks of all CPUs that are kept for the lanes.
const MARKS: usize = 1 << 16;
/// Number of spans of a lane that are kept.
const SPANS: usize = 1024;
/// Number of the newest latencies that p50 and p99 are taken of.
const LATENCIES: usize = 4096;
/// The clocks of host and guest may drift: their distance is the smallest one of this time.
const WINDOW: Nanos = 2_000_000_000;

/// The events of one load of the module.
#[derive(Default)]
pub struct History {
    clock: Clock,
    threads: BTreeMap<u32, Thread>,
}

#[derive(Default)]
struct Thread {
    /// Number of events that were seen.
    next: u64,
    /// Number of runs of lost events that were seen.
    gaps: usize,
    state: Option<format::State>,
    /// The first wake that was not answered by a run; whether the thread was parked since.
    woken: Option<(Nanos, bool)>,
    latencies: VecDeque<u64>,
    max: u64,
    histogram: Histogram,
    changed: bool,
}

impl History {
    /// Adds the events that are new. `received` is the session's time after they were read. Returns
    /// what is illegal.
    pub fn add(
        &mut self,
        events: &events::Events,
        received: Nanos,
        state: &mut State,
    ) -> Vec<String> {
        let mut illegal = vec![];
        let keep = (MARKS / state.cpus.len().max(1)).max(256);
        let newest = events.cpus().filter_map(|cpu| cpu.events.last()).map(|e| e.time).max();
        if let Some(newest) = newest {
            self.clock.seen(newest, received);
        }
        for cpu in events.cpus() {
            let thread = self.threads.entry(cpu.id).or_default();
            let shown = state.cpus.entry(cpu.id).or_default();
            if cpu.lost.len() > thread.gaps {
                thread.gaps = cpu.lost.len();
                // The lost events may have been anything.
                (thread.state, thread.woken) = (None, None);
            }
            let from = cpu.events.partition_point(|event| event.number < thread.next);
            for event in &cpu.events[from..] {
                let time = self.clock.session(event.time);
                illegal.extend(thread.event(cpu.id, event, time, shown));
                thread.next = event.number + 1;
                shown.marks.push_back(Mark { time, kind: event.kind });
                state.events += 1;
            }
            let excess = shown.marks.len().saturating_sub(keep);
            shown.marks.drain(..excess);
            shown.pending = thread.woken.is_some();
        }
        illegal
    }

    /// The events of this load that were overwritten before they were read, but for those that the
    /// recording forgot on purpose.
    pub fn forgot(&mut self, events: &events::Events) {
        for cpu in events.cpus() {
            if let Some(thread) = self.threads.get_mut(&cpu.id) {
                thread.gaps = cpu.lost.len();
            }
        }
    }

    /// Computes the latencies of the threads with new ones.
    pub fn latencies(&mut self, state: &mut State) {
        let mut all = Histogram::default();
        self.threads.values().for_each(|thread| all.add(&thread.histogram));
        for (id, thread) in &mut self.threads {
            let Some(shown) = state.cpus.get_mut(id) else { continue };
            if std::mem::take(&mut thread.changed) {
                let mut sorted: Vec<u64> = thread.latencies.iter().copied().collect();
                sorted.sort_unstable();
                shown.latency = Figures::of(&sorted).map(|figures| Latency {
                    p50: figures.p50,
                    p99: figures.p99,
                    max: thread.max,
                });
            }
            shown.bars = thread.histogram.bars(all.range());
        }
    }

    /// Converts a time of the session to the module's.
    pub fn module(&self, session: Nanos) -> Nanos {
        session - self.clock.offset
    }
}

impl Thread {
    fn event(&mut self, cpu: u32, event: &Event, time: Nanos, shown: &mut Cpu) -> Option<String> {
        use format::State;
        let before = self.state;
        let after = match (before, event.kind) {
            // After a gap, the first callback shows the state.
            (None, Kind::Wake) => None,
            (None, kind) if self.next > 0 => State::ALL.iter().find_map(|state| state.after(kind)),
            (state, kind) => match state.unwrap_or(State::None).after(kind) {
                Some(after) => Some(after),
                None => {
                    self.state = None;
                    let (name, from) = (kind.name(), state.unwrap_or(State::None).name());
                    return Some(format!("cpu{cpu}: illegal {name}: the thread was {from}"));
                }
            },
        };
        if let (true, Some(state)) = (after != before, after) {
            push(&mut shown.lives, Span { from: time, state });
        }
        self.state = after;

        match event.kind {
            Kind::Wake if self.woken.is_none() => {
                let parked = !matches!(after, Some(State::Active));
                self.woken = Some((event.time, parked));
            }
            Kind::Run => {
                if let Some((wake, false)) = self.woken.take() {
                    let latency = (event.time - wake).max(0) as u64;
                    self.latencies.push_back(latency);
                    let excess = self.latencies.len().saturating_sub(LATENCIES);
                    self.latencies.drain(..excess);
                    self.max = self.max.max(latency);
                    self.histogram.record(latency);
                    self.changed = true;
                }
            }
            Kind::Setup | Kind::Unpark => {
                if let Some((_, parked)) = &mut self.woken {
                    *parked = true;
                }
            }
            _ => {}
        }
        None
    }
}

/// Adds a span, and forgets the oldest.
pub fn push<T: PartialEq>(spans: &mut VecDeque<Span<T>>, span: Span<T>) {
    if spans.back().is_none_or(|last| last.state != span.state) {
        spans.push_back(span);
        if spans.len() > SPANS {
            spans.pop_front();
        }
    }
}

/// Relates the module's clock to the session's: an event was recorded before it was read, the
/// newest one just before.
#[derive(Default)]
struct Clock {
    /// The module's time 0.
    offset: Nanos,
    started: bool,
    /// Begin of the present window, and the smallest distances in it and in the one before.
    begin: Nanos,
    smallest: [Nanos; 2],
    newest: Nanos,
}

impl Clock {
    fn seen(&mut self, newest: Nanos, received: Nanos) {
        if self.started && newest <= self.newest {
            return;
        }
        self.newest = newest;
        let distance = received - newest;
        if !self.started {
            self.started = true;
            (self.begin, self.smallest) = (received, [distance; 2]);
        } else if received - self.begin > WINDOW {
            self.begin = received;
            self.smallest = [self.smallest[1], distance];
        }
        self.smallest[1] = self.smallest[1].min(distance);
        self.offset = self.smallest[0].min(self.smallest[1]);
    }

    fn session(&self, module: Nanos) -> Nanos {
        module + self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demo_format::format::Record;

    const MS: Nanos = 1_000_000;

    /// Events of CPU 1, one per millisecond.
    fn events(kinds: &[Kind]) -> events::Events {
        let mut events = events::Events::default();
        for (number, kind) in kinds.iter().enumerate() {
            let (number, time) = (number as u64, number as u64 * MS as u64);
            let record = Record { time, number, cpu: 1, kind: *kind as u32 };
            events.add(&record.to_bytes()).unwrap();
        }
        events
    }

    /// The state after these events, and what was illegal.
    fn after(kinds: &[Kind]) -> (Cpu, Vec<String>) {
        let (mut history, mut state) = (History::default(), State::default());
        let illegal = history.add(&events(kinds), 1000 * MS, &mut state);
        history.latencies(&mut state);
        (state.cpus.remove(&1).unwrap(), illegal)
    }

    use Kind::*;

    #[test]
    fn events_become_marks_states_and_latencies() {
        let (cpu, illegal) = after(&[Create, Setup, Wake, Run, Park, Wake]);
        assert!(illegal.is_empty() && cpu.pending);
        let marks: Vec<_> = cpu.marks.iter().map(|mark| mark.kind).collect();
        assert_eq!(marks, [Create, Setup, Wake, Run, Park, Wake]);
        // The newest was recorded just before it was read.
        assert_eq!(cpu.marks.back().map(|mark| mark.time), Some(1000 * MS));
        let states: Vec<_> = cpu.lives.iter().map(|life| life.state.name()).collect();
        assert_eq!(states, ["created", "active", "parked"]);
        assert_eq!(cpu.latency.map(|latency| latency.max), Some(MS as u64));
    }

    #[test]
    fn a_wake_that_was_pending_is_no_latency() {
        let (cpu, _) = after(&[Create, Setup, Park, Wake, Unpark, Run]);
        assert_eq!((cpu.latency, cpu.pending), (None, false));
    }

    #[test]
    fn an_illegal_event_is_reported_once() {
        let (_, illegal) = after(&[Create, Setup, Unpark, Run]);
        assert_eq!(illegal, ["cpu1: illegal unpark: the thread was active"]);
        assert_eq!(after(&[Create, Create]).1.len(), 1);
    }

    #[test]
    fn after_lost_events_anything_is_legal() {
        let (mut history, mut state) = (History::default(), State::default());
        let mut events = events(&[Create, Setup, Wake]);
        assert!(history.add(&events, 1000 * MS, &mut state).is_empty());
        let lost = Record { time: 7, number: 3, cpu: 1, kind: Record::LOST };
        let unpark = Record { time: 50, number: 10, cpu: 1, kind: Unpark as u32 };
        events.add(&[lost.to_bytes(), unpark.to_bytes()].concat()).unwrap();
        assert!(history.add(&events, 1010 * MS, &mut state).is_empty());
        assert_eq!(state.cpus[&1].lives.back().map(|life| life.state.name()), Some("active"));
        assert!(!state.cpus[&1].pending, "the wake may have been answered");
    }

    #[test]
    fn forgotten_events_are_no_gap() {
        let (mut history, mut state) = (History::default(), State::default());
        let mut events = events(&[Create, Setup, Park]);
        history.add(&events, 1000 * MS, &mut state);
        events.forget(1);
        history.forgot(&events);
        let run = Record { time: 50, number: 3, cpu: 1, kind: Run as u32 };
        events.add(&run.to_bytes()).unwrap();
        let illegal = history.add(&events, 1010 * MS, &mut state);
        assert_eq!(illegal, ["cpu1: illegal run: the thread was parked"]);
        assert_eq!(state.events, 4);
    }

    #[test]
    fn the_lanes_have_an_end() {
        let (mut history, mut state) = (History::default(), State::default());
        let kinds = [&[Create, Setup][..], &[Wake, Run].repeat(MARKS)].concat();
        history.add(&events(&kinds), 0, &mut state);
        assert_eq!(state.cpus[&1].marks.len(), MARKS);
        assert_eq!(state.events, 2 + 2 * MARKS as u64);
    }

    #[test]
    fn the_clock_takes_the_smallest_distance_of_late() {
        let mut clock = Clock::default();
        clock.seen(10, 110);
        clock.seen(20, 115);
        assert_eq!(clock.offset, 95);
        // A delayed read changes nothing.
        clock.seen(30, 500);
        assert_eq!(clock.session(30), 125);
        // The session's clock ran on while the guest was stopped.
        for second in 1..=5 {
            clock.seen(30 + second * 1_000_000_000, second * 1_000_000_000 + 700);
        }
        assert_eq!(clock.offset, 670);
    }
}
