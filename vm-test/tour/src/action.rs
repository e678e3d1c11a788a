// SPDX-License-Identifier: GPL-2.0

//! What a user can do.

use demo_format::format::{MODULE, PERIOD, WAKE};

/// Whose threads to wake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Cpu(u32),
    All,
}

/// Something that a user can do in the guest by one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Load the module.
    Load,
    /// Unload the module.
    Unload,
    Wake(Target),
    Offline(u32),
    Online(u32),
    /// Sets the period of the timers, in microseconds; 0: no timers.
    Period(u32),
    /// Lets the next hotplug operation of this CPU fail at this hotplug state.
    FailAt(u32, i32),
}

impl Action {
    /// Returns the command, as one types it in the guest.
    pub fn command(&self) -> String {
        match self.write() {
            Some((path, data)) => format!("echo {data} > {path}"),
            None if *self == Action::Load => format!("insmod {MODULE}.ko"),
            None => format!("rmmod {MODULE}"),
        }
    }

    /// Returns the file and the text that the command writes: `None` for modules.
    pub fn write(&self) -> Option<(String, String)> {
        let sysfs = |cpu, file| format!("/sys/devices/system/cpu/cpu{cpu}/{file}");
        match self {
            Action::Load | Action::Unload => None,
            Action::Wake(Target::All) => Some((WAKE.path.into(), "all".into())),
            Action::Wake(Target::Cpu(cpu)) => Some((WAKE.path.into(), cpu.to_string())),
            Action::Offline(cpu) => Some((sysfs(cpu, "online"), "0".into())),
            Action::Online(cpu) => Some((sysfs(cpu, "online"), "1".into())),
            Action::Period(us) => Some((PERIOD.path.into(), us.to_string())),
            Action::FailAt(cpu, state) => Some((sysfs(cpu, "hotplug/fail"), state.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_as_one_types_them() {
        for (action, command) in [
            (Action::Load, "insmod rust_smpboot_demo.ko"),
            (Action::Unload, "rmmod rust_smpboot_demo"),
            (Action::Offline(1), "echo 0 > /sys/devices/system/cpu/cpu1/online"),
            (Action::Online(12), "echo 1 > /sys/devices/system/cpu/cpu12/online"),
            (Action::Wake(Target::All), "echo all > /sys/kernel/debug/rust_smpboot_demo/wake"),
            (Action::Wake(Target::Cpu(3)), "echo 3 > /sys/kernel/debug/rust_smpboot_demo/wake"),
            (Action::Period(0), "echo 0 > /sys/kernel/debug/rust_smpboot_demo/period_us"),
            (Action::FailAt(1, 201), "echo 201 > /sys/devices/system/cpu/cpu1/hotplug/fail"),
        ] {
            assert_eq!(action.command(), command);
        }
    }
}
