// SPDX-License-Identifier: GPL-2.0

//! What differs between the guest's architectures.

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Arch {
    #[default]
    Amd64,
    Arm64,
}

impl Arch {
    pub const ALL: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

    /// As Debian and the Makefile's `ARCH=` call it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Amd64 => "amd64",
            Arch::Arm64 => "arm64",
        }
    }

    pub fn qemu(self) -> &'static str {
        match self {
            Arch::Amd64 => "qemu-system-x86_64",
            Arch::Arm64 => "qemu-system-aarch64",
        }
    }

    pub fn machine(self) -> &'static str {
        match self {
            Arch::Amd64 => "pc",
            Arch::Arm64 => "virt",
        }
    }

    /// How many CPUs of [`Arch::machine`] boot. QEMU takes 255 of `pc`, but emulated in one thread the timers of so many leave
    /// no time for the boot. `virt` has a GICv2, with 8 interfaces.
    pub fn max_cpus(self) -> u32 {
        match self {
            Arch::Amd64 => 128,
            Arch::Arm64 => 8,
        }
    }

    /// Where QEMU's default does not do: the one of `virt` is a 32-bit CPU.
    pub fn emulated_cpu(self) -> Option<&'static str> {
        match self {
            Arch::Amd64 => None,
            Arch::Arm64 => Some("cortex-a57"),
        }
    }

    pub fn console(self) -> &'static str {
        match self {
            Arch::Amd64 => "ttyS0",
            Arch::Arm64 => "ttyAMA0",
        }
    }

    /// The target that the agent was built for.
    pub fn target(self) -> &'static str {
        match self {
            Arch::Amd64 => "x86_64-unknown-linux-gnu",
            Arch::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }

    /// Whether KVM could run such a guest here at all.
    pub fn is_native(self) -> bool {
        self.target().starts_with(std::env::consts::ARCH)
    }
}
