// SPDX-License-Identifier: GPL-2.0

//! What can be concluded from a run: states that last, and what belongs together.

use crate::ftrace::{THREAD, Trace, What};
use crate::model::{Cpu, Event, Kind, Nanos, Run};
use serde::Serialize;

/// What the pictures show.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The first and the last thing that is known.
    pub begin: Nanos,
    pub end: Nanos,
    pub cpus: Vec<CpuView>,
}

/// One CPU, its thread, and what the kernel said of both.
#[derive(Debug, Clone, PartialEq)]
pub struct CpuView {
    pub id: u32,
    pub power: Vec<Span<Power>>,
    pub life: Vec<Span<Life>>,
    /// The module's events in the order of time; indices of `joins` are into these.
    pub events: Vec<Event>,
    pub joins: Vec<Join>,
    /// When the thread had the CPU, and in which state it left it (as `sched_switch` calls it; nothing at the end).
    pub running: Vec<Span<String>>,
    pub steps: Vec<Step>,
    /// The scheduler's events of the thread, as indices into the run's trace.
    pub sched: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span<T> {
    pub begin: Nanos,
    pub end: Nanos,
    pub what: T,
}

/// Whether a CPU is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Power {
    Online,
    /// On its way down; still runs its threads.
    Leaving,
    Offline,
    /// On its way up.
    Coming,
}

impl Power {
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Leaving => "going offline",
            Self::Offline => "offline",
            Self::Coming => "coming online",
        }
    }
}

/// Where the thread is in its life, by its callbacks. Before it is created: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Life {
    /// It never ran.
    Created,
    Active,
    Parked,
    /// Too many events were lost to tell.
    Unknown,
}

impl Life {
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Active => "active",
            Self::Parked => "parked",
            Self::Unknown => "unknown (events lost)",
        }
    }
}

/// A step of the kernel's CPU hotplug: from `cpuhp_enter` to `cpuhp_exit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub begin: Nanos,
    pub end: Nanos,
    /// How many steps it is inside of.
    pub depth: usize,
    pub number: i32,
    pub target: i32,
    pub function: String,
    /// Nothing if its end was not seen.
    pub ret: Option<i32>,
}

impl Step {
    /// The ones that are about such threads as the demo's.
    pub fn is_smpboot(&self) -> bool {
        self.function.starts_with("smpboot_")
    }
}

impl View {
    pub fn new(run: &Run) -> Self {
        let times = || {
            let events = run.cpus.iter().flat_map(|cpu| cpu.events.iter().map(|event| event.time));
            let actions =
                run.actions.iter().flat_map(|action| [Some(action.begin), action.end]).flatten();
            events.chain(actions).chain(run.trace.events.iter().map(|event| event.time))
        };
        let begin = times().min().unwrap_or(0);
        let end = times().max().unwrap_or(0).max(begin + 1);
        let cpus = run.cpus.iter().map(|cpu| CpuView::new(run, cpu, begin, end)).collect();
        Self { begin, end, cpus }
    }
}

impl CpuView {
    fn new(run: &Run, cpu: &Cpu, begin: Nanos, end: Nanos) -> Self {
        let steps = steps(run, cpu.id, end);
        let power = match steps.is_empty() {
            true => power_by_actions(run, cpu, begin, end),
            false => power_by_steps(cpu, &steps, begin, end),
        };
        let (events, joins) = joins(cpu);
        let (running, sched) = scheduled(&run.trace, cpu.id, end);
        Self { id: cpu.id, power, life: life(cpu, end), events, joins, running, steps, sched }
    }
}

/// Spans of what changes from time to time.
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

/// A step that begins while another one of the same CPU has not ended is inside of it: the CPU's own thread does some of
/// them while the one that asked for it waits.
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
                    // What is still open inside of it lost its end.
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

/// By the kernel's own account. A CPU is offline from the end of `takedown_cpu` on, and online again after the step that
/// waits for all of the CPU's own steps.
fn power_by_steps(cpu: &Cpu, steps: &[Step], begin: Nanos, end: Nanos) -> Vec<Span<Power>> {
    let mut spans =
        Spans::new(Some((begin, if cpu.online { Power::Online } else { Power::Offline })));
    for step in steps.iter().filter(|step| step.depth == 0) {
        let done = step.ret == Some(0);
        match (spans.what().unwrap_or(Power::Online), step.target < step.number) {
            (Power::Online | Power::Leaving, true) => {
                spans.change(step.begin, Some(Power::Leaving));
                if done && step.function == "takedown_cpu" {
                    spans.change(step.end, Some(Power::Offline));
                }
            }
            // It was called off.
            (Power::Leaving, false) => spans.change(step.begin, Some(Power::Online)),
            (Power::Offline | Power::Coming, false) => {
                spans.change(step.begin, Some(Power::Coming));
                if done && ["cpuhp_bringup_ap", "bringup_cpu"].contains(&step.function.as_str()) {
                    spans.change(step.end, Some(Power::Online));
                }
            }
            (Power::Coming, true) => spans.change(step.begin, Some(Power::Offline)),
            (Power::Online, false) | (Power::Offline, true) => {}
        }
    }
    spans.end(end)
}

/// By what the host did: actions `cpuN offline` and `cpuN online`.
fn power_by_actions(run: &Run, cpu: &Cpu, begin: Nanos, end: Nanos) -> Vec<Span<Power>> {
    let mut spans =
        Spans::new(Some((begin, if cpu.online { Power::Online } else { Power::Offline })));
    for action in &run.actions {
        let (during, after) = match action.label.strip_prefix(&format!("cpu{} ", cpu.id)) {
            Some("offline") => (Power::Leaving, Power::Offline),
            Some("online") => (Power::Coming, Power::Online),
            _ => continue,
        };
        spans.change(action.begin, Some(during));
        if let Some(end) = action.end {
            spans.change(end, Some(after));
        }
    }
    spans.end(end)
}

fn life(cpu: &Cpu, end: Nanos) -> Vec<Span<Life>> {
    let mut spans = Spans::new(None);
    let mut lost = cpu.lost.iter().peekable();
    let mut last = None;
    for event in &cpu.events {
        while lost.next_if(|lost| lost.first < event.number).is_some() {
            spans.change(last.unwrap_or(event.time), Some(Life::Unknown));
        }
        last = Some(event.time);
        let life = match event.kind {
            Kind::Create => Some(Life::Created),
            Kind::Setup | Kind::Unpark | Kind::Run => Some(Life::Active),
            Kind::Park => Some(Life::Parked),
            Kind::CleanupOnline | Kind::CleanupOffline => None,
            Kind::Wake => continue,
        };
        spans.change(event.time, life);
    }
    if let (Some(_), Some(last)) = (lost.next(), last) {
        spans.change(last, Some(Life::Unknown));
    }
    spans.end(end)
}

/// When a thread had a CPU, and the events that are about it.
pub(crate) fn scheduled(trace: &Trace, id: u32, end: Nanos) -> (Vec<Span<String>>, Vec<usize>) {
    let thread = format!("{THREAD}/{id}");
    let mut running: Vec<Span<String>> = vec![];
    let mut since = None;
    let mut sched = vec![];
    for (index, event) in trace.events.iter().enumerate() {
        match &event.what {
            What::Thread { comm } if *comm == thread => sched.push(index),
            What::Switch { to, .. } if *to == thread => {
                since = Some(event.time);
                sched.push(index);
            }
            What::Switch { from, state, .. } if *from == thread => {
                if let Some(begin) = since.take() {
                    running.push(Span { begin, end: event.time, what: state.clone() });
                }
                sched.push(index);
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
    use crate::model::{Action, Lost};

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
        let view = View::new(&traced(&TAKEN_DOWN));
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
    fn a_cpu_goes_and_comes() {
        let view = View::new(&traced(&TAKEN_DOWN));
        assert_eq!(
            spans(&view.cpus[0].power),
            [(10_000, 70_000, Power::Leaving), (70_000, 80_000, Power::Offline)]
        );

        let mut lines = TAKEN_DOWN.to_vec();
        lines.extend([
            "cpuhp_exit:  cpu: 0001  state:  10 step:  10 ret: 0",
            "cpuhp_enter: cpu: 0001 target: 235 step:  83 (cpuhp_bringup_ap)",
            "cpuhp_exit:  cpu: 0001  state: 235 step:  83 ret: 0",
            "something: else",
        ]);
        let view = View::new(&traced(&lines));
        assert_eq!(
            spans(&view.cpus[0].power)[2..],
            [(80_000, 110_000, Power::Coming), (110_000, 120_000, Power::Online)]
        );
    }

    #[test]
    fn an_offline_that_is_called_off() {
        let view = View::new(&traced(&[
            "a: b",
            "cpuhp_enter: cpu: 0001 target: 142 step: 235 (cpuhp_kick_ap_work)",
            "cpuhp_exit:  cpu: 0001  state: 200 step: 235 ret: -16",
            "cpuhp_enter: cpu: 0001 target: 235 step: 201 (cpuhp_kick_ap_work)",
            "cpuhp_exit:  cpu: 0001  state: 235 step: 201 ret: 0",
        ]));
        let power = [
            (10_000, 20_000, Power::Online),
            (20_000, 40_000, Power::Leaving),
            (40_000, 50_000, Power::Online),
        ];
        assert_eq!(spans(&view.cpus[0].power), power);
        assert_eq!(view.cpus[0].steps[0].ret, Some(-16));
    }

    #[test]
    fn without_a_trace_the_actions_tell() {
        let action = |label: &str, begin, end| Action { label: label.into(), begin, end };
        let run = Run {
            cpus: vec![Cpu::new(1), Cpu { online: false, ..Cpu::new(11) }],
            actions: vec![
                action("start", 0, Some(5)),
                action("cpu1 offline", 10, Some(20)),
                action("cpu11 online", 20, Some(30)),
                action("cpu1 online", 40, None),
                action("end", 50, None),
            ],
            ..Run::default()
        };
        let view = View::new(&run);
        assert_eq!(
            spans(&view.cpus[0].power),
            [
                (0, 10, Power::Online),
                (10, 20, Power::Leaving),
                (20, 40, Power::Offline),
                (40, 50, Power::Coming)
            ]
        );
        assert_eq!(
            spans(&view.cpus[1].power),
            [(0, 20, Power::Offline), (20, 30, Power::Coming), (30, 50, Power::Online)]
        );
    }

    #[test]
    fn a_life() {
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
            (1, 2, Life::Created),
            (2, 8, Life::Active),
            (8, 10, Life::Parked),
            (10, 20, Life::Active),
        ];
        assert_eq!(spans(&life(&cpu, 30)), expected);
    }

    #[test]
    fn a_life_with_gaps() {
        use Kind::*;
        let mut cpu =
            cpu(&[(1, 0, Create), (2, 1, Setup), (20, 9, Wake), (22, 10, Run), (30, 11, Park)]);
        cpu.lost.push(Lost { first: 2, count: 7 });
        assert_eq!(
            spans(&life(&cpu, 40)),
            [
                (1, 2, Life::Created),
                (2, 22, Life::Unknown),
                (22, 30, Life::Active),
                (30, 40, Life::Parked)
            ]
        );
        cpu.lost.push(Lost { first: 12, count: 1 });
        assert_eq!(life(&cpu, 40).last().unwrap().what, Life::Unknown);
    }

    #[test]
    fn the_scheduler_tells_when_a_thread_ran() {
        let view = View::new(&traced(&[
            "sched_waking: comm=rust_demo/1 pid=7 prio=120 target_cpu=001",
            "sched_switch: prev_comm=a prev_pid=1 prev_prio=120 prev_state=R ==> next_comm=rust_demo/1 next_pid=7 next_prio=120",
            "sched_switch: prev_comm=rust_demo/1 prev_pid=7 prev_prio=120 prev_state=P ==> next_comm=rust_demo/11 next_pid=1 next_prio=120",
            "sched_switch: prev_comm=rust_demo/11 prev_pid=7 prev_prio=120 prev_state=S ==> next_comm=rust_demo/1 next_pid=1 next_prio=120",
            "a: b",
        ]));
        let cpu = &view.cpus[0];
        assert_eq!(cpu.sched, [0, 1, 2, 3]);
        assert_eq!(cpu.running[0], Span { begin: 20_000, end: 30_000, what: "P".into() });
        assert_eq!(cpu.running[1], Span { begin: 40_000, end: 50_000, what: String::new() });
    }

    #[test]
    fn nothing_is_a_view_too() {
        assert_eq!(View::new(&Run::default()), View { begin: 0, end: 1, cpus: vec![] });
    }
}
