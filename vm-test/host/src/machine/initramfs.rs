// SPDX-License-Identifier: GPL-2.0

//! The initramfs: the agent as init, busybox, the modules.

use super::dependencies::{self, EXTRA, LIST};
use anyhow::{Context, Result, ensure};
use cpio::newc::{Builder, trailer};
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
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
    /// Directories, and the guest's directories to copy them to: "" is `/`.
    pub files: Vec<(PathBuf, &'static str)>,
    /// Modules that the guest's `modprobe` finds.
    pub distribution: Option<Distribution>,
}

/// Modules of the kernel's distribution. The guest's `modprobe` loads these, and the modules under
/// test with the modules that they depend on.
#[derive(Debug, Clone)]
pub struct Distribution {
    /// The contents of `/lib/modules/RELEASE`, with the output of depmod. Without, `modprobe` finds
    /// the modules under test only.
    pub directory: Option<PathBuf>,
    /// RELEASE
    pub release: String,
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
    for (from, to) in &contents.files {
        archive.add_parents(to)?;
        archive.copy_all(to, from)?;
    }
    if let Some(distribution) = &contents.distribution {
        archive.add_distribution(distribution, &contents.modules)?;
    }

    let fd = memfd_create("initramfs", MFdFlags::MFD_CLOEXEC)?;
    let mut file = File::from(fd);
    file.write_all(&trailer(archive.0)?)?;
    Ok(file.into())
}

struct Archive(Vec<u8>);

impl Archive {
    fn add(&mut self, name: &str, mode: u32, data: &[u8]) -> Result<()> {
        let length = u32::try_from(data.len()).with_context(|| format!("{name} has over 4 GiB"))?;
        let mut entry = Builder::new(name).mode(mode).write(&mut self.0, length);
        entry.write_all(data)?;
        entry.finish()?;
        Ok(())
    }

    fn copy(&mut self, name: &str, mode: u32, from: &PathBuf) -> Result<()> {
        let data = fs::read(from)
            .with_context(|| format!("cannot read {}, a file for the VM", from.display()))?;
        self.add(name, mode, &data)
    }

    /// Adds a directory and those above it.
    fn add_parents(&mut self, directory: &str) -> Result<()> {
        for (end, _) in directory.match_indices('/') {
            self.add(&directory[..end], DIRECTORY, b"")?;
        }
        if directory.is_empty() { Ok(()) } else { self.add(directory, DIRECTORY, b"") }
    }

    fn add_distribution(&mut self, distribution: &Distribution, modules: &[PathBuf]) -> Result<()> {
        let directory = format!("lib/modules/{}", distribution.release);
        self.add_parents(&format!("{directory}/{EXTRA}"))?;
        let mut known = String::new();
        if let Some(modules) = &distribution.directory {
            self.copy_all(&directory, modules)?;
            known = fs::read_to_string(modules.join(LIST)).unwrap_or_default();
            // For the kernel, when it needs a module.
            self.add("sbin/modprobe", LINK, b"/bin/busybox")?;
        }
        let mut added = Vec::new();
        for module in modules {
            let name = module.file_name().context("a module without a name")?.to_string_lossy();
            let target = format!("/modules/{name}");
            self.add(&format!("{directory}/{EXTRA}/{name}"), LINK, target.as_bytes())?;
            added.push((name.into_owned(), fs::read(module)?));
        }
        let list = dependencies::lines(&known, &added);
        self.add(&format!("{directory}/{LIST}"), FILE, list.as_bytes())
    }

    /// Copies the contents of a directory, following links. A link to a directory that is being
    /// copied remains a link.
    fn copy_all(&mut self, prefix: &str, directory: &Path) -> Result<()> {
        self.copy_below(prefix, directory, &mut Vec::new())
    }

    fn copy_below(
        &mut self,
        prefix: &str,
        directory: &Path,
        above: &mut Vec<(PathBuf, String)>,
    ) -> Result<()> {
        let read = |path: &Path| path.display().to_string();
        above.push((directory.canonicalize().with_context(|| read(directory))?, prefix.into()));
        for entry in fs::read_dir(directory).with_context(|| read(directory))? {
            let entry = entry?;
            let name = entry.file_name();
            let name = match prefix {
                "" => name.to_string_lossy().into_owned(),
                _ => format!("{prefix}/{}", name.to_string_lossy()),
            };
            let path = entry.path();
            if path.is_symlink() && !path.exists() {
                // An editor's lock, for example.
                self.add(&name, LINK, fs::read_link(&path)?.as_os_str().as_bytes())?;
            } else if path.is_dir() {
                let real = path.canonicalize()?;
                if let Some((_, copy)) = above.iter().find(|(known, _)| *known == real) {
                    self.add(&name, LINK, format!("/{copy}").as_bytes())?;
                } else {
                    self.add(&name, DIRECTORY, b"")?;
                    self.copy_below(&name, &path, above)?;
                }
            } else {
                // A read from a pipe would not end.
                ensure!(path.is_file(), "{} is neither a file nor a directory", path.display());
                self.copy(&name, PROGRAM, &path)?;
            }
        }
        above.pop();
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

    /// Runs a command in a directory, and copies `tests` from there; returns the archive as text.
    fn copied(name: &str, command: &str) -> Result<String> {
        let directory =
            std::env::temp_dir().join(format!("initramfs-{}-{name}", std::process::id()));
        fs::create_dir_all(directory.join("tests")).unwrap();
        let mut shell = std::process::Command::new("sh");
        assert!(shell.args(["-c", command]).current_dir(&directory).status().unwrap().success());
        let mut archive = Archive(Vec::new());
        let result = archive.copy_all("tests", &directory.join("tests"));
        fs::remove_dir_all(&directory).unwrap();
        result.map(|()| String::from_utf8_lossy(&archive.0).into_owned())
    }

    #[test]
    fn a_link_to_a_directory_above_remains_a_link() {
        let archive = copied("loop", "touch a b; ln -s . tests/self; ln -s .. tests/up").unwrap();
        for (name, times) in [("tests/self", 1), ("tests/up/a", 1), ("tests/up/tests", 1)] {
            assert_eq!(archive.matches(&format!("{name}\0")).count(), times, "{name}: {archive}");
        }
        assert!(!archive.contains("tests/up/tests/"), "{archive}");
    }

    #[test]
    fn a_pipe_is_refused() {
        let error = copied("pipe", "mkfifo tests/pipe").unwrap_err().to_string();
        assert!(error.ends_with("tests/pipe is neither a file nor a directory"), "{error}");
    }
}
