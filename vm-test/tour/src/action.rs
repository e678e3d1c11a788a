// SPDX-License-Identifier: GPL-2.0

//! The actions of a user.

use demo_format::format::{EVENTS, MODULE, PERIOD, WAKE};

/// The threads to wake.
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
    /// Opens the module's file of events, and keeps it open.
    Open,
    /// Closes that file.
    Close,
    /// Sets the scheduling policy of a thread: `SCHED_FIFO` with this priority, or the default.
    Policy {
        pid: i32,
        fifo: Option<u32>,
    },
    /// Hibernates. The VM has no disk for the image, so the kernel wakes up again at once.
    Hibernate,
    /// Loads or unloads a module of [`SAMPLES`](crate::SAMPLES).
    Sample {
        name: &'static str,
        load: bool,
    },
}

/// The file descriptor of [`Action::Open`] in a shell.
const DESCRIPTOR: u32 = 3;

impl Action {
    /// Returns the command, as a user types it in the guest.
    pub fn command(&self) -> String {
        if let Some((path, data)) = self.write() {
            return format!("echo {data} > {path}");
        }
        match self.program() {
            Some(words) => words.join(" "),
            None if *self == Action::Open => format!("exec {DESCRIPTOR}< {}", EVENTS.path),
            None => format!("exec {DESCRIPTOR}<&-"),
        }
    }

    /// Returns the file and the text that the command writes, if it writes to a file.
    ///
    /// The write of [`Action::Hibernate`] fails with `ENODEV` after the CPUs are online again.
    pub fn write(&self) -> Option<(String, String)> {
        let sysfs = |cpu, file| format!("/sys/devices/system/cpu/cpu{cpu}/{file}");
        match self {
            Action::Wake(Target::All) => Some((WAKE.path.into(), "all".into())),
            Action::Wake(Target::Cpu(cpu)) => Some((WAKE.path.into(), cpu.to_string())),
            Action::Offline(cpu) => Some((sysfs(cpu, "online"), "0".into())),
            Action::Online(cpu) => Some((sysfs(cpu, "online"), "1".into())),
            Action::Period(us) => Some((PERIOD.path.into(), us.to_string())),
            Action::FailAt(cpu, state) => Some((sysfs(cpu, "hotplug/fail"), state.to_string())),
            Action::Hibernate => Some(("/sys/power/state".into(), "disk".into())),
            Action::Load | Action::Unload | Action::Open | Action::Close => None,
            Action::Policy { .. } | Action::Sample { .. } => None,
        }
    }

    /// Returns the program that the command starts, and its arguments, if it starts one.
    pub fn program(&self) -> Option<Vec<String>> {
        let line = match self {
            Action::Load => format!("insmod {MODULE}.ko"),
            Action::Unload => format!("rmmod {MODULE}"),
            Action::Policy { pid, fifo: Some(priority) } => format!("chrt -f -p {priority} {pid}"),
            Action::Policy { pid, fifo: None } => format!("chrt -o -p 0 {pid}"),
            Action::Sample { name, load: true } => format!("insmod {name}.ko"),
            Action::Sample { name, load: false } => format!("rmmod {name}"),
            _ => return None,
        };
        Some(line.split(' ').map(str::to_string).collect())
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
            (Action::Open, "exec 3< /sys/kernel/debug/rust_smpboot_demo/events"),
            (Action::Close, "exec 3<&-"),
            (Action::Policy { pid: 121, fifo: Some(50) }, "chrt -f -p 50 121"),
            (Action::Policy { pid: 121, fifo: None }, "chrt -o -p 0 121"),
            (Action::Hibernate, "echo disk > /sys/power/state"),
            (Action::Sample { name: "rust_rcuc", load: true }, "insmod rust_rcuc.ko"),
            (Action::Sample { name: "rust_rcuc", load: false }, "rmmod rust_rcuc"),
        ] {
            assert_eq!(action.command(), command);
        }
    }
}
