// SPDX-License-Identifier: GPL-2.0

//! The machine to boot: architecture, kernel, initramfs, accelerator, and QEMU's command line for
//! them.

mod arch;
mod dependencies;
mod event;
pub mod initramfs;
pub mod kernel;
pub mod qemu;

pub use arch::Arch;
pub use event::{Event, Observer};
pub use kernel::Kernel;
pub use qemu::{Accel, Config};

use crate::Vm;
use anyhow::{Context, Result, bail, ensure};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// How the guest's code is executed, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub struct Choice {
    pub accel: Accel,
    pub why: String,
}

impl Choice {
    /// Emulation.
    pub fn tcg(why: impl Into<String>) -> Choice {
        Choice { accel: Accel::Tcg, why: why.into() }
    }

    /// Virtualization.
    pub fn kvm(why: impl Into<String>) -> Choice {
        Choice { accel: Accel::Kvm, why: why.into() }
    }
}

/// Prepares a debugger for a guest that has booted.
pub type Prepare = Arc<dyn Fn(&Vm) -> Result<()> + Send + Sync>;

/// A debugger that can attach to the VM.
#[derive(Clone)]
pub struct Debugger {
    /// The port of 127.0.0.1 at which QEMU waits for it.
    pub port: u16,
    /// Whether the guest stops after its boot, until the debugger continues it.
    pub waits: bool,
    /// Prepares what the debugger needs to know of the guest.
    pub prepare: Prepare,
}

/// Properties that all VMs of a run share. Those that differ are in [`Config`].
#[derive(Clone)]
pub struct Machine {
    /// The guest's architecture.
    pub arch: Arch,
    /// The guest's kernel.
    pub kernel: Kernel,
    /// The guest's files: an open file that QEMU inherits.
    pub initramfs: Arc<OwnedFd>,
    /// The version, as QEMU prints it.
    pub qemu_version: String,
    /// KVM or TCG.
    pub accel: Choice,
    /// Directory for logs of guests that hang, if any.
    pub report: Option<PathBuf>,
    /// Upper bound of all [`Limits`](crate::vm::Limits) but that of the boot.
    pub limit: Option<Duration>,
    /// Gets the progress of each VM.
    pub observer: Observer,
    /// The debugger of a VM, of one at a time.
    pub debugger: Option<Debugger>,
}

impl Machine {
    /// An emulated machine, whose progress is not observed.
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
            debugger: None,
        })
    }

    /// The same machine with other files.
    pub fn with_initramfs(&self, initramfs: OwnedFd) -> Machine {
        Machine { initramfs: Arc::new(initramfs), ..self.clone() }
    }

    /// A path of the initramfs for other programs, while this one runs.
    pub fn initramfs_path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.initramfs.as_raw_fd())
    }

    /// A VM with this number of CPUs, if the machine supports it.
    pub fn config(&self, cpus: u32) -> Result<Config> {
        let most = self.arch.max_cpus().min(self.kernel.max_cpus);
        ensure!(
            (1..=most).contains(&cpus),
            "CPUS={cpus}: expected 1 to {most} for {} in this VM",
            self.kernel.release
        );
        Ok(Config::smp(cpus))
    }

    /// Stops the guest after its boot until the debugger continues it, if there is one.
    pub fn wait_for_debugger(&mut self) {
        if let Some(debugger) = &mut self.debugger {
            debugger.waits = true;
        }
    }

    pub(crate) fn observe(&self, event: Event<'_>) {
        (self.observer)(&event);
    }

    /// Kernel, QEMU and accelerator, for the user.
    pub fn banner(&self) -> String {
        let Machine { kernel, qemu_version, accel, arch, .. } = self;
        format!(
            "Linux {} on {}, QEMU {qemu_version}, {}\n{}",
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
