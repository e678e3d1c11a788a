// SPDX-License-Identifier: GPL-2.0

//! One virtual machine, from its boot to its end.

mod connection;
mod console;
mod process;

pub use connection::{Echo, HALTED, Limits};
pub use process::tell_all;

use crate::Event;
use crate::errors::Trouble;
use crate::machine::kernel::BuiltWith;
use crate::machine::{Config, Machine, qemu};
use crate::verdict::autopsy::Autopsy;
use crate::verdict::leaks::Begun;
use anyhow::{Context, Result, anyhow, ensure};
pub(crate) use connection::Connection;
use process::Process;
use serde_json::Value as Json;
use std::cell::{Cell, Ref, RefCell};
use std::fmt::Write;
use std::io;
use std::ops::Range;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;
use wire::{Answer, Call, Missing, Record};

/// How much of the log a failure shows.
pub const TAIL: usize = 40;

/// Calls to the guest are in [`guest`](crate::guest).
pub struct Vm {
    pub(crate) connection: RefCell<Connection>,
    /// The kernel log as far as it was read.
    pub(crate) records: RefCell<Vec<Record>>,
    /// The kernel overwrote some of it before it was read.
    pub(crate) lost_records: Cell<bool>,
    /// Parts of lines that the present test provokes.
    pub(crate) expected: RefCell<Vec<&'static str>>,
    /// Kinds of splats that it provokes.
    pub(crate) expected_splats: RefCell<Vec<&'static str>>,
    pub(crate) begun: RefCell<Vec<Begun>>,
    /// File systems that the guest could not mount.
    missing: Vec<Missing>,
    pub(crate) autopsy: RefCell<Autopsy>,
    machine: Machine,
    config: Config,
    boot_time: Duration,
}

impl Vm {
    /// Boots, and waits for the guest's agent.
    pub fn boot(machine: &Machine, config: &Config) -> Result<Vm> {
        Vm::boot_with(machine, config, Limits::of(&machine.kernel.built_with, config.cpus))
    }

    /// The same with other limits than the usual ones.
    pub fn boot_with(machine: &Machine, config: &Config, limits: Limits) -> Result<Vm> {
        machine.observe(Event::Booting { config });
        let vm = Vm::boot_quietly(machine, config, limits);
        match &vm {
            Ok(vm) => {
                machine.observe(Event::Booted { config, took: vm.boot_time });
                for missing in &vm.missing {
                    let lost = lost_without(&missing.fstype);
                    machine.observe(Event::FileSystemMissing { missing, lost });
                }
            }
            Err(_) => machine.observe(Event::BootFailed),
        }
        vm
    }

    fn boot_quietly(machine: &Machine, config: &Config, limits: Limits) -> Result<Vm> {
        let process = Process::start(machine.arch.qemu(), &machine.initramfs, |wires| {
            qemu::arguments(machine.arch, machine.accel.accel, config, &machine.kernel, wires)
        })?;
        let mut connection = Connection::new(process, limits);
        let start = connection.now();
        let hello = connection
            .qmp("qmp_capabilities", Json::Null)
            .and_then(|_| connection.wait_hello())
            .map_err(|trouble| boot_failed(&mut connection, trouble))?;
        let boot_time = connection.now() - start;
        connection.limits = limits.measured(boot_time).at_most(machine.limit);
        ensure!(
            hello.version == wire::VERSION,
            "the agent speaks version {} of the protocol, the runner {}: build both again",
            hello.version,
            wire::VERSION
        );
        ensure!(
            hello.release == machine.kernel.release,
            "this kernel calls itself {}, the folder it came from {}",
            hello.release,
            machine.kernel.release
        );
        Ok(Vm {
            connection: RefCell::new(connection),
            records: RefCell::default(),
            lost_records: Cell::new(false),
            expected: RefCell::default(),
            expected_splats: RefCell::default(),
            begun: RefCell::default(),
            missing: hello.missing,
            autopsy: RefCell::default(),
            machine: machine.clone(),
            config: config.clone(),
            boot_time,
        })
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    pub fn built_with(&self) -> &BuiltWith {
        &self.machine.kernel.built_with
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// The folder for logs and pictures, if there is one.
    pub fn reports(&self) -> Option<&Path> {
        self.machine.report.as_deref()
    }

    /// The kernel log as far as it was read since the test began.
    pub fn records(&self) -> Ref<'_, Vec<Record>> {
        self.records.borrow()
    }

    /// Forgets the log that was read.
    pub fn clear_records(&self) {
        self.records.borrow_mut().clear();
    }

    /// Where the answers of a guest that hangs are.
    pub fn autopsy_path(&self) -> Option<std::path::PathBuf> {
        self.autopsy.borrow().path.clone()
    }

    pub fn limits(&self) -> Limits {
        self.connection.borrow().limits
    }

    pub fn set_limits(&self, limits: Limits) {
        self.connection.borrow_mut().limits = limits;
    }

    /// Talks on with a VM that was given up. For tests of that.
    pub fn forget_trouble(&self) {
        self.connection.borrow_mut().trouble = None;
    }

    /// Passes on the bytes of the console as they come.
    pub fn echo_console(&self, echo: Echo) {
        self.connection.borrow_mut().echo = Some(echo);
    }

    /// From now on a guest that suspends itself has ended.
    pub fn ends_when_suspended(&self) {
        self.connection.borrow_mut().nothing_wakes = true;
    }

    /// For a keyboard: writing to it types on the console.
    pub fn console_input(&self) -> io::Result<UnixStream> {
        self.connection.borrow().console_input()
    }

    /// Ends QEMU from any thread.
    pub fn killer(&self) -> impl Fn() + Send + use<> {
        self.connection.borrow().killer()
    }

    /// How the guest ended, if it ended by itself.
    pub fn ended(&self) -> Option<&'static str> {
        self.connection.borrow().ended
    }

    /// Until the console has shown such a line at or after line `from`.
    pub fn wait_line(&self, from: usize, text: &str) -> Result<()> {
        Ok(self.connection.borrow_mut().wait_line(from, text)?)
    }

    /// A call, and whichever answer it gets.
    pub fn try_call(&self, call: Call) -> Result<Answer, Trouble> {
        self.connection.borrow_mut().call(call)
    }

    /// A call whose answer is waited for with [`Vm::wait_answer`], if at all.
    pub fn post(&self, call: Call) -> u32 {
        self.connection.borrow_mut().post(call)
    }

    pub fn wait_answer(&self, id: u32, doing: &str, limit: Duration) -> Result<Answer> {
        Ok(self.connection.borrow_mut().wait_answer(id, doing, limit)?)
    }

    /// From now on, in multiples of what a test usually has.
    pub fn set_test_limit(&self, times: Option<u32>) {
        let mut connection = self.connection.borrow_mut();
        connection.test_deadline =
            times.map(|times| connection.now() + connection.limits.test * times);
    }

    /// All of the console, each line with its time.
    pub fn console_log(&self) -> String {
        let mut log = String::new();
        for line in self.connection.borrow().console.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(log, "{:8.3} {}", line.at.as_secs_f64(), line.text);
        }
        log
    }

    pub fn has(&self, fstype: &str) -> bool {
        self.missing.iter().all(|missing| missing.fstype != fstype)
    }

    /// Fails if the guest could not mount this file system.
    pub fn require(&self, fstype: &str) -> Result<()> {
        match self.missing.iter().find(|missing| missing.fstype == fstype) {
            None => Ok(()),
            Some(missing) => Err(anyhow!("{missing}: {}", lost_without(fstype))),
        }
    }

    /// Powers off in the orderly way, and waits for QEMU to end.
    pub fn shut_down(&self) -> Result<()> {
        let mut connection = self.connection.borrow_mut();
        connection.post(Call::PowerOff);
        let limit = connection.limits.call;
        if connection.wait_exit(limit) {
            return Ok(());
        }
        connection.kill();
        Err(anyhow!(Trouble::TookTooLong { doing: "power off".into(), limit }))
    }

    /// The time that this takes is the user's, not the test's.
    pub fn users_time<T>(&self, f: impl FnOnce() -> T) -> T {
        let start = self.connection.borrow().now();
        let result = f();
        let mut connection = self.connection.borrow_mut();
        let took = connection.now() - start;
        if let Some(deadline) = &mut connection.test_deadline {
            *deadline += took;
        }
        result
    }

    pub fn kill(&self) {
        self.connection.borrow_mut().kill();
    }

    pub fn is_running(&self) -> bool {
        self.connection.borrow().is_running()
    }

    /// What ended the talk with this VM, if anything did.
    pub fn trouble(&self) -> Option<Trouble> {
        self.connection.borrow().trouble.clone()
    }

    /// Scales a limit by what this machine was measured to need.
    pub fn limit(&self, usual: Duration) -> Duration {
        let limits = self.connection.borrow().limits;
        usual.mul_f64(limits.call.as_secs_f64() / Limits::BASE.call.as_secs_f64())
    }

    /// Lines of the console, by their numbers; as many of them as there are.
    pub fn console(&self, lines: Range<usize>) -> Vec<String> {
        let (from, to) = (lines.start, lines.end.min(self.console_len()));
        let connection = self.connection.borrow();
        let lines = connection.console.lines().get(from..to).unwrap_or_default();
        lines.iter().map(|line| line.text.clone()).collect()
    }

    pub fn console_len(&self) -> usize {
        self.connection.borrow().console.lines().len()
    }

    /// Until the guest hung, if it does.
    pub fn console_tail(&self) -> String {
        let to = self.autopsy.borrow().console_to.unwrap_or(self.console_len());
        let lines = self.console(to.saturating_sub(TAIL)..to);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// A command to QEMU itself.
    pub fn qmp(&self, command: &str, arguments: Json) -> Result<Json> {
        let answer = self.connection.borrow_mut().qmp(command, arguments)?;
        match answer.get("error") {
            Some(error) => Err(anyhow!("QMP {command}: {error}")),
            None => Ok(answer["return"].clone()),
        }
    }
}

/// What a kernel without this file system cannot show, and what it takes.
fn lost_without(fstype: &str) -> &'static str {
    match fstype {
        "debugfs" => {
            "demo and tests need the modules' files there (CONFIG_DEBUG_FS=y, no debugfs=off)"
        }
        "tracefs" => "pictures lack the kernel's trace (CONFIG_TRACING=y)",
        _ => "some tests need it",
    }
}

fn boot_failed(connection: &mut Connection, trouble: Trouble) -> anyhow::Error {
    connection.kill();
    let error = Err::<(), _>(trouble);
    let tail = connection.console.tail(TAIL);
    match tail.is_empty() {
        true => error.context("the guest did not boot; its console stayed empty"),
        false => error.context(format!("the guest did not boot; the last of its log:\n{tail}")),
    }
    .unwrap_err()
}
