// SPDX-License-Identifier: GPL-2.0

//! The kernel to boot, and the options that it was built with.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A kernel as scripts/kernel prepares it.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// The file to boot.
    pub image: PathBuf,
    /// The compressed kernel: QEMU does not load it again when a VM resumes.
    pub compressed: Option<PathBuf>,
    /// `uname -r` in the guest
    pub release: String,
    /// Its configuration.
    pub built_with: BuiltWith,
    /// CPUs beyond this number are ignored.
    pub max_cpus: u32,
}

impl Kernel {
    /// Whether it can be suspended, and resumes.
    pub fn suspends(&self) -> bool {
        self.compressed.is_some() && self.built_with.has(ACPI_SLEEP)
    }

    /// Reads the directory of a kernel.
    pub fn read(directory: &Path) -> Result<Kernel> {
        let text = |name: &str| {
            let path = directory.join(name);
            fs::read_to_string(&path).with_context(|| path.display().to_string())
        };
        let config = text("config")?;
        Ok(Kernel {
            image: image(directory)?,
            compressed: Some(directory.join("vmlinuz")).filter(|path| path.is_file()),
            release: text("release")?.trim().into(),
            built_with: BuiltWith::parse(&config),
            max_cpus: max_cpus(&config)
                .with_context(|| format!("no NR_CPUS in {}/config", directory.display()))?,
        })
    }
}

fn max_cpus(config: &str) -> Option<u32> {
    config.lines().find_map(|line| line.strip_prefix("CONFIG_NR_CPUS="))?.parse().ok()
}

/// The uncompressed kernel, if that was prepared: under emulation it boots a second faster.
fn image(directory: &Path) -> Result<PathBuf> {
    let images = ["vmlinux", "vmlinuz"].map(|name| directory.join(name));
    let found = images.into_iter().find(|image| image.is_file());
    found.with_context(|| format!("no kernel in {}", directory.display()))
}

/// Names of the options that are `y` or `m`, without `CONFIG_`.
#[derive(Debug, Clone, Default)]
pub struct BuiltWith(Arc<BTreeSet<String>>);

/// A configuration option, as Kconfig calls it.
pub type Symbol = &'static str;

/// Pages of 16 KiB, which not every arm64 CPU supports.
pub const PAGES_16K: Symbol = "ARM64_16K_PAGES";
/// Pages of 4 KiB.
pub const PAGES_4K: Symbol = "PAGE_SIZE_4KB";
/// Words of 64 bits.
pub const BITS_64: Symbol = "64BIT";
/// Reports invalid accesses to memory.
pub const KASAN: Symbol = "KASAN";
/// Reports data races.
pub const KCSAN: Symbol = "KCSAN";
/// Reports memory leaks.
pub const KMEMLEAK: Symbol = "DEBUG_KMEMLEAK";
/// Reports wrong orders of locks.
pub const LOCKDEP: Symbol = "PROVE_LOCKING";
/// Reports sleep in atomic context.
pub const ATOMIC_SLEEP: Symbol = "DEBUG_ATOMIC_SLEEP";
/// Reports wrong uses of timers.
pub const OBJECTS: Symbol = "DEBUG_OBJECTS_TIMERS";
/// Lets allocations fail.
pub const FAILSLAB: Symbol = "FAILSLAB";
/// Obeys /proc/sysrq-trigger and a break on the console.
pub const SYSRQ: Symbol = "MAGIC_SYSRQ_SERIAL";
/// Checks signatures of modules.
pub const MODULE_SIG: Symbol = "MODULE_SIG";
/// Can restrict root.
pub const LOCKDOWN: Symbol = "SECURITY_LOCKDOWN_LSM";
/// `locktorture`
pub const LOCK_TORTURE: Symbol = "LOCK_TORTURE_TEST";
/// `rcutorture`
pub const RCU_TORTURE: Symbol = "RCU_TORTURE_TEST";
/// Suspends to RAM, on x86.
pub const ACPI_SLEEP: Symbol = "ACPI_SLEEP";
/// Tests phases of suspend.
pub const PM_DEBUG: Symbol = "PM_DEBUG";
/// Unit tests of modules.
pub const KUNIT: Symbol = "KUNIT";
/// Stops a CPU at a hotplug state.
pub const STATE_CONTROL: Symbol = "CPU_HOTPLUG_STATE_CONTROL";
/// CPUs that the scheduler leaves alone, by `isolcpus=`.
pub const ISOLATION: Symbol = "CPU_ISOLATION";

impl BuiltWith {
    fn parse(config: &str) -> BuiltWith {
        let set = |line: &str| {
            let (name, value) = line.strip_prefix("CONFIG_")?.split_once('=')?;
            matches!(value, "y" | "m").then(|| name.to_string())
        };
        BuiltWith(Arc::new(config.lines().filter_map(set).collect()))
    }

    /// Whether this option is set.
    pub fn has(&self, symbol: Symbol) -> bool {
        self.0.contains(symbol)
    }

    /// The first of these options that is not set.
    pub fn lacks(&self, symbols: &[Symbol]) -> Option<Symbol> {
        symbols.iter().copied().find(|symbol| !self.has(symbol))
    }

    /// Slowdown against a stock kernel, roughly.
    pub fn slowness(&self) -> u32 {
        if self.has(KASAN) || self.has(KCSAN) { 4 } else { 1 }
    }

    #[cfg(test)]
    pub(crate) fn with(symbols: &[Symbol]) -> BuiltWith {
        BuiltWith(Arc::new(symbols.iter().map(|symbol| symbol.to_string()).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_are_not_set_are_absent() {
        let config = "CONFIG_KASAN=y\n# CONFIG_FAILSLAB is not set\nCONFIG_NR_CPUS=16\n\
                      CONFIG_TORTURE_TEST=m\nCONFIG_PROVE_LOCKING=n\n";
        let built_with = BuiltWith::parse(config);
        assert!(built_with.has(KASAN) && built_with.has("TORTURE_TEST"));
        assert!(
            !built_with.has(FAILSLAB) && !built_with.has(LOCKDEP) && !built_with.has("NR_CPUS")
        );
        assert_eq!(built_with.lacks(&[KASAN, FAILSLAB, LOCKDEP]), Some(FAILSLAB));
        assert_eq!(built_with.lacks(&[KASAN]), None);
        assert_eq!(max_cpus(config), Some(16));
    }
}
