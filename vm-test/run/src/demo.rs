// SPDX-License-Identifier: GPL-2.0

//! `run demo`: shows the life cycle of per-CPU threads, and checks it against a model.
//!
//! Each action is shown as the command to type in `make vm`, followed by what the kernel logged.
//! The model predicts the module's counters and log lines. A recording of the run becomes the
//! pictures at the end.

use crate::screen::Screen;
use anyhow::{Context, Result, ensure};
use clap::Args;
use cli::{Options, exit, progress, say, terminal};
use console::style;
use demo_module::recorder::{self, Recorded, Recorder};
use demo_module::{AllCounts, Counts, DIRECTORY, Demo, Kind, MODULE, PERIOD, WAKE};
use host::Vm;
use host::verdict::{Fault, Judge, Leaves};
use report::run::About;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Default pause after an action on a terminal.
const PACE: Duration = Duration::from_millis(500);

/// Name of the files in the directory for reports.
const NAME: &str = "demo";

const TITLE: &str = "Per-CPU threads follow their CPUs";

/// Number of CPUs whose actions fit into the usual test limit.
const CPUS_PER_LIMIT: u32 = 8;

/// Period in µs of the timers of the small `cyclictest`, and how often each fires before the next
/// action.
fn timers(cpus: usize) -> (u64, u64) {
    let share = demo_module::share(cpus);
    (5000 * share, (20 / share).max(4))
}

/// The guest's command that prints the table of the live view.
const TOP: &str = "smpboot-top | cat";

#[derive(Args)]
pub struct DemoArgs {
    /// Pause after each action in seconds; default: 0.5 on a terminal, else 0
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
    let machine = options.machine()?;
    if let Some(directory) = &machine.report {
        recorder::remove_saved(directory, NAME)?;
    }
    say!("{}", style(machine.banner()).dim());
    let config = options.config(&machine)?;
    let vm = progress::boot(&machine, &config)?;
    say!("{}", style(format!("{config}, up in {:.1} s\n", vm.boot_time().as_secs_f64())).dim());
    let screen = Screen::new();
    let pace = pace.unwrap_or(if screen.is_live() { PACE } else { Duration::ZERO });

    let mut totals = Totals::default();
    let mut shown = None;
    let mut judge = Judge::default();
    let mut faults = judge.run(&vm, NAME, Leaves::Clean, |vm| {
        let about = demo_module::about(vm, TITLE);
        vm.set_test_limit(Some(1 + config.cpus / CPUS_PER_LIMIT));
        shown = Some(totals.show(vm, screen, pace, about, args.dat)?);
        Ok(())
    });
    if vm.is_running() && faults.is_empty() {
        if let Err(e) = vm.shut_down() {
            faults.push(Fault::Unclean(format!("{e:#}")));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if let (true, Some(recorded)) = (faults.is_empty(), shown) {
        let Totals { threads, cycles, wakes, steps } = totals;
        say!(
            "\n{}: {threads} threads, {cycles} offline/online cycles, {wakes} wakes in {seconds:.1} s. \
             All counters and all {steps} log lines match the model.",
            style("ok").green().bold()
        );
        if let Some(directory) = &machine.report {
            let saved = recorded.save(directory, NAME)?;
            say!("{}", terminal::linked(&saved.to_string(), &saved.page()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    say!("\n{}: the guest did not do what the model predicts", style("FAILED").red().bold());
    say!("{}", judge.report(&vm, &faults));
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
        screen: Screen,
        pace: Duration,
        about: About,
        dat: bool,
    ) -> Result<Recorded> {
        let online = vm.cpus("online")?;
        // The last CPU cannot go offline.
        let cpus = if online.len() > 1 { vm.hotpluggable()? } else { Vec::new() };
        let mut show = Demonstration::new(vm, self, screen, pace, about)?;

        show.act(
            "Load the module: one thread per CPU is created parked, then sets itself up",
            &[&format!("insmod {MODULE}.ko")],
            |show| {
                vm.insmod(MODULE, "")?;
                for cpu in &online {
                    show.model.insert(*cpu, Counts::SET_UP);
                    show.steps.extend([(*cpu, Kind::Create), (*cpu, Kind::Setup)]);
                }
                Ok(())
            },
        )?;
        show.totals.threads = online.len();
        show.summary()?;

        show.first_wake(online[0])?;
        show.wake("Wake all threads", "all", &online)?;
        for (i, cpu) in cpus.iter().enumerate() {
            show.offline(*cpu)?;
            show.wake_later(*cpu)?;
            if i == 0 {
                show.summary()?;
            }
            show.online(*cpu)?;
        }
        show.cyclictest(&online, cpus.last().copied())?;
        if cpus.is_empty() {
            show.screen.log("This VM has no second CPU to take offline.".into());
        }
        show.wake("Wake all threads again", "all", &online)?;
        show.summary()?;

        show.recorder.unloading()?;
        show.act(
            "Unload the module: each thread runs cleanup() and exits",
            &[&format!("rmmod {MODULE}")],
            |show| {
                show.demo.unload()?;
                show.steps.extend(online.iter().map(|cpu| (*cpu, Kind::CleanupOnline)));
                show.model.clear();
                Ok(())
            },
        )?;
        let Demonstration { recorder, .. } = show;
        recorder.finish(dat)
    }
}

struct Demonstration<'a> {
    vm: &'a Vm,
    demo: Demo<'a>,
    totals: &'a mut Totals,
    screen: Screen,
    pace: Duration,
    recorder: Recorder<'a>,
    /// Expected counters.
    model: AllCounts,
    /// Expected log lines of the present action.
    steps: Vec<(u32, Kind)>,
    /// Number of records already printed.
    printed: usize,
}

impl<'a> Demonstration<'a> {
    fn new(
        vm: &'a Vm,
        totals: &'a mut Totals,
        screen: Screen,
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
            screen,
            pace,
            recorder,
            model,
            steps: Vec::new(),
            printed,
        })
    }

    /// Shows an action, runs it, and compares the result with the model, which `act` updates.
    fn act(
        &mut self,
        why: &str,
        commands: &[&str],
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.screen.action(why, commands);
        let before = self.model.clone();
        self.recorder.begin(why, commands)?;
        let result = act(self).and_then(|()| self.check());
        self.print_log();
        if result.is_ok() {
            self.recorder.end(why)?;
            self.recorder.drain()?;
            self.print_changes(&before);
            self.screen.pause(&mut self.recorder, self.pace)?;
        }
        result
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
            self.screen.log(match record.text.strip_prefix(MODULE) {
                Some(text) => format!("{stamp} {MODULE}{}", style(text).bold()),
                None => format!("{stamp} {}", record.text),
            });
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
                self.screen
                    .log(style(format!("cpu{cpu}: {}", changes.join(", "))).green().to_string());
            }
        }
    }

    fn summary(&mut self) -> Result<()> {
        let summary = self.demo.summary()?;
        self.screen.output(&format!("cat {DIRECTORY}/summary"), &summary);
        Ok(())
    }

    fn count_wake(&mut self, cpu: u32) {
        let counts = self.model.entry(cpu).or_default();
        counts.wake += 1;
        counts.run += 1;
        self.totals.wakes += 1;
    }

    /// Makes the recorder relate the module's clock to that of the kernel's trace.
    fn first_wake(&mut self, cpu: u32) -> Result<()> {
        self.act(
            &format!("Wake the thread of CPU {cpu}: it runs"),
            &[&format!("echo {cpu} > {WAKE}")],
            |show| {
                show.recorder.loaded(cpu)?;
                show.count_wake(cpu);
                Ok(())
            },
        )
    }

    fn wake(&mut self, why: &str, list: &str, cpus: &[u32]) -> Result<()> {
        self.act(why, &[&format!("echo {list} > {WAKE}")], |show| {
            show.demo.wake(list)?;
            cpus.iter().for_each(|cpu| show.count_wake(*cpu));
            Ok(())
        })
    }

    fn offline(&mut self, cpu: u32) -> Result<()> {
        let why = format!("Take CPU {cpu} offline: its thread is parked first");
        self.act(&why, &[&toggle(cpu, 0)], |show| {
            show.vm.cpu(cpu).offline()?;
            show.model.entry(cpu).or_default().park += 1;
            show.steps.push((cpu, Kind::Park));
            Ok(())
        })
    }

    fn wake_later(&mut self, cpu: u32) -> Result<()> {
        let why =
            format!("Wake CPU {cpu}'s thread while CPU {cpu} is offline: the wake stays pending");
        self.act(&why, &[&format!("echo {cpu} > {WAKE}")], |show| {
            show.demo.wake(&cpu.to_string())?;
            show.model.entry(cpu).or_default().wake += 1;
            show.totals.wakes += 1;
            Ok(())
        })
    }

    fn online(&mut self, cpu: u32) -> Result<()> {
        let why = format!(
            "Bring CPU {cpu} online: the same thread is unparked, and runs for the pending wake"
        );
        self.act(&why, &[&toggle(cpu, 1)], |show| {
            show.vm.cpu(cpu).online()?;
            show.cycled(cpu);
            show.model.entry(cpu).or_default().run += 1;
            show.steps.push((cpu, Kind::Unpark));
            Ok(())
        })
    }

    fn cycled(&mut self, cpu: u32) {
        self.model.entry(cpu).or_default().unpark += 1;
        self.totals.cycles += 1;
    }

    /// The model predicts everything except how often the timers fire.
    fn cyclictest(&mut self, online: &[u32], toggled: Option<u32>) -> Result<()> {
        let (period_us, times) = timers(online.len());
        let mut why =
            format!("Start a timer on each CPU that wakes its thread every {period_us} µs");
        let mut commands = vec![format!("echo {period_us} > {PERIOD}")];
        if let Some(cpu) = toggled {
            why += &format!("; take CPU {cpu} offline and online while they fire");
            commands.extend([toggle(cpu, 0), toggle(cpu, 1)]);
        }
        commands.push(format!("echo 0 > {PERIOD}"));
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        self.act(&why, &commands, |show| {
            let before = show.demo.all_counts()?;
            let fired = |show: &mut Self, cpus: &[u32], times: u64| -> Result<()> {
                let now = show.demo.all_counts()?;
                let wanted = cpus.iter().map(|cpu| (*cpu, "run", now[cpu].run + times));
                show.demo.wait_for(wanted)?;
                show.screen.refresh(&mut show.recorder)?;
                show.recorder.drain()
            };
            show.vm.write(PERIOD, period_us.to_string())?;
            for _ in 0..2 {
                fired(show, online, times)?;
            }
            if let Some(cpu) = toggled {
                let why = format!("Take CPU {cpu} offline while its timer fires");
                show.recorder.action(&why, &[&toggle(cpu, 0)], || show.vm.cpu(cpu).offline())?;
                let others: Vec<u32> = online.iter().copied().filter(|n| *n != cpu).collect();
                fired(show, &others, times)?;
                let why = format!("Bring CPU {cpu} online: its timer starts again");
                show.recorder.action(&why, &[&toggle(cpu, 1)], || show.vm.cpu(cpu).online())?;
                show.model.entry(cpu).or_default().park += 1;
                show.steps.extend([(cpu, Kind::Park), (cpu, Kind::Unpark)]);
                show.cycled(cpu);
                for _ in 0..2 {
                    fired(show, online, times)?;
                }
            }
            show.demo.stop_timers()?;

            let after = show.demo.all_counts()?;
            for (cpu, after) in &after {
                let before = before[cpu];
                let (wakes, runs) = (after.wake - before.wake, after.run - before.run);
                ensure!(runs <= wakes, "cpu{cpu}: {runs} runs for {wakes} wakes");
                let model = show.model.entry(*cpu).or_default();
                (model.wake, model.run) = (after.wake, after.run);
                show.totals.wakes += wakes;
            }
            Ok(())
        })?;
        let table: Vec<String> =
            self.recorder.table(usize::MAX)?.into_iter().map(|row| row.text).collect();
        self.screen.output(TOP, &table.join("\n"));
        Ok(())
    }
}

fn toggle(cpu: u32, online: u8) -> String {
    format!("echo {online} > /sys/devices/system/cpu/cpu{cpu}/online")
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
            let (period_us, _) = timers(cpus);
            assert!(cpus as u64 * 1_000_000 / period_us <= 4 * 1_000_000 / 5000, "{cpus}");
        }
    }
}
