// SPDX-License-Identifier: GPL-2.0

//! The machine that is booted: architecture, kernel, initramfs, accelerator; and QEMU's command line for it.

mod arch;
pub mod initramfs;
pub mod kernel;
pub mod qemu;

pub use arch::Arch;
pub use kernel::Kernel;
pub use qemu::{Accel, Config};

use crate::{Event, Observer};
use anyhow::{Context, Result, bail, ensure};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How the guest's code is executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub accel: Accel,
    pub why: String,
}

impl Choice {
    pub fn tcg(why: impl Into<String>) -> Choice {
        Choice { accel: Accel::Tcg, why: why.into() }
    }

    pub fn kvm(why: impl Into<String>) -> Choice {
        Choice { accel: Accel::Kvm, why: why.into() }
    }
}

/// What the VMs of a run share. [`Config`] is what each of them may choose.
#[derive(Clone)]
pub struct Machine {
    pub arch: Arch,
    pub kernel: Kernel,
    pub initramfs: Arc<OwnedFd>,
    pub qemu_version: String,
    pub accel: Choice,
    /// Where logs of guests that hang go, if anywhere.
    pub report: Option<PathBuf>,
    /// At most so much for a call, a silence and a test.
    pub limit: Option<Duration>,
    pub observer: Observer,
}

impl Machine {
    /// A machine that is emulated, in silence.
    pub fn new(arch: Arch, kernel: Kernel, initramfs: OwnedFd) -> Result<Machine> {
        Ok(Machine {
            arch,
            kernel,
            initramfs: Arc::new(initramfs),
            qemu_version: qemu_version(arch)?,
            accel: Choice::tcg("asked for"),
            report: None,
            limit: None,
            observer: Arc::new(|_| {}),
        })
    }

    pub fn with_initramfs(&self, initramfs: OwnedFd) -> Machine {
        Machine { initramfs: Arc::new(initramfs), ..self.clone() }
    }

    /// For programs that this one starts and waits for.
    pub fn initramfs_path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.initramfs.as_raw_fd())
    }

    /// So many CPUs, if the machine can have them.
    pub fn config(&self, cpus: u32) -> Result<Config> {
        let most = self.arch.max_cpus().min(self.kernel.max_cpus);
        ensure!(
            (1..=most).contains(&cpus),
            "CPUS={cpus} is not a number from 1 to {most}, which {} can have in this VM",
            self.kernel.release
        );
        Ok(Config::smp(cpus))
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        (self.observer)(&event);
    }

    /// What the results are about.
    pub fn banner(&self) -> String {
        let Machine { kernel, qemu_version, accel, arch, .. } = self;
        format!(
            "Linux {} on {}, QEMU {qemu_version} with {}\n({})",
            kernel.release,
            arch.name(),
            accel.accel,
            accel.why
        )
    }
}

fn qemu_version(arch: Arch) -> Result<String> {
    let program = arch.qemu();
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("{program} is missing; the root file system should have it"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().nth(3);
    match version {
        Some(version) => Ok(version.into()),
        None => bail!("{program} --version printed: {text}"),
    }
}
