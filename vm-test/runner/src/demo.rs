// SPDX-License-Identifier: GPL-2.0

//! `vm-test demo`: the life of per-CPU threads, shown and checked.
//!
//! Each action is printed as the command that one would type in `make vm`, then what the kernel
//! logged. Next to the module runs a model of it: what it must have counted and logged by then.

use crate::exit;
use crate::judge;
use crate::judge::Leaves;
use crate::qemu::Config;
use crate::setup::Options;
use crate::setup::Setup;
use crate::threads::AllCounts;
use crate::threads::Counts;
use crate::threads::Demo;
use crate::threads::FOLDER;
use crate::threads::MODULE;
use crate::threads::Step;
use crate::threads::WAKE;
use crate::ui;
use crate::vm::Vm;
use anyhow::Result;
use anyhow::ensure;
use console::style;
use std::process::ExitCode;
use std::time::Instant;

pub fn run(options: &Options) -> Result<ExitCode> {
    let start = Instant::now();
    let setup = Setup::new(options)?;
    println!("{}", style(setup.banner()).dim());
    let config = Config::smp(options.cpus);
    let vm = ui::boot(&setup, &config)?;
    println!("{}", style(format!("{config}, up in {:.1} s", vm.boot_time.as_secs_f64())).dim());

    let mut done = Done::default();
    let mut faults = judge::judge(&vm, "demo", Leaves::Clean, |vm| done.show(vm));
    if vm.is_running() && faults.is_empty() {
        if let Err(e) = vm.shut_down() {
            faults.push(judge::Fault::Unclean(format!("{e:#}")));
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    if faults.is_empty() {
        let Done { threads, cycles, wakes, steps } = done;
        println!(
            "\n{}: {threads} threads, {cycles} times a CPU off and on, {wakes} wakes: every counter and all \
             {steps} steps in the log were as they must be. {seconds:.1} s",
            style("ok").green().bold()
        );
        return Ok(ExitCode::SUCCESS);
    }
    println!("\n{}: what was seen is not what must be seen", style("FAILED").red().bold());
    for fault in faults {
        println!("- {fault}");
    }
    println!("the last of the console:\n{}", vm.console_tail());
    Ok(ExitCode::from(exit::TEST_FAILED))
}

/// What there was to see.
#[derive(Default)]
struct Done {
    threads: usize,
    cycles: usize,
    wakes: usize,
    steps: usize,
}

impl Done {
    fn show(&mut self, vm: &Vm) -> Result<()> {
        let online = vm.cpus("online")?;
        let mut show = Show::new(vm, self)?;

        show.act(
            "One thread for each CPU: created parked, then set up by itself",
            &format!("insmod {MODULE}.ko"),
            |show| {
                vm.insmod(MODULE, "")?;
                for cpu in &online {
                    show.model.insert(*cpu, Counts::BORN);
                    show.steps.extend([(*cpu, Step::Create), (*cpu, Step::Setup)]);
                }
                Ok(())
            },
        )?;
        show.done.threads = online.len();
        show.summary()?;

        show.wake("A wake of each", "all", &online)?;
        let cpus = vm.hotpluggable()?;
        ensure!(!cpus.is_empty(), "no CPU of this machine can go offline");
        for (i, cpu) in cpus.iter().enumerate() {
            show.offline(*cpu)?;
            show.wake_later(*cpu)?;
            if i == 0 {
                show.summary()?;
            }
            show.online(*cpu)?;
        }
        show.wake("Everybody again", "all", &online)?;
        show.summary()?;

        show.act("The threads clean up, and go", &format!("rmmod {MODULE}"), |show| {
            show.demo.unload()?;
            show.steps.extend(online.iter().map(|cpu| (*cpu, Step::CleanupOnline)));
            show.model.clear();
            Ok(())
        })
    }
}

struct Show<'a> {
    vm: &'a Vm,
    demo: Demo<'a>,
    done: &'a mut Done,
    /// What must have been counted.
    model: AllCounts,
    /// What must have been logged by the present action.
    steps: Vec<(u32, Step)>,
    /// How many records were printed.
    printed: usize,
}

impl<'a> Show<'a> {
    fn new(vm: &'a Vm, done: &'a mut Done) -> Result<Show<'a>> {
        let demo = Demo::attach(vm)?;
        let model = demo.possible().iter().map(|cpu| (*cpu, Counts::default())).collect();
        let printed = vm.records.borrow().len();
        Ok(Show { vm, demo, done, model, steps: Vec::new(), printed })
    }

    /// Says it, does it, shows what came of it, and compares that with the model, which `act` has
    /// brought forward.
    fn act(
        &mut self,
        why: &str,
        command: &str,
        act: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        println!("\n{}", style(format!("# {why}")).cyan());
        println!("{} {command}", style("~ #").green());
        let before = self.model.clone();
        let result = act(self).and_then(|()| self.check());
        self.print_log();
        if result.is_ok() {
            self.print_changes(&before);
        }
        result
    }

    fn check(&mut self) -> Result<()> {
        if !self.model.is_empty() {
            self.demo.settles_at(&self.model)?;
        }
        let steps = std::mem::take(&mut self.steps);
        self.demo.logged(&steps)?;
        self.done.steps += steps.len();
        Ok(())
    }

    fn print_log(&mut self) {
        let records = self.vm.records.borrow();
        for record in &records[self.printed..] {
            let (seconds, us) = (record.time_us / 1_000_000, record.time_us % 1_000_000);
            let stamp = style(format!("[{seconds:5}.{us:06}]")).dim();
            match record.text.strip_prefix(MODULE) {
                Some(text) => println!("{stamp} {MODULE}{}", style(text).bold()),
                None => println!("{stamp} {}", record.text),
            }
        }
        self.printed = records.len();
    }

    /// What has been counted; it was compared with the model.
    fn print_changes(&self, before: &AllCounts) {
        for (cpu, counts) in &self.model {
            let old = before.get(cpu).copied().unwrap_or_default();
            let changes: Vec<_> = counts
                .named()
                .zip(old.named())
                .filter(|((_, new), (_, old))| new != old)
                .map(|((name, new), _)| format!("{name} {new}"))
                .collect();
            if !changes.is_empty() {
                println!("{}", style(format!("cpu{cpu}: {}", changes.join(", "))).green());
            }
        }
    }

    fn summary(&self) -> Result<()> {
        println!("\n{} cat {FOLDER}/summary", style("~ #").green());
        println!("{}", self.demo.summary()?);
        Ok(())
    }

    fn wake(&mut self, why: &str, list: &str, cpus: &[u32]) -> Result<()> {
        self.act(why, &format!("echo {list} > {WAKE}"), |show| {
            show.demo.wake(list)?;
            for cpu in cpus {
                let counts = show.model.entry(*cpu).or_default();
                counts.wake += 1;
                counts.run += 1;
            }
            show.done.wakes += cpus.len();
            Ok(())
        })
    }

    fn offline(&mut self, cpu: u32) -> Result<()> {
        let why = format!("CPU {cpu} goes: its thread parks first");
        self.act(&why, &toggle(cpu, 0), |show| {
            show.vm.cpu(cpu).offline()?;
            show.model.entry(cpu).or_default().park += 1;
            show.steps.push((cpu, Step::Park));
            Ok(())
        })
    }

    fn wake_later(&mut self, cpu: u32) -> Result<()> {
        let why = format!("A wake of CPU {cpu}, which is not there, is kept");
        self.act(&why, &format!("echo {cpu} > {WAKE}"), |show| {
            show.demo.wake(&cpu.to_string())?;
            show.model.entry(cpu).or_default().wake += 1;
            show.done.wakes += 1;
            Ok(())
        })
    }

    fn online(&mut self, cpu: u32) -> Result<()> {
        let why = format!("CPU {cpu} comes back: the same thread goes on, and runs for that wake");
        self.act(&why, &toggle(cpu, 1), |show| {
            show.vm.cpu(cpu).online()?;
            let counts = show.model.entry(cpu).or_default();
            counts.unpark += 1;
            counts.run += 1;
            show.steps.push((cpu, Step::Unpark));
            show.done.cycles += 1;
            Ok(())
        })
    }
}

fn toggle(cpu: u32, online: u8) -> String {
    format!("echo {online} > /sys/devices/system/cpu/cpu{cpu}/online")
}
