// SPDX-License-Identifier: GPL-2.0

//! A test: a shell script, with remarks for the judge.

use anyhow::{Context, Result, bail, ensure};
use cli::pool::Case;
use host::verdict::Leaves;
use host::{Config, Vm};
use nix::errno::Errno;
use std::fs;
use std::path::Path;
use std::time::Duration;
use wire::{Call, Exit, Value};

/// Guest's file with the output of the script: it remains if the script is killed.
const OUTPUT: &str = "/tmp/output";

/// Number of lines of a script's output in a report.
const TAIL: usize = 40;

/// Number of bytes of the output that the host gets: the guest's memory may be full of it.
const TAIL_BYTES: &str = "65536";

/// The levels of `dmesg -n`. The judge looks for its own lines on the console.
const CONSOLE_LEVELS: &str = "/proc/sys/kernel/printk";

const MOUNTS: &str = "/proc/mounts";

/// The share of a test's limit after which its script is killed: the rest is for the judge.
const SHARE: f64 = 0.8;

/// Longest line of a script's output in a report.
const WIDTH: usize = 200;

pub struct Script {
    name: String,
    machine: Config,
    source: Source,
    remarks: Remarks,
    fresh: bool,
    /// Whether the shell prints each command.
    trace: bool,
}

enum Source {
    /// A file of the guest's `/tests`, and the program that its first line names.
    File(String, Option<String>),
    /// Without a script: loads and unloads these modules.
    Load(Vec<String>),
}

/// Comments of a script that the judge heeds.
#[derive(Debug, Default, PartialEq, Eq)]
struct Remarks {
    /// `# expect-warning: TEXT`
    warnings: Vec<String>,
    /// `# expect-splat: KIND`
    splats: Vec<String>,
    /// `# limit: SECONDS`
    seconds: Option<u32>,
}

impl Script {
    /// The scripts in a directory, sorted. As for a shell's
    /// `*.sh`, files with a leading dot are not among them.
    pub fn all(
        directory: Option<&Path>,
        machine: &Config,
        fresh: bool,
        trace: bool,
    ) -> Result<Vec<Script>> {
        let mut scripts = Vec::new();
        let Some(directory) = directory else { return Ok(scripts) };
        for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
            let path = entry?.path();
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(name) = file.strip_suffix(".sh") else { continue };
            if name.starts_with('.') || name.is_empty() || path.is_dir() {
                continue;
            }
            // Those of T=.
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
            ensure!(
                name.chars().all(is_plain),
                "{}: a test's name has only letters, digits and _:.-: rename it",
                path.display()
            );
            let text = fs::read(&path).with_context(|| path.display().to_string())?;
            let text = String::from_utf8_lossy(&text);
            let remarks = Remarks::parse(&text).with_context(|| path.display().to_string())?;
            let source = Source::File(file.clone(), interpreter(&text));
            let (name, machine) = (name.into(), machine.clone());
            scripts.push(Script { name, machine, source, remarks, fresh, trace });
        }
        scripts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(scripts)
    }

    /// The test of modules without scripts.
    pub fn load(modules: Vec<String>, machine: &Config) -> Script {
        Script {
            name: "load".into(),
            machine: machine.clone(),
            source: Source::Load(modules),
            remarks: Remarks::default(),
            fresh: false,
            trace: false,
        }
    }

    /// Runs it. `mine` are the modules under test.
    pub fn run(&self, vm: &Vm, mine: &[String]) -> Result<()> {
        for warning in &self.remarks.warnings {
            vm.expect_warning(warning.clone().leak());
        }
        for kind in &self.remarks.splats {
            vm.expect_splat(kind.clone().leak());
        }
        let (before, mounts) = (vm.modules()?, vm.read(MOUNTS)?);
        let levels = vm.read(CONSOLE_LEVELS)?;
        vm.run(&["/bin/busybox", "--install", "-s", "/bin"])?;
        let result = self.run_script(vm, mine);
        let restored = vm.write(CONSOLE_LEVELS, levels);
        result.and(restored)?;
        clear(vm, &mounts)?;
        // Those of the distribution, as far as that is possible.
        let _ = unload(vm, |module| !before.contains(module) && !mine.contains(module));
        Ok(())
    }

    fn run_script(&self, vm: &Vm, mine: &[String]) -> Result<()> {
        match &self.source {
            Source::File(file, _) => {
                let options = if self.trace { "-eux" } else { "-eu" };
                self.shell(vm, &[options, &format!("/tests/{file}")])
            }
            Source::Load(modules) => {
                let load = modules.iter().map(|name| {
                    format!(
                        "modprobe {name}\n\
                         grep -q '^{name} ' /proc/modules || {{\n\
                         echo 'modprobe: this kernel has {name} built in'; exit 1; }}\n"
                    )
                });
                self.shell(vm, &["-euc", &load.collect::<String>()])?;
                unload(vm, |module| mine.contains(module))
            }
        }
    }

    fn shell(&self, vm: &Vm, words: &[&str]) -> Result<()> {
        let limit = vm.limits().test.mul_f64(SHARE) * self.times();
        let mut argv: Vec<String> =
            ["sh", "-c", "exec >\"$0\" 2>&1; cd /modules; exec sh \"$@\"", OUTPUT]
                .map(String::from)
                .into();
        argv.extend(words.iter().map(|word| word.to_string()));
        let call = vm.post(Call::Run { argv, limit_ms: limit.as_millis() as u64 });
        let answer = vm.wait_answer(call, "the script", limit + vm.limits().call)?;
        let ended = match &answer {
            Ok(Value::Program { status: Exit::Code(0), .. }) => return Ok(()),
            Ok(Value::Program { status: Exit::Code(code), .. }) => format!("exit status {code}"),
            Ok(Value::Program { status: Exit::Signal(signal), .. }) => {
                format!("killed by signal {signal}")
            }
            Err(errno) if *errno == Errno::ETIME as i32 => {
                format!(
                    "timed out after {:.0} s (a line `# limit: SECONDS` in the script allows more)",
                    limit.as_secs_f64()
                )
            }
            other => bail!("the guest cannot run a shell: {other:?}"),
        };
        let end = ["/bin/busybox", "tail", "-c", TAIL_BYTES, OUTPUT].map(String::from).into();
        let end =
            vm.call(Call::Run { argv: end, limit_ms: vm.limits().call.as_millis() as u64 })?;
        let Value::Program { output, .. } = end else {
            bail!("the guest cannot run tail: {end:?}")
        };
        if answer == Err(Errno::ETIME as i32) {
            // Without an answer, the judge asks for backtraces: it may hang in the kernel.
            let _ = vm.wait_answer(call, "the script", Duration::ZERO);
        }
        let shell = match &self.source {
            Source::File(_, Some(program)) => {
                format!(" (it asks for {program}, the guest has busybox's sh)")
            }
            _ => String::new(),
        };
        match tail(&output) {
            lines if lines.is_empty() => {
                bail!("the script failed: {ended}{shell}, no output (V=1 shows its commands)")
            }
            lines => bail!("the script failed: {ended}{shell}; the end of its output:\n{lines}"),
        }
    }
}

/// The program that the first line of a script names, unless it is a plain shell.
fn interpreter(script: &str) -> Option<String> {
    let mut words = script.lines().next()?.strip_prefix("#!")?.split_whitespace();
    let name = |word: &str| word.rsplit('/').next().unwrap_or(word).to_string();
    let mut program = name(words.next()?);
    if program == "env" {
        program = name(words.next()?);
    }
    (!["sh", "ash", "dash", "busybox"].contains(&&*program)).then_some(program)
}

/// The last lines of a script's output, indented, each with a limited length, and with other
/// characters than text escaped.
fn tail(output: &[u8]) -> String {
    let output = String::from_utf8_lossy(output);
    let lines: Vec<&str> = output.split_terminator('\n').collect();
    let printable = |c: char| match c.is_control() && c != '\t' {
        true => c.escape_default().collect::<String>(),
        false => c.into(),
    };
    let line = |line: &&str| {
        let text: String = line.chars().take(WIDTH).map(printable).collect();
        let cut = if line.chars().nth(WIDTH).is_some() { " ..." } else { "" };
        format!("  {text}{cut}")
    };
    let lines: Vec<String> = lines[lines.len().saturating_sub(TAIL)..].iter().map(line).collect();
    lines.join("\n")
}

/// Ends programs, unmounts file systems, and removes files, that a script has left: the next test
/// may use this VM.
fn clear(vm: &Vm, mounted_before: &str) -> Result<()> {
    let busybox = |words: &[&str]| vm.run(&[&["/bin/busybox"], words].concat());
    busybox(&["sh", "-c", "kill -9 -1; :"])?;
    let mounted = vm.read(MOUNTS)?;
    let is_new = |line: &&str| !mounted_before.lines().any(|known| known == *line);
    for path in mounted.lines().rev().filter(is_new).filter_map(|line| line.split(' ').nth(1)) {
        busybox(&["umount", "-l", path])?;
    }
    busybox(&["sh", "-c", "rm -rf /tmp/* /tmp/.[!.]*"])?;
    Ok(())
}

/// Unloads the modules that `which` selects.
fn unload(vm: &Vm, which: impl Fn(&String) -> bool) -> Result<()> {
    loop {
        let mut modules = vm.modules()?;
        modules.retain(&which);
        // Those that others use are refused at first.
        let refused: Vec<_> = modules.iter().filter_map(|module| vm.rmmod(module).err()).collect();
        if refused.len() == modules.len() {
            return refused.into_iter().next().map_or(Ok(()), Err);
        }
    }
}

impl Case for Script {
    fn name(&self) -> &str {
        &self.name
    }

    fn machine(&self) -> &Config {
        &self.machine
    }

    fn leaves(&self) -> Leaves {
        match self.fresh || !self.remarks.splats.is_empty() {
            true => Leaves::Used,
            false => Leaves::Clean,
        }
    }

    fn times(&self) -> u32 {
        let usual = host::vm::Limits::BASE.test.mul_f64(SHARE);
        let wanted = Duration::from_secs(self.remarks.seconds.unwrap_or_default().into());
        wanted.as_secs_f64().div_euclid(usual.as_secs_f64()) as u32 + 1
    }
}

impl Remarks {
    fn parse(script: &str) -> Result<Remarks> {
        let mut remarks = Remarks::default();
        for line in script.lines() {
            let Some((key, value)) = line.strip_prefix('#').and_then(|line| line.split_once(':'))
            else {
                continue;
            };
            let value = value.trim();
            match key.trim() {
                "expect-warning" => remarks.warnings.push(value.into()),
                "expect-splat" => remarks.splats.push(value.into()),
                "limit" => {
                    let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
                    remarks.seconds =
                        Some(seconds.with_context(|| {
                            format!("`# limit: {value}`: not a number of seconds")
                        })?);
                }
                _ => continue,
            }
            ensure!(!value.is_empty(), "`{line}` lacks its text");
        }
        Ok(remarks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_shown_as_text() {
        assert_eq!(tail(b"a\r\n\x1b[1m\n\tb"), "  a\\r\n  \\u{1b}[1m\n  \tb");
        assert_eq!(tail(&[b'y'; WIDTH + 1]), format!("  {} ...", "y".repeat(WIDTH)));
        assert_eq!(tail(&b"y\n".repeat(TAIL + 1)).lines().count(), TAIL);
        assert_eq!(tail(b""), "");
    }

    #[test]
    fn a_first_line_may_name_another_program() {
        let of = |script| interpreter(script);
        for plain in ["", "echo", "#!/bin/sh -e", "#! /bin/busybox sh", "#!/usr/bin/env sh", "#!"] {
            assert_eq!(of(plain), None, "{plain}");
        }
        assert_eq!(of("#!/bin/bash\n").as_deref(), Some("bash"));
        assert_eq!(of("#!/usr/bin/env python3").as_deref(), Some("python3"));
    }

    #[test]
    fn remarks_are_comments() {
        let script = "#!/bin/sh\n# expect-warning: out of cheese\n#expect-splat:WARNING\n\
                      # limit: 90\necho '# expect-warning: no'\n# see also: this\n";
        let remarks = Remarks::parse(script).unwrap();
        assert_eq!(remarks.warnings, ["out of cheese"]);
        assert_eq!(remarks.splats, ["WARNING"]);
        assert_eq!(remarks.seconds, Some(90));
        for wrong in ["# limit: soon", "# limit: 0", "# expect-warning:"] {
            assert!(Remarks::parse(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Remarks::parse("").unwrap(), Remarks::default());
    }
}
