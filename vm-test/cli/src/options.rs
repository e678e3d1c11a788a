// SPDX-License-Identifier: GPL-2.0

//! Options of all commands, and the machine that they describe.

use crate::{gdb, progress};
use anyhow::{Context, Result};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use host::machine::{Arch, Choice, Kernel, initramfs};
use host::{Config, Machine, accel};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

/// `--arch`
fn arch() -> impl TypedValueParser<Value = Arch> {
    let named = |name: String| Arch::ALL.into_iter().find(|arch| arch.name() == name);
    PossibleValuesParser::new(Arch::ALL.map(Arch::name))
        .map(move |name| named(name).unwrap_or_default())
}

#[derive(Args, Clone, Default)]
pub struct Options {
    /// Directory of a prepared kernel: vmlinuz or vmlinux, release, config, optionally busybox
    #[arg(long, value_name = "DIR")]
    pub kernel: PathBuf,
    /// Directory tree with modules built for this kernel
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    #[arg(long, value_parser = arch(), default_value = "amd64")]
    arch: Arch,
    /// Directory for the outcome of the trial of KVM
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The guest's init; default: built beside this program
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Statically linked busybox for the guest; default: DIR/busybox of the kernel, /bin/busybox
    #[arg(long, value_name = "FILE")]
    busybox: Option<PathBuf>,
    /// Directory with third-party tests: run these and no others
    #[arg(skip)]
    pub files: Option<PathBuf>,
    /// Directory for the guest's /tests
    #[arg(long, value_name = "DIR")]
    pub tests: Option<PathBuf>,
    /// Directory with the distribution's modules for this kernel: the guest has modprobe
    #[arg(long, value_name = "DIR")]
    pub distribution: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "auto")]
    accel: AccelOption,
    /// CPUs of the VM of demo, shell and torture; tests choose their own number
    #[arg(long, value_name = "N", default_value = "4")]
    cpus: u32,
    /// Upper bound of the limits of a call, of silence and of a test, for tests of the limits
    #[arg(long, value_name = "SECONDS", hide = true)]
    limit: Option<u64>,
    /// Lets gdb attach to the VM, at the port of 127.0.0.1 that is this directory's name
    #[arg(long, value_name = "DIR/PORT")]
    gdb: Option<PathBuf>,
    /// Directory for pictures of runs, and for logs of failed tests
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Variables for the make command that repeats a failed test, such as "KERNEL=rt"
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub make_vars: String,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum AccelOption {
    /// KVM if its trial boot works, else TCG
    #[default]
    Auto,
    Kvm,
    Tcg,
}

/// Checks before the run that files can be written at its end.
fn can_write(directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    let probe = directory.join(format!(".probe-{}", std::process::id()));
    let written = fs::write(&probe, "x");
    let _ = fs::remove_file(&probe);
    written
}

impl Options {
    /// The machine. Checks that reports can be written, and whether KVM works.
    pub fn machine(&self) -> Result<Machine> {
        if let Some(directory) = &self.report {
            can_write(directory).with_context(|| {
                format!("cannot write to {}, the directory for reports", directory.display())
            })?;
        }
        let kernel = Kernel::read(&self.kernel)?;
        let initramfs = self.initramfs(self.modules()?)?;
        let mut machine = Machine::new(self.arch, kernel, initramfs)?;
        machine.report = self.report.clone();
        machine.limit = self.limit.map(Duration::from_secs);
        machine.observer = progress::observer();
        machine.accel = match self.accel {
            AccelOption::Tcg => Choice::tcg("asked for"),
            AccelOption::Kvm => Choice::kvm("asked for"),
            AccelOption::Auto => accel::choose(&machine, self.cache.as_deref()),
        };
        // After the trial of KVM, which boots a VM of its own.
        machine.debugger =
            self.gdb.as_deref().map(|directory| gdb::debugger(directory, self)).transpose()?;
        Ok(machine)
    }

    /// The configuration for `--cpus`.
    pub fn config(&self, machine: &Machine) -> Result<Config> {
        machine.config(self.cpus)
    }

    /// The directory for logs and pictures, if there is one.
    pub fn report(&self) -> Option<&Path> {
        self.report.as_deref()
    }

    /// Arguments of another program with the same kernel, modules and accelerator.
    pub fn repeated(&self) -> Vec<OsString> {
        let words = ["--arch".into(), self.arch.name().into()];
        let accel = self.accel.to_possible_value().map(|value| value.get_name().into());
        let paths = [
            ("--kernel", Some(&self.kernel)),
            ("--modules", self.modules.as_ref()),
            ("--cache", self.cache.as_ref()),
            ("--agent", self.agent.as_ref()),
            ("--busybox", self.busybox.as_ref()),
        ];
        let paths = paths.into_iter().filter_map(|(name, path)| Some((name, path?)));
        words
            .into_iter()
            .chain(accel.into_iter().flat_map(|accel| ["--accel".into(), accel]))
            .chain(paths.flat_map(|(name, path)| [name.into(), path.into()]))
            .collect()
    }

    /// The initramfs with these modules.
    pub fn initramfs(&self, modules: Vec<PathBuf>) -> Result<OwnedFd> {
        let tests = self.tests.iter().map(|tests| (tests.clone(), "tests"));
        let directory = self.distribution.clone();
        let release = Kernel::read(&self.kernel)?.release;
        initramfs::build(&initramfs::Contents {
            agent: self.agent()?,
            busybox: self.busybox(),
            modules,
            files: self.files.iter().map(|files| (files.clone(), "")).chain(tests).collect(),
            distribution: Some(initramfs::Distribution { directory, release }),
        })
    }

    fn agent(&self) -> Result<PathBuf> {
        if let Some(path) = &self.agent {
            return Ok(path.clone());
        }
        // target/<triple>/<profile>/run
        let exe = std::env::current_exe()?;
        let profile = exe.parent().context("this program has no directory")?;
        let target = profile.parent().and_then(Path::parent).context(
            "cannot find the guest: this program is not in a target directory (use --agent)",
        )?;
        let name = profile.file_name().context("this program's directory has no name")?;
        Ok(target.join(self.arch.target()).join(name).join("guest"))
    }

    fn busybox(&self) -> PathBuf {
        let beside = self.kernel.join("busybox");
        match &self.busybox {
            Some(path) => path.clone(),
            None if beside.exists() => beside,
            None => "/bin/busybox".into(),
        }
    }

    /// The modules in `--modules`, sorted.
    pub fn modules(&self) -> Result<Vec<PathBuf>> {
        let Some(top) = &self.modules else {
            return Ok(Vec::new());
        };
        let mut modules = Vec::new();
        let mut directories = vec![top.clone()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(&directory);
            for entry in entries.with_context(|| directory.display().to_string())? {
                let entry = entry?;
                let path = entry.path();
                // Does not follow kbuild's links to the sources.
                if entry.file_type()?.is_dir() {
                    directories.push(path);
                } else if path.extension().is_some_and(|e| e == "ko") {
                    modules.push(path);
                }
            }
        }
        modules.sort();
        Ok(modules)
    }
}
