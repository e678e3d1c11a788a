// SPDX-License-Identifier: GPL-2.0

//! What all VMs of a run share: the kernel, the initramfs, QEMU, the accelerator.

use crate::accel::{self, Choice};
use crate::arch::Arch;
use crate::initramfs;
use crate::kernel::Kernel;
use crate::qemu::Config;
use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use report::model::About;
use std::ffi::OsString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, io};

#[derive(Args, Clone, Default)]
pub struct Options {
    /// Folder of a prepared kernel: vmlinuz or vmlinux, release, config, perhaps busybox
    #[arg(long, value_name = "DIR")]
    pub kernel: PathBuf,
    /// Folder of the modules built for it, here and in its folders
    #[arg(long, value_name = "DIR")]
    pub modules: Option<PathBuf>,
    #[arg(long, value_enum, default_value = "amd64")]
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

pub struct Setup {
    pub arch: Arch,
    pub kernel: Kernel,
    pub initramfs: OwnedFd,
    pub qemu_version: String,
    pub accel: Choice,
    /// Where pictures and logs go, if anywhere.
    pub report: Option<PathBuf>,
    /// See [`Options`].
    pub limit: Option<Duration>,
}

impl Setup {
    pub fn new(options: &Options) -> Result<Setup> {
        let arch = options.arch;
        if let Some(folder) = &options.report {
            can_write(folder).with_context(|| {
                format!("cannot write to {}, the directory for reports", folder.display())
            })?;
        }
        let kernel = Kernel::read(&options.kernel)?;
        let initramfs = options.initramfs(options.modules()?)?;
        let mut setup = Setup {
            arch,
            kernel,
            initramfs,
            qemu_version: qemu_version(arch)?,
            accel: Choice::tcg("asked for"),
            report: options.report.clone(),
            limit: options.limit.map(Duration::from_secs),
        };
        setup.accel = match options.accel {
            AccelOption::Tcg => Choice::tcg("asked for"),
            AccelOption::Kvm => Choice::kvm("asked for"),
            AccelOption::Auto => accel::choose(&setup, options.cache.as_deref()),
        };
        Ok(setup)
    }

    /// The same for VMs with these modules in place of those of the options.
    pub fn with_modules(&self, options: &Options, modules: Vec<PathBuf>) -> Result<Setup> {
        Ok(Setup {
            arch: self.arch,
            kernel: self.kernel.clone(),
            initramfs: options.initramfs(modules)?,
            qemu_version: self.qemu_version.clone(),
            accel: self.accel.clone(),
            report: self.report.clone(),
            limit: self.limit,
        })
    }

    /// For programs that this one starts and waits for.
    pub fn initramfs_path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.initramfs.as_raw_fd())
    }

    /// The machine that the options ask for.
    pub fn config(&self, options: &Options) -> Result<Config> {
        let most = self.arch.max_cpus().min(self.kernel.max_cpus);
        ensure!(
            (1..=most).contains(&options.cpus),
            "CPUS={} is not a number from 1 to {most}, which {} can have in this VM",
            options.cpus,
            self.kernel.release
        );
        Ok(Config::smp(options.cpus))
    }

    /// What a picture is about, but for its title.
    pub fn about(&self, config: &Config) -> About {
        let date = Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
        About {
            title: String::new(),
            release: self.kernel.release.clone(),
            arch: self.arch.name().into(),
            cpus: config.cpus,
            accelerator: self.accel.accel.to_string(),
            date: date
                .map(|date| String::from_utf8_lossy(&date.stdout).trim().into())
                .unwrap_or_default(),
        }
    }

    /// What the results are about.
    pub fn banner(&self) -> String {
        let Setup { kernel, qemu_version, accel, arch, .. } = self;
        format!(
            "Linux {} on {}, QEMU {qemu_version} with {}\n({})",
            kernel.release,
            arch.name(),
            accel.accel,
            accel.why
        )
    }
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

    fn initramfs(&self, modules: Vec<PathBuf>) -> Result<OwnedFd> {
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
        // target/<triple>/<profile>/vm-test
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
