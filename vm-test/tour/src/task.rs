// SPDX-License-Identifier: GPL-2.0

//! Things to do, as sentences with their commands; the story of `make demo`.

use crate::{Action, Machine, Observation, Target};

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

/// The task of one action, given what is observed before it.
pub fn of(action: &Action, now: &Observation) -> Task {
    match *action {
        Action::Load => load(),
        Action::Unload => unload(),
        Action::Wake(Target::All) => wake_all(),
        Action::Wake(Target::Cpu(cpu)) if now.thread(cpu).online => wake(cpu),
        Action::Wake(Target::Cpu(cpu)) => wake_offline(cpu),
        Action::Offline(cpu) => offline(cpu),
        Action::Online(cpu) if now.thread(cpu).pending => online_pending(cpu),
        Action::Online(cpu) => online(cpu),
        Action::Period(0) => stop_timers(),
        Action::Period(us) => timers(us),
        Action::FailAt(cpu, -1) => Task::new(
            format!("Let the next hotplug operation of CPU {cpu} succeed again"),
            vec![action.clone()],
        ),
        Action::FailAt(cpu, state) => Task::new(
            format!("Let the next hotplug operation of CPU {cpu} fail at state {state}"),
            vec![action.clone()],
        ),
        Action::Open => Task::new("Keep the file of events open", vec![Action::Open]),
        Action::Close => Task::new("Close the file of events", vec![Action::Close]),
        Action::Policy { pid, fifo } => {
            let policy = match fifo {
                Some(priority) => format!("SCHED_FIFO with priority {priority}"),
                None => "the default policy".into(),
            };
            Task::new(format!("Run the thread with PID {pid} under {policy}"), vec![action.clone()])
        }
        Action::Hibernate => Task::new(
            "Hibernate: the kernel takes all CPUs but one offline, and wakes up again",
            vec![Action::Hibernate],
        ),
        Action::Sample { name, load: true } => {
            Task::new(format!("Load {name}, which has threads of its own"), vec![action.clone()])
        }
        Action::Sample { name, load: false } => {
            Task::new(format!("Unload {name}"), vec![action.clone()])
        }
    }
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
    fn one_action_is_described_by_what_is_observed() {
        let mut now = Observation::default();
        let what = |action: Action, now: &Observation| {
            let task = of(&action, now);
            assert_eq!(task.commands, [action.command()]);
            task.what
        };
        let (wake, up) = (Action::Wake(Target::Cpu(1)), Action::Online(1));
        now.cpus.insert(1, crate::Thread { pending: true, ..Default::default() });
        assert!(what(wake.clone(), &now).ends_with("the wake stays pending"));
        assert!(what(up.clone(), &now).ends_with("runs for the pending wake"));
        now.cpus.insert(1, crate::Thread { online: true, ..Default::default() });
        assert_eq!(what(wake, &now), "Wake the thread of CPU 1: it runs");
        assert!(what(up, &now).ends_with("is unparked"));
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
