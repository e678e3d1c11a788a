// SPDX-License-Identifier: GPL-2.0

//! Properties of a machine that decide which lessons it can show.

/// A machine. All of it can be read from sysfs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// The possible CPUs.
    pub possible: Vec<u32>,
    /// The CPUs that have a file `online`.
    pub hotpluggable: Vec<u32>,
    /// A hotplug state behind that of the threads, and its name: when it fails during a CPU-up,
    /// the threads of the CPU have been unparked.
    pub fail: Option<(i32, String)>,
    /// Whether the kernel can hibernate.
    pub hibernates: bool,
}

/// The hotplug state that parks and unparks threads.
const THREADS: &str = "smpboot/threads:online";

/// The state that fails in a lesson. Each kernel has it, and it is not in the atomic section.
const FAILS: &str = "workqueue:online";

impl Machine {
    /// `states`: the text of `/sys/devices/system/cpu/hotplug/states`. `power`: that of
    /// `/sys/power/state`. Either is empty if there is no such file.
    pub fn new(possible: Vec<u32>, hotpluggable: Vec<u32>, states: &str, power: &str) -> Machine {
        // The last online CPU cannot be taken offline.
        let hotpluggable = if possible.len() > 1 { hotpluggable } else { Vec::new() };
        Machine {
            possible,
            hotpluggable,
            fail: fail(states),
            hibernates: power.split_whitespace().any(|state| state == "disk"),
        }
    }

    /// The CPU that most lessons take offline: not CPU 0, which is special on x86.
    pub fn cpu(&self) -> Option<u32> {
        self.hotpluggable.iter().copied().find(|cpu| *cpu != 0)
    }

    /// The CPUs that can be offline at the same time.
    pub fn secondary(&self) -> Vec<u32> {
        self.hotpluggable.iter().copied().filter(|cpu| *cpu != 0).collect()
    }
}

fn fail(states: &str) -> Option<(i32, String)> {
    let number = |name: &str| {
        let lines = states.lines().filter_map(|line| line.split_once(':'));
        let found = lines.filter(|(_, state)| state.trim() == name).map(|(number, _)| number);
        found.last()?.trim().parse::<i32>().ok()
    };
    let (threads, fails) = (number(THREADS)?, number(FAILS)?);
    (fails > threads).then(|| (fails, FAILS.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: &str = "\
  0: offline
 36: workqueue:prepare
147: smpboot/threads:online
186: workqueue:online
235: online
";

    #[test]
    fn the_failing_state_is_behind_that_of_the_threads() {
        let machine = Machine::new(vec![0, 1], vec![1], STATES, "freeze mem disk\n");
        assert_eq!(machine.fail, Some((186, "workqueue:online".into())));
        let swapped = STATES.replace("147", "187");
        assert_eq!(Machine::new(vec![0, 1], vec![1], &swapped, "").fail, None);
        assert_eq!(Machine::new(vec![0, 1], vec![1], "", "").fail, None);
    }

    #[test]
    fn a_machine_with_one_cpu_takes_none_offline() {
        let machine = Machine::new(vec![0], vec![0], STATES, "");
        assert_eq!((machine.cpu(), machine.hotpluggable.len()), (None, 0));
    }

    #[test]
    fn the_cpu_of_the_lessons_is_not_cpu_0() {
        let machine = Machine::new(vec![0, 1, 2], vec![0, 1, 2], STATES, "mem");
        assert_eq!((machine.cpu(), machine.secondary()), (Some(1), vec![1, 2]));
        assert!(!machine.hibernates);
        assert!(Machine::new(vec![0], vec![], "", "freeze mem disk\n").hibernates);
    }
}
