// SPDX-License-Identifier: GPL-2.0

//! Predicts the demo module: a small state machine after `kernel/smpboot.c` and `kernel/cpu.c`.
//!
//! [`Model::apply`] predicts for each [`Op`] the guest's answer, the callbacks in their order, and
//! so the counters. It uses no VM.
//!
//! It is separate from `demo_format::format::State` on purpose. That one decides which sequences of
//! events are legal; the model decides which sequence must follow from the operations. An error in
//! one is found by the other.

use anyhow::{Context, Error, bail};
use demo_format::format::Kind;
use demo_module::{AllCounts, Counts, DIRECTORY, MODULE, PERIOD, WAKE};
use nix::errno::Errno;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// An operation on the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    Insmod {
        verbose: bool,
    },
    Rmmod,
    Online(u32),
    Offline(u32),
    Wake(u32),
    /// Several wakes, which the thread may be too slow to answer one by one.
    Burst(u32),
    /// The hotplug state of this number fails: EAGAIN, and back.
    FailOnline(u32, i32),
    FailOffline(u32, i32),
    /// Timers with this period, in microseconds; 0: none.
    Period(u64),
}

/// Number of wakes of a burst.
pub const BURST: u64 = 5;

/// Period in µs of timers that fire all the time; others never fire while a sequence lasts.
pub const SHORT: u64 = 10_000;
pub const LONG: u64 = 60_000_000;
/// Period in µs below the shortest that is allowed.
pub const TOO_SHORT: u64 = 99;

/// An operation as text, as in the files of `regressions/`.
impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Op::Insmod { verbose: true } => write!(f, "insmod"),
            Op::Insmod { verbose: false } => write!(f, "insmod-quiet"),
            Op::Rmmod => write!(f, "rmmod"),
            Op::Online(cpu) => write!(f, "online {cpu}"),
            Op::Offline(cpu) => write!(f, "offline {cpu}"),
            Op::Wake(cpu) => write!(f, "wake {cpu}"),
            Op::Burst(cpu) => write!(f, "burst {cpu}"),
            Op::FailOnline(cpu, state) => write!(f, "fail-online {cpu} {state}"),
            Op::FailOffline(cpu, state) => write!(f, "fail-offline {cpu} {state}"),
            Op::Period(us) => write!(f, "period {us}"),
        }
    }
}

impl FromStr for Op {
    type Err = Error;

    fn from_str(line: &str) -> Result<Op, Error> {
        let words: Vec<&str> = line.split(' ').collect();
        let cpu = || words.get(1).context("no CPU")?.parse().context("no CPU");
        let state = || words.get(2).context("no state")?.parse().context("no state");
        Ok(match words[0] {
            "insmod" => Op::Insmod { verbose: true },
            "insmod-quiet" => Op::Insmod { verbose: false },
            "rmmod" => Op::Rmmod,
            "online" => Op::Online(cpu()?),
            "offline" => Op::Offline(cpu()?),
            "wake" => Op::Wake(cpu()?),
            "burst" => Op::Burst(cpu()?),
            "fail-online" => Op::FailOnline(cpu()?, state()?),
            "fail-offline" => Op::FailOffline(cpu()?, state()?),
            "period" => Op::Period(words.get(1).context("no period")?.parse()?),
            other => bail!("unknown operation {other:?}"),
        })
    }
}

impl Op {
    /// Commands for `make vm < SCRIPT`.
    pub fn shell(&self) -> String {
        let toggle =
            |cpu, online| format!("echo {online} > /sys/devices/system/cpu/cpu{cpu}/online");
        let fail = |cpu, state, toggle: String| {
            let file = format!("/sys/devices/system/cpu/cpu{cpu}/hotplug/fail");
            format!("echo {state} > {file}; {toggle}; echo -1 > {file}")
        };
        match self {
            Op::Insmod { verbose: true } => format!("insmod /modules/{MODULE}.ko"),
            Op::Insmod { verbose: false } => format!("insmod /modules/{MODULE}.ko verbose=0"),
            Op::Rmmod => format!("rmmod {MODULE}"),
            Op::Online(cpu) => toggle(cpu, 1),
            Op::Offline(cpu) => toggle(cpu, 0),
            Op::Wake(cpu) => format!("echo {cpu} > {WAKE}"),
            Op::Burst(cpu) => format!("for i in $(seq {BURST}); do echo {cpu} > {WAKE}; done"),
            Op::FailOnline(cpu, state) => fail(cpu, state, toggle(cpu, 1)),
            Op::FailOffline(cpu, state) => fail(cpu, state, toggle(cpu, 0)),
            Op::Period(us) => format!("echo {us} > {PERIOD}"),
        }
    }
}

/// A script that runs all operations, then shows the counters and the module's log.
pub fn script(ops: &[Op]) -> String {
    let lines: Vec<String> = ops.iter().map(Op::shell).collect();
    format!("set -x\n{}\ncat {DIRECTORY}/summary\ndmesg | grep {MODULE}\n", lines.join("\n"))
}

/// The predicted outcome of an operation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub errno: Option<Errno>,
    /// The events of each CPU, in their order.
    pub events: BTreeMap<u32, Vec<Kind>>,
    /// The module was unloaded, and its files were removed.
    pub unloaded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Thread {
    /// Created for a CPU that failed to come online: its function never ran.
    Created,
    Active,
    Parked,
}

#[derive(Debug, Clone, Default)]
struct Loaded {
    verbose: bool,
    period_us: u64,
    threads: BTreeMap<u32, Thread>,
    /// CPUs that were woken while they had no thread that could run.
    pending: BTreeSet<u32>,
    counts: AllCounts,
}

#[derive(Debug, Clone)]
pub struct Model {
    online: BTreeSet<u32>,
    possible: Vec<u32>,
    /// The number of the state in which the core parks and unparks.
    smpboot: i32,
    loaded: Option<Loaded>,
}

impl Model {
    pub fn new(possible: &[u32], online: &[u32], smpboot: i32) -> Model {
        let online = online.iter().copied().collect();
        Model { online, possible: possible.to_vec(), smpboot, loaded: None }
    }

    /// The counters, while the module is loaded.
    pub fn counts(&self) -> Option<&AllCounts> {
        self.loaded.as_ref().map(|loaded| &loaded.counts)
    }

    pub fn is_verbose(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.verbose)
    }

    /// CPUs whose timers wake their threads all the time: their wakes and runs cannot be predicted.
    pub fn ticking(&self) -> BTreeSet<u32> {
        let Some(loaded) = self.loaded.as_ref().filter(|loaded| loaded.period_us == SHORT) else {
            return BTreeSet::new();
        };
        let active = loaded.threads.iter().filter(|(_, thread)| **thread == Thread::Active);
        active.map(|(cpu, _)| *cpu).collect()
    }

    /// Applies an operation. `failed`: whether the state that should fail did; some have no
    /// callback that could.
    pub fn apply(&mut self, op: &Op, failed: bool) -> Outcome {
        let mut outcome = Outcome::default();
        let refuse = |errno| Outcome { errno: Some(errno), ..Outcome::default() };
        match *op {
            Op::Insmod { verbose } => {
                if self.loaded.is_some() {
                    return refuse(Errno::EEXIST);
                }
                let counts = self.possible.iter().map(|cpu| (*cpu, Counts::default())).collect();
                let mut loaded = Loaded { verbose, counts, ..Loaded::default() };
                for cpu in &self.online {
                    loaded.create(*cpu, &mut outcome);
                    loaded.run_first(*cpu, &mut outcome);
                }
                self.loaded = Some(loaded);
            }
            Op::Rmmod => {
                let Some(mut loaded) = self.loaded.take() else { return refuse(Errno::ENOENT) };
                for (cpu, thread) in std::mem::take(&mut loaded.threads) {
                    if thread != Thread::Created {
                        let online = self.online.contains(&cpu);
                        let kind = if online { Kind::CleanupOnline } else { Kind::CleanupOffline };
                        loaded.record(cpu, kind, &mut outcome);
                    }
                }
                outcome.unloaded = true;
            }
            Op::Online(cpu) => {
                if self.online.insert(cpu) {
                    if let Some(loaded) = &mut self.loaded {
                        loaded.create(cpu, &mut outcome);
                        loaded.unpark(cpu, &mut outcome);
                    }
                }
            }
            Op::Offline(cpu) => {
                if self.online.remove(&cpu) {
                    if let Some(loaded) = &mut self.loaded {
                        loaded.park(cpu, &mut outcome);
                    }
                }
            }
            Op::Wake(cpu) => match &mut self.loaded {
                Some(loaded) => {
                    loaded.record(cpu, Kind::Wake, &mut outcome);
                    loaded.pending.insert(cpu);
                    loaded.run_pending(cpu, &mut outcome);
                }
                None => return refuse(Errno::ENOENT),
            },
            Op::Burst(cpu) => match &mut self.loaded {
                Some(loaded) => {
                    for _ in 0..BURST {
                        loaded.record(cpu, Kind::Wake, &mut outcome);
                    }
                    loaded.pending.insert(cpu);
                    // A burst has one run or more; see `answers`.
                    loaded.run_pending(cpu, &mut outcome);
                }
                None => return refuse(Errno::ENOENT),
            },
            Op::Period(us) => match &mut self.loaded {
                Some(_) if us == TOO_SHORT => return refuse(Errno::ERANGE),
                Some(loaded) => {
                    loaded.period_us = us;
                    // The module wakes each thread to set its timer.
                    for cpu in &self.online {
                        loaded.record(*cpu, Kind::Wake, &mut outcome);
                        loaded.pending.insert(*cpu);
                        loaded.run_pending(*cpu, &mut outcome);
                    }
                }
                None => return refuse(Errno::ENOENT),
            },
            Op::FailOnline(cpu, _) if !failed => return self.apply(&Op::Online(cpu), false),
            Op::FailOffline(cpu, _) if !failed => return self.apply(&Op::Offline(cpu), false),
            Op::FailOnline(cpu, _) => {
                outcome.errno = Some(Errno::EAGAIN);
                if let Some(loaded) = &mut self.loaded {
                    loaded.create(cpu, &mut outcome);
                }
            }
            Op::FailOffline(cpu, state) => {
                outcome.errno = Some(Errno::EAGAIN);
                if let (Some(loaded), true) = (&mut self.loaded, state < self.smpboot) {
                    loaded.park(cpu, &mut outcome);
                    loaded.unpark(cpu, &mut outcome);
                }
            }
        }
        outcome
    }

    pub fn is_online(&self, cpu: u32) -> bool {
        self.online.contains(&cpu)
    }

    /// Replaces the predicted wakes and runs of a CPU, those of `wanted`, by those in `seen`.
    pub fn correct(&mut self, cpu: u32, seen: &[Kind], wanted: &[Kind]) {
        let Some(loaded) = &mut self.loaded else { return };
        let counts = loaded.counts.entry(cpu).or_default();
        counts.wake = counts.wake + number(seen, Kind::Wake) - number(wanted, Kind::Wake);
        // A pending wake is followed by a run.
        counts.run = counts.run + number(seen, Kind::Run) - number(wanted, Kind::Run);
    }
}

impl Loaded {
    fn record(&mut self, cpu: u32, kind: Kind, outcome: &mut Outcome) {
        outcome.events.entry(cpu).or_default().push(kind);
        let counts = self.counts.entry(cpu).or_default();
        *match kind {
            Kind::Create => &mut counts.create,
            Kind::Setup => &mut counts.setup,
            Kind::Park => &mut counts.park,
            Kind::Unpark => &mut counts.unpark,
            Kind::CleanupOnline | Kind::CleanupOffline => &mut counts.cleanup,
            Kind::Wake => &mut counts.wake,
            Kind::Run => &mut counts.run,
        } += 1;
    }

    /// `smpboot_create_threads()`: creates a thread once per registration.
    fn create(&mut self, cpu: u32, outcome: &mut Outcome) {
        if let Entry::Vacant(thread) = self.threads.entry(cpu) {
            thread.insert(Thread::Created);
            self.record(cpu, Kind::Create, outcome);
        }
    }

    /// `smpboot_unpark_threads()`: a thread that never ran is set up instead.
    fn unpark(&mut self, cpu: u32, outcome: &mut Outcome) {
        match self.threads.get(&cpu) {
            Some(Thread::Parked) => self.record(cpu, Kind::Unpark, outcome),
            Some(Thread::Created) => return self.run_first(cpu, outcome),
            _ => return,
        }
        self.threads.insert(cpu, Thread::Active);
        self.run_pending(cpu, outcome);
    }

    fn run_first(&mut self, cpu: u32, outcome: &mut Outcome) {
        self.threads.insert(cpu, Thread::Active);
        self.record(cpu, Kind::Setup, outcome);
        self.run_pending(cpu, outcome);
    }

    fn park(&mut self, cpu: u32, outcome: &mut Outcome) {
        self.threads.insert(cpu, Thread::Parked);
        self.record(cpu, Kind::Park, outcome);
    }

    fn run_pending(&mut self, cpu: u32, outcome: &mut Outcome) {
        if self.threads.get(&cpu) == Some(&Thread::Active) && self.pending.remove(&cpu) {
            self.record(cpu, Kind::Run, outcome);
        }
    }
}

fn number(events: &[Kind], kind: Kind) -> u64 {
    events.iter().filter(|event| **event == kind).count() as u64
}

/// The events of a ticking CPU without wakes and runs while its thread is active: those cannot be
/// predicted. `active`: whether the thread is active at first.
fn without_ticks(events: &[Kind], mut active: bool) -> Vec<Kind> {
    let mut rest = events.to_vec();
    rest.retain(|kind| {
        match kind {
            Kind::Wake | Kind::Run => return !active,
            Kind::Setup | Kind::Unpark => active = true,
            Kind::Park => active = false,
            Kind::Create | Kind::CleanupOnline | Kind::CleanupOffline => {}
        }
        true
    });
    rest
}

/// Whether the events of a ticking CPU are the predicted ones, with any number of ticks.
pub fn agree_but_for_ticks(seen: &[Kind], wanted: &[Kind], active: bool) -> bool {
    number(seen, Kind::Wake) >= number(wanted, Kind::Wake)
        && without_ticks(seen, active) == without_ticks(wanted, active)
}

/// Whether these events answer the wakes of a burst: a run follows each wake, at once or after
/// other wakes, and no run precedes its wake.
pub fn answers(events: &[Kind], active: bool) -> bool {
    let (wakes, runs) = (number(events, Kind::Wake), number(events, Kind::Run));
    let alien = events.len() as u64 != wakes + runs;
    let woken = |to: usize| number(&events[..to], Kind::Run) <= number(&events[..to], Kind::Wake);
    let answered = match active {
        true => events.last() == Some(&Kind::Run) && (0..=events.len()).all(woken),
        false => runs == 0,
    };
    wakes == BURST && !alien && answered
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::*;

    fn model() -> Model {
        Model::new(&[0, 1, 2], &[0, 1], 200)
    }

    #[test]
    fn operations_are_read_as_they_are_written() {
        for op in [
            Op::Insmod { verbose: true },
            Op::Insmod { verbose: false },
            Op::Rmmod,
            Op::Online(1),
            Op::Offline(12),
            Op::Wake(0),
            Op::Burst(3),
            Op::FailOnline(1, 17),
            Op::FailOffline(2, 233),
            Op::Period(SHORT),
        ] {
            assert_eq!(op.to_string().parse::<Op>().unwrap(), op);
        }
        assert!("dance 1".parse::<Op>().is_err() && "wake".parse::<Op>().is_err());
    }

    #[test]
    fn a_wake_of_a_cpu_that_is_not_there_is_kept() {
        let mut model = model();
        model.apply(&Op::Insmod { verbose: true }, false);
        assert_eq!(model.apply(&Op::Wake(2), false).events[&2], [Wake]);
        assert_eq!(model.apply(&Op::Online(2), false).events[&2], [Create, Setup, Run]);
        assert_eq!(model.apply(&Op::Offline(2), false).events[&2], [Park]);
        assert_eq!(model.apply(&Op::Burst(2), false).events[&2], [Wake; BURST as usize]);
        assert_eq!(model.apply(&Op::Online(2), false).events[&2], [Unpark, Run]);
    }

    #[test]
    fn failures_go_back() {
        let mut model = model();
        model.apply(&Op::Insmod { verbose: true }, false);
        let failed = model.apply(&Op::FailOnline(2, 17), true);
        assert_eq!((failed.errno, &failed.events[&2][..]), (Some(Errno::EAGAIN), &[Create][..]));
        assert!(model.apply(&Op::FailOnline(2, 17), true).events.is_empty());
        assert_eq!(model.apply(&Op::FailOnline(2, 17), false).events[&2], [Setup]);
        assert!(model.apply(&Op::FailOffline(2, 201), true).events.is_empty());
        assert_eq!(model.apply(&Op::FailOffline(2, 3), true).events[&2], [Park, Unpark]);
    }

    #[test]
    fn timers() {
        let mut model = model();
        assert_eq!(model.apply(&Op::Period(LONG), false).errno, Some(Errno::ENOENT));
        model.apply(&Op::Insmod { verbose: true }, false);
        assert_eq!(model.apply(&Op::Period(TOO_SHORT), false).errno, Some(Errno::ERANGE));
        let answered = [(0, vec![Wake, Run]), (1, vec![Wake, Run])].into();
        assert_eq!(model.apply(&Op::Period(LONG), false).events, answered);
        assert!(model.ticking().is_empty());
        assert_eq!(model.apply(&Op::Period(SHORT), false).events, answered);
        assert_eq!(model.ticking(), [0, 1].into());
        model.apply(&Op::Offline(1), false);
        assert_eq!(model.ticking(), [0].into());
        // One wake was predicted, three were seen.
        model.correct(0, &[Wake, Wake, Run, Wake], &[Wake, Run]);
        assert_eq!(model.counts().unwrap()[&0], Counts { wake: 4, run: 2, ..Counts::SET_UP });
    }

    #[test]
    fn ticks_are_those_of_an_active_thread() {
        assert_eq!(without_ticks(&[Wake, Run, Park, Wake], true), [Park, Wake]);
        assert_eq!(without_ticks(&[Wake, Unpark, Run, Wake], false), [Wake, Unpark]);
        assert_eq!(without_ticks(&[Run, Park, Unpark, Wake, Run], true), [Park, Unpark]);
        assert!(agree_but_for_ticks(&[Wake, Run, Wake, Park], &[Wake, Park], true));
        assert!(!agree_but_for_ticks(&[Run, Park], &[Wake, Park], true), "a wake is missing");
    }

    #[test]
    fn the_end() {
        let mut model = model();
        assert_eq!(model.apply(&Op::Rmmod, false).errno, Some(Errno::ENOENT));
        model.apply(&Op::Insmod { verbose: true }, false);
        assert_eq!(model.apply(&Op::Insmod { verbose: true }, false).errno, Some(Errno::EEXIST));
        model.apply(&Op::Offline(1), false);
        model.apply(&Op::FailOnline(2, 17), true);
        let end = model.apply(&Op::Rmmod, false);
        assert_eq!(end.events, [(0, vec![CleanupOnline]), (1, vec![CleanupOffline])].into());
        assert!(end.unloaded && model.counts().is_none());
    }

    #[test]
    fn bursts() {
        assert!(answers(&[Wake, Run, Wake, Wake, Wake, Wake, Run], true));
        assert!(!answers(&[Wake, Run, Wake, Wake, Wake, Wake], true), "the last wake is lost");
        assert!(!answers(&[Wake, Wake, Wake, Wake, Run], true), "a wake is missing");
        assert!(
            !answers(&[Run, Wake, Wake, Wake, Wake, Wake, Run], true),
            "a run before all wakes"
        );
        assert!(!answers(&[Wake, Run, Run, Wake, Wake, Wake, Wake, Run], true), "a run too much");
        assert!(answers(&[Wake, Wake, Run, Run, Wake, Wake, Wake, Run], true));
        assert!(answers(&[Wake; 5], false));
        assert!(!answers(&[Wake, Wake, Wake, Wake, Wake, Run], false));
    }
}
