// SPDX-License-Identifier: GPL-2.0

//! Things to do, as sentences with their commands; the story of `make demo`.

use crate::{Action, Machine, Target};

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// The sentence for the user.
    pub what: String,
    /// The actions that do it.
    pub actions: Vec<Action>,
    /// The commands, as a user types them.
    pub commands: Vec<String>,
}

impl Task {
    pub fn new(what: impl Into<String>, actions: Vec<Action>) -> Task {
        let commands = actions.iter().map(Action::command).collect();
        Task { what: what.into(), actions, commands }
    }

    /// A shorter way to type the actions.
    pub fn typed(self, command: impl Into<String>) -> Task {
        Task { commands: vec![command.into()], ..self }
    }
}

pub fn load() -> Task {
    let what = "Load the module: one thread per CPU is created parked, then sets itself up";
    Task::new(what, vec![Action::Load])
}

pub fn unload() -> Task {
    Task::new("Unload the module: each thread runs cleanup() and exits", vec![Action::Unload])
}

pub fn wake(cpu: u32) -> Task {
    let what = format!("Wake the thread of CPU {cpu}: it runs");
    Task::new(what, vec![Action::Wake(Target::Cpu(cpu))])
}

pub fn wake_all() -> Task {
    Task::new("Wake all threads", vec![Action::Wake(Target::All)])
}

pub fn offline(cpu: u32) -> Task {
    let what = format!("Take CPU {cpu} offline: its thread is parked first");
    Task::new(what, vec![Action::Offline(cpu)])
}

pub fn wake_offline(cpu: u32) -> Task {
    let what =
        format!("Wake CPU {cpu}'s thread while CPU {cpu} is offline: the wake stays pending");
    Task::new(what, vec![Action::Wake(Target::Cpu(cpu))])
}

/// The thread has a pending wake.
pub fn online_pending(cpu: u32) -> Task {
    let what = format!(
        "Bring CPU {cpu} online: the same thread is unparked, and runs for the pending wake"
    );
    Task::new(what, vec![Action::Online(cpu)])
}

pub fn online(cpu: u32) -> Task {
    Task::new(
        format!("Bring CPU {cpu} online: the same thread is unparked"),
        vec![Action::Online(cpu)],
    )
}

pub fn timers(period_us: u32) -> Task {
    let what = format!("Start a timer on each CPU that wakes its thread every {period_us} µs");
    Task::new(what, vec![Action::Period(period_us)])
}

pub fn stop_timers() -> Task {
    let what = "Stop the timers: each thread stops its own in its next run";
    Task::new(what, vec![Action::Period(0)])
}

/// Timers. If the machine has such a CPU, it is taken offline and online while they fire.
fn timers_and_toggle(period_us: u32, cpu: Option<u32>) -> Task {
    let Task { mut what, mut actions, .. } = timers(period_us);
    if let Some(cpu) = cpu {
        what += &format!("; take CPU {cpu} offline and online while they fire");
        actions.extend([Action::Offline(cpu), Action::Online(cpu)]);
    }
    actions.push(Action::Period(0));
    Task::new(what, actions)
}

/// The tasks of `make demo`. `period_us`: of the timers.
pub fn story(machine: &Machine, period_us: u32) -> Vec<Task> {
    let mut story = vec![load(), wake(machine.possible.first().copied().unwrap_or(0)), wake_all()];
    for cpu in &machine.hotpluggable {
        story.extend([offline(*cpu), wake_offline(*cpu), online_pending(*cpu)]);
    }
    story.push(timers_and_toggle(period_us, machine.hotpluggable.last().copied()));
    story.push(Task { what: "Wake all threads again".into(), ..wake_all() });
    story.push(unload());
    story
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn text(story: &[Task]) -> String {
        let lines = story.iter().map(|task| {
            let commands: Vec<String> =
                task.commands.iter().map(|command| format!("  {command}\n")).collect();
            format!("{}\n{}", task.what, commands.concat())
        });
        lines.collect()
    }

    #[test]
    fn the_story_of_two_cpus() {
        let machine = Machine::new(vec![0, 1], vec![1], "", "");
        expect![[r#"
            Load the module: one thread per CPU is created parked, then sets itself up
              insmod rust_smpboot_demo.ko
            Wake the thread of CPU 0: it runs
              echo 0 > /sys/kernel/debug/rust_smpboot_demo/wake
            Wake all threads
              echo all > /sys/kernel/debug/rust_smpboot_demo/wake
            Take CPU 1 offline: its thread is parked first
              echo 0 > /sys/devices/system/cpu/cpu1/online
            Wake CPU 1's thread while CPU 1 is offline: the wake stays pending
              echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
            Bring CPU 1 online: the same thread is unparked, and runs for the pending wake
              echo 1 > /sys/devices/system/cpu/cpu1/online
            Start a timer on each CPU that wakes its thread every 5000 µs; take CPU 1 offline and online while they fire
              echo 5000 > /sys/kernel/debug/rust_smpboot_demo/period_us
              echo 0 > /sys/devices/system/cpu/cpu1/online
              echo 1 > /sys/devices/system/cpu/cpu1/online
              echo 0 > /sys/kernel/debug/rust_smpboot_demo/period_us
            Wake all threads again
              echo all > /sys/kernel/debug/rust_smpboot_demo/wake
            Unload the module: each thread runs cleanup() and exits
              rmmod rust_smpboot_demo
        "#]]
        .assert_eq(&text(&story(&machine, 5000)));
    }

    #[test]
    fn with_one_cpu_none_is_taken_offline() {
        let story = story(&Machine::new(vec![0], vec![], "", ""), 5000);
        assert_eq!(story.len(), 6);
        assert!(!text(&story).contains("offline"));
    }
}
