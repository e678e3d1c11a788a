// SPDX-License-Identifier: GPL-2.0

//! `suite torture`: random operations on all CPUs at once, for a given time.
//!
//! In each round several tasks at a time toggle all CPUs, wake all threads, submit jobs, read all
//! files, and load and unload the samples. Each task chooses its next call at random; timers wake
//! the threads from interrupts. Then all tasks stop, and all counters must add up:
//!
//! - each submitted job was run or refused
//! - the last wake was followed by a run
//! - each event was delivered or counted as lost
//! - the callbacks of each thread form a legal sequence
//!
//! Between rounds the demo is loaded and unloaded while a task toggles the CPUs.

use crate::tests::samples;
use crate::tests::smpboot::suspend;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use cli::{Options, exit, progress, say};
use demo_format::format::Kind;
use demo_format::{events, life};
use demo_module::{Counts, DIRECTORY, Demo, EVENTS_BINARY, MODULE, PERIOD, WAKE};
use host::guest::calls::{insmod, offline, online, read, rmmod, write};
use host::kernel_log::splat;
use host::machine::kernel::LOCKDEP;
use host::verdict::{Fault, Judge, Leaves};
use host::{Vm, clock};
use std::fmt::{self, Display, Formatter};
use std::process::ExitCode;
use std::time::Duration;
use wire::{Access, Call, Tally, TaskEnd, Value};

#[derive(Args)]
pub struct TortureArgs {
    /// Duration
    #[arg(long, value_name = "N", default_value = "10")]
    minutes: f64,
    /// Seed of a run to repeat
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Threads of TCG: one for all CPUs, or one for each CPU, with real races
    #[arg(long, value_enum, default_value = "single")]
    tcg: Tcg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tcg {
    Single,
    Multi,
}

const ROUND: Duration = Duration::from_secs(40);
const STATUS: Duration = Duration::from_secs(5);
/// Longest time that a task takes to end after its round.
const PATIENCE: Duration = Duration::from_secs(60);

/// Period of the timers, to be multiplied by the kernel's slowness: with more wakes hotplug makes
/// no progress.
const PERIOD_US: u64 = 5000;
/// Longest pause of a task between two calls, to be multiplied likewise; togglers already wait for
/// each other.
const PAUSE_US: u64 = 3000;
const RELOADS: u32 = 20;
/// Rounds of one VM with lockdep: its memory for stack traces is limited, and it keeps those of
/// unloaded modules.
const LOCKDEP_ROUNDS: u64 = 8;
const TOGGLERS: usize = 2;
const WAKERS: usize = 2;

const STOPPER: &str = "rust_cpu_stop";
const STOPPER_FILES: &str = "/sys/kernel/debug/rust_cpu_stop";
/// A list of CPUs written to this file is work for `rust_rcuc`.
const DEFER: &str = "/sys/kernel/debug/rust_rcuc/version";

/// Modules that are loaded and unloaded at random in each round.
fn reloaded() -> impl Iterator<Item = &'static str> {
    samples::SAMPLES
        .iter()
        .copied()
        .filter(|name| *name != STOPPER)
        .chain(["rust_percpu_workqueue"])
}

/// Numbers of operations and of their effects.
#[derive(Default)]
struct Figures {
    rounds: u64,
    toggles: u64,
    wakes: u64,
    runs: u64,
    events: u64,
    lost: u64,
    submitted: u64,
    run: u64,
    refused: u64,
    reads: u64,
    loads: u64,
    suspends: u64,
    /// Boots that ended with a fault of the emulator.
    emulator_faults: u64,
}

impl Display for Figures {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Figures {
            rounds,
            toggles,
            wakes,
            runs,
            events,
            lost,
            submitted,
            run,
            refused,
            reads,
            loads,
            suspends,
            emulator_faults,
        } = self;
        writeln!(f, "rounds            {rounds}")?;
        writeln!(f, "offline/online    {toggles}")?;
        writeln!(f, "wakes, runs       {wakes}, {runs}")?;
        writeln!(f, "events            {events} read, {lost} counted as lost")?;
        writeln!(f, "jobs              {submitted} submitted = {run} run + {refused} refused")?;
        writeln!(f, "files read        {reads}")?;
        writeln!(f, "modules loaded    {loads}, all unloaded")?;
        write!(f, "suspends          {suspends}")?;
        if *emulator_faults > 0 {
            write!(
                f,
                "\nemulator          {emulator_faults} nonexistent breakpoints hit; booted again"
            )?;
        }
        Ok(())
    }
}

pub fn run(options: &Options, args: &TortureArgs) -> Result<ExitCode> {
    let time = Duration::try_from_secs_f64(args.minutes * 60.0).context("--minutes")?;
    let seed = match args.seed {
        Some(seed) => seed,
        None => fastrand::u32(..).into(),
    };
    let machine = options.machine()?;
    say!("{}", machine.banner());
    let config = options.config(&machine)?.multi(args.tcg == Tcg::Multi);
    ensure!(config.cpus > 1, "CPUS=1 has no CPU to take offline: torture needs 2 or more");
    let config = if machine.kernel.suspends() { config.suspends() } else { config };
    say!("{config} for {:.1} minutes, seed {seed}", args.minutes);

    let mut figures = Figures::default();
    let mut random = fastrand::Rng::with_seed(seed);
    let end = clock::now() + time;
    let (report, faults) = loop {
        let vm = progress::boot(&machine, &config)?;
        let mut judge = Judge::default();
        let rounds = if vm.built_with().has(LOCKDEP) { LOCKDEP_ROUNDS } else { u64::MAX };
        let faults = until(&vm, &mut judge, end, rounds, &mut random, &mut figures);
        if faults.is_empty() && clock::now() < end {
            continue;
        }
        let lines = vm.console(0..usize::MAX);
        let of_emulator = splat::is_emulator_fault(lines.iter().map(String::as_str));
        if config.multi && of_emulator && clock::now() < end {
            figures.emulator_faults += 1;
            say!(
                "the emulator hit a breakpoint that does not exist (its own fault): booting again"
            );
            continue;
        }
        break (judge.report(&vm, &faults), faults.len());
    };
    say!("\n{figures}");
    say!("splats, leftovers {faults}");
    if faults == 0 {
        say!("\nok");
        return Ok(ExitCode::SUCCESS);
    }
    say!("{report}");
    say!("FAILED; to repeat: SEED={seed}");
    Ok(ExitCode::from(exit::TEST_FAILED))
}

/// Runs at most `rounds` rounds in one VM; returns all faults.
fn until(
    vm: &Vm,
    judge: &mut Judge,
    end: Duration,
    rounds: u64,
    random: &mut fastrand::Rng,
    figures: &mut Figures,
) -> Vec<Fault> {
    let last = figures.rounds.saturating_add(rounds);
    let mut faults = judge.run(vm, "torture", Leaves::Clean, |vm| {
        vm.set_test_limit(None);
        while clock::now() < end && figures.rounds < last {
            round(vm, random, figures).with_context(|| format!("round {}", figures.rounds))?;
            reload(vm, random, figures).context("reload")?;
            figures.rounds += 1;
        }
        Ok(())
    });
    if vm.is_running() && faults.is_empty() {
        faults.extend(judge.late_leaks(vm));
        if let Err(e) = vm.shut_down() {
            faults.push(Fault::Unclean(format!("{e:#}")));
        }
    }
    faults
}

/// A task that makes these calls at random while a round lasts.
fn churn(random: &mut fastrand::Rng, calls: Vec<Call>, pause_us: u64, time: Duration) -> Call {
    Call::Churn { seed: random.u64(..), calls, pause_us, limit_ms: time.as_millis() as u64 }
}

fn toggles(vm: &Vm) -> Result<Vec<Call>> {
    Ok(vm.hotpluggable()?.into_iter().flat_map(|cpu| [offline(cpu), online(cpu)]).collect())
}

fn round(vm: &Vm, random: &mut fastrand::Rng, figures: &mut Figures) -> Result<()> {
    let demo = Demo::load(vm)?;
    vm.insmod(STOPPER, "")?;
    let slowness = u64::from(vm.built_with().slowness());
    let share = demo_module::share(vm.cpus("online")?.len());
    vm.write(PERIOD, (PERIOD_US * slowness * share).to_string())?;
    let log = vm.open(EVENTS_BINARY, Access::ReadNow)?;

    let possible = vm.cpus("possible")?;
    let lists: Vec<String> = possible.iter().map(u32::to_string).chain(["all".into()]).collect();
    let to_all = |path: &str| -> Vec<Call> { lists.iter().map(|list| write(path, list)).collect() };
    let mut load: Vec<Call> =
        reloaded().flat_map(|sample| [insmod(sample, ""), rmmod(sample)]).collect();
    let loads = load.len();
    load.extend(to_all(DEFER));
    let mut reads = Vec::new();
    for directory in [DIRECTORY, STOPPER_FILES] {
        // A read of the event log would wait for more events; it has a reader already.
        readable(vm, directory, &mut reads)?;
    }

    let mut calls = vec![toggles(vm)?; TOGGLERS];
    calls.extend(vec![to_all(WAKE); WAKERS]);
    calls.push(to_all(&format!("{STOPPER_FILES}/stop")));
    calls.push(reads);
    calls.push(load);
    let mut tasks = Vec::new();
    for (i, calls) in calls.into_iter().enumerate() {
        let pause_us = if i < TOGGLERS { PAUSE_US } else { PAUSE_US * slowness };
        tasks.push(vm.spawn(churn(random, calls, pause_us, ROUND))?);
    }
    let mut bytes = Vec::new();
    let start = clock::now();
    let mut shown = Duration::ZERO;
    while clock::now() - start < ROUND {
        bytes.extend(log.read_now()?);
        if clock::now() - start >= shown + STATUS {
            shown = clock::now() - start;
            status(&demo, figures, shown)?;
        }
    }
    let mut tallies = Vec::new();
    for task in tasks {
        tallies.push(tally(task.wait(PATIENCE)?)?);
    }
    let done = |tallies: &[Tally]| tallies.iter().map(|tally| tally.done).sum::<u64>();
    figures.reads += done(&tallies[TOGGLERS + WAKERS + 1]);
    figures.loads +=
        tallies[TOGGLERS + WAKERS + 2][..loads].iter().step_by(2).map(|t| t.done).sum::<u64>() + 2;

    // Bring every CPU back online.
    for cpu in vm.hotpluggable()? {
        vm.cpu(cpu).online()?;
    }
    let modules = vm.modules()?;
    for sample in reloaded().filter(|sample| modules.iter().any(|module| module == sample)) {
        vm.rmmod(sample)?;
    }
    // The timers are still on.
    if let Some(suspend) = suspend::way(vm) {
        suspend(vm).context("suspend")?;
        figures.suspends += 1;
    }
    demo.stop_timers()?;
    demo_module::drain(&log, &mut bytes)?;
    drop(log);
    threads_add_up(&demo, &bytes, figures)?;
    jobs_add_up(vm, &possible, figures)?;
    vm.rmmod(STOPPER)?;
    vm.rmmod(MODULE)?;
    let left = vm.tasks(|name| name.starts_with("rust_"))?;
    ensure!(left.is_empty(), "threads still exist after rmmod: {left:?}");
    Ok(())
}

fn readable(vm: &Vm, directory: &str, calls: &mut Vec<Call>) -> Result<()> {
    for name in vm.list(directory)? {
        let path = format!("{directory}/{name}");
        let mode = vm.mode(&path)?;
        if mode & 0o170000 == 0o040000 {
            readable(vm, &path, calls)?;
        } else if mode & 0o400 != 0 && !name.starts_with("events") {
            calls.push(read(&path));
        }
    }
    Ok(())
}

fn tally(end: TaskEnd) -> Result<Vec<Tally>> {
    match end {
        TaskEnd::Answered(answer) => match *answer {
            Ok(Value::Tallies(tallies)) => Ok(tallies),
            other => bail!("a task returned {other:?}"),
        },
        TaskEnd::Died(exit) => bail!("a task died: {exit:?}"),
    }
}

fn status(demo: &Demo<'_>, figures: &Figures, time: Duration) -> Result<()> {
    let counts = demo.all_counts()?;
    let rate =
        |of: fn(&Counts) -> u64| counts.values().map(of).sum::<u64>() as f64 / time.as_secs_f64();
    say!(
        "round {}, {:3.0} s: per second {:.0} CPUs taken offline, {:.0} wakes, {:.0} runs",
        figures.rounds,
        time.as_secs_f64(),
        rate(|counts| counts.park),
        rate(|counts| counts.wake),
        rate(|counts| counts.run),
    );
    Ok(())
}

fn threads_add_up(demo: &Demo<'_>, bytes: &[u8], figures: &mut Figures) -> Result<()> {
    let cpus = events::parse(bytes)?;
    demo_module::ensure_legal(life::check(&cpus))?;
    for cpu in &cpus {
        let last = |kind| cpu.events.iter().rposition(|event| event.kind == kind);
        ensure!(last(Kind::Wake) < last(Kind::Run), "cpu{}: no run followed the last wake", cpu.id);
    }
    let (events, lost) = events::totals(&cpus);
    let mut counted = 0;
    for (cpu, counts) in demo.all_counts()? {
        let Counts { create, setup, run, park, unpark, cleanup, wake, .. } = counts;
        ensure!(
            (create, setup, cleanup) == (1, 1, 0) && park == unpark && run <= wake,
            "cpu{cpu}: {counts:?}"
        );
        counted += counts.total();
        figures.toggles += park;
        figures.wakes += wake;
        figures.runs += run;
    }
    ensure!(events + lost == counted, "{events} events read, {lost} lost, {counted} counted");
    figures.events += events;
    figures.lost += lost;
    Ok(())
}

fn jobs_add_up(vm: &Vm, possible: &[u32], figures: &mut Figures) -> Result<()> {
    for cpu in possible {
        let count = |name| -> Result<u64> {
            Ok(vm.read(&format!("{STOPPER_FILES}/cpu{cpu}/{name}"))?.parse()?)
        };
        let (submitted, run, refused) = (count("submitted")?, count("run")?, count("refused")?);
        ensure!(
            submitted == run + refused && count("strays")? == 0,
            "cpu{cpu}: {submitted} jobs submitted, {run} run, {refused} refused"
        );
        figures.submitted += submitted;
        figures.run += run;
        figures.refused += refused;
    }
    Ok(())
}

/// Loads and unloads the demo while CPUs go offline and online.
fn reload(vm: &Vm, random: &mut fastrand::Rng, figures: &mut Figures) -> Result<()> {
    let toggler = vm.spawn(churn(random, toggles(vm)?, PAUSE_US, Duration::from_secs(4)))?;
    let quiet = insmod(MODULE, "verbose=0");
    vm.repeat(RELOADS, vec![quiet, rmmod(MODULE)], PATIENCE)?;
    figures.loads += u64::from(RELOADS);
    let done: u64 = tally(toggler.wait(PATIENCE)?)?.iter().map(|tally| tally.done).sum();
    ensure!(done > 0, "no CPU could be toggled");
    for cpu in vm.hotpluggable()? {
        vm.cpu(cpu).online()?;
    }
    Ok(())
}
