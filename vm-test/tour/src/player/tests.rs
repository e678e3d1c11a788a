// SPDX-License-Identifier: GPL-2.0

use super::*;
use crate::{Action, Guide, Target, Thread};
use demo_format::format::Counts;
use expect_test::expect;
use std::time::Duration;

const STATES: &str = "147: smpboot/threads:online\n186: workqueue:online\n";

/// CPUs and threads as the kernel and the module have them.
struct Guest {
    machine: Machine,
    now: Observation,
    fails: bool,
    next_pid: i32,
}

impl Guest {
    fn new(cpus: u32) -> Guest {
        let possible: Vec<u32> = (0..cpus).collect();
        let machine = Machine::new(possible.clone(), (1..cpus).collect(), STATES, "mem disk");
        let mut now = Observation::default();
        now.cpus.extend(possible.iter().map(|cpu| (*cpu, Thread::default())));
        now.cpus.values_mut().for_each(|thread| thread.online = true);
        Guest { machine, now, fails: false, next_pid: 100 }
    }

    fn run(&mut self, cpu: u32) {
        let thread = self.now.cpus.get_mut(&cpu).unwrap();
        thread.pending = self.now.loaded;
        thread.counts.wake += 1;
        if thread.online {
            thread.pending = false;
            thread.counts.run += 1;
        }
    }

    /// Lets each timer fire.
    fn tick(&mut self) {
        let online: Vec<u32> = self.now.online().collect();
        if self.now.period_us > 0 {
            online.into_iter().for_each(|cpu| self.run(cpu));
        }
    }

    fn act(&mut self, action: &Action) {
        let all: Vec<u32> = self.now.cpus.keys().copied().collect();
        match *action {
            Action::Load => {
                self.now.loaded = true;
                for thread in self.now.cpus.values_mut() {
                    thread.pid = self.next_pid;
                    thread.counts = Counts::SET_UP;
                    thread.state = "sleeping".into();
                    self.next_pid += 1;
                }
            }
            Action::Unload if self.now.open_files > 0 => {}
            Action::Unload => {
                self.now.loaded = false;
                for thread in self.now.cpus.values_mut() {
                    *thread = Thread { online: thread.online, ..Thread::default() };
                }
            }
            Action::Wake(Target::All) => all.into_iter().for_each(|cpu| self.run(cpu)),
            Action::Wake(Target::Cpu(cpu)) => self.run(cpu),
            Action::Offline(cpu) => {
                let thread = self.now.cpus.get_mut(&cpu).unwrap();
                thread.online = false;
                thread.state = "parked".into();
                thread.counts.park += 1;
            }
            Action::Online(cpu) => {
                let thread = self.now.cpus.get_mut(&cpu).unwrap();
                thread.counts.unpark += 1;
                if std::mem::take(&mut self.fails) {
                    thread.counts.park += 1;
                    return;
                }
                thread.online = true;
                thread.state = "sleeping".into();
                thread.counts.run += u64::from(std::mem::take(&mut thread.pending));
            }
            Action::Period(us) => self.now.period_us = us,
            Action::FailAt(..) => self.fails = true,
            Action::Open => self.now.open_files = 1,
            Action::Close => self.now.open_files = 0,
            Action::Policy { pid, fifo } => {
                let mut threads = self.now.cpus.values_mut();
                threads.find(|thread| thread.pid == pid).unwrap().fifo = fifo;
            }
            Action::Hibernate => {
                for cpu in self.machine.secondary() {
                    self.act(&Action::Offline(cpu));
                    self.act(&Action::Online(cpu));
                }
            }
            // No lesson needs these.
            Action::Sample { .. } => {}
        }
    }
}

fn line(said: Said) -> String {
    match said {
        Said::Done(text) => format!("    {text}\n"),
        Said::Hint(text) => format!("  ! {text}\n"),
        Said::Ended(lesson) => format!("lesson {lesson} is done\n"),
        Said::Skipped(lesson, why) => format!("lesson {lesson} is skipped: {why}\n"),
    }
}

fn lines(said: Vec<Said>) -> String {
    said.into_iter().map(line).collect()
}

/// Does what each page asks for.
fn played(guest: &mut Guest) -> String {
    let (mut player, said) = Player::new(1, &guest.machine, &guest.now);
    let mut text = lines(said);
    while let Some(page) = player.page(&guest.machine, &guest.now) {
        text += &format!("{}.{} {}\n", page.lesson, page.step, page.task.what);
        for action in &page.task.actions {
            guest.act(action);
        }
        let mut said = Vec::new();
        for _ in 0..20 {
            said.extend(player.observe(&guest.machine, &guest.now));
            if said.iter().any(|said| matches!(said, Said::Done(_))) {
                break;
            }
            guest.tick();
        }
        assert!(said.iter().any(|said| matches!(said, Said::Done(_))), "not done:\n{text}");
        text += &lines(said);
    }
    text
}

#[test]
fn the_tour_of_two_cpus() {
    expect![[r#"
        1.0 Load the module: one thread per CPU is created parked, then sets itself up
            2 threads, one per CPU: PIDs 100 and 101. Each ran setup() on its CPU, and sleeps.
        1.1 Wake the thread of CPU 1: it runs
            The wake set a flag and woke PID 101 on CPU 1, which called run(): wake 0 -> 1, run 0 -> 1.
        1.2 Take CPU 1 offline: its thread is parked first
            The thread called park() while CPU 1 could still execute: park 0 -> 1. Only then CPU 1 stopped. PID 101 still exists, parked.
        1.3 Bring CPU 1 online: the same thread is unparked
            The same thread, PID 101, called unpark() on its CPU: unpark 0 -> 1. Its setup() did not run again: setup is still 1.
        lesson 1 is done
        2.1 Take CPU 1 offline: its thread is parked first
            CPU 1 is offline, its thread is parked.
        2.2 Wake CPU 1's thread while CPU 1 is offline: the wake stays pending
            wake 1 -> 2, but run is still 1: the wake is pending, as a flag in memory.
        2.3 Bring CPU 1 online: the same thread is unparked, and runs for the pending wake
            PID 101 was unparked, found the flag, and called run(): run 1 -> 2. Nothing woke it a second time: wake is still 2.
        lesson 2 is done
        3.1 Take CPU 1 offline: its thread is parked first
            CPU 1 is offline: its thread cannot run yet.
        3.2 Wake the thread of CPU 1 3 times
            wake 2 -> 5. The first wake set the flag, the others found it set.
        3.3 Bring CPU 1 online: the same thread is unparked, and runs for the pending wake
            3 wakes led to 1 run. A client must look for all its work in each run.
        lesson 3 is done
        4.1 Take CPU 1 offline: its thread is parked first
            PID 101 is still there. So are the other threads of CPU 1, such as ksoftirqd/1: see `ps | grep '/1]'`.
        4.2 Bring CPU 1 online: the same thread is unparked
            PID 101 runs on CPU 1 again.
        4.3 Unload the module, and load it again
            A new registration has new threads: PID 101 -> 103. Their counters start at 0.
        lesson 4 is done
        5.1 Take CPU 1 offline: its thread is parked first
            CPU 1 is offline, its thread is parked.
        5.2 Let state 186, workqueue:online, fail; then bring CPU 1 online
            The write failed, and CPU 1 is offline. Its thread was unparked on the way up (unpark 0 -> 1), and parked again by the rollback (park 1 -> 2).
        5.3 Bring CPU 1 online: the same thread is unparked
            The failure was for one operation. PID 103 was unparked: unpark 1 -> 2.
        lesson 5 is done
        6.1 Open a file of the module
            The reference count is 1: rmmod now fails with "Resource temporarily unavailable" (EAGAIN), and the threads continue.
        6.2 Try to unload the module; close the file, and unload it
            Without an open file the module could be removed. Before that, each of the 2 threads ran cleanup() and exited.
        lesson 6 is done
        7.0 Load the module: one thread per CPU is created parked, then sets itself up
            2 threads, one per CPU: PIDs 104 and 105. Each ran setup() on its CPU, and sleeps.
        7.1 Take CPU 1 offline
            CPU 0 executes everything. 1 thread is parked.
        7.2 Wake all threads
            The thread of CPU 0 ran. The wake of CPU 1 is pending.
        7.3 Bring CPU 1 online: each thread runs for its pending wake
            All CPUs are online. The threads ran for their pending wakes: 1 run on CPU 1.
        lesson 7 is done
        8.1 Start a timer on each CPU that wakes its thread every 10000 µs
            The timer of CPU 1 has woken its thread 5 times, every 10000 µs.
        8.2 Take CPU 1 offline while the timers fire
            The timer of CPU 1 stopped in park(), after 0 wakes in this step. That of CPU 0 still fires: 5 wakes.
        8.3 Bring CPU 1 online: the same thread is unparked
            unpark() started the timer again: wake 6 -> 11.
        8.4 Stop the timers: each thread stops its own in its next run
            The threads sleep. CPU 1: 11 wakes, 11 runs.
        lesson 8 is done
        9.1 Give PID 105, the thread of CPU 1, SCHED_FIFO
            PID 105 has SCHED_FIFO with priority 50. `chrt -p 105` prints it.
        9.2 Take CPU 1 offline: its thread is parked first
            The thread is parked, with priority 50.
        9.3 Bring CPU 1 online: the same thread is unparked
            PID 105 still has SCHED_FIFO, priority 50: setup() need not set it again.
        9.4 Give PID 105 the default policy again
            PID 105 shares CPU 1 fairly again.
        lesson 9 is done
        10.1 Hibernate: all CPUs but one are offline for a moment
            The thread of CPU 1 was parked and unparked: park 3 -> 4. The kernel log has each step. Not parked: the thread of CPU 0, which executed the rest.
        lesson 10 is done
    "#]].assert_eq(&played(&mut Guest::new(2)));
}

#[test]
fn each_lesson_can_be_played_on_any_machine() {
    for cpus in [3, 4, 64] {
        let text = played(&mut Guest::new(cpus));
        assert_eq!(text.matches("is done").count(), LESSONS.len(), "{text}");
        assert!(!text.contains('!'), "a hint: {text}");
    }
}

#[test]
fn lessons_that_need_a_second_cpu_are_skipped() {
    let text = played(&mut Guest::new(1));
    assert_eq!(text.matches("is skipped: no second CPU").count(), 7, "{text}");
    assert_eq!(text.matches("is done").count(), 3, "{text}");
    assert!(!text.contains("offline:"), "{text}");
}

/// Observes after each of these actions.
fn said_after(lesson: usize, actions: &[Action]) -> String {
    let mut guest = Guest::new(3);
    guest.act(&Action::Load);
    let (mut player, said) = Player::new(lesson, &guest.machine, &guest.now);
    let mut text = format!("lesson {lesson}\n") + &lines(said);
    for action in actions {
        guest.act(action);
        text += &lines(player.observe(&guest.machine, &guest.now));
    }
    text
}

#[test]
fn something_else_is_answered_with_a_hint() {
    use Action::{FailAt, Load, Offline, Online, Unload, Wake};
    use Target::Cpu;
    let text = [
        said_after(1, &[Wake(Cpu(2)), Wake(Cpu(1)), Offline(2), Online(2)]),
        said_after(2, &[Offline(1), Online(1), Wake(Cpu(1)), Offline(1), Wake(Cpu(2))]),
        said_after(3, &[Offline(1), Wake(Cpu(1)), Wake(Cpu(1)), Unload, Load]),
        said_after(4, &[Offline(1), Online(1), Unload]),
        said_after(5, &[Offline(1), Online(1), Offline(1), FailAt(1, 186), Online(1)]),
        said_after(6, &[Unload, Load, Action::Open, Unload, Action::Close]),
        said_after(7, &[Offline(1), Offline(2), Wake(Cpu(2)), Wake(Target::All), Online(1)]),
        said_after(8, &[Action::Period(10_000), Action::Period(0)]),
        said_after(9, &[Action::Policy { pid: 102, fifo: Some(50) }]),
        said_after(10, &[Offline(1), Online(1)]),
    ];
    expect![[r#"
        lesson 1
          ! The thread of CPU 2 ran. This lesson looks at CPU 1.
            The wake set a flag and woke PID 101 on CPU 1, which called run(): wake 0 -> 1, run 0 -> 1.
          ! Offline: CPU 2. This lesson looks at CPU 1.
        lesson 2
            CPU 1 is offline, its thread is parked.
          ! CPU 1 is online: its thread would run at once. Take CPU 1 offline, then wake its thread.
          ! CPU 1 is online: its thread ran at once. Take CPU 1 offline, then wake its thread.
          ! The thread of CPU 2 ran. This lesson looks at CPU 1.
        lesson 3
            CPU 1 is offline: its thread cannot run yet.
          ! 1 wake so far: 3 are needed.
          ! 2 wakes so far: 3 are needed.
          ! The module was unloaded: the lesson begins again.
        lesson 4
            PID 101 is still there. So are the other threads of CPU 1, such as ksoftirqd/1: see `ps | grep '/1]'`.
            PID 101 runs on CPU 1 again.
          ! The threads ran cleanup() and exited. Load the module again.
        lesson 5
            CPU 1 is offline, its thread is parked.
          ! CPU 1 is online: nothing failed. Take it offline, and write to hotplug/fail before you bring it online.
            The write failed, and CPU 1 is offline. Its thread was unparked on the way up (unpark 1 -> 2), and parked again by the rollback (park 1 -> 3).
        lesson 6
          ! The module was unloaded: the lesson begins again.
            3 threads, one per CPU: PIDs 103 to 105. Each ran setup() on its CPU, and sleeps.
            The reference count is 1: rmmod now fails with "Resource temporarily unavailable" (EAGAIN), and the threads continue.
          ! The file is closed. The module can be unloaded now.
        lesson 7
          ! CPUs 0 and 2 are still online.
            CPU 0 executes everything. 2 threads are parked.
          ! 1 of 2 wakes are pending.
            The thread of CPU 0 ran. The wakes of CPUs 1 and 2 are pending.
          ! Still offline: CPU 2.
        lesson 8
        lesson 9
          ! PID 102 is the thread of CPU 2. This lesson looks at CPU 1.
        lesson 10
          ! Of CPUs 1 and 2, CPU 1 went offline so far.
    "#]].assert_eq(&text.concat());
}

#[test]
fn a_hint_is_given_once() {
    let mut guest = Guest::new(3);
    guest.act(&Action::Load);
    let (mut player, _) = Player::new(3, &guest.machine, &guest.now);
    guest.act(&Action::Offline(1));
    player.observe(&guest.machine, &guest.now);
    guest.act(&Action::Wake(Target::Cpu(1)));
    let said = player.observe(&guest.machine, &guest.now);
    assert!(matches!(said.as_slice(), [Said::Hint(_)]), "{said:?}");
    for _ in 0..3 {
        assert_eq!(player.observe(&guest.machine, &guest.now), []);
    }
}

#[test]
fn nothing_is_said_before_the_threads_have_settled() {
    let mut guest = Guest::new(3);
    guest.act(&Action::Load);
    let (mut player, _) = Player::new(1, &guest.machine, &guest.now);
    guest.act(&Action::Wake(Target::Cpu(2)));
    guest.now.cpus.get_mut(&2).unwrap().state = "running".into();
    assert_eq!(player.observe(&guest.machine, &guest.now), []);
}

#[test]
fn a_learner_can_skip_and_choose() {
    let guest = Guest::new(2);
    let (machine, now) = (&guest.machine, &guest.now);
    let (mut player, _) = Player::new(2, machine, now);
    let place = |player: &Player| player.page(machine, now).map(|page| (page.lesson, page.step));
    assert_eq!(place(&player), Some((2, 0)));
    for expected in [(2, 1), (2, 2), (2, 3), (3, 0)] {
        player.skip(machine, now);
        assert_eq!(place(&player), Some(expected));
    }
    player.go(10, machine, now);
    assert_eq!(place(&player), Some((10, 0)));
    player.go(11, machine, now);
    assert_eq!(place(&player), None);
    assert_eq!(player.done().count(), 0);
}

const PACE: Duration = Duration::from_secs(2);

/// Lets a guide act, in steps of 0.1 s; returns the times of its actions, in seconds.
fn guided(guide: &mut Guide, guest: &mut Guest, seconds: u64) -> Vec<(u64, String)> {
    let mut acted = Vec::new();
    for tick in 0..10 * seconds {
        let time = Duration::from_millis(100 * tick);
        if let Some(action) = guide.look(&guest.now, time, false) {
            acted.push((time.as_secs(), action.command()));
            guest.act(&action);
        }
        guest.tick();
    }
    acted
}

#[test]
fn a_guide_plays_all_lessons_at_its_pace() {
    let mut guest = Guest::new(4);
    let mut guide = Guide::new(1, guest.machine.clone(), &guest.now, PACE);
    let acted = guided(&mut guide, &mut guest, 300);
    assert!(guide.page(&guest.now).is_none(), "{acted:?}");
    assert_eq!(guide.said().last(), Some(&Said::Ended(LESSONS.len())));
    for pair in acted.windows(2) {
        assert!(pair[1].0 - pair[0].0 >= PACE.as_secs(), "{pair:?}");
    }
}

#[test]
fn a_guide_waits_while_an_action_runs() {
    let guest = Guest::new(2);
    let mut guide = Guide::new(1, guest.machine.clone(), &guest.now, PACE);
    assert_eq!(guide.look(&guest.now, 5 * PACE, true), None);
    assert_eq!(guide.look(&guest.now, 5 * PACE, false), None);
    assert_eq!(guide.look(&guest.now, 6 * PACE, false), Some(Action::Load));
    // It is not done twice.
    assert_eq!(guide.look(&guest.now, 9 * PACE, false), None);
}

#[test]
fn a_user_takes_over_and_gives_back() {
    let mut guest = Guest::new(2);
    let mut guide = Guide::new(1, guest.machine.clone(), &guest.now, PACE);
    guide.take_over();
    assert_eq!(guided(&mut guide, &mut guest, 60), []);
    guest.act(&Action::Load);
    assert_eq!(guided(&mut guide, &mut guest, 60), []);
    assert!(matches!(guide.said(), [Said::Done(_)]), "{:?}", guide.said());
    guide.resume();
    assert_eq!(guide.look(&guest.now, 100 * PACE, false), Some(Action::Wake(Target::Cpu(1))));
}

#[test]
fn a_guide_skips_a_step_without_effect() {
    let guest = Guest::new(2);
    let mut guide = Guide::new(1, guest.machine.clone(), &guest.now, PACE);
    assert_eq!(guide.look(&guest.now, PACE, false), Some(Action::Load));
    let late = PACE + Duration::from_secs(16);
    assert_eq!(guide.look(&guest.now, late, false), None);
    assert_eq!(guide.page(&guest.now).map(|page| page.step), Some(1));
    assert!(matches!(guide.said(), [Said::Hint(_)]), "{:?}", guide.said());
    let next = Action::Wake(Target::Cpu(1));
    assert_eq!(guide.look(&guest.now, late + PACE, false), Some(next));
}
