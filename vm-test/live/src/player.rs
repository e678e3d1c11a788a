// SPDX-License-Identifier: GPL-2.0

//! The thread that has the VM.

use crate::history::{History, push};
use crate::reports::{Job, Reports};
use crate::session::{Command, Opened, Shared, Terminal, since};
use crate::state::{Entry, Mark, Power, Span, State, Status};
use anyhow::{Context, Result, bail, ensure};
use demo_format::files;
use demo_format::format::{self, Counts, EVENTS, Kind, MODULE, PERIOD, SUMMARY};
use demo_format::life;
use demo_format::{Nanos, events};
use demo_module::recorder::{self, Recorder, Taken};
use host::Vm;
use host::errors::Refused;
use host::guest::calls::read;
use host::guest::{Handle, text};
use host::verdict::{Judge, Leaves};
use host::vm::Limits;
use nix::errno::Errno;
use report::run::{self, About};
use std::collections::BTreeSet;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;
use tour::{Action, Machine, SAMPLES, Task, explain};
use wire::{Access, Call, Value};

/// Time between two reads of the events.
const TICK: Duration = Duration::from_millis(30);
/// Time between two reads of the state that the events do not have.
const LOOK: Nanos = 100_000_000;
/// Time that a woken thread is waited for, before the action is explained.
const SETTLE: Nanos = 100_000_000;
/// Number of lines of the log.
const LOG: usize = 200;
/// Number of events that a recording keeps: more make a report slow.
const KEPT: usize = 200_000;
/// Size of all buffers of the kernel's trace together, in KiB: its text is read when the module is
/// unloaded.
const TRACE_KB: u32 = 4096;
const HOTPLUG_STATES: &str = "/sys/devices/system/cpu/hotplug/states";
/// Number of references to the module: its open files.
const REFERENCES: &str = "/sys/module/rust_smpboot_demo/refcnt";
/// Where the core parks and unparks the threads.
const SMPBOOT: &str = "smpboot/threads:online";

pub(crate) struct Player<'a> {
    vm: &'a Vm,
    about: About,
    name: &'static str,
    start: Duration,
    shared: &'a Shared,
    state: State,
    recording: Option<Recording<'a>>,
    /// Number of recordings that have ended.
    recorded: usize,
    /// Violations in them.
    illegal: Vec<String>,
    reports: Reports,
    /// The modules that were loaded before the session.
    modules: Vec<String>,
    /// A file of the module that the user has open.
    opened: Option<Handle<'a>>,
    /// The CPUs that failures were set for.
    failing: BTreeSet<u32>,
    /// When the state of the threads was read last.
    looked: Nanos,
    /// Number of kernel records in the log.
    logged: usize,
}

/// One load of the module.
struct Recording<'a> {
    recorder: Recorder<'a>,
    history: History,
    /// Number of events so far, after which the oldest are forgotten.
    limit: u64,
    /// One thread's PID, by which another load is known.
    pid: i32,
}

impl<'a> Player<'a> {
    /// Runs the session to its end.
    pub fn run(
        vm: &'a Vm,
        about: About,
        name: &'static str,
        start: Duration,
        shared: &'a Shared,
        commands: &Receiver<Command>,
        ready: impl FnOnce(),
    ) {
        let mut player = Player {
            vm,
            about,
            name,
            start,
            shared,
            state: State::default(),
            recording: None,
            recorded: 0,
            illegal: Vec::new(),
            reports: Reports::new(),
            modules: Vec::new(),
            opened: None,
            failing: BTreeSet::new(),
            looked: Nanos::MIN,
            logged: 0,
        };
        let mut judge = Judge::default();
        let faults = judge.run(vm, name, Leaves::Clean, |_| {
            // As long as the user likes.
            vm.set_test_limit(None);
            player.begin()?;
            ready();
            let result = player.serve(commands).and_then(|()| player.finish());
            if let Err(e) = &result {
                player.rescue(e);
            }
            result
        });
        let ok = faults.is_empty();
        if !ok {
            player.reports.add(Job::Fail(faults.iter().map(ToString::to_string).collect()));
            player.reported(true);
        }
        let mut lines: Vec<String> = match ok {
            true => vec![player.conforms()],
            false => faults
                .iter()
                .flat_map(|fault| fault.to_string().lines().map(sentence_of).collect::<Vec<_>>())
                .collect(),
        };
        lines.extend(
            judge.hang_file().map(|file| format!("Registers and backtraces: {}", file.display())),
        );
        if ok {
            if let Err(e) = vm.shut_down() {
                lines.push(sentence_of(&format!("{e:#}")));
            }
        }
        player.state.status = Status::Ended { ok, lines };
        player.publish();
    }

    fn begin(&mut self) -> Result<()> {
        self.vm.require("debugfs")?;
        if let Some(directory) = self.vm.reports() {
            recorder::remove_saved(directory, self.name)?;
        }
        self.modules = self.vm.modules()?;
        let files = self.vm.list("/modules")?;
        let is_here = |name: &str| files.iter().any(|file| file.strip_suffix(".ko") == Some(name));
        let here = SAMPLES.iter().filter(|sample| is_here(sample.name));
        self.state.samples = here.map(|sample| (sample, false)).collect();
        let (possible, hotpluggable) = (self.vm.cpus("possible")?, self.vm.hotpluggable()?);
        for cpu in &possible {
            let shown = self.state.cpus.entry(*cpu).or_default();
            shown.hotpluggable = hotpluggable.contains(cpu);
        }
        // Kernels without hotplug, or without power management, lack these.
        let [states, power] =
            [HOTPLUG_STATES, "/sys/power/state"].map(|path| self.vm.read(path).unwrap_or_default());
        self.state.machine = Machine::new(possible, hotpluggable, &states, &power).into();
        self.state.sentence = "The module is not loaded yet.".into();
        // The judge has read the log so far.
        self.logged = self.vm.records().len();
        self.look(true)?;
        self.publish();
        Ok(())
    }

    /// Runs commands, and reads events between them, until the session is to end.
    fn serve(&mut self, commands: &Receiver<Command>) -> Result<()> {
        loop {
            match commands.recv_timeout(TICK) {
                Ok(Command::Act(action, asked)) => self.act(&action, asked)?,
                Ok(Command::FailNext(cpu, asked)) => self.fail_next(cpu, asked)?,
                Ok(Command::Save) => {
                    self.save()?;
                    self.state.saves += 1;
                }
                Ok(Command::Shell(terminal, opened)) => {
                    let shell = self.shell(*terminal, |shell| {
                        let _ = opened.send(shell);
                    });
                    shell?;
                }
                Ok(Command::End) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            self.poll(false)?;
            self.publish();
        }
    }

    fn now(&self) -> Nanos {
        since(self.start)
    }

    fn publish(&mut self) {
        self.state.now = self.now();
        let excess = self.state.log.len().saturating_sub(LOG);
        self.state.log.drain(..excess);
        self.shared.publish(&self.state);
    }

    // What happens in the guest.

    /// Reads the events; the rest too if `all`, or if it is time.
    fn poll(&mut self, all: bool) -> Result<()> {
        if let Some(Recording { recorder, history, limit, .. }) = &mut self.recording {
            recorder.drain()?;
            let received = since(self.start);
            let events = recorder.events();
            for fault in history.add(events, received, &mut self.state) {
                self.state.log.push_back(Entry::Error(fault));
            }
            let (kept, lost) = events::totals(events.cpus());
            self.state.lost = self.state.lost.max(lost);
            if kept > *limit {
                self.illegal.extend(violations(recorder));
                recorder.forget(KEPT / 2 / self.state.cpus.len().max(1));
                history.forgot(recorder.events());
            }
        }
        self.reported(false);
        if all || self.now() > self.looked + LOOK {
            self.look(all)?;
        }
        Ok(())
    }

    /// Reads the CPUs, the threads and the kernel log. `all`: also what changes rarely.
    fn look(&mut self, all: bool) -> Result<()> {
        let mut calls = vec![read("/sys/devices/system/cpu/online"), read("/proc/modules")];
        let threads = self.state.cpus.iter().filter(|(_, cpu)| all && cpu.pid != 0);
        let threads: Vec<(u32, i32)> = threads.map(|(id, cpu)| (*id, cpu.pid)).collect();
        if self.state.loaded {
            calls.extend([read(SUMMARY.path), read(PERIOD.path), read(REFERENCES)]);
            calls.extend(threads.iter().map(|(_, pid)| read(&format!("/proc/{pid}/stat"))));
        }
        let mut values = self.vm.batch(calls)?.into_iter().map(text);
        let mut next = || values.next().context("no answer")?;
        let online = host::guest::parse_cpu_list(&next()?)?;
        self.looked = self.now();
        for (id, cpu) in &mut self.state.cpus {
            let power = if online.contains(id) { Power::Online } else { Power::Offline };
            set_power(cpu, power, self.looked);
        }
        let table = next()?;
        let modules = host::guest::parse_modules(&table);
        let modules: BTreeSet<&str> = modules.collect();
        for (sample, loaded) in &mut self.state.samples {
            *loaded = modules.contains(sample.name);
        }
        if self.state.loaded {
            self.threads(&next()?)?;
            self.state.period_us = next()?.parse().context("period_us")?;
            let references: u32 = next()?.parse().context("refcnt")?;
            self.state.open_files = references.saturating_sub(self.recording.is_some().into());
            for (id, _) in threads {
                let fifo = tour::fifo(&next()?).context("stat of a thread")?;
                self.state.cpus.entry(id).or_default().fifo = fifo;
            }
        }
        if let Some(Recording { history, .. }) = &mut self.recording {
            history.latencies(&mut self.state);
        }
        self.log()
    }

    /// Reads the kernel log.
    fn log(&mut self) -> Result<()> {
        self.vm.kmsg()?;
        let records = self.vm.records();
        for record in records[self.logged..].iter().filter(|record| !record.user) {
            let (seconds, us) = (record.time_us / 1_000_000, record.time_us % 1_000_000);
            let line = format!("[{seconds:5}.{us:06}] {}", record.text);
            self.state.log.push_back(Entry::Kernel(line));
        }
        self.logged = records.len();
        Ok(())
    }

    /// Reads the table of the threads.
    fn threads(&mut self, summary: &str) -> Result<()> {
        for (id, thread) in files::threads(summary)? {
            let shown = self.state.cpus.entry(id).or_default();
            (shown.counts, shown.pid, shown.thread) = (thread.counts, thread.pid, thread.state);
        }
        Ok(())
    }

    // What the user wants.

    fn act(&mut self, action: &Action, asked: Nanos) -> Result<()> {
        let before = self.state.observation();
        let begin = self.now();
        if let Action::Offline(cpu) | Action::Online(cpu) = action {
            let changing = match action {
                Action::Offline(_) => (Power::Online, Power::GoingOffline),
                _ => (Power::Offline, Power::ComingOnline),
            };
            if let Some(shown) = self
                .state
                .cpus
                .get_mut(cpu)
                .filter(|cpu| cpu.hotpluggable && cpu.power == changing.0)
            {
                set_power(shown, changing.1, begin);
            }
        }
        self.state.log.push_back(Entry::Command(action.command()));
        self.state.running = Some(action.clone());
        self.publish();

        let refused = match self.marked(action, asked) {
            Ok(()) => None,
            Err(e) => Some(e.downcast::<Refused>()?.errno),
        };
        self.state.running = None;
        let error = refused.map(|errno| format!("{errno:?} ({})", errno.desc()));
        if let Some(error) = &error {
            self.state.log.push_back(Entry::Error(error.clone()));
        }
        self.settle(action, begin)?;
        self.state.actions += 1;
        let after = self.state.observation();
        self.state.sentence = match action {
            Action::Offline(cpu) if !self.state.cpus.get(cpu).is_some_and(|c| c.hotpluggable) => {
                never_offline(*cpu)
            }
            action => explain(action, &before, &after, error.as_deref()),
        };
        if let (Action::Unload, None) = (action, refused) {
            self.unloaded()?;
        }
        Ok(())
    }

    /// Runs the action between its marks in the recording.
    fn marked(&mut self, action: &Action, asked: Nanos) -> Result<()> {
        let Task { what: label, commands, .. } = tour::task_of(action, &self.state.observation());
        if *action == Action::Load && !self.state.loaded {
            self.record()?;
        }
        let begin = self.now();
        if let Some(Recording { recorder, .. }) = &mut self.recording {
            let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
            recorder.begin(&label, &commands)?;
            if *action == Action::Unload {
                recorder.unloading()?;
            }
        }
        let result = self.run_action(action);
        let end = self.now();
        self.state.last_took = end - asked;
        if let Some(Recording { recorder, history, .. }) = &mut self.recording {
            recorder.end(&label)?;
            let (begin, end) = (history.module(begin), Some(history.module(end)));
            recorder.add_action(run::Action { label, commands, begin, end });
        }
        match (action, &result) {
            (Action::Load, Ok(())) => self.loaded()?,
            // Not loaded now: there is nothing to record.
            (Action::Load, Err(_)) if !self.state.loaded => self.recording = None,
            (Action::Unload, Ok(())) => self.state.loaded = false,
            (Action::Unload, Err(_)) => {
                if let Some(Recording { recorder, .. }) = &mut self.recording {
                    recorder.open()?;
                }
            }
            _ => {}
        }
        result
    }

    fn run_action(&mut self, action: &Action) -> Result<()> {
        match action {
            Action::Load => self.vm.insmod(MODULE, ""),
            Action::Unload => self.vm.rmmod(MODULE),
            Action::Open => {
                self.opened = Some(self.vm.open(EVENTS.path, Access::ReadNow)?);
                Ok(())
            }
            Action::Close => {
                self.opened = None;
                Ok(())
            }
            Action::Sample { name, load: true } => self.vm.insmod(name, ""),
            Action::Sample { name, load: false } => self.vm.rmmod(name),
            Action::Policy { .. } => {
                let words = action.program().context("an action without a program")?;
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                self.vm.run(&words).map(drop)
            }
            action => {
                if let Action::FailAt(cpu, _) = action {
                    self.failing.insert(*cpu);
                }
                let (path, data) = action.write().context("an action without a file")?;
                let result = self.vm.write(&path, data);
                let errno = result.as_ref().err().and_then(|e| e.downcast_ref::<Refused>());
                match errno.map(|refused| refused.errno) {
                    // There is no disk for the image: the kernel resumes at once.
                    Some(Errno::ENODEV) if *action == Action::Hibernate => Ok(()),
                    _ => result,
                }
            }
        }
    }

    /// Starts a recording, before the module is loaded.
    fn record(&mut self) -> Result<()> {
        let recorder = Recorder::start(self.vm, self.about.clone())?;
        if self.vm.has("tracefs") {
            let each = (TRACE_KB / self.vm.config().cpus).max(64);
            self.vm.write("/sys/kernel/tracing/buffer_size_kb", each.to_string())?;
        }
        self.recording = Some(Recording::new(recorder));
        Ok(())
    }

    /// Relates the clocks, after the module was loaded.
    fn loaded(&mut self) -> Result<()> {
        self.state.loaded = true;
        let online = self.vm.cpus("online")?;
        self.log()?;
        let Some(Recording { recorder, .. }) = &mut self.recording else { return Ok(()) };
        let cpu = *online.first().context("no CPU is online")?;
        let wake = Action::Wake(tour::Target::Cpu(cpu));
        self.state.log.push_back(Entry::Command(wake.command()));
        recorder.loaded(cpu)?;
        recorder.keep_epoch()?;
        self.remember_load()
    }

    /// Ends the recording, after the module was unloaded.
    fn unloaded(&mut self) -> Result<()> {
        self.state.loaded = false;
        self.cleanups();
        for cpu in self.state.cpus.values_mut() {
            cpu.thread.clear();
            (cpu.pid, cpu.counts, cpu.pending, cpu.fifo) = (0, Counts::NONE, false, None);
        }
        (self.state.period_us, self.state.open_files) = (0, 0);
        let Some(Recording { recorder, .. }) = self.recording.take() else { return Ok(()) };
        self.publish();
        recorder.stop()?;
        self.report(recorder.take()?, true);
        self.recorded += 1;
        Ok(())
    }

    /// Adds the marks of `cleanup`, which only the kernel log has: the module's files no longer
    /// exist.
    fn cleanups(&mut self) {
        let now = self.now();
        let records = self.vm.records();
        let steps = records.iter().filter_map(|record| Some((record, demo_module::step(record)?)));
        let cleanups = steps.rev().take_while(|(_, (_, kind))| {
            matches!(kind, Kind::CleanupOnline | Kind::CleanupOffline)
        });
        let mut cleanups: Vec<_> = cleanups.collect();
        cleanups.reverse();
        let last = cleanups.last().map_or(0, |(record, _)| record.time_us);
        for (record, (cpu, kind)) in cleanups {
            let Some(shown) = self.state.cpus.get_mut(&cpu) else { continue };
            let time = now - 1000 * (last - record.time_us) as Nanos;
            shown.marks.push_back(Mark { time, kind });
            push(&mut shown.lives, Span { from: time, state: format::State::None });
            self.state.events += 1;
        }
    }

    /// Waits until the threads have answered, for a short time, and looks what has become of it.
    fn settle(&mut self, action: &Action, begin: Nanos) -> Result<()> {
        self.poll(true)?;
        let woken = matches!(action, Action::Wake(_) | Action::Online(_) | Action::Load);
        let waits = |state: &State| {
            let mut online = state.cpus.values().filter(|cpu| cpu.power == Power::Online);
            online.any(|cpu| cpu.pending || cpu.thread == "running")
        };
        while woken
            && self.state.period_us == 0
            && waits(&self.state)
            && self.now() < begin + SETTLE
        {
            self.poll(true)?;
        }
        Ok(())
    }

    /// Finds a hotplug state beyond that of the threads which can fail: then the kernel rolls back,
    /// and the thread is unparked again, or parked again.
    fn fail_next(&mut self, cpu: u32, asked: Nanos) -> Result<()> {
        if !self.state.cpus.get(&cpu).is_some_and(|cpu| cpu.hotpluggable) {
            self.state.sentence = never_offline(cpu);
            return Ok(());
        }
        let states = self.vm.read(HOTPLUG_STATES)?;
        let states: Vec<(i32, &str)> = states
            .lines()
            .filter_map(|line| {
                let (number, name) = line.split_once(':')?;
                Some((number.trim().parse().ok()?, name.trim()))
            })
            .collect();
        let smpboot = states.iter().position(|(_, name)| *name == SMPBOOT);
        let at = smpboot.with_context(|| format!("the kernel has no hotplug state {SMPBOOT}"))?;
        let online = self.state.cpus.get(&cpu).is_some_and(|cpu| cpu.power == Power::Online);
        let candidates: Vec<(i32, &str)> = match online {
            true => states[..at].iter().rev().copied().collect(),
            false => states[at + 1..].to_vec(),
        };
        for (number, name) in candidates {
            if self.vm.cpu(cpu).fail_at(number).is_ok() {
                self.act(&Action::FailAt(cpu, number), asked)?;
                let what = if online { "offline" } else { "online" };
                self.state.sentence +=
                    &format!(" That is {name}: the next try to take it {what} is rolled back.");
                return Ok(());
            }
        }
        self.state.sentence = format!("No hotplug state of CPU {cpu} can fail.");
        Ok(())
    }

    /// Writes the report so far.
    fn save(&mut self) -> Result<()> {
        let Some(Recording { recorder, .. }) = &self.recording else { return Ok(()) };
        let taken = recorder.take()?;
        self.report(taken, false);
        Ok(())
    }

    /// Writes the present recording: `play.html`, `play-2.html`, ...
    fn report(&mut self, taken: Taken, judge: bool) {
        let name = match self.recorded {
            0 => self.name.into(),
            n => format!("{}-{}", self.name, n + 1),
        };
        let files = self.vm.reports().map(|directory| (directory.to_owned(), name));
        self.reports.add(Job::Write { taken, files, judge });
        self.state.saving = true;
    }

    /// Notes what has become of reports. `wait`: waits for all.
    fn reported(&mut self, wait: bool) {
        while let Some(done) = self.reports.next(wait) {
            self.illegal.extend(done.illegal);
            match done.report {
                Ok(Some(path)) if !self.state.reports.contains(&path) => {
                    self.state.reports.push(path);
                }
                Ok(_) => {}
                Err(e) => self.state.log.push_back(Entry::Error(format!("no report: {e:#}"))),
            }
        }
        self.state.saving = self.reports.are_waiting();
    }

    // A shell.

    fn shell(&mut self, terminal: Terminal, opened: impl FnOnce(Result<Opened>)) -> Result<()> {
        let Terminal { rows, columns, vars, output } = terminal;
        let input = match self.vm.console_input() {
            Ok(input) => input,
            Err(e) => {
                opened(Err(e.into()));
                return Ok(());
            }
        };
        // The user may unload the module.
        if let Some(Recording { recorder, .. }) = &mut self.recording {
            recorder.close()?;
        }
        self.state.sentence = "A shell is open in the guest.".into();
        self.publish();
        let (shell, _ended) = Opened::new(input);
        opened(Ok(shell));
        self.vm.echo_console(output);
        let limits = self.vm.limits();
        self.vm.set_limits(Limits { silence: Duration::MAX / 2, ..limits });
        let tty = format!("/dev/{}", self.vm.machine().arch.console());
        let result = self.vm.call(Call::Shell { tty, rows, columns, vars, script: None });
        self.vm.set_limits(limits);
        self.vm.echo_console(Box::new(|_| {}));
        let value = match (result, self.vm.ended()) {
            (Err(_), Some(how)) => bail!("the guest {how} while a shell was open"),
            (result, _) => result?,
        };
        ensure!(matches!(value, Value::Program { .. }), "unexpected answer to a shell");
        self.state.sentence = "The shell has ended.".into();
        self.after_shell()
    }

    /// Finds out what the user did to the module.
    fn after_shell(&mut self) -> Result<()> {
        let loaded = self.vm.modules()?.iter().any(|name| name == MODULE);
        let known = self.recording.as_ref().map(|recording| recording.pid);
        if known.is_some() && (!loaded || known != Some(self.first_pid()?)) {
            if let Some(Recording { recorder, .. }) = &mut self.recording {
                recorder.forget_trace()?;
            }
            self.log()?;
            self.unloaded()?;
        }
        self.state.loaded = loaded;
        match &mut self.recording {
            Some(Recording { recorder, .. }) => recorder.open()?,
            None if loaded => {
                let mut recorder = Recorder::untraced(self.vm, self.about.clone())?;
                recorder.open()?;
                self.recording = Some(Recording::new(recorder));
                self.remember_load()?;
            }
            None => {}
        }
        self.poll(true)
    }

    fn remember_load(&mut self) -> Result<()> {
        let pid = self.first_pid()?;
        if let Some(recording) = &mut self.recording {
            recording.pid = pid;
        }
        Ok(())
    }

    /// The PID of the first thread.
    fn first_pid(&self) -> Result<i32> {
        Ok(demo_module::pids(self.vm)?.first().copied().unwrap_or_default())
    }

    // The end.

    /// Leaves the machine as it was.
    fn finish(&mut self) -> Result<()> {
        for cpu in std::mem::take(&mut self.failing) {
            self.vm.cpu(cpu).fail_at(-1)?;
        }
        let samples = self.state.samples.iter();
        let loaded = samples.filter(|(_, loaded)| *loaded).map(|(sample, _)| sample.name);
        for name in loaded.collect::<Vec<_>>() {
            self.act(&Action::Sample { name, load: false }, self.now())?;
        }
        if self.opened.is_some() {
            self.act(&Action::Close, self.now())?;
        }
        if self.state.period_us != 0 {
            self.act(&Action::Period(0), self.now())?;
        }
        let cpus = self.state.cpus.iter();
        let offline = cpus.filter(|(_, cpu)| cpu.hotpluggable && cpu.power != Power::Online);
        for cpu in offline.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.act(&Action::Online(cpu), self.now())?;
        }
        if self.state.loaded {
            self.act(&Action::Unload, self.now())?;
        }
        // From a shell. The newest first: it may use the others.
        for module in self.vm.modules()?.iter().filter(|name| !self.modules.contains(name)) {
            self.state.log.push_back(Entry::Command(format!("rmmod {module}")));
            self.vm.rmmod(module)?;
        }
        self.publish();
        self.reported(true);
        ensure!(
            self.illegal.is_empty(),
            "illegal sequence of callbacks:\n{}",
            self.illegal.join("\n")
        );
        Ok(())
    }

    /// Saves what there is of a session that cannot go on.
    fn rescue(&mut self, error: &anyhow::Error) {
        self.state.running = None;
        self.state.sentence = sentence_of(&format!("{error:#}"));
        self.publish();
        if let Some(Recording { recorder, .. }) = self.recording.take() {
            self.report(recorder.rest(), false);
        }
        self.reported(true);
    }

    fn conforms(&self) -> String {
        let State { events, lost, .. } = self.state;
        let lost = match lost {
            0 => String::new(),
            lost => format!(" ({lost} more were overwritten before they were read)"),
        };
        format!("{events} events{lost}, all lives conform.")
    }
}

impl<'a> Recording<'a> {
    fn new(recorder: Recorder<'a>) -> Self {
        Self { recorder, history: History::default(), limit: KEPT as u64, pid: 0 }
    }
}

fn set_power(cpu: &mut crate::state::Cpu, power: Power, now: Nanos) {
    cpu.power = power;
    push(&mut cpu.powers, Span { from: now, state: power });
}

fn never_offline(cpu: u32) -> String {
    format!("CPU {cpu} cannot be taken offline: this kernel gives it no file `online`.")
}

/// Violations in the events.
fn violations(recorder: &Recorder<'_>) -> Vec<String> {
    let cpus = recorder.events().cpus();
    cpus.flat_map(life::check_cpu).map(|violation| violation.to_string()).collect()
}

/// Makes a sentence of an error.
pub(crate) fn sentence_of(error: &str) -> String {
    let mut characters = error.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str().trim_end_matches('.'))
}
