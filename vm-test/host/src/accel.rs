// SPDX-License-Identifier: GPL-2.0

//! Chooses between KVM and TCG.
//!
//! `/dev/kvm` may exist, and even open, without a guest being able to run. So a guest is booted
//! with it once, and the outcome is saved.

use crate::Event;
use crate::machine::{Choice, Config, Machine};
use crate::vm::{Limits, Vm};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A guest under KVM boots in one to two seconds.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

const DEVICE: &str = "/dev/kvm";

/// Version of the reasons. A cached reason is shown as it is: increase this when the words change.
const WORDING: u32 = 2;

/// KVM if a guest was seen to boot with it, else TCG. `cache`: directory for the outcome of the
/// trial.
pub fn choose(machine: &Machine, cache: Option<&Path>) -> Choice {
    if !machine.arch.is_native() {
        return Choice::tcg(format!("this computer's CPU is not {}", machine.arch.name()));
    }
    if let Err(e) = File::options().read(true).write(true).open(DEVICE) {
        return Choice::tcg(match e.kind() {
            io::ErrorKind::NotFound => format!("{DEVICE} does not exist"),
            _ => format!("{DEVICE}: {e}"),
        });
    }
    let file = cache.map(|directory| directory.join("kvm-verdict.json"));
    let mut known = file.as_deref().map(Verdicts::read).unwrap_or_default();
    let Machine { kernel, qemu_version, .. } = machine;
    let key = format!("{}, QEMU {qemu_version}, {}, {WORDING}", kernel.release, cpu_model());
    let verdict = known.0.entry(key).or_insert_with(|| probe(machine));
    let choice = verdict.choice();
    if let Some(file) = &file {
        if let Err(e) = known.write(file) {
            machine.observe(Event::KvmVerdictNotSaved { path: file.clone(), error: e });
        }
    }
    choice
}

fn probe(machine: &Machine) -> Verdict {
    machine.observe(Event::KvmTrial { limit: PROBE_LIMIT });
    let limits = Limits { boot: PROBE_LIMIT, ..Limits::BASE };
    // The event above covers this boot.
    let quiet =
        Machine { accel: Choice::kvm("trial boot"), observer: Arc::new(|_| {}), ..machine.clone() };
    match Vm::boot_with(&quiet, &Config::smp(2), limits) {
        Ok(vm) => {
            vm.kill();
            Verdict { works: true, why: "its trial boot worked".into() }
        }
        Err(e) => Verdict { works: false, why: first_line(&e.root_cause().to_string()) },
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().into()
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown CPU", |m| m.trim_start_matches([' ', '\t', ':'])).into()
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Verdict {
    works: bool,
    why: String,
}

impl Verdict {
    fn choice(&self) -> Choice {
        match self.works {
            true => Choice::kvm(&self.why),
            false => Choice::tcg(format!("KVM failed its trial boot: {}", self.why)),
        }
    }
}

/// Verdicts by kernel, QEMU and CPU: the outcome depends on all three.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Verdicts(BTreeMap<String, Verdict>);

impl Verdicts {
    /// An invalid file counts as empty.
    fn read(path: &Path) -> Verdicts {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Another run may write it at the same time.
    fn write(&self, path: &Path) -> io::Result<()> {
        let partial = path.with_extension(format!("partial.{}", std::process::id()));
        fs::write(&partial, serde_json::to_vec_pretty(self)?)?;
        fs::rename(&partial, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Accel;

    #[test]
    fn a_verdict_says_why() {
        let no = Verdict { works: false, why: "silent for 10.0 s".into() };
        assert_eq!(no.choice().accel, Accel::Tcg);
        assert_eq!(no.choice().why, "KVM failed its trial boot: silent for 10.0 s");
        assert_eq!(Verdict { works: true, why: String::new() }.choice().accel, Accel::Kvm);
    }

    #[test]
    fn verdicts_are_saved_and_an_invalid_file_is_empty() {
        let path = std::env::temp_dir().join(format!("kvm-verdict-{}.json", std::process::id()));
        assert_eq!(Verdicts::read(&path), Verdicts::default());
        let mut verdicts = Verdicts::default();
        verdicts.0.insert("7.3".into(), Verdict { works: true, why: "x".into() });
        verdicts.write(&path).unwrap();
        assert_eq!(Verdicts::read(&path), verdicts);
        fs::write(&path, "{\"7.3\": {\"works\"").unwrap();
        assert_eq!(Verdicts::read(&path), Verdicts::default());
        fs::remove_file(&path).unwrap();
    }
}
