// SPDX-License-Identifier: GPL-2.0

//! States and relations derived from the events of a run.

use crate::columns::columns;
use crate::ftrace::{self, Trace, What};
use crate::run::Run;
use demo_format::Nanos;
use demo_format::events::{Cpu, Event};
use demo_format::format::{State, THREAD};
use demo_format::latency::{self, Join, Latencies};
use demo_format::life;
use serde::Serialize;

/// A run with its derived data: computed once, for pictures, traces and checks.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    pub run: Run,
    /// The times of the first and the last known event or action.
    pub begin: Nanos,
    pub end: Nanos,
    pub cpus: Vec<CpuView>,
}

/// One CPU, its thread, and the kernel's events about both.
///
/// The fields are lanes of the timeline, which reads them by name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CpuView {
    pub id: u32,
    #[serde(serialize_with = "columns")]
    pub power: Vec<Span<Power>>,
    /// The states of the thread, by its events. `None`: unknown, because events were lost.
    #[serde(serialize_with = "columns")]
    pub states: Vec<Span<Option<State>>>,
    /// The module's events in the order of time. `joins` has indices of these.
    #[serde(serialize_with = "columns")]
    pub events: Vec<Event>,
    #[serde(serialize_with = "columns")]
    pub joins: Vec<Join>,
    /// Spans on CPU, each with the state in which the thread left it: a name of `sched_switch`,
    /// empty at the end.
    #[serde(serialize_with = "columns")]
    pub running: Vec<Span<String>>,
    #[serde(serialize_with = "columns")]
    pub steps: Vec<Step>,
    #[serde(serialize_with = "columns")]
    pub sched: Vec<Sched>,
    #[serde(skip)]
    pub latencies: Latencies,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Span<T> {
    pub begin: Nanos,
    pub end: Nanos,
    pub what: T,
}

/// The hotplug state of a CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Online,
    /// Going offline: still runs its threads.
    GoingOffline,
    Offline,
    /// Coming online.
    ComingOnline,
}

impl Power {
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::GoingOffline => "going offline",
            Self::Offline => "offline",
            Self::ComingOnline => "coming online",
        }
    }
}

/// Returns the displayed name of a thread's state.
pub fn state_name(state: Option<State>) -> &'static str {
    state.map_or("unknown (events lost)", State::name)
}

/// An event of the scheduler about the thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sched {
    pub time: Nanos,
    pub name: String,
    pub text: String,
    /// The CPU and the task that recorded it.
    pub on: u32,
    pub by: String,
}

impl Sched {
    fn new(event: &ftrace::Event) -> Self {
        let ftrace::Event { time, name, text, cpu, task, .. } = event.clone();
        Self { time, name, text, on: cpu, by: task }
    }
}

/// A step of the kernel's CPU hotplug: from `cpuhp_enter` to `cpuhp_exit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    pub begin: Nanos,
    pub end: Nanos,
    /// Number of steps that it is inside of.
    pub depth: usize,
    pub number: i32,
    pub target: i32,
    pub function: String,
    /// `None` if its end was not seen.
    pub ret: Option<i32>,
}

impl Step {
    /// Returns whether the step is one of `kernel/smpboot.c`.
    pub fn is_smpboot(&self) -> bool {
        self.function.starts_with("smpboot_")
    }
}

impl View {
    pub fn new(run: Run) -> Self {
        let times = || {
            let events = run.cpus.iter().flat_map(|cpu| cpu.events.iter().map(|event| event.time));
            let actions =
                run.actions.iter().flat_map(|action| [Some(action.begin), action.end]).flatten();
            events.chain(actions).chain(run.trace.events.iter().map(|event| event.time))
        };
        let begin = times().min().unwrap_or(0);
        let end = times().max().unwrap_or(0).max(begin + 1);
        let cpus = run.cpus.iter().map(|cpu| CpuView::new(&run, cpu, begin, end)).collect();
        Self { begin, end, cpus, run }
    }
}

impl View {
    pub fn is_traced(&self) -> bool {
        !self.run.trace.events.is_empty()
    }
}

impl CpuView {
    fn new(run: &Run, cpu: &Cpu, begin: Nanos, end: Nanos) -> Self {
        let steps = steps(run, cpu.id, end);
        let power = match steps.is_empty() {
            true => power_by_actions(run, cpu, begin, end),
            false => power_by_steps(cpu, &steps, begin, end),
        };
        let joined = latency::joins(cpu);
        let latencies = Latencies::joined(cpu, &joined, &cpu.latencies, max_of(run, cpu.id));
        let (events, joins) = joined;
        let (running, sched) = scheduled(&run.trace, cpu.id, end);
        let states = state_spans(cpu, end);
        Self { id: cpu.id, power, states, events, joins, running, steps, sched, latencies }
    }
}

/// Returns the latency of a CPU's slowest wake, from the counters.
fn max_of(run: &Run, id: u32) -> Option<u64> {
    let table = &run.counters;
    let (cpu, max) = (table.column("cpu").ok()?, table.column("max_ns").ok()?);
    let row = table.rows.iter().find(|row| row[cpu] == id.to_string())?;
    row[max].parse().ok().filter(|max| *max > 0)
}

/// Builds the spans of a value that changes over time.
struct Spans<T> {
    done: Vec<Span<T>>,
    now: Option<(Nanos, T)>,
}

impl<T: Copy + PartialEq> Spans<T> {
    fn new(first: Option<(Nanos, T)>) -> Self {
        Self { done: vec![], now: first }
    }

    fn what(&self) -> Option<T> {
        self.now.map(|(_, what)| what)
    }

    fn change(&mut self, time: Nanos, what: Option<T>) {
        if self.what() == what {
            return;
        }
        let mut time = time;
        if let Some((begin, what)) = self.now.take() {
            time = time.max(begin);
            if time > begin {
                self.done.push(Span { begin, end: time, what });
            }
        }
        self.now = what.map(|what| (time, what));
    }

    fn end(mut self, time: Nanos) -> Vec<Span<T>> {
        self.change(time, None);
        self.done
    }
}

/// Returns the hotplug steps of a CPU. A step that begins before another one of the same CPU has
/// ended is inside of it. The CPU's own thread runs such a step while the requesting task waits.
fn steps(run: &Run, id: u32, end: Nanos) -> Vec<Step> {
    let mut steps: Vec<Step> = vec![];
    let mut open: Vec<usize> = vec![];
    for event in &run.trace.events {
        match &event.what {
            What::HotplugEnter { cpu, target, step, function } if *cpu == id => {
                open.push(steps.len());
                steps.push(Step {
                    begin: event.time,
                    end,
                    depth: open.len() - 1,
                    number: *step,
                    target: *target,
                    function: function.clone(),
                    ret: None,
                });
            }
            What::HotplugExit { cpu, step, ret } if *cpu == id => {
                if let Some(place) = open.iter().rposition(|index| steps[*index].number == *step) {
                    // The ends of steps still open inside of it were lost.
                    for index in open.drain(place..) {
                        steps[index].end = event.time;
                        steps[index].ret = (steps[index].number == *step).then_some(*ret);
                    }
                }
            }
            _ => {}
        }
    }
    steps
}

/// Derives the hotplug state from the kernel's steps. A CPU is offline from the end of
/// `takedown_cpu`. It is online again after the step that waits for all of the CPU's own steps.
fn power_by_steps(cpu: &Cpu, steps: &[Step], begin: Nanos, end: Nanos) -> Vec<Span<Power>> {
    let mut spans =
        Spans::new(Some((begin, if cpu.online { Power::Online } else { Power::Offline })));
    for step in steps.iter().filter(|step| step.depth == 0) {
        let done = step.ret == Some(0);
        match (spans.what().unwrap_or(Power::Online), step.target < step.number) {
            (Power::Online | Power::GoingOffline, true) => {
                spans.change(step.begin, Some(Power::GoingOffline));
                if done && step.function == "takedown_cpu" {
                    spans.change(step.end, Some(Power::Offline));
                }
            }
            // The CPU-down was aborted.
            (Power::GoingOffline, false) => spans.change(step.begin, Some(Power::Online)),
            (Power::Offline | Power::ComingOnline, false) => {
                spans.change(step.begin, Some(Power::ComingOnline));
                if done && ["cpuhp_bringup_ap", "bringup_cpu"].contains(&step.function.as_str()) {
                    spans.change(step.end, Some(Power::Online));
                }
            }
            (Power::ComingOnline, true) => spans.change(step.begin, Some(Power::Offline)),
            (Power::Online, false) | (Power::Offline, true) => {}
        }
    }
    spans.end(end)
}

/// Derives the hotplug state from the host's actions that take the CPU offline or bring it online.
fn power_by_actions(run: &Run, cpu: &Cpu, begin: Nanos, end: Nanos) -> Vec<Span<Power>> {
    let mut spans =
        Spans::new(Some((begin, if cpu.online { Power::Online } else { Power::Offline })));
    for action in &run.actions {
        let (during, after) = match action.toggles() {
            Some((id, false)) if id == cpu.id => (Power::GoingOffline, Power::Offline),
            Some((id, true)) if id == cpu.id => (Power::ComingOnline, Power::Online),
            _ => continue,
        };
        spans.change(action.begin, Some(during));
        if let Some(end) = action.end {
            spans.change(end, Some(after));
        }
    }
    spans.end(end)
}

fn state_spans(cpu: &Cpu, end: Nanos) -> Vec<Span<Option<State>>> {
    let shown = |state: Option<State>| match state {
        Some(State::None | State::Stopped) => None,
        state => Some(state),
    };
    let mut spans = Spans::new(None);
    let mut last = None;
    for step in life::steps(cpu) {
        let time = step.event.time;
        if step.lost > 0 {
            spans.change(last.unwrap_or(time), Some(None));
        }
        last = Some(time);
        spans.change(time, shown(step.after.only()));
    }
    let next = cpu.events.last().map_or(0, |event| event.number + 1);
    if let (Some(last), true) = (last, cpu.lost.iter().any(|lost| lost.first >= next)) {
        spans.change(last, Some(None));
    }
    spans.end(end)
}

/// Returns the spans that a thread was on CPU, and the events about it.
pub(crate) fn scheduled(trace: &Trace, id: u32, end: Nanos) -> (Vec<Span<String>>, Vec<Sched>) {
    let thread = format!("{THREAD}/{id}");
    let mut running: Vec<Span<String>> = vec![];
    let mut since = None;
    let mut sched = vec![];
    for event in &trace.events {
        match &event.what {
            What::Thread { comm } if *comm == thread => sched.push(Sched::new(event)),
            What::Switch { to, .. } if *to == thread => {
                since = Some(event.time);
                sched.push(Sched::new(event));
            }
            What::Switch { from, state, .. } if *from == thread => {
                if let Some(begin) = since.take() {
                    running.push(Span { begin, end: event.time, what: state.clone() });
                }
                sched.push(Sched::new(event));
            }
            _ => {}
        }
    }
    if let Some(begin) = since {
        running.push(Span { begin, end, what: String::new() });
    }
    (running, sched)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftrace;
    use crate::run::Action;
    use demo_format::events::Lost;
    use demo_format::format::Kind;

    fn cpu(kinds: &[(Nanos, u64, Kind)]) -> Cpu {
        let events = kinds.iter().map(|(time, number, kind)| Event {
            time: *time,
            number: *number,
            kind: *kind,
        });
        Cpu { events: events.collect(), ..Cpu::new(1) }
    }

    fn traced(lines: &[&str]) -> Run {
        let lines = lines.iter().enumerate().map(|(n, line)| {
            format!("              sh-1       [000] .....     0.{:06}: {line}\n", (n + 1) * 10)
        });
        let trace = ftrace::Trace::parse(lines.collect::<String>().as_bytes()).unwrap();
        Run { trace, cpus: vec![Cpu::new(1)], ..Run::default() }
    }

    fn spans<T: Copy>(spans: &[Span<T>]) -> Vec<(Nanos, Nanos, T)> {
        spans.iter().map(|span| (span.begin, span.end, span.what)).collect()
    }

    const TAKEN_DOWN: [&str; 8] = [
        "cpuhp_enter: cpu: 0001 target: 142 step: 235 (cpuhp_kick_ap_work)",
        "cpuhp_enter: cpu: 0001 target: 142 step: 147 (smpboot_park_threads)",
        "cpuhp_enter: cpu: 0000 target: 142 step: 147 (smpboot_park_threads)",
        "cpuhp_exit:  cpu: 0001  state: 146 step: 147 ret: 0",
        "cpuhp_exit:  cpu: 0001  state: 142 step: 235 ret: 0",
        "cpuhp_enter: cpu: 0001 target:   0 step: 142 (takedown_cpu)",
        "cpuhp_exit:  cpu: 0001  state:  84 step: 142 ret: 0",
        "cpuhp_enter: cpu: 0001 target: 235 step:  10 (slub_cpu_setup)",
    ];

    #[test]
    fn hotplug_steps_nest() {
        let view = View::new(traced(&TAKEN_DOWN));
        let steps: Vec<_> = view.cpus[0]
            .steps
            .iter()
            .map(|s| (s.begin / 10_000, s.end / 10_000, s.depth, s.ret))
            .collect();
        assert_eq!(
            steps,
            [(1, 5, 0, Some(0)), (2, 4, 1, Some(0)), (6, 7, 0, Some(0)), (8, 8, 0, None)]
        );
        assert!(view.cpus[0].steps[1].is_smpboot());
    }

    #[test]
    fn a_cpu_is_taken_offline_and_brought_online() {
        let view = View::new(traced(&TAKEN_DOWN));
        assert_eq!(
            spans(&view.cpus[0].power),
            [(10_000, 70_000, Power::GoingOffline), (70_000, 80_000, Power::Offline)]
        );

        let mut lines = TAKEN_DOWN.to_vec();
        lines.extend([
            "cpuhp_exit:  cpu: 0001  state:  10 step:  10 ret: 0",
            "cpuhp_enter: cpu: 0001 target: 235 step:  83 (cpuhp_bringup_ap)",
            "cpuhp_exit:  cpu: 0001  state: 235 step:  83 ret: 0",
            "something: else",
        ]);
        let view = View::new(traced(&lines));
        assert_eq!(
            spans(&view.cpus[0].power)[2..],
            [(80_000, 110_000, Power::ComingOnline), (110_000, 120_000, Power::Online)]
        );
    }

    #[test]
    fn an_aborted_cpu_down_ends_online() {
        let view = View::new(traced(&[
            "a: b",
            "cpuhp_enter: cpu: 0001 target: 142 step: 235 (cpuhp_kick_ap_work)",
            "cpuhp_exit:  cpu: 0001  state: 200 step: 235 ret: -16",
            "cpuhp_enter: cpu: 0001 target: 235 step: 201 (cpuhp_kick_ap_work)",
            "cpuhp_exit:  cpu: 0001  state: 235 step: 201 ret: 0",
        ]));
        let power = [
            (10_000, 20_000, Power::Online),
            (20_000, 40_000, Power::GoingOffline),
            (40_000, 50_000, Power::Online),
        ];
        assert_eq!(spans(&view.cpus[0].power), power);
        assert_eq!(view.cpus[0].steps[0].ret, Some(-16));
    }

    #[test]
    fn without_a_trace_the_actions_give_the_hotplug_state() {
        let action = |commands: &[&str], begin, end| Action {
            commands: commands.iter().map(|command| command.to_string()).collect(),
            begin,
            end,
            ..Action::default()
        };
        let toggle = |cpu, value| format!("echo {value} > /sys/devices/system/cpu/cpu{cpu}/online");
        let run = Run {
            cpus: vec![Cpu::new(1), Cpu { online: false, ..Cpu::new(11) }],
            actions: vec![
                action(&["insmod x.ko"], 0, Some(5)),
                // The actions inside of it count.
                action(&[&toggle(1, 1), &toggle(1, 0)], 6, Some(31)),
                action(&[&toggle(1, 0)], 10, Some(20)),
                action(&[&toggle(11, 1)], 20, Some(30)),
                action(&[&toggle(1, 1)], 40, None),
                action(&[], 50, None),
            ],
            ..Run::default()
        };
        let view = View::new(run);
        assert_eq!(
            spans(&view.cpus[0].power),
            [
                (0, 10, Power::Online),
                (10, 20, Power::GoingOffline),
                (20, 40, Power::Offline),
                (40, 50, Power::ComingOnline)
            ]
        );
        assert_eq!(
            spans(&view.cpus[1].power),
            [(0, 20, Power::Offline), (20, 30, Power::ComingOnline), (30, 50, Power::Online)]
        );
    }

    #[test]
    fn events_give_the_states_of_a_thread() {
        use Kind::*;
        let cpu = cpu(&[
            (1, 0, Create),
            (2, 1, Setup),
            (5, 2, Wake),
            (6, 3, Run),
            (8, 4, Park),
            (10, 5, Unpark),
            (20, 6, CleanupOnline),
        ]);
        let expected = [
            (1, 2, Some(State::Created)),
            (2, 8, Some(State::Active)),
            (8, 10, Some(State::Parked)),
            (10, 20, Some(State::Active)),
        ];
        assert_eq!(spans(&state_spans(&cpu, 30)), expected);
    }

    #[test]
    fn lost_events_leave_states_unknown() {
        use Kind::*;
        let mut cpu =
            cpu(&[(1, 0, Create), (2, 1, Setup), (20, 9, Wake), (22, 10, Run), (30, 11, Park)]);
        cpu.lost.push(Lost { first: 2, count: 7 });
        assert_eq!(
            spans(&state_spans(&cpu, 40)),
            [
                (1, 2, Some(State::Created)),
                (2, 22, None),
                (22, 30, Some(State::Active)),
                (30, 40, Some(State::Parked))
            ]
        );
        cpu.lost.push(Lost { first: 12, count: 1 });
        assert_eq!(state_spans(&cpu, 40).last().unwrap().what, None);
    }

    #[test]
    fn sched_switch_gives_the_time_on_cpu() {
        let view = View::new(traced(&[
            "sched_waking: comm=rust_demo/1 pid=7 prio=120 target_cpu=001",
            "sched_switch: prev_comm=a prev_pid=1 prev_prio=120 prev_state=R ==> next_comm=rust_demo/1 next_pid=7 next_prio=120",
            "sched_switch: prev_comm=rust_demo/1 prev_pid=7 prev_prio=120 prev_state=P ==> next_comm=rust_demo/11 next_pid=1 next_prio=120",
            "sched_switch: prev_comm=rust_demo/11 prev_pid=7 prev_prio=120 prev_state=S ==> next_comm=rust_demo/1 next_pid=1 next_prio=120",
            "a: b",
        ]));
        let cpu = &view.cpus[0];
        let times: Vec<_> = cpu.sched.iter().map(|event| event.time).collect();
        assert_eq!(times, [10_000, 20_000, 30_000, 40_000]);
        assert_eq!(cpu.running[0], Span { begin: 20_000, end: 30_000, what: "P".into() });
        assert_eq!(cpu.running[1], Span { begin: 40_000, end: 50_000, what: String::new() });
    }

    #[test]
    fn an_empty_run_has_a_view() {
        let run = Run::default();
        assert_eq!(View::new(run.clone()), View { run, begin: 0, end: 1, cpus: vec![] });
    }
}
