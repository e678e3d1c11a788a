// SPDX-License-Identifier: GPL-2.0

//! One virtual machine, from its boot to its end.

mod connection;
mod console;
mod limits;
mod process;

pub use connection::{Echo, HALTED};
pub use limits::Limits;
pub use process::qmp_to_all;

use crate::errors::{NoAnswer, Refused};
use crate::machine::kernel::BuiltWith;
use crate::machine::{Config, Event, Machine, qemu};
use anyhow::{Result, anyhow, ensure};
use connection::Connection;
use nix::errno::Errno;
use process::{Pauses, Process};
use serde_json::Value as Json;
use std::cell::{Cell, Ref, RefCell};
use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use wire::{Answer, Call, Kmsg, Missing, Record, Value};

/// Number of console lines in the error of a failed boot.
const TAIL: usize = 40;

/// Number of times that [`Vm::wait_mark`] expects a line on the console, logged again in between.
const MARKS: u32 = 5;

/// Splats, warnings and leaks that a test provokes on purpose. The test announces them to the VM,
/// the judge reads them there.
#[derive(Debug, Default)]
pub(crate) struct Announced {
    /// Parts of lines.
    pub warnings: Vec<&'static str>,
    /// Kinds, as in the table of splats.
    pub splats: Vec<&'static str>,
    pub leaks: bool,
}

impl Announced {
    pub fn has_splat(&self, kind: &str) -> bool {
        self.splats.contains(&kind)
    }
}

/// A virtual machine that was booted. QEMU exits when this is dropped.
///
/// The calls to the guest are listed in [`guest`](crate::guest).
pub struct Vm {
    connection: RefCell<Connection>,
    /// The kernel log as far as it was read.
    records: RefCell<Vec<Record>>,
    /// Whether the kernel overwrote a part of its log before it was read.
    lost_records: Cell<bool>,
    announced: RefCell<Announced>,
    /// File systems that the guest could not mount.
    missing: Vec<Missing>,
    machine: Machine,
    config: Config,
    boot_time: Duration,
}

impl Vm {
    /// Boots, and waits for the guest's agent.
    pub fn boot(machine: &Machine, config: &Config) -> Result<Vm> {
        Vm::boot_with(machine, config, Limits::of(&machine.kernel.built_with, config.cpus))
    }

    /// Boots with limits of the caller's choice.
    pub fn boot_with(machine: &Machine, config: &Config, limits: Limits) -> Result<Vm> {
        machine.observe(Event::Booting { config });
        let vm = Vm::boot_quietly(machine, config, limits);
        let vm = vm.and_then(|vm| vm.let_debugger_attach().map(|()| vm));
        match &vm {
            Ok(vm) => {
                machine.observe(Event::Booted { config, took: vm.boot_time });
                for missing in &vm.missing {
                    let effect = effect_of_missing(&missing.fstype);
                    machine.observe(Event::FileSystemMissing { missing, effect });
                }
            }
            Err(_) => machine.observe(Event::BootFailed),
        }
        vm
    }

    fn boot_quietly(machine: &Machine, config: &Config, limits: Limits) -> Result<Vm> {
        let Machine { arch, accel, kernel, debugger, .. } = machine;
        let port = debugger.as_ref().map(|debugger| debugger.port);
        let pauses = if debugger.is_some() { Pauses::OfDebugger } else { Pauses::OfHost };
        let process = Process::start(arch.qemu(), &machine.initramfs, pauses, |sockets| {
            qemu::arguments(*arch, accel.accel, config, kernel, sockets, port)
        })?;
        let mut connection = Connection::new(process, limits);
        let start = connection.time();
        let hello = connection
            .qmp("qmp_capabilities", Json::Null)
            .and_then(|_| connection.wait_hello())
            .map_err(|reason| boot_failed(&mut connection, reason))?;
        // Also that of a busy host: the guest's own limits follow it.
        let boot_time = connection.time() - start;
        connection.limits = limits.measured(boot_time).at_most(machine.limit);
        ensure!(
            hello.version == wire::VERSION,
            "the guest agent has protocol version {}, this program {}: build both again",
            hello.version,
            wire::VERSION
        );
        ensure!(
            hello.release == machine.kernel.release,
            "the guest runs kernel {}, but its directory names {}",
            hello.release,
            machine.kernel.release
        );
        Ok(Vm {
            connection: RefCell::new(connection),
            records: RefCell::default(),
            lost_records: Cell::new(false),
            announced: RefCell::default(),
            missing: hello.missing,
            machine: machine.clone(),
            config: config.clone(),
            boot_time,
        })
    }

    fn let_debugger_attach(&self) -> Result<()> {
        let Some(debugger) = &self.machine.debugger else { return Ok(()) };
        (debugger.prepare)(self)?;
        if debugger.waits {
            self.qmp("stop", Json::Null)?;
            self.connection.borrow_mut().wait_continued()?;
        }
        Ok(())
    }

    /// The machine that was booted.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Options that the guest's kernel was built with.
    pub fn built_with(&self) -> &BuiltWith {
        &self.machine.kernel.built_with
    }

    /// The variant of the machine that was booted.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Time from the start of QEMU to the agent's first message.
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// The directory for logs and pictures, if there is one.
    pub fn reports(&self) -> Option<&Path> {
        self.machine.report.as_deref()
    }

    /// Whether the guest could mount this file system.
    pub fn has(&self, fstype: &str) -> bool {
        self.missing.iter().all(|missing| missing.fstype != fstype)
    }

    /// Fails if the guest could not mount this file system.
    pub fn require(&self, fstype: &str) -> Result<()> {
        match self.missing.iter().find(|missing| missing.fstype == fstype) {
            None => Ok(()),
            Some(missing) => Err(anyhow!("{missing}: {}", effect_of_missing(fstype))),
        }
    }

    // Calls to the agent.

    /// Makes a call; fails with [`Refused`] or [`NoAnswer`].
    pub fn call(&self, call: Call) -> Result<Value> {
        let doing = call.to_string();
        accepted(doing, self.try_call(call)?)
    }

    /// Makes a call; returns the answer of the guest's kernel, a refusal too.
    pub fn try_call(&self, call: Call) -> Result<Answer, NoAnswer> {
        self.connection.borrow_mut().call(call)
    }

    /// Sends a call without waiting; errors are ignored. Returns the id for [`Vm::wait_answer`].
    pub fn post(&self, call: Call) -> u32 {
        self.connection.borrow_mut().post(call)
    }

    /// Waits for the answer to a posted call; `doing` names it in an error.
    pub fn wait_answer(&self, id: u32, doing: &str, limit: Duration) -> Result<Answer> {
        Ok(self.connection.borrow_mut().wait_answer(id, doing, limit)?)
    }

    /// Why calls get no answer any more, after one got none.
    pub fn no_answer(&self) -> Option<NoAnswer> {
        self.connection.borrow().no_answer.clone()
    }

    /// Allows calls to a VM that did not answer one.
    pub fn retry(&self) {
        self.connection.borrow_mut().no_answer = None;
    }

    // Time limits.

    /// The present limits.
    pub fn limits(&self) -> Limits {
        self.connection.borrow().limits
    }

    /// Changes the limits of later calls.
    pub fn set_limits(&self, limits: Limits) {
        self.connection.borrow_mut().limits = limits;
    }

    /// Scales a limit by the time that this machine took to boot.
    pub fn limit(&self, usual: Duration) -> Duration {
        usual.mul_f64(self.limits().call.as_secs_f64() / Limits::BASE.call.as_secs_f64())
    }

    /// Limits the present test, from now on, to a multiple of [`Limits::test`].
    pub fn set_test_limit(&self, times: Option<u32>) {
        let mut connection = self.connection.borrow_mut();
        connection.test_deadline =
            times.map(|times| connection.now() + connection.limits.test * times);
    }

    /// Runs `f`; its time does not count for the test's limit.
    pub fn outside_test_limit<T>(&self, f: impl FnOnce() -> T) -> T {
        let start = self.connection.borrow().now();
        let result = f();
        let mut connection = self.connection.borrow_mut();
        let took = connection.now() - start;
        if let Some(deadline) = &mut connection.test_deadline {
            *deadline += took;
        }
        result
    }

    // The kernel log, and the present test's announcements of splats in it.

    /// Reads the kernel log since the last time.
    pub fn kmsg(&self) -> Result<Kmsg> {
        let log = match self.call(Call::Kmsg)? {
            Value::Kmsg(log) => log,
            other => return Err(unexpected(&other)),
        };
        self.records.borrow_mut().extend(log.records.iter().cloned());
        if log.lost {
            self.lost_records.set(true);
        }
        Ok(log)
    }

    /// The kernel log as far as it was read, since the last [`Vm::clear_records`].
    pub fn records(&self) -> Ref<'_, Vec<Record>> {
        self.records.borrow()
    }

    /// Whether the kernel overwrote records before they were read.
    pub fn lost_records(&self) -> bool {
        self.lost_records.get()
    }

    /// Forgets the records so far.
    pub fn clear_records(&self) {
        self.records.borrow_mut().clear();
        self.lost_records.set(false);
    }

    /// Announces warnings that contain this: the test fails without one.
    pub fn expect_warning(&self, part: &'static str) {
        self.announced.borrow_mut().warnings.push(part);
    }

    /// Announces a splat of this kind, as in the table of splats, or a leak: the test fails without
    /// one. For tests after which no other uses the VM.
    pub fn expect_splat(&self, kind: &'static str) {
        self.announced.borrow_mut().splats.push(kind);
    }

    /// Announces leaks. They are not required: of one or two objects kmemleak may miss all.
    pub fn may_leak(&self) {
        self.announced.borrow_mut().leaks = true;
    }

    /// The announcements of the test that has just ended.
    pub(crate) fn take_announced(&self) -> Announced {
        self.announced.take()
    }

    // The console.

    /// Number of complete lines so far.
    pub fn console_len(&self) -> usize {
        self.connection.borrow().console.lines().len()
    }

    /// Lines of the console by number, as far as they exist.
    pub fn console(&self, lines: Range<usize>) -> Vec<String> {
        let connection = self.connection.borrow();
        let all = connection.console.lines();
        let lines = all.get(lines.start..lines.end.min(all.len())).unwrap_or_default();
        lines.iter().map(|line| line.text.clone()).collect()
    }

    /// The whole console, each line with its time.
    pub fn console_log(&self) -> String {
        let mut log = String::new();
        for line in self.connection.borrow().console.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(log, "{:8.3} {}", line.at.as_secs_f64(), line.text);
        }
        log
    }

    /// Waits for a line with this text, at or after line `from`.
    pub fn wait_line(&self, from: usize, text: &str) -> Result<()> {
        Ok(self.connection.borrow_mut().wait_line(from, text)?)
    }

    /// Waits until the console shows a line of the kernel log, at or after line `from`. The console
    /// of a busy host loses bytes now and then: a line that is not shown is logged again.
    pub fn wait_mark(&self, from: usize, text: &str) -> Result<()> {
        let interval = self.limits().call / MARKS;
        for _ in 1..MARKS {
            if self.connection.borrow_mut().shows(from, text, interval)? {
                return Ok(());
            }
            self.mark(text)?;
        }
        self.wait_line(from, text)
    }

    /// Receives from the guest until it was quiet for that long, or until the limit.
    pub fn listen(&self, quiet: Duration, limit: Duration) {
        self.connection.borrow_mut().listen(quiet, limit);
    }

    /// Adds a line of the host's own.
    pub fn note(&self, text: &str) {
        self.connection.borrow_mut().console.note(text);
    }

    /// Types on the console.
    pub fn type_on_console(&self, text: &[u8]) {
        self.connection.borrow_mut().type_on_console(text);
    }

    /// A stream that types on the console, for a keyboard.
    pub fn console_input(&self) -> io::Result<UnixStream> {
        self.connection.borrow().console_input()
    }

    /// Passes on the bytes of the console as they arrive.
    pub fn echo_console(&self, echo: Echo) {
        self.connection.borrow_mut().echo = Some(echo);
    }

    // QEMU.

    /// Sends a command to QEMU, and returns the result.
    pub fn qmp(&self, command: &str, arguments: Json) -> Result<Json> {
        let answer = self.connection.borrow_mut().qmp(command, arguments)?;
        match answer.get("error") {
            Some(error) => Err(anyhow!("QMP {command}: {error}")),
            None => Ok(answer["return"].clone()),
        }
    }

    /// Treats a guest that suspends itself as ended: nothing wakes it.
    pub fn ends_when_suspended(&self) {
        self.connection.borrow_mut().nothing_wakes = true;
    }

    /// How the guest ended, if it ended by itself.
    pub fn ended(&self) -> Option<&'static str> {
        self.connection.borrow().ended
    }

    /// Whether QEMU runs.
    pub fn is_running(&self) -> bool {
        self.connection.borrow().is_running()
    }

    /// Powers the guest off, and waits until QEMU has exited.
    pub fn shut_down(&self) -> Result<()> {
        let mut connection = self.connection.borrow_mut();
        connection.post(Call::PowerOff);
        let limit = connection.limits.call;
        if connection.wait_exit(limit) {
            return Ok(());
        }
        connection.kill();
        Err(anyhow!(NoAnswer::TimedOut { doing: "power off".into(), limit }))
    }

    /// Kills QEMU.
    pub fn kill(&self) {
        self.connection.borrow_mut().kill();
    }

    /// Kills QEMU from any thread.
    pub fn killer(&self) -> impl Fn() + Send + use<> {
        self.connection.borrow().killer()
    }
}

pub(crate) fn accepted(doing: String, answer: Answer) -> Result<Value> {
    answer.map_err(|errno| Refused { doing, errno: Errno::from_raw(errno) }.into())
}

pub(crate) fn unexpected(value: &Value) -> anyhow::Error {
    anyhow!("unexpected answer of the guest agent: {value:?}")
}

/// Describes the effect of a missing file system, and the options that enable it.
fn effect_of_missing(fstype: &str) -> &'static str {
    match fstype {
        "debugfs" => {
            "demo and tests need it for the modules' files (CONFIG_DEBUG_FS=y, no debugfs=off)"
        }
        "tracefs" => "pictures lack the kernel's trace (CONFIG_TRACING=y)",
        _ => "some tests need it",
    }
}

fn boot_failed(connection: &mut Connection, reason: NoAnswer) -> anyhow::Error {
    connection.kill();
    let tail = connection.console.tail(TAIL);
    anyhow!(reason).context(match tail.is_empty() {
        true => "the guest did not boot; its console is empty".into(),
        false => format!("the guest did not boot; the end of its log:\n{tail}"),
    })
}
