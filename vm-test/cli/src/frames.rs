// SPDX-License-Identifier: GPL-2.0

//! Names and source lines for the functions in an oops.

use anyhow::{Context, Result, ensure};
use rustc_demangle::try_demangle;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The modules whose debug info is at hand, by the kernel's name for each.
#[derive(Debug, Default)]
pub struct Frames {
    modules: BTreeMap<String, PathBuf>,
    /// The program that reads debug info of the guest's architecture.
    addr2line: String,
}

/// A function in a line of the log: `name+0x12/0x30 [module]`.
#[derive(Debug, PartialEq, Eq)]
struct Frame<'a> {
    name: &'a str,
    offset: u64,
    module: Option<&'a str>,
}

impl Frames {
    /// `prefix` is that of the guest's tools, such as "aarch64-linux-gnu-".
    pub fn new(modules: &[PathBuf], prefix: &str) -> Frames {
        let name = |path: &PathBuf| {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            (stem.replace('-', "_"), path.clone())
        };
        let modules = modules.iter().map(name).collect();
        Frames { modules, addr2line: format!("{prefix}addr2line") }
    }

    /// The text, with readable names for Rust's functions, and with the source lines of functions
    /// in these modules.
    pub fn explain(&self, text: &str) -> String {
        let lines = text.split_inclusive('\n');
        lines.map(|line| self.explain_line(line)).collect()
    }

    /// The line of the log, if it names a function of one of these modules with debug info.
    pub fn in_modules(&self, line: &str) -> Option<String> {
        let frame = frame(line)?;
        self.place(&frame, true)?;
        Some(self.explain_line(line))
    }

    fn explain_line(&self, line: &str) -> String {
        let Some(frame) = frame(line) else { return line.into() };
        let text = line.trim_end_matches('\n');
        let end = &line[text.len()..];
        // A return address is behind the call.
        let called = !["RIP: ", "pc : "].iter().any(|part| line.contains(part));
        let place = self.place(&frame, called).map_or(String::new(), |place| format!(" {place}"));
        let name = try_demangle(frame.name).map_or(frame.name.into(), |name| format!("{name:#}"));
        format!("{}{place}{end}", text.replacen(frame.name, &name, 1))
    }

    /// `(file:line)`, from the innermost inlined function to the outermost.
    fn place(&self, frame: &Frame<'_>, called: bool) -> Option<String> {
        let file = self.modules.get(frame.module?)?;
        let (section, address) = address(file, frame.name).ok()?;
        let address = (address + frame.offset).checked_sub(called.into())?;
        let at = format!("{address:#x}");
        let out = output(
            Command::new(&self.addr2line)
                .arg("-i")
                .args(["-j", &section])
                .args(["-e"])
                .arg(file)
                .arg(at),
        );
        let places: Vec<String> = out.ok()?.lines().map(short).collect();
        let known = places.first().is_some_and(|place| !place.starts_with('?'));
        known.then(|| format!("({})", places.join(" < ")))
    }
}

/// Without the compiler's remarks and with the last parts of the path.
fn short(place: &str) -> String {
    let place = place.split(" (discriminator").next().unwrap_or(place);
    let parts: Vec<&str> = place.rsplitn(3, '/').collect();
    match parts.as_slice() {
        [file, directory, _] => format!("{directory}/{file}"),
        _ => place.into(),
    }
}

/// Section and address in it of a function of a module.
fn address(module: &Path, function: &str) -> Result<(String, u64)> {
    let table = output(Command::new("llvm-objdump").arg("-t").arg(module))?;
    let found = table.lines().find(|line| line.split_whitespace().last() == Some(function));
    let words: Vec<&str> = found.context("no such function")?.split_whitespace().collect();
    let section = words.iter().find(|word| word.starts_with('.')).context("no section")?;
    Ok((section.to_string(), u64::from_str_radix(words[0], 16)?))
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?} failed");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn frame(line: &str) -> Option<Frame<'_>> {
    let plus = line.find("+0x")?;
    let before = &line[..plus];
    let start = before.rfind(|c: char| c.is_whitespace() || c == ':').map_or(0, |i| i + 1);
    let (offset, rest) = line[plus + 3..].split_once("/0x")?;
    let offset = u64::from_str_radix(offset, 16).ok()?;
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_hexdigit());
    // Some kernels add the build ID.
    let module = rest.strip_prefix(" [").and_then(|rest| rest.split([']', ' ']).next());
    (start < plus).then(|| Frame { name: &before[start..], offset, module })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_in_lines_of_an_oops() {
        let mine = |name, offset| Some(Frame { name, offset, module: Some("mine") });
        assert_eq!(frame(" ? init+0x12/0x30 [mine]"), mine("init", 0x12));
        assert_eq!(frame("RIP: 0010:init+0x0/0xff0 [mine 0123abc]"), mine("init", 0));
        assert_eq!(
            frame("[    1.000000]  do_one_initcall+0x56/0x2e0"),
            Some(Frame { name: "do_one_initcall", offset: 0x56, module: None })
        );
        for other in ["RAX: 0000000000000000", "a+0xzz/0x1", "+0x1/0x2", "x = a+b"] {
            assert_eq!(frame(other), None, "{other}");
        }
    }

    #[test]
    fn names_of_rust_become_readable() {
        let frames = Frames::default();
        let mangled = " _RNvXs4_CsjHBcSUlccQ1_10my_samplerNtB5_7SamplerNtB5_1T3run+0x1/0x2 [my_sampler]\nnext\n";
        assert_eq!(
            frames.explain(mangled),
            " <my_sampler::Sampler as my_sampler::T>::run+0x1/0x2 [my_sampler]\nnext\n"
        );
    }

    #[test]
    fn places_are_short() {
        assert_eq!(short("/a/b/c/mine.c:12 (discriminator 3)"), "c/mine.c:12");
        assert_eq!(short("mine.c:12"), "mine.c:12");
    }
}
