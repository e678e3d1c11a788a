// SPDX-License-Identifier: GPL-2.0

//! The guest's trace as a `trace.dat`, which `trace-cmd report` and KernelShark open.
//!
//! `trace-cmd restore` makes it from the pages of the ring buffers and the description of their
//! contents.

use anyhow::{Context, Result, ensure};
use host::Vm;
use report::Run;
use report::ftrace::{self, What};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use wire::{Access, Call, Value};

/// The guest's mount of tracefs.
pub const TRACING: &str = "/sys/kernel/tracing";

const TRACE_CMD: &str = "trace-cmd";

/// The parts of the file.
pub struct Raw {
    /// Files by their path below [`TRACING`].
    descriptions: Vec<(String, Vec<u8>)>,
    kallsyms: Vec<u8>,
    /// The ring buffer of each possible CPU.
    pages: Vec<Vec<u8>>,
}

impl Raw {
    /// Takes the pages out of the guest's ring buffers, after the recording has ended.
    pub fn take(vm: &Vm, run: &Run) -> Result<Raw> {
        let mut names: Vec<String> = [
            "events/header_page",
            "events/header_event",
            "events/ftrace/print/format",
            "printk_formats",
            "saved_cmdlines",
        ]
        .map(String::from)
        .to_vec();
        let enabled = ftrace::setup().into_iter();
        names.extend(
            enabled.filter_map(|(file, _)| Some(format!("{}format", file.strip_suffix("enable")?))),
        );
        let files = names.iter().map(|name| Call::Read { path: format!("{TRACING}/{name}") });
        let files = vm.batch(files.collect())?;
        let descriptions =
            names.into_iter().zip(files.into_iter().map(bytes)).map(|(n, b)| Ok((n, b?)));

        let functions: BTreeSet<&String> = run
            .trace
            .events
            .iter()
            .filter_map(|event| match &event.what {
                What::HotplugEnter { function, .. } => Some(function),
                _ => None,
            })
            .collect();
        let functions = functions.into_iter().map(String::as_str).chain(["tracing_mark_write"]);
        let names = functions.map(String::from).collect();
        let mut pages = Vec::new();
        for cpu in vm.cpus("possible")? {
            let path = format!("{TRACING}/per_cpu/cpu{cpu}/trace_pipe_raw");
            let file = vm.open(&path, Access::ReadNow)?;
            let mut buffer = Vec::new();
            // A read returns at most one page.
            loop {
                let page = file.read_now()?;
                if page.is_empty() {
                    break;
                }
                buffer.extend(page);
            }
            pages.push(buffer);
        }
        Ok(Raw {
            descriptions: descriptions.collect::<Result<_>>()?,
            kallsyms: bytes(vm.call(Call::Symbols { names })?)?,
            pages,
        })
    }

    /// Writes `path`; on an error the file does not exist.
    pub fn restore(&self, path: &Path) -> Result<()> {
        let directory = path.with_extension("parts");
        let _ = fs::remove_dir_all(&directory);
        let restored = self.restore_in(&directory, path);
        let _ = fs::remove_dir_all(&directory);
        if restored.is_err() {
            let _ = fs::remove_file(path);
        }
        restored
    }

    fn restore_in(&self, directory: &Path, path: &Path) -> Result<()> {
        for (name, bytes) in &self.descriptions {
            let file = directory.join("tracing").join(name);
            fs::create_dir_all(file.parent().context("no directory")?)?;
            fs::write(file, bytes)?;
        }
        fs::write(directory.join("kallsyms"), &self.kallsyms)?;
        let mut cpus: Vec<PathBuf> = Vec::new();
        for (cpu, pages) in self.pages.iter().enumerate() {
            cpus.push(directory.join(format!("cpu{cpu}")));
            fs::write(&cpus[cpu], pages)?;
        }
        let head = directory.join("head");
        trace_cmd(
            Command::new(TRACE_CMD)
                .args(["restore", "-c", "-t"])
                .arg(directory.join("tracing"))
                .arg("-k")
                .arg(directory.join("kallsyms"))
                .arg("-o")
                .arg(&head),
        )?;
        trace_cmd(
            Command::new(TRACE_CMD)
                .args(["restore", "-i"])
                .arg(&head)
                .arg("-o")
                .arg(path)
                .args(&cpus),
        )
        .map(drop)
    }
}

/// The file as text.
pub fn report(path: &Path) -> Result<String> {
    trace_cmd(Command::new(TRACE_CMD).args(["report", "-i"]).arg(path))
}

fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::Bytes(bytes) => Ok(bytes),
        other => anyhow::bail!("the agent answered with {other:?}"),
    }
}

fn trace_cmd(command: &mut Command) -> Result<String> {
    let output = command.output().context("cannot run trace-cmd")?;
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "trace-cmd failed: {}{words}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(words)
}
