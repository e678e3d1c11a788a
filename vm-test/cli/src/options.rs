// SPDX-License-Identifier: GPL-2.0

//! The options that all commands have, and the machine that they ask for.

use crate::progress;
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
    /// Folder of a prepared kernel: vmlinuz or vmlinux, release, config, perhaps busybox
    #[arg(long, value_name = "DIR")]
    pub kernel: PathBuf,
    /// Folder of the modules built for it, here and in its folders
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    #[arg(long, value_parser = arch(), default_value = "amd64")]
    arch: Arch,
    /// Where to remember whether KVM works
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// The guest's init; default: the one built beside this program
    #[arg(long, value_name = "FILE")]
    agent: Option<PathBuf>,
    /// Statically linked busybox for the guest; default: DIR/busybox of the kernel, /bin/busybox
    #[arg(long, value_name = "FILE")]
    busybox: Option<PathBuf>,
    /// A folder with other people's tests, for the tests that run them, and no others
    #[arg(long, value_name = "DIR")]
    pub files: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "auto")]
    accel: AccelOption,
    /// CPUs of the VM of demo, shell and torture; each test has a machine of its own choice
    #[arg(long, value_name = "N", default_value = "4")]
    cpus: u32,
    /// At most so much for a call, a silence and a test: for tests of the limits
    #[arg(long, value_name = "SECONDS", hide = true)]
    limit: Option<u64>,
    /// Where to write pictures of runs, and logs of VMs that failed
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// Variables for the make command that repeats a failed test, such as "KERNEL=rt"
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub make_vars: String,
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum AccelOption {
    /// KVM where a guest was seen to boot with it, else TCG
    #[default]
    Auto,
    Kvm,
    Tcg,
}

/// Fails now rather than at the end of the run.
fn can_write(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let probe = folder.join(format!(".probe-{}", std::process::id()));
    let written = fs::write(&probe, "x");
    let _ = fs::remove_file(&probe);
    written
}

impl Options {
    /// The machine, of which a folder for reports and an accelerator were made sure.
    pub fn machine(&self) -> Result<Machine> {
        if let Some(folder) = &self.report {
            can_write(folder).with_context(|| {
                format!("cannot write to {}, the directory for reports", folder.display())
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
        Ok(machine)
    }

    /// The machine's variant for `--cpus`.
    pub fn config(&self, machine: &Machine) -> Result<Config> {
        machine.config(self.cpus)
    }

    /// The arguments of another run with the same kernel, modules and accelerator.
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

    /// The guest's files, with these modules.
    pub fn initramfs(&self, modules: Vec<PathBuf>) -> Result<OwnedFd> {
        initramfs::build(&initramfs::Contents {
            agent: self.agent()?,
            busybox: self.busybox(),
            modules,
            files: self.files.clone(),
        })
    }

    fn agent(&self) -> Result<PathBuf> {
        if let Some(path) = &self.agent {
            return Ok(path.clone());
        }
        // target/<triple>/<profile>/run
        let exe = std::env::current_exe()?;
        let profile = exe.parent().context("no folder around this program")?;
        let target = profile.parent().and_then(Path::parent).context("not in a target folder")?;
        let name = profile.file_name().context("no profile")?;
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

    fn modules(&self) -> Result<Vec<PathBuf>> {
        let Some(folder) = &self.modules else {
            return Ok(Vec::new());
        };
        let mut modules = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
                let entry = entry?;
                let path = entry.path();
                // Not kbuild's links to the sources.
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "ko") {
                    modules.push(path);
                }
            }
        }
        modules.sort();
        Ok(modules)
    }
}
