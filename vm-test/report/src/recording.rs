// SPDX-License-Identifier: GPL-2.0

//! The contents of the guest's files, parsed into a [`Run`].

use crate::ftrace::{Marker, Trace, What};
use crate::run::{About, Action, Run};
use crate::view::scheduled;
use anyhow::{Context, Result, ensure};
use demo_format::events::{self, Cpu};
use demo_format::format::{Kind, THREAD};
use demo_format::{Nanos, files};
use std::collections::BTreeMap;

/// Resolution of the trace's times, 1 us in nanoseconds: the kernel truncates times to
/// microseconds.
const TICK: Nanos = 1000;

/// The contents of the files, not parsed.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    pub about: About,
    /// Contents of `events_binary`, from its begin on.
    pub events_binary: Vec<u8>,
    /// Contents of `/sys/kernel/tracing/trace`, set up by [`crate::ftrace::setup`]; `None`: not
    /// traced.
    pub trace: Option<Vec<u8>>,
    /// Contents of `cpuN/latency_hist`, by N.
    pub latency_hist: BTreeMap<u32, String>,
    /// Contents of `summary`, or empty.
    pub summary: String,
    /// The CPUs that were offline when the recording began.
    pub offline: Vec<u32>,
    /// The module's time 0, for a trace that has lost its begin.
    pub epoch: Option<Epoch>,
    /// The host's actions, in the module's time. Actions with markers in the trace may be omitted.
    pub actions: Vec<Action>,
}

impl Recording {
    /// Parses the files. The error names the invalid file.
    pub fn run(self) -> Result<Run> {
        let mut cpus: BTreeMap<u32, Cpu> =
            events::parse(&self.events_binary)?.into_iter().map(|cpu| (cpu.id, cpu)).collect();
        for (id, text) in &self.latency_hist {
            cpus.entry(*id).or_insert_with(|| Cpu::new(*id)).latencies =
                files::latency_hist(text).with_context(|| format!("cpu{id}"))?;
        }
        for id in self.offline {
            cpus.entry(id).or_insert_with(|| Cpu::new(id)).online = false;
        }
        let cpus: Vec<Cpu> = cpus.into_values().collect();

        let mut actions = self.actions;
        let mut clock_error = 0;
        let trace = match self.trace {
            Some(text) => {
                let trace = Trace::parse(&text)?;
                let epoch = match (Epoch::find(&trace, &cpus), self.epoch) {
                    (Err(_), Some(epoch)) => epoch,
                    (found, _) => found?,
                };
                let trace = trace.since(epoch.time);
                clock_error = epoch.error;
                actions.extend(self::actions(&trace));
                trace
            }
            None => Trace::default(),
        };
        actions.sort_by_key(|action| action.begin);

        let counters = match self.summary.is_empty() {
            true => Default::default(),
            false => files::summary(&self.summary)?,
        };
        Ok(Run { about: self.about, actions, cpus, trace, clock_error, counters, faults: vec![] })
    }
}

/// Returns the actions, from the markers of their begin and end.
fn actions(trace: &Trace) -> Vec<Action> {
    let mut actions: Vec<Action> = vec![];
    for (time, marker) in trace.markers() {
        match marker {
            Marker::Begin { label, commands } => actions.push(Action {
                label: label.clone(),
                commands: commands.clone(),
                begin: time,
                end: None,
            }),
            Marker::End(label) => {
                if let Some(action) =
                    actions.iter_mut().rev().find(|a| a.end.is_none() && a.label == *label)
                {
                    action.end = Some(time);
                }
            }
        }
    }
    actions
}

/// The module's time 0, on the trace's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch {
    pub time: Nanos,
    /// Maximum error of `time`, either way.
    pub error: Nanos,
}

impl Epoch {
    /// Derives it from the action [`Marker::sync`], the first wake of a thread.
    ///
    /// The module recorded this wake on its own clock, after the action began and before the kernel
    /// woke the thread. It recorded the run after the kernel switched to the thread. This gives an
    /// upper and a lower limit; later events of the threads narrow them.
    pub fn find(trace: &Trace, cpus: &[Cpu]) -> Result<Self> {
        let (begin, id) = trace
            .markers()
            .find_map(|(time, marker)| match marker {
                Marker::Begin { label, .. } => Some((time, Marker::synced(label)?)),
                Marker::End(_) => None,
            })
            .context("trace: no marker `sync cpuN`: its clock cannot be aligned to the module's")?;
        let cpu = cpus.iter().find(|cpu| cpu.id == id);
        let first = |kind| {
            let cpu = cpu?;
            let event = cpu.events.iter().find(|event| event.kind == kind)?;
            cpu.lost.iter().all(|lost| lost.first > event.number).then_some(event.time)
        };
        let wake = first(Kind::Wake).with_context(|| {
            format!("events: the first wake of cpu{id} is missing: the clocks cannot be aligned")
        })?;

        let thread = format!("{THREAD}/{id}");
        let mut after = trace.events.iter().filter(|event| event.time >= begin);
        let woken = after
            .find(|event| match &event.what {
                What::Thread { comm } => *comm == thread,
                What::Marker(Marker::End(label)) => *label == Marker::sync(id),
                _ => false,
            })
            .with_context(|| format!("trace: the action `{}` has no end", Marker::sync(id)))?;
        let latest = woken.time - wake + TICK;
        let switched =
            after.find(|event| matches!(&event.what, What::Switch { to, .. } if *to == thread));
        let earliest = match (switched, first(Kind::Run)) {
            (Some(switched), Some(run)) => (begin - wake).max(switched.time - run),
            _ => begin - wake,
        };
        ensure!(earliest <= latest, "the trace and the module's events are from different runs");
        let (earliest, latest) = narrow(trace, cpus, (earliest, latest));
        Ok(Self { time: (earliest + latest) / 2, error: (latest - earliest + 1) / 2 })
    }
}

/// Narrows the limits of the epoch. A thread records its own events while it is on CPU. If only one
/// span on CPU can contain an event, both ends of the span are limits of the epoch. Narrower limits
/// leave fewer candidate spans, so this repeats.
fn narrow(trace: &Trace, cpus: &[Cpu], limits: (Nanos, Nanos)) -> (Nanos, Nanos) {
    let (mut earliest, mut latest) = limits;
    let end = trace.events.last().map_or(0, |event| event.time);
    let threads: Vec<_> = cpus.iter().map(|cpu| (cpu, scheduled(trace, cpu.id, end).0)).collect();
    loop {
        let before = (earliest, latest);
        for (cpu, spans) in &threads {
            for event in cpu.events.iter().filter(|e| !matches!(e.kind, Kind::Wake | Kind::Create))
            {
                let from = spans.partition_point(|span| span.end + TICK < event.time + earliest);
                let to = spans.partition_point(|span| span.begin <= event.time + latest);
                if to != from + 1 {
                    continue;
                }
                let span = &spans[from];
                let (low, high) = (span.begin - event.time, span.end + TICK - event.time);
                // Disjoint limits mean that the trace lacks events: ignore this span.
                if low.max(earliest) <= high.min(latest) {
                    (earliest, latest) = (low.max(earliest), high.min(latest));
                }
            }
        }
        if (earliest, latest) == before {
            return before;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(time: u64, number: u64, cpu: u32, kind: u32) -> Vec<u8> {
        demo_format::format::Record { time, number, cpu, kind }.to_bytes().into()
    }

    fn recording() -> Recording {
        let events = [
            record(50, 0, 0, 1),
            record(60, 1, 0, 2),
            record(500_000, 2, 0, 7),
            record(520_000, 3, 0, 8),
        ];
        let trace = "              \
sh-1       [000] .....     1.000400: tracing_mark_write: rust_smpboot: + sync cpu0
              sh-1       [000] .....     1.000510: sched_waking: comm=rust_demo/0 pid=7 prio=120 target_cpu=000
          <idle>-0       [000] .....     1.000515: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=rust_demo/0 next_pid=7 next_prio=120
              sh-1       [000] .....     1.000600: tracing_mark_write: rust_smpboot: - sync cpu0
              sh-1       [000] .....     1.000700: tracing_mark_write: rust_smpboot: + Take CPU 1 offline $ echo 0 > online
";
        Recording {
            events_binary: events.concat(),
            trace: Some(trace.into()),
            latency_hist: [(0, "[16384, 32768) 1\n".to_owned())].into(),
            summary: "cpu run\n0 1\n".into(),
            offline: vec![3],
            ..Recording::default()
        }
    }

    #[test]
    fn the_clocks_are_aligned() {
        let run = recording().run().unwrap();
        // The wake at 500 µs was after 1.000400 s and before 1.000511 s, the run at 520 µs after
        // 1.000515 s.
        let epoch = Epoch { time: 1_000_003_000, error: 8_000 };
        let cpus = &run.cpus;
        assert_eq!(Epoch::find(&run.trace.clone().since(-epoch.time), cpus).unwrap(), epoch);
        assert_eq!(run.clock_error, 8_000);
        assert_eq!(
            run.actions[0],
            Action {
                label: "sync cpu0".into(),
                commands: vec![],
                begin: 397_000,
                end: Some(597_000)
            }
        );
        assert_eq!(
            run.actions[1],
            Action {
                label: "Take CPU 1 offline".into(),
                commands: vec!["echo 0 > online".into()],
                begin: 697_000,
                end: None
            }
        );
        assert_eq!(
            cpus.iter().map(|cpu| (cpu.id, cpu.online)).collect::<Vec<_>>(),
            [(0, true), (3, false)]
        );
        assert_eq!(cpus[0].latencies.total(), 1);
        assert_eq!(run.counters.rows, [["0", "1"]]);
    }

    #[test]
    fn inconsistent_files_are_refused() {
        let refused = |recording: Recording| format!("{:#}", recording.run().unwrap_err());
        let whole = recording();

        let no_wake = Recording { events_binary: record(1, 0, 0, 1), ..whole.clone() };
        assert_eq!(
            refused(no_wake),
            "events: the first wake of cpu0 is missing: the clocks cannot be aligned"
        );
        let no_marker = Recording { trace: Some(vec![]), ..whole.clone() };
        assert_eq!(
            refused(no_marker),
            "trace: no marker `sync cpuN`: its clock cannot be aligned to the module's"
        );
        let events = [record(500_000, 0, 0, 7), record(510_000, 1, 0, 8)].concat();
        let other_run = Recording { events_binary: events, ..whole.clone() };
        assert!(other_run.run().is_ok());
        let events = [record(500_000, 0, 0, 7), record(500_001, 1, 0, 8)].concat();
        let other_run = Recording { events_binary: events, ..whole.clone() };
        assert_eq!(refused(other_run), "the trace and the module's events are from different runs");
        let bad_hist = Recording { latency_hist: [(2, "x".to_owned())].into(), ..whole };
        assert_eq!(refused(bad_hist), "cpu2: latency_hist: line 1: `x`: no count");
    }

    #[test]
    fn a_run_without_a_trace_is_parsed() {
        let action = Action { begin: 5, end: Some(9), ..Action::default() };
        let run =
            Recording { trace: None, actions: vec![action.clone()], ..recording() }.run().unwrap();
        assert_eq!(run.actions, [action]);
        assert!(run.trace.events.is_empty());
        assert!(Recording::default().run().is_ok());
    }
}
