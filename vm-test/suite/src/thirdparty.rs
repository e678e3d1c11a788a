// SPDX-License-Identifier: GPL-2.0

//! `suite thirdparty`: collects the files that third-party tests need in the guest, and runs the
//! tests:
//!
//! - `selftests`: `tools/testing/selftests/cpu-hotplug` of the kernel's source
//! - `modules`: `torture.c`, `scftorture.c` and `locktorture.c` of the kernel's source. The debug
//!   kernel has them built, and `rcutorture.c`.
//! - `bin`: stress-ng and the programs that the other tests need, from Debian
//! - `ltp`: cpuhotplug02 to 04 of the Linux Test Project, if `LTP=` names it

use crate::programs::{Log, checkout, command};
use crate::suite;
use anyhow::{Context, Result, ensure};
use clap::Args;
use cli::Options;
use host::machine::Kernel;
use libtest_mimic::Arguments;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Args)]
pub struct ThirdpartyArgs {
    /// Debian's programs, unpacked
    #[arg(long, value_name = "DIR")]
    programs: PathBuf,
    /// A checkout or an installation of the Linux Test Project
    #[arg(long, value_name = "DIR")]
    ltp: Option<PathBuf>,
}

const PROGRAMS: [&str; 4] = ["bash", "stress-ng", "ps", "taskset"];
const LTP: [&str; 8] = [
    "cpuhotplug02.sh",
    "cpuhotplug03.sh",
    "cpuhotplug04.sh",
    "cpuhotplug_hotplug.sh",
    "cpuhotplug_testsuite.sh",
    "cpuhotplug_do_spin_loop",
    "test.sh",
    "tst_ansi_color.sh",
];

pub fn run(mut options: Options, args: &ThirdpartyArgs, arguments: Arguments) -> Result<ExitCode> {
    let release = Kernel::read(&options.kernel)?.release;
    let build = checkout().join("build/thirdparty").join(&release);
    options.files = Some(prepare(&options.kernel, args, &build, &release)?);
    suite::run(&options, arguments, None)
}

fn prepare(kernel: &Path, args: &ThirdpartyArgs, build: &Path, release: &str) -> Result<PathBuf> {
    let files = build.join("files");
    if files.exists() {
        fs::remove_dir_all(&files).with_context(|| format!("cannot remove {}", files.display()))?;
    }
    if let Some(ltp) = &args.ltp {
        // Elsewhere in a checkout are files of the same names.
        let testcases = ltp.join("testcases");
        let testcases = if testcases.is_dir() { &testcases } else { ltp };
        for name in LTP {
            let file = find(testcases, name)?.with_context(|| {
                format!(
                    "LTP={} has no {name}: it must name a checkout of the Linux Test Project, or \
                     where that is installed",
                    ltp.display()
                )
            })?;
            copy(&file, &files.join("ltp").join(name))?;
        }
    }
    for name in PROGRAMS {
        program(&args.programs, name, &files)?;
    }
    let name = "cpu-on-off-test.sh";
    let selftests = kernel.join("build/source/tools/testing/selftests/cpu-hotplug");
    copy(&selftests.join(name), &files.join("selftests").join(name))?;

    // The debug kernel has them.
    let mut modules = kernel.join("modules");
    if !modules.exists() {
        modules = build.join("modules");
        build_modules(kernel, release, &modules)?;
    }
    for entry in fs::read_dir(&modules)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "ko") {
            copy(&entry.path(), &files.join("modules").join(entry.file_name()))?;
        }
    }
    Ok(files)
}

/// Copies a program, and its libraries to the directories where the loader finds them.
fn program(debian: &Path, name: &str, files: &Path) -> Result<()> {
    let program = files.join("bin").join(name);
    copy(&debian.join("usr/bin").join(name), &program)?;
    let libraries = debian.join("usr/lib/x86_64-linux-gnu");
    let loader = libraries.join("ld-linux-x86-64.so.2");
    let mut list = command(&loader);
    list.arg("--library-path").arg(&libraries).arg("--list").arg(&program);
    let output = list.output()?;
    ensure!(output.status.success(), "cannot list the libraries of {name}: {output:?}");
    for line in String::from_utf8(output.stdout)?.lines() {
        let Some((_, library)) = line.split_once(" => ") else { continue };
        let library = Path::new(library.split(' ').next().unwrap_or_default());
        let name = library.file_name().with_context(|| format!("{name} needs: {line}"))?;
        copy(library, &files.join("lib/x86_64-linux-gnu").join(name))?;
    }
    copy(&loader, &files.join("lib64/ld-linux-x86-64.so.2"))
}

fn build_modules(kernel: &Path, release: &str, directory: &Path) -> Result<()> {
    fs::create_dir_all(directory)?;
    let source = checkout().join("vm-test/thirdparty");
    let mut make = command("make");
    make.args(snippets::kbuild(kernel)?).arg("modules");
    make.arg(format!("M={}", source.display())).arg(format!("MO={}", directory.display()));
    Log::new("thirdparty").step(&format!("Building the torture modules for {release}"), &mut make)
}

/// Finds a file of this name. A checkout and an installation have it in different directories.
fn find(directory: &Path, name: &str) -> Result<Option<PathBuf>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        let (kind, path) = (entry.file_type()?, entry.path());
        if kind.is_file() && entry.file_name() == name {
            return Ok(Some(path));
        }
        if kind.is_dir() {
            if let Some(found) = find(&path, name)? {
                return Ok(Some(found));
            }
        }
    }
    Ok(None)
}

/// Copies a file that the guest may run.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = to.parent().map_or(Ok(()), fs::create_dir_all);
    let copied = copied.and_then(|()| fs::copy(from, to));
    let copied = copied.and_then(|_| fs::set_permissions(to, Permissions::from_mode(0o755)));
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}
