// SPDX-License-Identifier: GPL-2.0

//! `suite bench`: counts the guest's instructions for wakes, runs and registrations.
//!
//! One machine is booted several times, machines with other numbers of CPUs a few times. The boots
//! differ in a word of the command line that no code reads: that varies everything left to chance.
//! `smpboot_bench.ko` takes all figures of a boot, the twins in turns, see `bench/smpboot_bench.c`.

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use cli::{Options, exit, note, output, say};
use demo_module::recorder;
use host::guest::calls;
use host::machine::{Accel, Arch, Choice, qemu};
use host::vm::Limits;
use host::{Config, Machine, Vm, files};
use report::bench::{self, Bench, Conditions, Figure, Key, Verdict};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use wire::Call;

const DIRECTORY: &str = "/sys/kernel/debug/smpboot_bench";

/// Name of the files in the directory for reports.
const NAME: &str = "bench";

/// Modules to load. The others register their mechanisms with the first.
const MODULES: &[&str] = &[
    "smpboot_bench",
    "smpboot_twin_c",
    "smpboot_twin_rust",
    "smpboot_many_c",
    "smpboot_many_rust",
    "smpboot_events_rust",
    "smpboot_workqueue_rust",
];

/// Number of CPUs of the machine that takes all figures; `report::bench` looks for its goals there.
const CPUS: u32 = 4;
const OTHER_MACHINES: &[u32] = &[1, 2, 16, 64];
const LARGEST: u32 = 64;

/// Limits that only a hang exceeds: an emulator that counts is slow, and slower with more CPUs.
const LIMITS: Limits = Limits {
    boot: Duration::from_secs(900),
    call: Duration::from_secs(900),
    silence: Duration::from_secs(600),
    test: Duration::from_secs(3600),
};

#[derive(Args)]
pub struct BenchArgs {
    /// Number of boots; the median is reported
    #[arg(long, value_name = "N", default_value = "7")]
    boots: u32,
    /// Take only figures that have a goal; exit status 1 if a goal is missed
    #[arg(long)]
    check: bool,
}

pub fn run(options: &Options, args: &BenchArgs) -> Result<ExitCode> {
    let machine = Machine { accel: Choice::tcg("asked for"), ..options.machine()? };
    if let Some(directory) = &machine.report {
        recorder::remove_saved(directory, NAME)?;
    }
    ensure!(
        machine.arch == Arch::Amd64,
        "ARCH={}: only the emulated x86 has a clock that counts instructions (use ARCH=amd64)",
        machine.arch.name()
    );
    ensure!(args.boots > 0, "--boots 0: expected 1 or more");
    let mut bench = Bench { conditions: conditions(&machine)?, figures: sizes(options)? };

    // Larger machines are slow: the machine of most figures is first. Figures with a goal are the
    // median of all boots.
    let (others, boots) =
        if args.check { (&[LARGEST][..], args.boots) } else { (OTHER_MACHINES, 1) };
    let boots_of = |cpus: u32, boots: u32| (0..boots).map(move |boot| (cpus, boot));
    let mut all: Vec<(u32, u32)> = boots_of(CPUS, args.boots).collect();
    all.extend(others.iter().flat_map(|cpus| boots_of(*cpus, boots)));
    for (i, (cpus, boot)) in all.iter().enumerate() {
        let start = Instant::now();
        let plan = if *cpus == CPUS { plan(args.check) } else { plan_of_registering(*cpus) };
        add(&mut bench.figures, take(&machine, *cpus, *boot, &plan)?);
        bench.conditions.boots = bench.conditions.boots.max(boot + 1);
        // A user who interrupts the run keeps the figures so far.
        if let Some(directory) = &machine.report {
            save(&bench, directory)?;
        }
        let (done, seconds) = (i + 1, start.elapsed().as_secs());
        note!("boot {done} of {}: {cpus} CPUs, {seconds} s", all.len());
    }

    output::write(output::shown(bench::text(&bench)).as_bytes());
    if let Some(directory) = &machine.report {
        let base = directory.join(NAME).display().to_string();
        say!("{base}.html  the same with plots\n{base}.json  all medians\n{base}.txt   this");
    }
    let missed =
        bench.goals().iter().filter(|(_, verdict)| matches!(verdict, Verdict::Missed(_))).count();
    if missed > 0 && args.check {
        say!("\ngoals missed: {missed}");
        return Ok(ExitCode::from(exit::TEST_FAILED));
    }
    Ok(ExitCode::SUCCESS)
}

/// A command for `smpboot_bench.ko`.
struct Step {
    figure: &'static str,
    arg: u32,
    cpu: u32,
    count: u32,
    rounds: u32,
    names: &'static str,
}

impl Step {
    fn text(&self) -> String {
        let Step { figure, arg, cpu, count, rounds, names } = self;
        format!("{figure} {arg} {cpu} {count} {rounds} {names}")
    }
}

/// The CPU of the measuring task: not the CPU that gets the machine's interrupts.
fn here(cpus: u32) -> u32 {
    1.min(cpus - 1)
}

// The others are compared with the first name.
const TWINS: &str = "c rust";
const WORKERS: &str = "c rust rust_workqueue wq wq_highpri kthread_worker";
const ALL: &str = "c rust rust_workqueue wq wq_highpri kthread_worker smp_call";
const FIFO: &str = "c rust rust_workqueue kthread_worker";
const QUEUES: &str = "wq rust_workqueue rust_workqueue_arc kthread_worker";
/// Mechanisms for a burst: some answer all wakes with one run, some run a function for each.
const BURST: &str = "c rust rust_workqueue rust_workqueue_arc wq wq_highpri kthread_worker";
const MANY: &str = "many_c many_rust";

fn plan(check: bool) -> Vec<Step> {
    let here = here(CPUS);
    let other = here + 1;
    let mut steps = vec![];
    let mut add = |figure, arg, cpu, count, rounds, names| {
        steps.push(Step { figure, arg, cpu, count, rounds, names });
    };
    for cpu in [here, other] {
        add("latency", 0, cpu, 0, 101, if check { "c rust wq" } else { ALL });
        add("latency", 1, cpu, 0, 101, if check { TWINS } else { FIFO });
        add("pending", 0, cpu, 0, 51, if check { TWINS } else { WORKERS });
        if !check {
            add("waker", 0, cpu, 0, 51, ALL);
            add("waker", 1, cpu, 0, 51, FIFO);
        }
    }
    if check {
        add("burst", 0, here, 256, 21, QUEUES);
        add("crowd", 0, here, 256, 21, QUEUES);
    } else {
        for count in [1, 4, 16, 64, 256, 1024, 4096] {
            add("burst", 0, here, count, if count > 256 { 7 } else { 21 }, BURST);
        }
        add("crowd", 0, here, 256, 21, QUEUES);
        add("turns", 1, here, 4096, 5, "many_c");
        add("memory", 64, here, 0, 2, MANY);
    }
    add("call", 0, here, 1000, 21, "nothing record");
    for registrations in if check { &[8][..] } else { &[0, 1, 8, 64] } {
        let rounds = if *registrations > 8 { 3 } else { 11 };
        add("hotplug", *registrations, CPUS - 1, 0, rounds, MANY);
    }
    add("register", 1, here, 0, 11, MANY);
    steps
}

fn plan_of_registering(cpus: u32) -> Vec<Step> {
    vec![Step { figure: "register", arg: 1, cpu: here(cpus), count: 0, rounds: 11, names: MANY }]
}

/// Takes the figures of one boot. All calls are one message: the host does not interrupt the guest
/// during a measurement.
fn take(machine: &Machine, cpus: u32, boot: u32, plan: &[Step]) -> Result<Vec<Figure>> {
    let config = config(cpus, boot);
    let vm = Vm::boot_with(machine, &config, LIMITS)?;
    let mut calls: Vec<Call> = MODULES.iter().map(|name| calls::insmod(name, "")).collect();
    calls.push(Call::SetAffinity { pid: 0, cpus: vec![here(cpus)] });
    // The boot's remaining work ends during the pause; idle time takes the host no time.
    calls.push(Call::Pause { us: 3_000_000 });
    calls.extend(plan.iter().map(|step| calls::write(&format!("{DIRECTORY}/run"), step.text())));
    vm.batch(calls)?;
    let results = vm.read(&format!("{DIRECTORY}/results"))?;
    vm.kill();
    let figures = parse(&results, cpus).with_context(|| format!("results: {results}"))?;
    let wanted: usize = plan.iter().map(|step| step.names.split(' ').count()).sum();
    ensure!(figures.len() == wanted, "{} figures of {wanted}: {results}", figures.len());
    Ok(figures)
}

fn config(cpus: u32, boot: u32) -> Config {
    Config::smp(cpus).counted(boot).memory_mb(if cpus > 16 { 2048 } else { 1024 })
}

/// `<figure> <arg> <cpu> <count> <rounds> <name> <minimum> <median>`
fn parse(results: &str, cpus: u32) -> Result<Vec<Figure>> {
    let mut figures = vec![];
    for line in results.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [figure, arg, cpu, count, rounds, name, minimum, median] = words[..] else {
            bail!("expected eight words: {line}");
        };
        if figure == "clock" {
            continue; // subtracted already
        }
        let key = Key {
            figure: figure.into(),
            name: name.into(),
            arg: arg.parse()?,
            other_cpu: cpu.parse::<u32>()? != here(cpus),
            count: count.parse()?,
            cpus,
        };
        figures.push(Figure {
            key,
            medians: vec![median.parse()?],
            minimum: minimum.parse()?,
            rounds: rounds.parse()?,
        });
    }
    Ok(figures)
}

/// Adds the figures of one more boot.
fn add(all: &mut Vec<Figure>, more: Vec<Figure>) {
    for figure in more {
        match all.iter_mut().find(|known| known.key == figure.key) {
            Some(known) => {
                known.medians.extend(figure.medians);
                known.minimum = known.minimum.min(figure.minimum);
            }
            None => all.push(figure),
        }
    }
}

fn conditions(machine: &Machine) -> Result<Conditions> {
    let config = config(CPUS, 0);
    let qemu = machine.arch.qemu();
    let program = output(Command::new("sh").args(["-c", "command -v \"$0\"", qemu]))?;
    let hashes = [
        ("kernel", machine.kernel.image.clone()),
        ("initramfs", PathBuf::from(machine.initramfs_path())),
        (qemu, PathBuf::from(program.trim())),
    ];
    let mut by_name = BTreeMap::new();
    for (what, path) in hashes {
        let text = output(Command::new("sha256sum").arg(&path))?;
        let hash = text.split(' ').next().unwrap_or_default().trim_start_matches('\\');
        by_name.insert(what.to_owned(), hash.to_owned());
    }
    Ok(Conditions {
        release: machine.kernel.release.clone(),
        qemu_version: machine.qemu_version.clone(),
        date: demo_module::date(),
        flags: qemu::machine_arguments(
            machine.arch,
            Accel::Tcg,
            &config,
            &machine.kernel.built_with,
        )
        .join(" "),
        command_line: qemu::command_line(machine.arch, &config, &machine.kernel.built_with),
        hashes: by_name,
        boots: 0,
    })
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", output.status);
    Ok(String::from_utf8(output.stdout)?)
}

/// Functions of a thread: its callbacks and its wake.
const FUNCTIONS: &[&str] =
    &["should_run", "run", "setup", "cleanup", "park", "unpark", "wake", "wake_sleeping"];

/// Text and data of the twins, as `nm` and `size` see them.
fn sizes(options: &Options) -> Result<Vec<Figure>> {
    let modules = options.modules.as_ref().context("--modules is missing")?;
    let mut figures = vec![];
    for (arg, of) in [functions, module_text, module_data].into_iter().enumerate() {
        for name in ["c", "rust"] {
            let size = of(&modules.join(format!("bench/smpboot_twin_{name}.ko")))?;
            let key =
                Key { figure: "size".into(), name: name.into(), arg: arg as u32, ..Key::default() };
            figures.push(Figure { key, medians: vec![size], minimum: size, rounds: 1 });
        }
    }
    Ok(figures)
}

fn functions(module: &Path) -> Result<f64> {
    let text = output(Command::new("nm").args(["-S", "-C", "--defined-only"]).arg(module))?;
    let size = sum_of_functions(&text)?;
    ensure!(size > 0, "nm finds no function of the thread in {}", module.display());
    Ok(size as f64)
}

/// `<address> <size> t <name>`: in C `twin_run`, in Rust `<...Callbacks<...>>::run`.
fn sum_of_functions(nm: &str) -> Result<u64> {
    let mut sum = 0;
    for line in nm.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        let [_, size, "t" | "T", name] = words[..] else { continue };
        let callback = name.contains("Callbacks<") || name.contains("PerThread<");
        let last = match (name.strip_prefix("twin_"), name.rsplit_once("::")) {
            (Some(last), _) => last,
            (_, Some((_, last))) if callback => last,
            _ => continue,
        };
        if FUNCTIONS.contains(&last) {
            sum += u64::from_str_radix(size, 16)?;
        }
    }
    Ok(sum)
}

fn sections(module: &Path, wanted: fn(&str) -> bool) -> Result<f64> {
    let text = output(Command::new("size").arg("-A").arg(module))?;
    let mut sum = 0;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [section, size, _] = words[..] {
            if wanted(section) {
                sum += size.parse::<u64>()?;
            }
        }
    }
    Ok(sum as f64)
}

fn module_text(module: &Path) -> Result<f64> {
    sections(module, |name| name.starts_with('.') && name.ends_with(".text") || name == ".text")
}

fn module_data(module: &Path) -> Result<f64> {
    sections(module, |name| [".data", ".bss", ".rodata", ".data..percpu"].contains(&name))
}

fn save(bench: &Bench, directory: &Path) -> Result<()> {
    let base = directory.join(NAME);
    let json = serde_json::to_string_pretty(bench)?;
    for (extension, text) in
        [("html", bench::page(bench)), ("txt", bench::text(bench)), ("json", json)]
    {
        files::write(&base.with_extension(extension), text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_figure() {
        let figures =
            parse("clock 0 0 0 101 read 7 7\nlatency 1 2 0 61 rust 4004 4010\n", 4).unwrap();
        let key = Key {
            figure: "latency".into(),
            name: "rust".into(),
            arg: 1,
            other_cpu: true,
            count: 0,
            cpus: 4,
        };
        assert_eq!(figures, [Figure { key, medians: vec![4010.0], minimum: 4004.0, rounds: 61 }]);
        assert!(parse("latency 1 2", 4).is_err());
    }

    #[test]
    fn boots_add_up() {
        let mut all = parse("waker 0 1 0 61 c 400 420", 4).unwrap();
        add(&mut all, parse("waker 0 1 0 61 c 390 430", 4).unwrap());
        assert_eq!(all.len(), 1);
        assert_eq!((&all[0].medians[..], all[0].minimum), (&[420.0, 430.0][..], 390.0));
    }

    #[test]
    fn functions_of_a_thread_are_found() {
        let nm = "0000000000000010 000000000000003e t twin_should_run
0000000000000100 0000000000000010 t twin_start
0000000000000000 0000000000000010 t __pfx_twin_run
0000000000000200 0000000000000020 t <twin::smpboot::thread::Callbacks<twin::Twin>>::run
0000000000000200 0000000000000040 t <twin::smpboot::registration::ThreadSlot<twin::Twin>>::register
                 U wake_up_process
";
        assert_eq!(sum_of_functions(nm).unwrap(), 0x3e + 0x20);
    }

    #[test]
    fn a_check_measures_all_that_has_a_goal() {
        let names = |check| plan(check).iter().map(Step::text).collect::<Vec<_>>();
        let check = names(true);
        for figure in [
            "latency 0 1",
            "latency 1 2",
            "pending 0 2",
            "burst 0 1 256",
            "crowd 0 1 256",
            "call",
            "hotplug 8",
            "register 1",
        ] {
            assert!(check.iter().any(|step| step.starts_with(figure)), "{figure}");
        }
        assert!(check.len() < names(false).len());
    }
}
