// SPDX-License-Identifier: GPL-2.0

//! Command lines of rustc, as kbuild records them: they name crates, options and files exactly.

use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// The compilation of one crate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Command {
    pub name: String,
    /// The crate's first file.
    pub root: PathBuf,
    pub edition: String,
    pub cfg: Vec<String>,
    /// Names of crates that it depends on.
    pub externs: Vec<String>,
    pub crate_type: String,
    pub env: Vec<(String, String)>,
    /// Files that the compiler has read.
    pub files: Vec<PathBuf>,
}

impl Command {
    /// Reads a file `.NAME.cmd`. Relative paths in it are those of `directory`. Other programs than
    /// rustc give `None`.
    pub fn read(file: &Path, directory: &Path) -> Result<Option<Command>> {
        let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        Ok(Command::parse(&text, directory))
    }

    fn parse(text: &str, directory: &Path) -> Option<Command> {
        let mut lines = text.lines();
        let words = words(lines.next()?.split_once(":=")?.1);
        // CLIPPY=1 compiles with the latter.
        let is_compiler =
            |word: &String| matches!(word.rsplit('/').next(), Some("rustc" | "clippy-driver"));
        let program = words.iter().position(is_compiler)?;
        let assigned = |word: &String| {
            word.split_once('=').map(|(name, value)| (name.to_string(), value.to_string()))
        };
        let mut command = Command {
            env: words[..program].iter().filter_map(assigned).collect(),
            ..Command::default()
        };
        // Other commands follow a semicolon.
        let mut words = words[program + 1..].iter().take_while(|word| *word != ";");
        while let Some(word) = words.next() {
            // The value of an option is behind `=`, or is the next word.
            let (option, value) = word
                .split_once('=')
                .map_or((word.as_str(), None), |(option, value)| (option, Some(value.to_string())));
            let mut value = || value.clone().or_else(|| words.next().cloned());
            match option {
                "--edition" => command.edition = value()?,
                "--cfg" => command.cfg.push(value()?),
                // `--extern NAME` or `--extern NAME=FILE`
                "--extern" => command.externs.push(value()?.split('=').next()?.into()),
                "--crate-type" => command.crate_type = value()?,
                "--crate-name" => command.name = value()?,
                _ if word.ends_with(".rs") && !word.starts_with('-') => {
                    command.root = directory.join(word);
                }
                _ => {}
            }
        }
        if command.name.is_empty() {
            command.name = command.root.file_stem()?.to_str()?.replace('-', "_");
        }
        // `  /a/file.rs \`, and options as `$(wildcard include/config/...)`.
        let dependencies = lines.map(|line| line.trim().trim_end_matches('\\').trim_end());
        let files =
            dependencies.filter(|word| word.ends_with(".rs") && !word.contains(['=', ':', '(']));
        command.files = files.map(|file| directory.join(file)).collect();
        command.root.is_file().then_some(command)
    }
}

/// The words of a command line of the shell, without quotes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.get_or_insert_default().push(c),
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c.is_whitespace() => words.extend(word.take()),
            None => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_rustc_is_read() {
        // This file exists.
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src/command.rs");
        let text = format!(
            "savedcmd_a.o := OBJTREE=/k rustc --edition=2021 -Aunused --cfg one --cfg='feature=\"two\"' \
             -Clink-args=' ' --extern kernel --extern pin_init=/k/x.rmeta --crate-type rlib {root} ; objtool a.o\n\n\
             source_a.o := {root}\n\ndeps_a.o := \\\n  /m/part.rs \\\n    $(wildcard include/config/X) \\\n  lib.rmeta \\\n"
        );
        let command = Command::parse(&text, Path::new("/m")).unwrap();
        let linted = text.replacen(" rustc ", " /usr/bin/clippy-driver ", 1);
        assert_eq!(Command::parse(&linted, Path::new("/m")).as_ref(), Some(&command));
        assert_eq!(
            command,
            Command {
                name: "command".into(),
                root: root.into(),
                edition: "2021".into(),
                cfg: vec!["one".into(), "feature=\"two\"".into()],
                externs: vec!["kernel".into(), "pin_init".into()],
                crate_type: "rlib".into(),
                env: vec![("OBJTREE".into(), "/k".into())],
                files: vec!["/m/part.rs".into()],
            }
        );
    }

    #[test]
    fn other_programs_are_ignored() {
        assert_eq!(Command::parse("savedcmd_a.o := gcc -c a.c\n", Path::new("/")), None);
        assert_eq!(Command::parse("", Path::new("/")), None);
        assert_eq!(Command::parse("savedcmd_a.o := rustc --print cfg\n", Path::new("/")), None);
    }
}
