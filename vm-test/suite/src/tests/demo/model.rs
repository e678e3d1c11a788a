// SPDX-License-Identifier: GPL-2.0

//! Any operations in any order: the module does what its model predicts.
//!
//! proptest makes random sequences of operations. It shortens one that fails as far as it still
//! fails, and the test keeps that as a script. `RUST_SMPBOOT_SEED=` repeats an earlier run.

use crate::model::{self, Model, Op, Outcome};
use crate::tests::smpboot::rollback;
use anyhow::{Context, Result, bail, ensure};
use demo_format::events::Events;
use demo_format::life;
use demo_module::{DIRECTORY, Demo, EVENTS_BINARY, Kind, MODULE, PERIOD, differences, file};
use host::Vm;
use host::errors::Refused;
use host::guest::Handle;
use nix::errno::Errno;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Access, Call, Until};

/// `CPUHP_CREATE_THREADS`
const CREATE_THREADS: i32 = 1;

const REGRESSIONS: &[(&str, &str)] = &[
    ("wakes-are-kept", include_str!("../../../regressions/wakes-are-kept.ops")),
    ("failures", include_str!("../../../regressions/failures.ops")),
    ("timers", include_str!("../../../regressions/timers.ops")),
];

/// Sequences that once failed do what the model predicts.
#[vm_test]
fn regressions(vm: &Vm) -> Result<()> {
    let guest = Guest::of(vm)?;
    for (name, text) in REGRESSIONS {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let ops = lines.map(|line| guest.read(line));
        let ops: Vec<Op> = ops.collect::<Result<_>>().context(*name)?;
        guest.run(&ops).context(*name)?;
    }
    Ok(())
}

/// Any sequence of insmod, rmmod, online, offline, failures, wakes and timers does what the model
/// predicts.
#[vm_test]
fn a_few_sequences(vm: &Vm) -> Result<()> {
    sequences(vm, 5, 12)
}

/// Many long random sequences do what the model predicts.
#[vm_test(long)]
fn many_sequences(vm: &Vm) -> Result<()> {
    sequences(vm, 100, 40)
}

fn sequences(vm: &Vm, cases: u32, length: usize) -> Result<()> {
    let guest = Guest::of(vm)?;
    let seed: u64 = match std::env::var("RUST_SMPBOOT_SEED") {
        Ok(seed) => seed.parse().context("RUST_SMPBOOT_SEED")?,
        Err(_) => fastrand::u32(..).into(),
    };
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config =
        Config { cases, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let strategy = prop::collection::vec(guest.op(), 1..=length);

    let result = runner.run(&strategy, |ops| {
        if !vm.is_running() {
            // Without its VM a shorter sequence cannot be tried.
            return Err(TestCaseError::reject("QEMU has exited"));
        }
        guest.run(&ops).map_err(|e| TestCaseError::fail(format!("{e:#}")))
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Abort(why)) => bail!("{why}"),
        Err(TestError::Fail(why, ops)) => {
            let lines: Vec<String> = ops.iter().map(|op| guest.write(op)).collect();
            let lines = lines.join("\n");
            let mut kept = String::new();
            if let Some(directory) = vm.reports() {
                let (list, script) = (directory.join("model.ops"), directory.join("model.sh"));
                fs::create_dir_all(directory)?;
                fs::write(&list, format!("{lines}\n"))?;
                fs::write(&script, model::script(&ops))?;
                kept = format!(
                    "\nto run it: make vm < {}\n\
                     to keep it as a test: copy {} to vm-test/suite/regressions/",
                    script.display(),
                    list.display()
                );
            }
            bail!("{why}\nthe shortest sequence that fails (seed {seed}):\n{lines}{kept}")
        }
    }
}

/// The guest, and its properties that the model needs.
struct Guest<'a> {
    vm: &'a Vm,
    possible: Vec<u32>,
    online: Vec<u32>,
    /// CPUs that the operations take offline and online. The first possible CPU stays online.
    toggled: Vec<u32>,
    smpboot: i32,
    /// Numbers of the hotplug states by their names in the kernel's list.
    states: BTreeMap<String, i32>,
    /// States that can fail during an offline, and during an online.
    failing_down: Vec<i32>,
    failing_up: Vec<i32>,
}

impl<'a> Guest<'a> {
    fn of(vm: &'a Vm) -> Result<Guest<'a>> {
        let possible = vm.cpus("possible")?;
        let toggled = vm.removable()?;
        let smpboot = rollback::smpboot_state(vm)?;
        let cpu = toggled.first().copied().context("no CPU can be taken offline")?;
        let states: BTreeMap<String, i32> = rollback::states(vm)?.into_iter().collect();
        // The states that can fail depend on the CPU's present state.
        let failing = || -> Result<Vec<i32>> {
            let mut numbers: Vec<i32> = states.values().copied().collect();
            numbers.retain(|state| vm.cpu(cpu).fail_at(*state).is_ok());
            vm.cpu(cpu).fail_at(-1)?;
            Ok(numbers)
        };
        let failing_down = failing()?;
        vm.cpu(cpu).offline()?;
        let mut failing_up = failing()?;
        vm.cpu(cpu).online()?;
        // Only states after the creation of the threads and before their unpark: whether a thread
        // that is unparked and parked again at once notices depends on the scheduler.
        failing_up.retain(|state| *state > CREATE_THREADS && *state < smpboot);
        let online = vm.cpus("online")?;
        Ok(Guest { vm, possible, online, toggled, smpboot, states, failing_down, failing_up })
    }

    /// Parses an operation of a file. Files name the states: their numbers differ between kernels.
    fn read(&self, line: &str) -> Result<Op> {
        match line.splitn(3, ' ').collect::<Vec<_>>()[..] {
            [what, cpu, state] => {
                let number = self.states.get(state).with_context(|| format!("no state {state}"))?;
                format!("{what} {cpu} {number}").parse()
            }
            _ => line.parse(),
        }
    }

    fn write(&self, op: &Op) -> String {
        let name =
            |number: i32| self.states.iter().find(|(_, n)| **n == number).map(|(name, _)| name);
        match op {
            Op::FailOnline(cpu, state) => {
                format!("fail-online {cpu} {}", name(*state).map_or("?", |n| n))
            }
            Op::FailOffline(cpu, state) => {
                format!("fail-offline {cpu} {}", name(*state).map_or("?", |n| n))
            }
            other => other.to_string(),
        }
    }

    fn op(&self) -> impl Strategy<Value = Op> + use<> {
        let cpu = select(self.toggled.clone());
        let any_cpu = select(self.possible.clone());
        let (down, up) = (self.failing_down.clone(), self.failing_up.clone());
        prop_oneof![
            2 => any::<bool>().prop_map(|verbose| Op::Insmod { verbose }),
            1 => Just(Op::Rmmod),
            4 => cpu.clone().prop_map(Op::Online),
            4 => cpu.clone().prop_map(Op::Offline),
            4 => any_cpu.clone().prop_map(Op::Wake),
            2 => any_cpu.prop_map(Op::Burst),
            1 => (cpu.clone(), select(up)).prop_map(|(cpu, state)| Op::FailOnline(cpu, state)),
            2 => (cpu, select(down)).prop_map(|(cpu, state)| Op::FailOffline(cpu, state)),
            2 => select(&[0, model::SHORT, model::LONG, model::TOO_SHORT]).prop_map(Op::Period),
        ]
    }

    /// Runs a sequence; the guest is clean before and after.
    fn run(&self, ops: &[Op]) -> Result<()> {
        self.clean_up()?;
        let result = self.follow(ops);
        if self.vm.is_running() {
            self.clean_up().context("cleanup after the sequence")?;
        }
        result
    }

    fn clean_up(&self) -> Result<()> {
        for cpu in &self.toggled {
            self.vm.cpu(*cpu).fail_at(-1)?;
            self.vm.cpu(*cpu).online()?;
        }
        if self.vm.modules()?.iter().any(|name| name == MODULE) {
            self.vm.rmmod(MODULE)?;
        }
        Ok(())
    }

    fn follow(&self, ops: &[Op]) -> Result<()> {
        let mut model = Model::new(&self.possible, &self.online, self.smpboot);
        let demo = Demo::attach(self.vm)?;
        let mut log = None;
        for (number, op) in ops.iter().enumerate() {
            if op == &Op::Rmmod {
                log = None; // an open file would prevent the unload
            }
            let was_verbose = model.is_verbose();
            let errno = self.act(&model, op)?;
            let failed = errno == Some(Errno::EAGAIN);
            let ticked = model.ticking();
            let outcome = model.apply(op, failed);
            let place = || format!("operation {number}, {op}");
            ensure!(
                errno == outcome.errno,
                "{}: the guest returned {errno:?}, expected {:?}",
                place(),
                outcome.errno
            );
            if log.is_none() && model.counts().is_some() {
                log = Some(Log::open(self.vm)?);
            }
            self.settle(&demo, &model, op).with_context(place)?;
            if let Some(log) = &mut log {
                let new = log.new_events().with_context(place)?;
                compare(op, &outcome, new, &ticked, &mut model).with_context(place)?;
            }
            if let Some(counts) = model.counts() {
                let mut counts = counts.clone();
                let now = demo.all_counts()?;
                for cpu in model.ticking() {
                    // All other counters are predicted.
                    let (now, counts) = (now[&cpu], counts.entry(cpu).or_default());
                    (counts.wake, counts.run) = (now.wake, now.run);
                    let differences = differences(&[(cpu, *counts)].into(), &[(cpu, now)].into());
                    ensure!(differences.is_empty(), "{}: {}", place(), differences.join("; "));
                }
                counts.retain(|cpu, _| !model.ticking().contains(cpu));
                demo.settles_at(&counts).with_context(place)?;
            }
            let verbose = was_verbose || model.is_verbose();
            demo.logged(&if verbose { steps(&outcome) } else { Vec::new() }).with_context(place)?;
        }
        Ok(())
    }

    /// Runs an operation; returns the guest's errno.
    fn act(&self, model: &Model, op: &Op) -> Result<Option<Errno>> {
        let vm = self.vm;
        let answer = match op {
            Op::Insmod { verbose } => vm.insmod(MODULE, if *verbose { "" } else { "verbose=0" }),
            Op::Rmmod => vm.rmmod(MODULE),
            Op::Online(cpu) => vm.cpu(*cpu).online(),
            Op::Offline(cpu) => vm.cpu(*cpu).offline(),
            Op::Wake(cpu) => vm.write(&format!("{DIRECTORY}/wake"), cpu.to_string()),
            Op::Burst(cpu) => {
                let wake = host::guest::calls::write(&format!("{DIRECTORY}/wake"), cpu.to_string());
                // By chance, some wakes are before the thread's run, some during it.
                let calls = vec![wake, Call::Pause { us: 300 }];
                vm.repeat(model::BURST as u32, calls, Duration::from_secs(5))
            }
            Op::Period(us) => vm.write(PERIOD, us.to_string()),
            // Without a change of state nothing would fail now, but the next operation would.
            Op::FailOnline(cpu, _) if model.is_online(*cpu) => vm.cpu(*cpu).online(),
            Op::FailOffline(cpu, _) if !model.is_online(*cpu) => vm.cpu(*cpu).offline(),
            Op::FailOnline(cpu, state) => self.failing_at(*cpu, *state, || vm.cpu(*cpu).online()),
            Op::FailOffline(cpu, state) => self.failing_at(*cpu, *state, || vm.cpu(*cpu).offline()),
        };
        match answer {
            Ok(()) => Ok(None),
            Err(e) => e.downcast::<Refused>().map(|refused| Some(refused.errno)),
        }
    }

    fn failing_at(&self, cpu: u32, state: i32, act: impl FnOnce() -> Result<()>) -> Result<()> {
        self.vm.cpu(cpu).fail_at(state)?;
        let answer = act();
        self.vm.cpu(cpu).fail_at(-1)?;
        answer
    }

    /// Waits until the threads have run all callbacks that the model predicts.
    fn settle(&self, demo: &Demo<'_>, model: &Model, op: &Op) -> Result<()> {
        let Some(counts) = model.counts() else { return Ok(()) };
        let wanted = counts.iter().flat_map(|(cpu, counts)| {
            counts.named().filter(|(_, least)| *least > 0).map(|(name, least)| (*cpu, name, least))
        });
        demo.wait_for(wanted)?;
        let ticking = model.ticking();
        if !ticking.is_empty() {
            // Long enough for a timer to fire that should not exist.
            let now = demo.all_counts()?;
            let more = |cpu: u32| now.get(&cpu).map(|counts| (cpu, "run", counts.run + 2));
            return demo.wait_for(ticking.into_iter().filter_map(more));
        }
        match op {
            Op::Period(_) => demo.all_sleep(),
            Op::Burst(cpu) if model.is_online(*cpu) => {
                self.vm.wait_for(&file(*cpu, "state"), Until::Is("sleeping".into()))
            }
            _ => Ok(()),
        }
    }
}

/// The events of the loaded module.
struct Log<'a> {
    file: Handle<'a>,
    events: Events,
    /// Number of returned events by CPU.
    returned: BTreeMap<u32, usize>,
}

impl<'a> Log<'a> {
    fn open(vm: &'a Vm) -> Result<Log<'a>> {
        let file = vm.open(EVENTS_BINARY, Access::ReadNow)?;
        Ok(Log { file, events: Events::default(), returned: BTreeMap::new() })
    }

    /// Returns the events since the last call; fails if a sequence of callbacks is illegal.
    fn new_events(&mut self) -> Result<BTreeMap<u32, Vec<Kind>>> {
        let mut bytes = Vec::new();
        demo_module::drain(&self.file, &mut bytes)?;
        self.events.add(&bytes)?;
        let mut new = BTreeMap::new();
        for cpu in self.events.cpus() {
            ensure!(cpu.lost.is_empty(), "events of cpu{} were lost", cpu.id);
            demo_module::ensure_legal(life::check_cpu(cpu))?;
            let returned = self.returned.entry(cpu.id).or_default();
            let kinds: Vec<Kind> = cpu.events[*returned..].iter().map(|event| event.kind).collect();
            *returned = cpu.events.len();
            if !kinds.is_empty() {
                new.insert(cpu.id, kinds);
            }
        }
        Ok(new)
    }
}

/// Compares the events since the last operation with the model. `ticked`: CPUs that were ticking
/// before.
fn compare(
    op: &Op,
    outcome: &Outcome,
    mut events: BTreeMap<u32, Vec<Kind>>,
    ticked: &BTreeSet<u32>,
    model: &mut Model,
) -> Result<()> {
    let mut wanted = outcome.events.clone();
    for cpu in ticked.union(&model.ticking()) {
        let seen = events.remove(cpu).unwrap_or_default();
        let wanted = wanted.remove(cpu).unwrap_or_default();
        let active = ticked.contains(cpu) || matches!(op, Op::Period(_));
        ensure!(
            model::agree_but_for_ticks(&seen, &wanted, active),
            "the events of cpu{cpu} are {seen:?}, expected {wanted:?} and those of its timer"
        );
        model.correct(*cpu, &seen, &wanted);
    }
    if let Op::Burst(cpu) = op {
        if let Some(seen) = events.remove(cpu) {
            let wanted = wanted.remove(cpu).unwrap_or_default();
            let active = wanted.contains(&Kind::Run);
            ensure!(model::answers(&seen, active), "cpu{cpu}: a burst caused the events {seen:?}");
            model.correct(*cpu, &seen, &wanted);
        }
    }
    ensure!(events == wanted, "the events are {events:?}, expected {wanted:?}");
    Ok(())
}

/// The events that the module logs.
fn steps(outcome: &Outcome) -> Vec<(u32, Kind)> {
    let all = outcome.events.iter().flat_map(|(cpu, kinds)| kinds.iter().map(|kind| (*cpu, *kind)));
    all.filter(|(_, kind)| !matches!(kind, Kind::Wake | Kind::Run)).collect()
}
