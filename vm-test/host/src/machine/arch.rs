// SPDX-License-Identifier: GPL-2.0

//! Differences between the guest's architectures.

use super::kernel::{BuiltWith, PAGES_16K};

/// An architecture of the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arch {
    /// x86-64
    #[default]
    Amd64,
    /// AArch64
    Arm64,
    /// 32-bit Arm
    Armhf,
    /// LoongArch
    Loong64,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 4] = [Arch::Amd64, Arch::Arm64, Arch::Armhf, Arch::Loong64];

    /// The name in Debian and in `make ARCH=`.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
            Arch::Armhf => "armhf",
            Arch::Loong64 => "loong64",
        }
    }

    /// QEMU's program.
    pub fn qemu(self) -> &'static str {
        match self {
            Arch::Amd64 => "qemu-system-x86_64",
            Arch::Arm64 => "qemu-system-aarch64",
            Arch::Armhf => "qemu-system-arm",
            Arch::Loong64 => "qemu-system-loongarch64",
        }
    }

    /// QEMU's `-machine`. A 32-bit kernel cannot use a PCI host above 4 GiB.
    pub fn machine(self) -> &'static str {
        match self {
            Arch::Amd64 => "pc",
            Arch::Arm64 | Arch::Loong64 => "virt",
            Arch::Armhf => "virt,highmem=off",
        }
    }

    /// QEMU's `-bios`. Debian's kernel for loong64 finds PCI only by ACPI.
    pub fn firmware(self) -> Option<&'static str> {
        match self {
            Arch::Amd64 | Arch::Arm64 | Arch::Armhf => None,
            Arch::Loong64 => Some("/usr/share/qemu-efi-loongarch64/QEMU_EFI.fd"),
        }
    }

    /// Limit of CPUs. QEMU supports 255 with `pc`, but emulated in one thread their timers leave no
    /// time for the boot. `virt` of Arm has a GICv2, with 8 interfaces.
    pub fn max_cpus(self) -> u32 {
        match self {
            Arch::Amd64 => 128,
            Arch::Arm64 | Arch::Armhf | Arch::Loong64 => 8,
        }
    }

    /// QEMU's `-cpu` under TCG, if not the default.
    pub fn emulated_cpu(self, built_with: &BuiltWith) -> Option<&'static str> {
        match self {
            Arch::Amd64 | Arch::Loong64 => None,
            Arch::Armhf => Some("cortex-a15"),
            Arch::Arm64 if built_with.has(PAGES_16K) => Some("cortex-a76"),
            Arch::Arm64 => Some("cortex-a57"),
        }
    }

    /// Whether the kernel only boots if QEMU emulates each CPU in a thread of its own: in one
    /// thread, a loop that waits for another CPU uses up its turn.
    pub fn is_multi(self) -> bool {
        matches!(self, Arch::Armhf | Arch::Loong64)
    }

    /// The serial console's device.
    pub fn console(self) -> &'static str {
        match self {
            Arch::Amd64 | Arch::Loong64 => "ttyS0",
            Arch::Arm64 | Arch::Armhf => "ttyAMA0",
        }
    }

    /// The agent's Rust target.
    pub fn target(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64-unknown-linux-gnu",
            Arch::Arm64 => "aarch64-unknown-linux-gnu",
            Arch::Armhf => "armv7-unknown-linux-gnueabihf",
            Arch::Loong64 => "loongarch64-unknown-linux-gnu",
        }
    }

    /// The number of this architecture in ELF files.
    pub fn elf_machine(self) -> u16 {
        match self {
            Arch::Amd64 => 62,
            Arch::Arm64 => 183,
            Arch::Armhf => 40,
            Arch::Loong64 => 258,
        }
    }

    /// The prefix of binutils for this architecture.
    pub fn tools(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64-linux-gnu-",
            Arch::Arm64 => "aarch64-linux-gnu-",
            Arch::Armhf => "arm-linux-gnueabihf-",
            Arch::Loong64 => "loongarch64-linux-gnu-",
        }
    }

    /// Whether this computer has this architecture, as KVM requires.
    pub fn is_native(self) -> bool {
        self.target().starts_with(std::env::consts::ARCH)
    }
}
