// SPDX-License-Identifier: GPL-2.0

//! `run demo`: shows the life cycle of per-CPU threads, and checks it against a model.
//!
//! On a terminal this is the live view with the tour of the crate `tour`. Elsewhere it prints
//! lines, and checks more.
//!
//! The tasks come from the crate `tour`, too. Each is shown with the commands to type in `make vm`,
//! followed by what the kernel logged. The model predicts the module's counters and log lines. A
//! recording of the run becomes the pictures at the end.

use crate::play::{self, Mode};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cli::{Options, exit, progress, say, terminal};
use console::style;
use demo_module::recorder::{self, Recorded, Recorder};
use demo_module::{AllCounts, Counts, DIRECTORY, Demo, Kind, MODULE, PERIOD};
use host::Vm;
use host::verdict::{Fault, Judge, Leaves};
use report::run::About;
use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tour::{Action, Machine, Target, Task};
use wire::Call;

/// Default pause after a step of the tour, to read what has happened.
const PACE: Duration = Duration::from_secs(4);

/// Name of the files in the directory for reports.
const NAME: &str = "demo";

const TITLE: &str = "Per-CPU threads follow their CPUs";

/// Number of CPUs whose actions fit into the usual test limit.
const CPUS_PER_LIMIT: u32 = 8;

/// Period in µs of the timers of the small `cyclictest`, and how often each fires before the next
/// action.
fn timers(cpus: usize) -> (u32, u64) {
    let share = demo_module::share(cpus);
    (5000 * share as u32, (20 / share).max(4))
}

/// The guest's command that prints the table of the live view.
const TOP: &str = "smpboot-top | cat";

#[derive(Args)]
pub struct DemoArgs {
    /// Pause after each step in seconds; default: 4 on a terminal, else 0
    #[arg(long, value_name = "SECONDS")]
    pace: Option<f64>,
    /// Also write a trace.dat for trace-cmd and KernelShark
    #[arg(long)]
    dat: bool,
}

pub fn run(options: &Options, args: &DemoArgs) -> Result<ExitCode> {
    let start = Instant::now();
    let pace = match args.pace {
        Some(pace) => Some(Duration::try_from_secs_f64(pace).context("--pace")?),
        None => None,
    };
    // A trace.dat is of a run that is checked by the model.
    if play::is_possible() && !args.dat {
        return play::run(options, Mode::Tour(pace.unwrap_or(PACE)));
    }
    let machine = options.machine()?;
    if let Some(directory) = &machine.report {
        recorder::remove_saved(directory, NAME)?;
    }
    say!("{}", style(machine.banner()).dim());
    let config = options.config(&machine)?;
    let vm = progress::boot(&machine, &config)?;
    say!("{}", style(format!("{config}, up in {:.1} s\n", vm.boot_time().as_secs_f64())).dim());
    let pace = pace.unwrap_or(Duration::ZERO);

    let mut totals = Totals::default();
    let mut shown = None;
    let mut judge = Judge::default();
    let mut faults = judge.run(&vm, NAME, Leaves::Clean, |vm| {
        let about = demo_module::about(vm, TITLE);
        vm.set_test_limit(Some(1 + config.cpus / CPUS_PER_LIMIT));
        totals.show(vm, pace, about, args.dat, &mut shown)
    });
    if vm.is_running() && faults.is_empty() {
        if let Err(e) = vm.shut_down() {
            faults.push(Fault::Unclean(format!("{e:#}")));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if let (true, Some(recorded)) = (faults.is_empty(), &shown) {
        let Totals { threads, cycles, wakes, steps } = totals;
        say!(
            "\n{}: {}, {}, {} in {seconds:.1} s. All counters and all {} match the model.",
            style("ok").green().bold(),
            tour::times(threads as u64, "thread"),
            tour::times(cycles as u64, "offline/online cycle"),
            tour::times(wakes, "wake"),
            tour::times(steps as u64, "log line"),
        );
        if let Some(directory) = &machine.report {
            let saved = recorded.save(directory, NAME)?;
            say!("{}", terminal::linked(&saved.to_string(), &saved.page()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    say!("\n{}: the guest did not do what the model predicts", style("FAILED").red().bold());
    say!("{}", judge.report(&vm, &faults));
    if let (Some(mut recorded), Some(directory)) = (shown, &machine.report) {
        recorded.fail(faults.iter().map(Fault::to_string));
        say!("{}", recorded.save(directory, NAME)?);
    }
    Ok(ExitCode::from(exit::TEST_FAILED))
}

/// Numbers for the last line.
#[derive(Default)]
struct Totals {
    threads: usize,
    cycles: usize,
    wakes: u64,
    steps: usize,
}

impl Totals {
    fn show(
        &mut self,
        vm: &Vm,
        pace: Duration,
        about: About,
        dat: bool,
        shown: &mut Option<Recorded>,
    ) -> Result<()> {
        let mut show = Demonstration::new(vm, self, pace, about)?;
        match show.play().and_then(|()| show.recorder.finish(dat)) {
            Ok(recorded) => shown.insert(recorded).check(),
            Err(e) => {
                *shown = Some(show.recorder.rescue());
                Err(e)
            }
        }
    }
}

struct Demonstration<'a> {
    vm: &'a Vm,
    demo: Demo<'a>,
    totals: &'a mut Totals,
    pace: Duration,
    recorder: Recorder<'a>,
    /// The CPUs that are online.
    online: Vec<u32>,
    /// The CPUs with a pending wake.
    pending: BTreeSet<u32>,
    /// Expected counters.
    model: AllCounts,
    /// Expected log lines of the present task.
    steps: Vec<(u32, Kind)>,
    /// Whether the timers fire: then the model predicts neither wakes nor runs.
    timers: bool,
    /// Number of records already printed.
    printed: usize,
}

impl<'a> Demonstration<'a> {
    fn new(
        vm: &'a Vm,
        totals: &'a mut Totals,
        pace: Duration,
        about: About,
    ) -> Result<Demonstration<'a>> {
        let demo = Demo::attach(vm)?;
        let model = demo.possible().iter().map(|cpu| (*cpu, Counts::default())).collect();
        let printed = vm.records().len();
        let recorder = Recorder::start(vm, about)?;
        Ok(Demonstration {
            vm,
            demo,
            totals,
            pace,
            recorder,
            online: vm.cpus("online")?,
            pending: BTreeSet::new(),
            model,
            steps: Vec::new(),
            timers: false,
            printed,
        })
    }

    /// Shows all tasks.
    fn play(&mut self) -> Result<()> {
        let possible = self.vm.cpus("possible")?;
        let (period_us, times) = timers(possible.len());
        let machine = Machine::new(possible, self.vm.hotpluggable()?, "", "");
        let mut is_first = true;
        for task in tour::story(&machine, period_us) {
            if task.actions == [Action::Unload] {
                self.summary()?;
            }
            self.act(&task, times)?;
            match task.actions[..] {
                [Action::Load] => self.summary()?,
                // Of the first pending wake only.
                [Action::Wake(Target::Cpu(cpu))] if is_first && !self.is_online(cpu) => {
                    self.summary()?;
                    is_first = false;
                }
                [Action::Period(_), ..] => {
                    self.top()?;
                    if machine.cpu().is_none() {
                        say!("This VM has no second CPU to take offline.");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_online(&self, cpu: u32) -> bool {
        self.online.contains(&cpu)
    }

    /// Shows a task, runs its actions, and compares the result with the model.
    fn act(&mut self, task: &Task, times: u64) -> Result<()> {
        let commands: Vec<&str> = task.commands.iter().map(String::as_str).collect();
        if task.actions == [Action::Unload] {
            self.recorder.unloading()?;
        }
        say!("\n{}", style(format!("# {}", task.what)).cyan());
        commands.iter().for_each(|command| say!("{} {command}", style("~ #").green()));
        let before = self.model.clone();
        self.recorder.begin(&task.what, &commands)?;
        let mut actions = task.actions.iter();
        let result =
            actions.try_for_each(|action| self.run(action, times)).and_then(|()| self.check());
        self.print_log();
        if result.is_ok() {
            self.recorder.end(&task.what)?;
            self.recorder.drain()?;
            self.print_changes(&before);
            self.pause()?;
        }
        result
    }

    /// Runs an action, and predicts its effects. `times`: how often each timer fires before the
    /// next action.
    fn run(&mut self, action: &Action, times: u64) -> Result<()> {
        match *action {
            Action::Load => {
                self.vm.insmod(MODULE, "")?;
                for cpu in &self.online {
                    self.model.insert(*cpu, Counts::SET_UP);
                    self.steps.extend([(*cpu, Kind::Create), (*cpu, Kind::Setup)]);
                }
                self.totals.threads = self.online.len();
            }
            Action::Unload => {
                self.demo.unload()?;
                self.steps.extend(self.online.iter().map(|cpu| (*cpu, Kind::CleanupOnline)));
                self.model.clear();
            }
            Action::Wake(target) => {
                let (list, cpus) = match target {
                    Target::All => ("all".into(), self.demo.possible().to_vec()),
                    Target::Cpu(cpu) => (cpu.to_string(), vec![cpu]),
                };
                match self.totals.wakes {
                    // Relates the module's clock to that of the kernel's trace.
                    0 => self.recorder.loaded(cpus[0])?,
                    _ => self.demo.wake(&list)?,
                }
                for cpu in cpus {
                    let is_online = self.is_online(cpu);
                    let counts = self.model.entry(cpu).or_default();
                    counts.wake += 1;
                    self.totals.wakes += 1;
                    if is_online {
                        counts.run += 1;
                    } else {
                        self.pending.insert(cpu);
                    }
                }
            }
            Action::Offline(cpu) => {
                self.toggle(action, || self.vm.cpu(cpu).offline())?;
                self.online.retain(|online| *online != cpu);
                self.model.entry(cpu).or_default().park += 1;
                self.steps.push((cpu, Kind::Park));
                self.fire(times)?;
            }
            Action::Online(cpu) => {
                self.toggle(action, || self.vm.cpu(cpu).online())?;
                self.online.push(cpu);
                let counts = self.model.entry(cpu).or_default();
                counts.unpark += 1;
                // One run for all pending wakes.
                counts.run += u64::from(self.pending.remove(&cpu));
                self.totals.cycles += 1;
                self.steps.push((cpu, Kind::Unpark));
                self.fire(2 * times)?;
            }
            Action::Period(0) => {
                self.demo.stop_timers()?;
                self.timers = false;
                self.adopt()?;
            }
            Action::Period(us) => {
                self.vm.write(PERIOD, us.to_string())?;
                self.timers = true;
                self.fire(2 * times)?;
            }
            ref other => bail!("no part of the story: {}", other.command()),
        }
        Ok(())
    }

    /// Among other actions of a task, a CPU's offline and online have marks of their own.
    fn toggle(&self, action: &Action, toggle: impl FnOnce() -> Result<()>) -> Result<()> {
        if !self.timers {
            return toggle();
        }
        let what = match action {
            Action::Offline(cpu) => format!("Take CPU {cpu} offline while its timer fires"),
            Action::Online(cpu) => format!("Bring CPU {cpu} online: its timer starts again"),
            other => other.command(),
        };
        self.recorder.action(&what, &[&action.command()], toggle)
    }

    /// Waits until each timer has fired this many times more.
    fn fire(&mut self, times: u64) -> Result<()> {
        if !self.timers {
            return Ok(());
        }
        let now = self.demo.all_counts()?;
        let wanted = self.online.iter().map(|cpu| (*cpu, "run", now[cpu].run + times));
        self.demo.wait_for(wanted)?;
        self.recorder.drain()
    }

    /// Takes over the wakes and runs of the timers.
    fn adopt(&mut self) -> Result<()> {
        for (cpu, now) in self.demo.all_counts()? {
            let model = self.model.entry(cpu).or_default();
            let (wakes, runs) = (now.wake - model.wake, now.run - model.run);
            ensure!(runs <= wakes, "cpu{cpu}: {runs} runs for {wakes} wakes");
            (model.wake, model.run) = (now.wake, now.run);
            self.totals.wakes += wakes;
        }
        Ok(())
    }

    fn check(&mut self) -> Result<()> {
        if !self.model.is_empty() {
            self.demo.settles_at(&self.model)?;
        }
        let steps = std::mem::take(&mut self.steps);
        self.demo.logged(&steps)?;
        self.totals.steps += steps.len();
        Ok(())
    }

    fn print_log(&mut self) {
        let records = self.vm.records();
        for record in &records[self.printed..] {
            let (seconds, us) = (record.time_us / 1_000_000, record.time_us % 1_000_000);
            let stamp = style(format!("[{seconds:5}.{us:06}]")).dim();
            match record.text.strip_prefix(MODULE) {
                Some(text) => say!("{stamp} {MODULE}{}", style(text).bold()),
                None => say!("{stamp} {}", record.text),
            }
        }
        self.printed = records.len();
    }

    /// Prints the counters that have changed.
    fn print_changes(&mut self, before: &AllCounts) {
        for (cpu, counts) in &self.model {
            let old = before.get(cpu).copied().unwrap_or_default();
            let changes: Vec<_> = counts
                .named()
                .zip(old.named())
                .filter(|((_, new), (_, old))| new != old)
                .map(|((name, new), _)| format!("{name} {new}"))
                .collect();
            if !changes.is_empty() {
                say!("{}", style(format!("cpu{cpu}: {}", changes.join(", "))).green());
            }
        }
    }

    fn summary(&mut self) -> Result<()> {
        let summary = self.demo.summary()?;
        output(&format!("cat {DIRECTORY}/summary"), &summary);
        Ok(())
    }

    /// Pauses, so that the user can read.
    fn pause(&self) -> Result<()> {
        let us = self.pace.as_micros() as u64;
        if us == 0 {
            return Ok(());
        }
        self.vm.outside_test_limit(|| self.vm.call(Call::Pause { us }).map(drop))
    }

    fn top(&mut self) -> Result<()> {
        let rows = self.recorder.table(usize::MAX)?;
        let table: Vec<String> = rows.into_iter().map(|row| row.text).collect();
        output(TOP, &table.join("\n"));
        Ok(())
    }
}

/// Prints a command and its output.
fn output(command: &str, output: &str) {
    say!("\n{} {command}\n{output}", style("~ #").green());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_timers_together_fire_no_more_often_on_a_larger_machine() {
        assert_eq!(timers(1), (5000, 20));
        assert_eq!(timers(4), (5000, 20));
        assert_eq!(timers(64), (80_000, 4));
        for cpus in 4..=255 {
            let (period_us, _) = timers(cpus as usize);
            assert!(cpus * 1_000_000 / period_us <= 4 * 1_000_000 / 5000, "{cpus}");
        }
    }
}
