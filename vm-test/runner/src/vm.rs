// SPDX-License-Identifier: GPL-2.0

//! One virtual machine, from its boot to its end.

use crate::hang::Autopsy;
use crate::kernel::BuiltWith;
use crate::leaks::Begun;
use crate::link::{Limits, Link};
use crate::output::note;
use crate::process::Process;
use crate::qemu::{self, Accel, Config};
use crate::setup::Setup;
use crate::trouble::Trouble;
use anyhow::{Context, Result, anyhow, ensure};
use report::model::About;
use serde_json::Value as Json;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;
use wire::{Call, Missing, Record};

/// How much of the log a failure shows.
pub const TAIL: usize = 40;

/// How it is talked to is in `guest.rs`.
pub struct Vm {
    pub(crate) link: RefCell<Link>,
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
    pub built_with: BuiltWith,
    pub config: Config,
    pub about: About,
    /// Where pictures go, if anywhere.
    pub report: Option<PathBuf>,
    pub boot_time: Duration,
}

impl Vm {
    pub fn boot(setup: &Setup, config: &Config) -> Result<Vm> {
        let limits = Limits::of(&setup.kernel.built_with, config.cpus);
        Vm::boot_with(setup, config, setup.accel.accel, limits)
    }

    pub fn boot_with(setup: &Setup, config: &Config, accel: Accel, limits: Limits) -> Result<Vm> {
        let process = Process::start(setup.arch.qemu(), &setup.initramfs, |wires| {
            qemu::arguments(setup.arch, accel, config, &setup.kernel, wires)
        })?;
        let mut link = Link::new(process, limits);
        let start = link.now();
        let hello = link
            .qmp("qmp_capabilities", Json::Null)
            .and_then(|_| link.wait_hello())
            .map_err(|trouble| boot_failed(&mut link, trouble))?;
        let boot_time = link.now() - start;
        link.limits = limits.measured(boot_time).at_most(setup.limit);
        ensure!(
            hello.version == wire::VERSION,
            "the agent speaks version {} of the protocol, the runner {}: build both again",
            hello.version,
            wire::VERSION
        );
        ensure!(
            hello.release == setup.kernel.release,
            "this kernel calls itself {}, the folder it came from {}",
            hello.release,
            setup.kernel.release
        );
        for missing in &hello.missing {
            note!("vm-test: {missing}: {}", lost_without(&missing.fstype));
        }
        Ok(Vm {
            link: RefCell::new(link),
            records: RefCell::default(),
            lost_records: Cell::new(false),
            expected: RefCell::default(),
            expected_splats: RefCell::default(),
            begun: RefCell::default(),
            missing: hello.missing,
            autopsy: RefCell::default(),
            built_with: setup.kernel.built_with.clone(),
            config: config.clone(),
            about: setup.about(config),
            report: setup.report.clone(),
            boot_time,
        })
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
        let mut link = self.link.borrow_mut();
        link.post(Call::PowerOff);
        let limit = link.limits.call;
        if link.wait_exit(limit) {
            return Ok(());
        }
        link.kill();
        Err(anyhow!(Trouble::TookTooLong { doing: "power off".into(), limit }))
    }

    /// The time that this takes is the user's, not the test's.
    pub fn users_time<T>(&self, f: impl FnOnce() -> T) -> T {
        let start = self.link.borrow().now();
        let result = f();
        let mut link = self.link.borrow_mut();
        let took = link.now() - start;
        if let Some(deadline) = &mut link.test_deadline {
            *deadline += took;
        }
        result
    }

    pub fn kill(&self) {
        self.link.borrow_mut().kill();
    }

    pub fn is_running(&self) -> bool {
        self.link.borrow().is_running()
    }

    /// What ended the talk with this VM, if anything did.
    pub fn trouble(&self) -> Option<Trouble> {
        self.link.borrow().trouble.clone()
    }

    /// Scales a limit by what this machine was measured to need.
    pub fn limit(&self, usual: Duration) -> Duration {
        let limits = self.link.borrow().limits;
        usual.mul_f64(limits.call.as_secs_f64() / Limits::BASE.call.as_secs_f64())
    }

    /// Lines of the console, by their numbers; as many of them as there are.
    pub fn console(&self, lines: Range<usize>) -> Vec<String> {
        let (from, to) = (lines.start, lines.end.min(self.console_len()));
        let link = self.link.borrow();
        let lines = link.console.lines().get(from..to).unwrap_or_default();
        lines.iter().map(|line| line.text.clone()).collect()
    }

    pub fn console_len(&self) -> usize {
        self.link.borrow().console.lines().len()
    }

    /// Until the guest hung, if it does.
    pub fn console_tail(&self) -> String {
        let to = self.autopsy.borrow().console_to.unwrap_or(self.console_len());
        let lines = self.console(to.saturating_sub(TAIL)..to);
        lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// A command to QEMU itself.
    pub fn qmp(&self, command: &str, arguments: Json) -> Result<Json> {
        let answer = self.link.borrow_mut().qmp(command, arguments)?;
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

fn boot_failed(link: &mut Link, trouble: Trouble) -> anyhow::Error {
    link.kill();
    let error = Err::<(), _>(trouble);
    let tail = link.console.tail(TAIL);
    match tail.is_empty() {
        true => error.context("the guest did not boot; its console stayed empty"),
        false => error.context(format!("the guest did not boot; the last of its log:\n{tail}")),
    }
    .unwrap_err()
}
