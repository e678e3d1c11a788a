// SPDX-License-Identifier: GPL-2.0

//! QEMU's command line, as pure functions of machine and configuration.

use super::Arch;
use super::kernel::{BuiltWith, KASAN, KMEMLEAK, KUNIT, Kernel};
use std::fmt::{self, Display, Formatter};
use std::os::fd::RawFd;
use wire::PORT_NAME;

/// QEMU's accelerator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// Virtualization.
    Kvm,
    /// Emulation.
    Tcg,
}

impl Display for Accel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Accel::Kvm => "KVM",
            Accel::Tcg => "TCG (emulation)",
        })
    }
}

/// Properties in which the VMs of a [`Machine`](super::Machine) differ.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Config {
    /// Number of possible CPUs.
    pub cpus: u32,
    /// Number of CPUs to bring up at boot; the others are possible, and can be brought online.
    pub maxcpus: Option<u32>,
    /// Memory in MB.
    pub memory_mb: u32,
    /// The guest's clock counts instructions; the number distinguishes such boots.
    pub counted: Option<u32>,
    /// Emulates each CPU in a thread of its own: real races, and rarely a mistake of the emulator.
    pub multi: bool,
    /// Can be suspended.
    pub suspends: bool,
    /// A word for the kernel's command line.
    pub word: Option<&'static str>,
}

/// Memory for up to [`USUAL_CPUS`].
const USUAL_MB: u32 = 512;

const USUAL_CPUS: u32 = 16;

/// Memory per further CPU: its trace buffer, the kernel's per-CPU memory.
const MB_PER_CPU: u32 = 8;

impl Config {
    /// A VM with this number of CPUs.
    pub const fn smp(cpus: u32) -> Config {
        Config {
            cpus,
            maxcpus: None,
            memory_mb: if cpus > USUAL_CPUS {
                USUAL_MB + (cpus - USUAL_CPUS) * MB_PER_CPU
            } else {
                USUAL_MB
            },
            counted: None,
            multi: false,
            suspends: false,
            word: None,
        }
    }

    /// Sets [`Config::maxcpus`](Self#structfield.maxcpus).
    pub const fn maxcpus(mut self, n: u32) -> Config {
        self.maxcpus = Some(n);
        self
    }

    /// Sets [`Config::suspends`](Self#structfield.suspends).
    pub const fn suspends(mut self) -> Config {
        self.suspends = true;
        self
    }

    /// Sets [`Config::multi`](Self#structfield.multi), for TCG only.
    pub const fn multi(mut self, multi: bool) -> Config {
        self.multi = multi;
        self
    }

    /// Sets [`Config::word`](Self#structfield.word).
    pub const fn word(mut self, word: &'static str) -> Config {
        self.word = Some(word);
        self
    }

    /// Sets [`Config::counted`](Self#structfield.counted), for TCG only.
    pub const fn counted(mut self, boot: u32) -> Config {
        self.counted = Some(boot);
        self
    }

    /// Sets [`Config::memory_mb`](Self#structfield.memory_mb).
    pub const fn memory_mb(mut self, mb: u32) -> Config {
        self.memory_mb = mb;
        self
    }
}

impl Display for Config {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} CPU{}", self.cpus, if self.cpus == 1 { "" } else { "s" })?;
        if let Some(n) = self.maxcpus {
            write!(f, " ({n} up)")?;
        }
        self.word.map_or(Ok(()), |word| write!(f, ", {word}"))
    }
}

/// Open files that QEMU inherits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sockets {
    pub initrd: RawFd,
    pub console: RawFd,
    pub qmp: RawFd,
    pub agent: RawFd,
}

/// Makes hotplug fast under emulation, and the log complete.
const COMMAND_LINE: &[&str] = &[
    "panic=-1",          // with -no-reboot: QEMU ends
    "oops=panic",        // no test can continue after an oops
    "printk.devkmsg=on", // the markers of the tests are never dropped
    "sysrq_always_enabled",
    "rcupdate.rcu_expedited=1",
    "mitigations=off",
    "nokaslr",
    "PATH=/bin:/sbin", // unknown parameters are init's environment
];

/// One instruction takes one nanosecond of the guest's time. When all CPUs are idle, the clock
/// advances to the next timer at once. The host's time has no effect.
const COUNTED: &[&str] =
    &["-icount", "shift=0,sleep=off", "-rtc", "clock=vm,base=2026-01-01T00:00:00"];

/// Skips a second of comparing clocks: the emulated TSC is exact.
const COMMAND_LINE_X86: &[&str] = &["tsc=reliable", "no_timer_check"];

/// Size of the kernel log: the log of one test must fit. Small under kmemleak, which scans the log
/// and eight times as much metadata.
pub fn log_kb(built_with: &BuiltWith) -> u32 {
    if built_with.has(KMEMLEAK) { 512 } else { 4096 }
}

/// Without it, KASAN reports only once.
const COMMAND_LINE_KASAN: &str = "kasan_multi_shot";

/// A hundred tests load the module, and one of them runs its suites.
const COMMAND_LINE_KUNIT: &str = "kunit.autorun=0";

/// Seconds. Shorter than [`Limits::silence`](crate::vm::Limits::silence).
const HUNG_TASK_SECS: u32 = 10;

/// The kernel's command line.
pub fn command_line(arch: Arch, config: &Config, built_with: &BuiltWith) -> String {
    let mut words = vec![format!("console={}", arch.console())];
    words.extend(COMMAND_LINE.iter().map(|w| w.to_string()));
    if arch == Arch::Amd64 {
        words.extend(COMMAND_LINE_X86.iter().map(|w| w.to_string()));
    }
    let hung_task = HUNG_TASK_SECS * built_with.slowness();
    words.push(format!("sysctl.kernel.hung_task_timeout_secs={hung_task}"));
    words.push(format!("log_buf_len={}K", log_kb(built_with)));
    if built_with.has(KASAN) {
        words.push(COMMAND_LINE_KASAN.into());
    }
    if built_with.has(KUNIT) {
        words.push(COMMAND_LINE_KUNIT.into());
    }
    if let Some(n) = config.maxcpus {
        words.push(format!("maxcpus={n}"));
    }
    words.extend(config.word.map(String::from));
    if let Some(boot) = config.counted {
        // No module reads this. Fixed width, so that boots differ in content but not in layout.
        words.push(format!("smpboot_bench.boot={boot:04}"));
    }
    words.join(" ")
}

/// Less under kmemleak, which scans KASAN's shadow, an eighth of the memory, and all page
/// structures after each test.
fn memory_mb(config: &Config, built_with: &BuiltWith) -> u32 {
    if built_with.has(KMEMLEAK) { config.memory_mb / 2 } else { config.memory_mb }
}

/// Arguments for the hardware.
pub fn machine_arguments(
    arch: Arch,
    accel: Accel,
    config: &Config,
    built_with: &BuiltWith,
) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|w| w.to_string()));

    add(&["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    add(&["-machine", arch.machine()]);
    if let Some(firmware) = arch.firmware() {
        add(&["-bios", firmware]);
    }
    match accel {
        Accel::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
        Accel::Tcg if config.multi || arch.is_multi() => add(&["-accel", "tcg,thread=multi"]),
        // With several threads, a CPU can see a half patched instruction.
        Accel::Tcg => add(&["-accel", "tcg,thread=single"]),
    }
    if config.counted.is_some() {
        add(COUNTED);
    }
    if let (Accel::Tcg, Some(cpu)) = (accel, arch.emulated_cpu(built_with)) {
        add(&["-cpu", cpu]);
    }
    let memory_mb = memory_mb(config, built_with).to_string();
    add(&["-smp", &config.cpus.to_string(), "-m", &memory_mb]);
    args
}

/// All arguments.
pub(crate) fn arguments(
    arch: Arch,
    accel: Accel,
    config: &Config,
    kernel: &Kernel,
    sockets: &Sockets,
    gdb: Option<u16>,
) -> Vec<String> {
    let mut args = machine_arguments(arch, accel, config, &kernel.built_with);
    let mut add = |words: &[&str]| args.extend(words.iter().map(|w| w.to_string()));

    let image = match &kernel.compressed {
        Some(compressed) if config.suspends => compressed,
        _ => &kernel.image,
    };
    add(&["-kernel", &image.to_string_lossy()]);
    add(&["-initrd", &format!("/proc/self/fd/{}", sockets.initrd)]);
    add(&["-append", &command_line(arch, config, &kernel.built_with)]);
    for (id, fd) in [("console", sockets.console), ("qmp", sockets.qmp), ("agent", sockets.agent)] {
        add(&["-chardev", &format!("socket,id={id},fd={fd}")]);
    }
    add(&["-serial", "chardev:console", "-mon", "chardev=qmp,mode=control"]);
    add(&["-device", "virtio-serial-pci"]);
    add(&["-device", &format!("virtserialport,chardev=agent,name={PORT_NAME}")]);
    if let Some(port) = gdb {
        add(&["-gdb", &format!("tcp:127.0.0.1:{port}")]);
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKETS: Sockets = Sockets { initrd: 3, console: 4, qmp: 5, agent: 6 };

    fn line(arch: Arch, accel: Accel, config: &Config) -> String {
        line_of(arch, accel, config, BuiltWith::default())
    }

    fn line_of(arch: Arch, accel: Accel, config: &Config, built_with: BuiltWith) -> String {
        let kernel = Kernel {
            image: "/k/vmlinuz".into(),
            release: "7.3".into(),
            built_with,
            max_cpus: 8192,
            compressed: None,
        };
        arguments(arch, accel, config, &kernel, &SOCKETS, None).join(" ")
    }

    #[test]
    fn a_debug_kernel_gets_its_parameters() {
        let plain = line(Arch::Amd64, Accel::Tcg, &Config::smp(4));
        assert!(!plain.contains("kasan"), "{plain}");
        let built_with = BuiltWith::with(&[KASAN, KMEMLEAK]);
        let line = line_of(Arch::Amd64, Accel::Tcg, &Config::smp(4), built_with);
        assert!(line.contains("-m 256") && line.contains(" kasan_multi_shot"), "{line}");
        assert!(line.contains("hung_task_timeout_secs=40"), "{line}");
    }

    #[test]
    fn emulation_has_one_thread_and_the_default_cpu() {
        let line = line(Arch::Amd64, Accel::Tcg, &Config::smp(4));
        assert!(line.contains("-machine pc -accel tcg,thread=single -smp 4 -m 512"), "{line}");
        assert!(!line.contains("-cpu"), "{line}");
    }

    #[test]
    fn kvm_excludes_tcg() {
        let line = line(Arch::Amd64, Accel::Kvm, &Config::smp(2));
        assert!(line.contains("-accel kvm -cpu host"), "{line}");
        assert!(!line.contains("tcg"), "{line}");
    }

    #[test]
    fn arm64_is_a_virt_machine() {
        let line = line(Arch::Arm64, Accel::Tcg, &Config::smp(4));
        assert!(line.contains("-machine virt"), "{line}");
        assert!(line.contains("-cpu cortex-a57"), "{line}");
        assert!(line.contains("console=ttyAMA0"), "{line}");
        assert!(!line.contains("tsc="), "{line}");
    }

    #[test]
    fn armhf_and_loong64_have_a_thread_per_cpu() {
        let armhf = line(Arch::Armhf, Accel::Tcg, &Config::smp(4));
        assert!(armhf.contains("-machine virt,highmem=off -accel tcg,thread=multi"), "{armhf}");
        assert!(armhf.contains("-cpu cortex-a15") && !armhf.contains("-bios"), "{armhf}");
        let loong64 = line(Arch::Loong64, Accel::Tcg, &Config::smp(4));
        assert!(loong64.contains("-bios /usr/share/"), "{loong64}");
        assert!(loong64.contains("thread=multi") && loong64.contains("console=ttyS0"), "{loong64}");
    }

    #[test]
    fn a_panic_ends_qemu() {
        let line = line(Arch::Amd64, Accel::Tcg, &Config::smp(1));
        assert!(line.contains("-no-reboot") && line.contains("panic=-1"), "{line}");
    }

    #[test]
    fn maxcpus_leaves_possible_cpus_down() {
        let config = Config::smp(4).maxcpus(2);
        let line = line(Arch::Amd64, Accel::Tcg, &config);
        assert!(line.contains("-smp 4") && line.contains(" maxcpus=2"), "{line}");
        assert_eq!(config.to_string(), "4 CPUs (2 up)");
        let plain = command_line(Arch::Amd64, &Config::smp(4), &BuiltWith::default());
        assert!(!plain.contains("maxcpus"));
    }

    #[test]
    fn memory_follows_the_cpus() {
        for (cpus, mb) in [(1, 512), (16, 512), (128, 1408), (255, 2424)] {
            let line = line(Arch::Amd64, Accel::Tcg, &Config::smp(cpus));
            assert!(line.contains(&format!("-smp {cpus} -m {mb} ")), "{line}");
        }
    }

    #[test]
    fn instructions_are_counted_when_asked_for() {
        let plain = line(Arch::Amd64, Accel::Tcg, &Config::smp(4));
        assert!(!plain.contains("-icount") && !plain.contains("-rtc"), "{plain}");
        let config = Config::smp(4).counted(7);
        let line = line(Arch::Amd64, Accel::Tcg, &config);
        assert!(
            line.contains("-accel tcg,thread=single -icount shift=0,sleep=off -rtc clock=vm,"),
            "{line}"
        );
        assert!(!line.contains("-cpu"), "{line}");
    }

    #[test]
    fn command_lines_of_boots_that_count_have_one_length() {
        let of =
            |boot| command_line(Arch::Amd64, &Config::smp(4).counted(boot), &BuiltWith::default());
        assert_ne!(of(0), of(6));
        assert_eq!(of(0).len(), of(6).len());
    }

    #[test]
    fn each_socket_is_connected() {
        let line = line(Arch::Amd64, Accel::Tcg, &Config::smp(1));
        for part in ["/proc/self/fd/3", "id=console,fd=4", "id=qmp,fd=5", "id=agent,fd=6"] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }
}
