// SPDX-License-Identifier: GPL-2.0

//! Runs simulations with many schedules, in several processes.

use crate::{all, Simulation};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;

/// The maximal number of steps. Only a run that does not end has more.
const MAX_STEPS: usize = 50_000;

/// Exit status: a simulation found a fault.
const FAULT: i32 = 1;
/// Exit status: nothing was simulated. (A panic of `sim` itself has another one.)
pub const NOT_RUN: i32 = 2;

struct Options {
    schedules: usize,
    seed: u64,
    depth: Option<usize>,
    part: (usize, usize),
    names: Vec<String>,
}

impl Options {
    fn parse(arguments: &[String]) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let mut options = Self {
            schedules: 50_000,
            seed: u64::from(now.unwrap().subsec_nanos()),
            depth: None,
            part: (0, 1),
            names: vec![],
        };
        for argument in arguments {
            let number =
                |n: &str| n.parse::<u64>().unwrap_or_else(|_| panic!("{argument}: not a number"));
            match argument.split_once('=') {
                Some(("schedules", n)) => options.schedules = number(n) as usize,
                Some(("seed", n)) => options.seed = number(n),
                Some(("depth", n)) => options.depth = Some(number(n) as usize),
                Some(("to", folder)) => FOLDER.set(Some(folder.into())),
                Some(("part", of)) => {
                    let (i, n) = of.split_once('/').unwrap();
                    options.part = (number(i) as usize, number(n) as usize);
                }
                Some(_) => panic!("{argument}: no such option"),
                None => options.names.push(argument.clone()),
            }
        }
        options
    }

    /// Returns the selected simulations: those whose names begin with one of the given names.
    fn wanted(&self) -> Vec<Simulation> {
        let wanted = |s: &Simulation| {
            self.names.is_empty() || self.names.iter().any(|n| s.name.starts_with(n.as_str()))
        };
        all().into_iter().filter(wanted).collect()
    }
}

pub fn list() -> bool {
    for simulation in all() {
        for (variant, _) in &simulation.variants {
            println!("{}/{variant}", simulation.name);
        }
    }
    true
}

/// Runs the simulations on all processors until the first fault. Returns the exit status. Prints a
/// line for each fault on standard output, and nothing else.
pub fn test(arguments: &[String]) -> i32 {
    let began = Instant::now();
    let options = Options::parse(arguments);
    let variants: usize = options.wanted().iter().map(|s| s.variants.len()).sum();
    if variants == 0 {
        eprintln!("no simulation has such a name: see sim list");
        return NOT_RUN;
    }
    let jobs = std::thread::available_parallelism().map_or(1, |n| n.get()).min(variants);
    let mut children: Vec<_> = (0..jobs)
        .map(|job| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.arg("part").args(arguments);
            command.arg(format!("seed={}", options.seed)).arg(format!("part={job}/{jobs}"));
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();

    // The output of each process, when it has ended.
    let (ended, end) = mpsc::channel();
    for (job, child) in children.iter_mut().enumerate() {
        let out = BufReader::new(child.stdout.take().unwrap());
        let ended = ended.clone();
        std::thread::spawn(move || {
            let lines: Vec<String> = out.lines().map_while(Result::ok).collect();
            let _ = ended.send((job, lines));
        });
    }
    drop(ended);

    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    let mut ok = true;
    for (job, lines) in end {
        let mut at = String::new();
        for line in lines {
            match line.split_once(' ') {
                Some(("begins", variant)) => at = variant.into(),
                Some(("fault", text)) => println!("{text}"),
                Some((n, name)) if n.parse::<usize>().is_ok() => {
                    *runs.entry(name.into()).or_default() += n.parse::<usize>().unwrap()
                }
                _ => eprintln!("{line}"),
            }
        }
        let status = children[job].wait().unwrap();
        if ok && !status.success() {
            ok = false;
            if status.code().is_none() {
                let seed = options.seed;
                println!("{at}: {status} (seed={seed}): a crash is a fault, too");
            }
            for child in &mut children {
                let _ = child.kill();
            }
        }
    }
    let total: usize = runs.values().sum();
    let seconds = began.elapsed().as_secs_f64();
    for (name, runs) in &runs {
        eprintln!("{name}: {runs} schedules");
    }
    eprintln!(
        "sim: {total} schedules of {variants} variants in {seconds:.1} s, seed={}: {}",
        options.seed,
        if ok { "no fault" } else { "FAULTS" }
    );
    if ok {
        0
    } else {
        FAULT
    }
}

thread_local! {
    static AT: RefCell<String> = const { RefCell::new(String::new()) };
    static FOLDER: RefCell<Option<std::path::PathBuf>> = const { RefCell::new(None) };
}

/// Runs the part of one process.
pub fn part(arguments: &[String]) -> bool {
    let options = Options::parse(arguments);
    exit_on_panic();
    let simulations = options.wanted();
    let variants: usize = simulations.iter().map(|s| s.variants.len()).sum();
    let each = options.schedules.div_ceil(variants);
    let mut at = 0;
    for simulation in simulations {
        let name = simulation.name;
        let mut runs = 0;
        for (variant, run) in simulation.variants {
            at += 1;
            if at % options.part.1 != options.part.0 {
                continue;
            }
            let variant = format!("{name}/{variant}");
            println!("begins {variant}");
            let _ = std::io::stdout().flush();
            AT.set(variant);
            let seed = options.seed.wrapping_add(at as u64);
            runs += explore(run, each, seed, options.depth);
        }
        println!("{runs} {name}");
    }
    true
}

/// Runs a variant with several schedulers, mostly PCT: with few changes of priority, and with more.
fn explore(run: Box<dyn Fn()>, runs: usize, seed: u64, depth: Option<usize>) -> usize {
    let run = std::sync::Arc::new(Shared(run));
    let few = runs / 2;
    let random = runs / 10;
    let pct = |depth, runs| PctScheduler::new_from_seed(seed, depth, runs);
    let plan: Vec<Box<dyn Scheduler + Send>> = match depth {
        Some(depth) => vec![Box::new(pct(depth, runs))],
        None => vec![
            Box::new(pct(3, few)),
            Box::new(pct(6, runs - few - random)),
            Box::new(RandomScheduler::new_from_seed(seed, random)),
        ],
    };
    plan.into_iter()
        .map(|scheduler| {
            let run = run.clone();
            Runner::new(scheduler, config()).run(move || run.run())
        })
        .sum()
}

struct Shared(Box<dyn Fn()>);
// SAFETY: One thread runs it.
unsafe impl Send for Shared {}
// SAFETY: The same.
unsafe impl Sync for Shared {}
impl Shared {
    fn run(&self) {
        (self.0)();
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.silence_warnings = true;
    config.stack_size = 0x10000;
    config.max_steps = MaxSteps::FailAfter(MAX_STEPS);
    config.failure_persistence = FailurePersistence::File(Some(folder()));
    config
}

/// The directory for failing schedules.
fn folder() -> std::path::PathBuf {
    FOLDER.with_borrow(|folder| folder.clone().unwrap_or_else(std::env::temp_dir))
}

/// Aborts on a panic: the callbacks are C functions, which cannot unwind.
fn exit_on_panic() {
    std::panic::set_hook(Box::new(|info| {
        let at = AT.with_borrow(|at| at.clone());
        eprintln!("sim: {at}: {info}");
        eprintln!("to repeat: scripts/sim replay {at} FILE");
        println!("fault {at}: {}", message(info).replace('\n', " "));
        std::process::exit(FAULT);
    }));
}

fn message<'a>(info: &'a std::panic::PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref().copied()).unwrap_or("a panic without a message")
}

pub fn replay(arguments: &[String]) -> bool {
    let [name, file] = arguments else {
        eprintln!("usage: sim replay NAME/VARIANT FILE");
        return false;
    };
    for simulation in all() {
        for (variant, run) in simulation.variants {
            if *name == format!("{}/{variant}", simulation.name) {
                AT.set(name.clone());
                std::env::set_var("SIM_TRACE", "1");
                exit_on_panic();
                let mut config = config();
                config.failure_persistence = FailurePersistence::None;
                let scheduler = ReplayScheduler::new_from_file(file).unwrap();
                let run = Shared(run);
                Runner::new(scheduler, config).run(move || run.run());
                println!("no fault");
                return true;
            }
        }
    }
    eprintln!("no variant has that name: see sim list");
    false
}
