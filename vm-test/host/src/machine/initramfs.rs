// SPDX-License-Identifier: GPL-2.0

//! The initramfs: the agent as init, busybox, the modules.

use anyhow::{Context, Result};
use cpio::newc::{Builder, trailer};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// Files for the initramfs.
#[derive(Debug)]
pub struct Contents {
    /// The package `guest`, built for the guest's architecture.
    pub agent: PathBuf,
    /// A static busybox.
    pub busybox: PathBuf,
    /// Modules for `/modules`.
    pub modules: Vec<PathBuf>,
    /// A directory to be copied to `/`.
    pub files: Option<PathBuf>,
}

const DIRECTORIES: &[&str] =
    &["bin", "dev", "etc", "modules", "proc", "sbin", "sys", "tmp", "usr", "usr/bin", "usr/sbin"];

/// Programs that the agent is under other names.
const PROGRAMS: &[&str] = &["chrt", "smpboot-top", "tour"];

const DIRECTORY: u32 = 0o040755;
const PROGRAM: u32 = 0o100755;
const FILE: u32 = 0o100644;
const LINK: u32 = 0o120777;

/// Start of a login shell, as in `make vm`.
const PROFILE: &str = include_str!("../../../guest/assets/profile.sh");

/// Makes the initramfs in memory: no file has to be removed.
pub fn build(contents: &Contents) -> Result<OwnedFd> {
    let mut archive = Archive(Vec::new());
    for name in DIRECTORIES {
        archive.add(name, DIRECTORY, b"")?;
    }
    archive.copy("init", PROGRAM, &contents.agent)?;
    for program in PROGRAMS {
        archive.add(&format!("bin/{program}"), LINK, b"/init")?;
    }
    archive.copy("bin/busybox", PROGRAM, &contents.busybox)?;
    for module in &contents.modules {
        let name = module.file_name().context("a module without a name")?.to_string_lossy();
        archive.copy(&format!("modules/{name}"), FILE, module)?;
    }
    archive.add("etc/profile", FILE, PROFILE.as_bytes())?;
    if let Some(files) = &contents.files {
        archive.copy_all("", files)?;
    }

    let fd = memfd_create("initramfs", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(&trailer(archive.0)?)?;
    Ok(file.into())
}

struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        let mut entry = Builder::new(name).mode(mode).write(&mut self.0, data.len() as u32);
        entry.write_all(data)?;
        entry.finish()?;
        Ok(())
    }

    fn copy(&mut self, name: &str, mode: u32, from: &PathBuf) -> Result<()> {
        let data = fs::read(from)
            .with_context(|| format!("cannot read {}, a file for the VM", from.display()))?;
        self.add(name, mode, &data)
    }

    fn copy_all(&mut self, prefix: &str, directory: &Path) -> Result<()> {
        for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.add(&name, DIRECTORY, b"")?;
                self.copy_all(&format!("{name}/"), &entry.path())?;
            } else {
                self.copy(&name, PROGRAM, &entry.path())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpio::newc::Reader;

    #[test]
    fn a_program_comes_out_as_it_went_in() {
        let mut archive = Archive(Vec::new());
        archive.add("bin", DIRECTORY, b"").unwrap();
        archive.add("bin/x", PROGRAM, b"\x7fELF").unwrap();
        let bytes = trailer(archive.0).unwrap();

        let directory = Reader::new(bytes.as_slice()).unwrap();
        assert_eq!((directory.entry().name(), directory.entry().mode()), ("bin", DIRECTORY));
        let rest = directory.finish().unwrap();
        let mut program = Reader::new(rest).unwrap();
        assert_eq!((program.entry().name(), program.entry().mode()), ("bin/x", PROGRAM));
        let mut data = Vec::new();
        std::io::Read::read_to_end(&mut program, &mut data).unwrap();
        assert_eq!(data, b"\x7fELF");
    }
}
