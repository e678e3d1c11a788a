// SPDX-License-Identifier: GPL-2.0

//! The kernel's options, for its crates and for its procedural macros.

use anyhow::{Context, Error, Result};
use std::fs;
use std::path::Path;
use std::str::FromStr;

/// A version of rustc, as Kconfig counts: 1.85.1 is 108501.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32);

impl FromStr for Version {
    type Err = Error;

    fn from_str(text: &str) -> Result<Version> {
        // `1.97.0-nightly`
        let numbers = text.split('-').next().unwrap_or_default();
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let mut part = || parts.next().context("a version has three parts")?.map_err(Error::from);
        Ok(Version(part()? * 100_000 + part()? * 100 + part()?))
    }
}

/// The options of the kernel, as rustc gets them.
pub struct Options {
    /// A `--cfg` in each line.
    arguments: String,
    /// Those that a minimal version of rustc sets, and that version.
    of_compiler: Vec<(String, Version)>,
}

impl Options {
    /// Reads those of the kernel with this build directory.
    pub fn read(build: &Path) -> Result<Options> {
        let read =
            |path: &Path| fs::read_to_string(path).with_context(|| path.display().to_string());
        let source = build.join("source");
        let source = if source.exists() { &source } else { build };
        Ok(Options {
            arguments: read(&build.join("include/generated/rustc_cfg"))?,
            of_compiler: of_compiler(&read(&source.join("init/Kconfig"))?),
        })
    }

    /// Returns the options with which the kernel was built.
    pub fn of_kernel(&self) -> Vec<&str> {
        self.arguments.lines().filter_map(|line| line.strip_prefix("--cfg=")).collect()
    }

    /// Arguments for the procedural macros, which this rustc is to build.
    pub fn arguments_for(&self, rustc: Version) -> String {
        let depends = |option: &&str| {
            let name = option.split('=').next();
            self.of_compiler.iter().any(|(other, _)| name == Some(other))
        };
        let fixed = self.of_kernel().into_iter().filter(|option| !depends(option));
        let newer = self.of_compiler.iter().filter(|(_, least)| rustc >= *least);
        fixed
            .chain(newer.map(|(name, _)| name.as_str()))
            .fold(String::new(), |all, option| all + "--cfg=" + option + "\n")
    }
}

fn of_compiler(kconfig: &str) -> Vec<(String, Version)> {
    let mut found = Vec::new();
    let mut name = None;
    for line in kconfig.lines() {
        if let Some(option) = line.strip_prefix("config ") {
            name = Some(option.trim());
        } else if let Some(least) = line.trim().strip_prefix("def_bool RUSTC_VERSION >= ") {
            if let (Some(name), Ok(least)) = (name, least.trim().parse()) {
                found.push((format!("CONFIG_{name}"), Version(least)));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_macros_follow_the_compiler() {
        let kconfig = "config RUST\n\tbool \"x\"\n\n\
                       config RUSTC_HAS_OLD\n\tdef_bool RUSTC_VERSION >= 108000\n\n\
                       config RUSTC_HAS_NEW\n\tdef_bool RUSTC_VERSION >= 108800\n";
        let options = Options {
            arguments: "--cfg=CONFIG_SMP\n--cfg=CONFIG_RUSTC_HAS_OLD=\"y\"\n".into(),
            of_compiler: of_compiler(kconfig),
        };
        assert_eq!(options.of_kernel(), ["CONFIG_SMP", "CONFIG_RUSTC_HAS_OLD=\"y\""]);
        let with = |version: &str| options.arguments_for(version.parse().unwrap());
        let (smp, old) = ("--cfg=CONFIG_SMP\n", "--cfg=CONFIG_RUSTC_HAS_OLD\n");
        assert_eq!(with("1.79.0"), smp);
        assert_eq!(with("1.85.1"), format!("{smp}{old}"));
        let new = "--cfg=CONFIG_RUSTC_HAS_NEW\n";
        assert_eq!(with("1.97.0-nightly"), format!("{smp}{old}{new}"));
        assert!("1.97".parse::<Version>().is_err() && "x".parse::<Version>().is_err());
    }
}
