// SPDX-License-Identifier: GPL-2.0

//! Time limits. Every wait has one.

use crate::machine::kernel::BuiltWith;
use std::time::Duration;

/// Time limits of a VM. They count no time while this program or QEMU is stopped, or while QEMU
/// waits for a CPU of the host.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The boot, from the start of QEMU to the agent's first message.
    pub boot: Duration,
    /// One call, in addition to the time that the call itself asks for.
    pub call: Duration,
    /// No output at all. Longer than the kernel's own lockup detectors need.
    pub silence: Duration,
    /// One test.
    pub test: Duration,
}

impl Limits {
    /// Limits of a machine that boots in [`Limits::USUAL_BOOT`].
    pub const BASE: Limits = Limits {
        boot: Duration::from_secs(90),
        call: Duration::from_secs(25),
        silence: Duration::from_secs(30),
        test: Duration::from_secs(60),
    };

    /// Boot time of a machine that needs no longer limits.
    pub const USUAL_BOOT: Duration = Duration::from_secs(6);

    /// Number of CPUs that add another [`Limits::boot`].
    const CPUS_PER_BOOT: u32 = 32;

    /// Limits of a boot. The kernel brings up its CPUs one after the other.
    pub fn of(built_with: &BuiltWith, cpus: u32) -> Limits {
        let factor = 1 + cpus / Self::CPUS_PER_BOOT;
        Limits {
            boot: Self::BASE.boot * built_with.slowness() * factor,
            silence: Self::BASE.silence * factor,
            ..Self::BASE
        }
    }

    /// Shortens the limits other than `boot`.
    pub fn at_most(self, limit: Option<Duration>) -> Limits {
        let limit = limit.unwrap_or(Duration::MAX);
        Limits {
            boot: self.boot,
            call: self.call.min(limit),
            silence: self.silence.min(limit),
            test: self.test.min(limit),
        }
    }

    /// Extends the limits for a machine with this boot time. A fast one keeps the usual ones.
    pub fn measured(self, boot: Duration) -> Limits {
        let factor = (boot.as_secs_f64() / Self::USUAL_BOOT.as_secs_f64()).clamp(1.0, 20.0);
        Limits {
            boot: self.boot,
            call: self.call.mul_f64(factor),
            silence: self.silence.mul_f64(factor),
            test: self.test.mul_f64(factor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_a_boot_follows_the_cpus() {
        let of = |cpus| Limits::of(&BuiltWith::default(), cpus).boot;
        assert_eq!(of(4), Limits::BASE.boot);
        assert_eq!(of(128), Limits::BASE.boot * 5);
    }

    #[test]
    fn limits_follow_the_measured_boot() {
        let base = Limits::BASE;
        assert_eq!(base.measured(Limits::USUAL_BOOT / 3).call, base.call);
        assert_eq!(base.measured(Limits::USUAL_BOOT * 3).call, base.call * 3);
        assert_eq!(base.measured(Limits::USUAL_BOOT * 3).silence, base.silence * 3);
        assert_eq!(base.measured(Limits::USUAL_BOOT * 1000).call, base.call * 20);
    }
}
