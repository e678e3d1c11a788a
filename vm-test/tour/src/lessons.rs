// SPDX-License-Identifier: GPL-2.0

//! The ten lessons.
//!
//! Numbers in the explanations come from the observations.

use crate::lesson::{Hint, Kind, Lesson, Look, Needs, Step};
use crate::words::{cpus, times};
use crate::{Action, Target, Task, task};

/// Number of wakes that merge into one run.
const MERGED: u64 = 3;

/// Number of runs of each thread that show that its timer fires.
const FIRED: u64 = 5;

/// The priority that `chrt` sets: that of the kernel's own `sched_set_fifo()`.
const PRIORITY: u32 = 50;

pub static LESSONS: [Lesson; 10] = [
    Lesson {
        title: "Park is a part of offline",
        text: "Some work belongs to one CPU, and has a kernel thread on each CPU. The kernel parks \
               such a thread before its CPU stops: the thread keeps its state, and does not run.",
        needs: Needs::SecondCpu,
        steps: &[
            Step {
                task: |look| task::wake(look.cpu()),
                done: |look| look.grown(look.cpu(), |c| c.run) > 0,
                explain: |look| {
                    format!(
                        "The wake set a flag and woke PID {} on CPU {}, which called run(): {}, {}.",
                        look.thread().pid,
                        look.cpu(),
                        look.change(look.cpu(), "wake", |c| c.wake),
                        look.change(look.cpu(), "run", |c| c.run),
                    )
                },
                hint: other_thread_ran,
                kind: Kind::Usual,
            },
            Step {
                task: |look| task::offline(look.cpu()),
                done: is_offline,
                explain: |look| {
                    format!(
                        "The thread called park() while CPU {cpu} could still execute: {}. Only \
                         then CPU {cpu} stopped. PID {} still exists, parked.",
                        look.change(look.cpu(), "park", |c| c.park),
                        look.thread().pid,
                        cpu = look.cpu(),
                    )
                },
                hint: not_offline,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online(look.cpu()),
                done: is_online,
                explain: |look| {
                    format!(
                        "The same thread, PID {}, called unpark() on its CPU: {}. Its setup() did \
                         not run again: {}.",
                        look.thread().pid,
                        look.change(look.cpu(), "unpark", |c| c.unpark),
                        look.change(look.cpu(), "setup", |c| c.setup),
                    )
                },
                hint: none,
                kind: Kind::Toggles,
            },
        ],
    },
    Lesson {
        title: "A wake that stays pending",
        text: "A parked thread cannot be woken: the kernel ignores the attempt. A client of the C \
               interface can lose a wake that way. This library sets a flag before it wakes a \
               thread, and the thread looks at the flag when it is unparked.",
        needs: Needs::SecondCpu,
        steps: &[
            Step {
                task: |look| task::offline(look.cpu()),
                done: is_offline,
                explain: |look| format!("CPU {} is offline, its thread is parked.", look.cpu()),
                hint: not_offline,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::wake_offline(look.cpu()),
                done: |look| is_pending(look, 1),
                explain: |look| {
                    format!(
                        "{}, but {}: the wake is pending, as a flag in memory.",
                        look.change(look.cpu(), "wake", |c| c.wake),
                        look.change(look.cpu(), "run", |c| c.run),
                    )
                },
                hint: not_pending,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online_pending(look.cpu()),
                done: ran_for_pending,
                explain: |look| {
                    format!(
                        "PID {} was unparked, found the flag, and called run(): {}. Nothing woke \
                         it a second time: {}.",
                        look.thread().pid,
                        look.change(look.cpu(), "run", |c| c.run),
                        look.change(look.cpu(), "wake", |c| c.wake),
                    )
                },
                hint: none,
                kind: Kind::Toggles,
            },
        ],
    },
    Lesson {
        title: "Why there are fewer runs than wakes",
        text: "A wake is not a message in a queue. It sets a flag, and the thread clears the flag \
               before it calls run(). Wakes that arrive before the thread runs merge into one.",
        needs: Needs::SecondCpu,
        steps: &[
            Step {
                task: |look| task::offline(look.cpu()),
                done: is_offline,
                explain: |look| {
                    format!("CPU {} is offline: its thread cannot run yet.", look.cpu())
                },
                hint: not_offline,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| {
                    let action = Action::Wake(Target::Cpu(look.cpu()));
                    let what = format!("Wake the thread of CPU {} {MERGED} times", look.cpu());
                    let typed = format!("for i in 1 2 3; do {}; done", action.command());
                    Task::new(what, vec![action; MERGED as usize]).typed(typed)
                },
                done: |look| is_pending(look, MERGED),
                explain: |look| {
                    format!(
                        "{}. The first wake set the flag, the others found it set.",
                        look.change(look.cpu(), "wake", |c| c.wake),
                    )
                },
                hint: |look| match look.grown(look.cpu(), |c| c.wake) {
                    wakes @ 1..MERGED if !look.thread().online => Some(Hint::Progress(format!(
                        "{} so far: {MERGED} are needed.",
                        times(wakes, "wake")
                    ))),
                    _ => not_pending(look),
                },
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online_pending(look.cpu()),
                done: ran_for_pending,
                explain: |look| {
                    let counts = |thread: crate::Thread| (thread.counts.wake, thread.counts.run);
                    let (wakes, runs) = counts(look.start.thread(look.cpu()));
                    let (all_wakes, all_runs) = counts(look.thread());
                    format!(
                        "{} led to {}. A client must look for all its work in each run.",
                        times(all_wakes - wakes, "wake"),
                        times(all_runs - runs, "run"),
                    )
                },
                hint: none,
                kind: Kind::Toggles,
            },
        ],
    },
    Lesson {
        title: "The same thread, with the same PID",
        text: "A thread exists from registration to unregistration, also while its CPU is offline. \
               `ps` shows the threads of all clients.",
        needs: Needs::SecondCpu,
        steps: &[
            Step {
                task: |look| task::offline(look.cpu()),
                done: is_offline,
                explain: |look| {
                    format!(
                        "PID {} is still there. So are the other threads of CPU {cpu}, such as \
                         ksoftirqd/{cpu}: see `ps | grep '/{cpu}]'`.",
                        look.thread().pid,
                        cpu = look.cpu(),
                    )
                },
                hint: not_offline,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online(look.cpu()),
                done: is_online,
                explain: |look| {
                    format!("PID {} runs on CPU {} again.", look.thread().pid, look.cpu())
                },
                hint: none,
                kind: Kind::Toggles,
            },
            Step {
                task: |_| {
                    Task::new("Unload the module, and load it again", {
                        vec![Action::Unload, Action::Load]
                    })
                },
                done: |look| {
                    look.now.loaded && look.thread().pid != look.start.thread(look.cpu()).pid
                },
                explain: |look| {
                    format!(
                        "A new registration has new threads: PID {} -> {}. Their counters start \
                         at 0.",
                        look.start.thread(look.cpu()).pid,
                        look.thread().pid,
                    )
                },
                hint: |look| {
                    let text = "The threads ran cleanup() and exited. Load the module again.";
                    (!look.now.loaded).then(|| Hint::Progress(text.into()))
                },
                kind: Kind::Unloads,
            },
        ],
    },
    Lesson {
        title: "A CPU-up that fails, and rolls back",
        text: "A CPU comes online in steps, the hotplug states. When a step fails, the kernel \
               undoes the steps before it. /sys/devices/system/cpu/hotplug/states lists them. The \
               file hotplug/fail of a CPU lets its next operation fail at a state, once.",
        needs: Needs::FailingState,
        steps: &[
            Step {
                task: |look| task::offline(look.cpu()),
                done: is_offline,
                explain: |look| format!("CPU {} is offline, its thread is parked.", look.cpu()),
                hint: not_offline,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| {
                    let (state, name) = look.machine.fail.clone().unwrap_or_default();
                    let what = format!(
                        "Let state {state}, {name}, fail; then bring CPU {} online",
                        look.cpu()
                    );
                    let fail = Action::FailAt(look.cpu(), state);
                    Task::new(what, vec![fail, Action::Online(look.cpu())])
                },
                done: |look| {
                    is_offline(look)
                        && look.grown(look.cpu(), |c| c.unpark) > 0
                        && look.grown(look.cpu(), |c| c.park) > 0
                },
                explain: |look| {
                    format!(
                        "The write failed, and CPU {} is offline. Its thread was unparked on the \
                         way up ({}), and parked again by the rollback ({}).",
                        look.cpu(),
                        look.change(look.cpu(), "unpark", |c| c.unpark),
                        look.change(look.cpu(), "park", |c| c.park),
                    )
                },
                hint: |look| {
                    look.thread().online.then(|| {
                        Hint::Again(format!(
                            "CPU {} is online: nothing failed. Take it offline, and write to \
                             hotplug/fail before you bring it online.",
                            look.cpu()
                        ))
                    })
                },
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online(look.cpu()),
                done: is_online,
                explain: |look| {
                    format!(
                        "The failure was for one operation. PID {} was unparked: {}.",
                        look.thread().pid,
                        look.change(look.cpu(), "unpark", |c| c.unpark),
                    )
                },
                hint: none,
                kind: Kind::Toggles,
            },
        ],
    },
    Lesson {
        title: "rmmod with an open file",
        text: "The code of a module stays in memory while it is used. An open file of the module \
               holds a reference, which /sys/module/rust_smpboot_demo/refcnt counts.",
        needs: Needs::Nothing,
        steps: &[
            Step {
                task: |_| Task::new("Open a file of the module", vec![Action::Open]),
                done: |look| look.now.open_files > 0,
                explain: |look| {
                    format!(
                        "The reference count is {}: rmmod now fails with \"Resource temporarily \
                         unavailable\" (EAGAIN), and the threads continue.",
                        look.now.open_files
                    )
                },
                hint: none,
                kind: Kind::Usual,
            },
            Step {
                task: |_| {
                    let actions = vec![Action::Unload, Action::Close, Action::Unload];
                    Task::new("Try to unload the module; close the file, and unload it", actions)
                },
                done: |look| !look.now.loaded,
                explain: |look| {
                    format!(
                        "Without an open file the module could be removed. Before that, each of the {} \
                         threads ran cleanup() and exited.",
                        look.before.cpus.values().filter(|thread| thread.pid != 0).count()
                    )
                },
                hint: |look| {
                    let text = "The file is closed. The module can be unloaded now.";
                    (look.now.open_files == 0).then(|| Hint::Progress(text.into()))
                },
                kind: Kind::Unloads,
            },
        ],
    },
    Lesson {
        title: "The last CPU",
        text: "One CPU must execute the rest of the system. The kernel refuses to take the last \
               online CPU offline (EBUSY). On x86, CPU 0 has not even a file `online`.",
        needs: Needs::SecondCpu,
        steps: &[
            Step {
                task: |look| {
                    let all = look.machine.secondary();
                    let what = format!("Take {} offline", cpus(&all));
                    each(what, &all, 0, Action::Offline)
                },
                done: |look| look.now.online().count() == 1 && look.now.is_settled(),
                explain: |look| {
                    let left: Vec<u32> = look.now.online().collect();
                    format!(
                        "{} executes everything. {} parked.",
                        cpus(&left),
                        match look.now.offline().count() {
                            1 => "1 thread is".to_string(),
                            n => format!("{n} threads are"),
                        },
                    )
                },
                hint: |look| {
                    let left: Vec<u32> = look.now.online().collect();
                    (left.len() > 1 && !look.went_offline().is_empty())
                        .then(|| Hint::Progress(format!("{} are still online.", cpus(&left))))
                },
                kind: Kind::Toggles,
            },
            Step {
                task: |_| task::wake_all(),
                done: |look| {
                    look.now.offline().count() > 0
                        && look.now.offline().all(|cpu| look.now.thread(cpu).pending)
                        && look.now.online().all(|cpu| look.grown(cpu, |c| c.run) > 0)
                },
                explain: |look| {
                    let left: Vec<u32> = look.now.online().collect();
                    let offline: Vec<u32> = look.now.offline().collect();
                    format!(
                        "The thread of {} ran. {} {} pending.",
                        cpus(&left),
                        of("wake", &offline),
                        if offline.len() == 1 { "is" } else { "are" }
                    )
                },
                hint: |look| {
                    let waiting = |cpu: &u32| look.now.thread(*cpu).pending;
                    let pending = look.now.offline().filter(waiting).count();
                    let all = look.now.offline().count();
                    (pending > 0 && pending < all)
                        .then(|| Hint::Progress(format!("{pending} of {all} wakes are pending.")))
                },
                kind: Kind::Toggles,
            },
            Step {
                task: |look| {
                    let offline: Vec<u32> = look.now.offline().collect();
                    let what = format!(
                        "Bring {} online: each thread runs for its pending wake",
                        cpus(&offline)
                    );
                    each(what, &offline, 1, Action::Online)
                },
                done: |look| look.now.offline().next().is_none() && look.now.is_settled(),
                explain: |look| {
                    let ran = look.before.offline().map(|cpu| look.grown(cpu, |c| c.run));
                    format!(
                        "All CPUs are online. The threads ran for their pending wakes: {} on {}.",
                        times(ran.sum(), "run"),
                        cpus(&look.before.offline().collect::<Vec<u32>>()),
                    )
                },
                hint: |look| {
                    let left: Vec<u32> = look.now.offline().collect();
                    let some = look.before.offline().count() > left.len() && !left.is_empty();
                    some.then(|| Hint::Progress(format!("Still offline: {}.", cpus(&left))))
                },
                kind: Kind::Toggles,
            },
        ],
    },
    Lesson {
        title: "Timers that follow their CPU",
        text: "A timer that is pinned to a CPU is moved to another when its CPU goes offline. A \
               per-CPU client stops its timer in park(), and starts it in unpark().",
        needs: Needs::Nothing,
        steps: &[
            Step {
                task: |look| task::timers(period_us(look)),
                done: |look| look.now.period_us > 0 && fired(look, look.now.online()),
                explain: |look| {
                    format!(
                        "The timer of CPU {} has woken its thread {}, every {} µs.",
                        look.cpu(),
                        match look.grown(look.cpu(), |c| c.wake) {
                            1 => "once".into(),
                            n => format!("{n} times"),
                        },
                        look.now.period_us,
                    )
                },
                hint: none,
                kind: Kind::Usual,
            },
            Step {
                task: |look| {
                    let what = format!("Take CPU {} offline while the timers fire", look.cpu());
                    Task { what, ..task::offline(look.cpu()) }
                },
                done: |look| is_offline(look) && fired(look, look.now.online()),
                explain: |look| {
                    let other = look.now.online().next().unwrap_or(0);
                    format!(
                        "The timer of CPU {cpu} stopped in park(), after {} in this step. That of \
                         CPU {other} still fires: {}.",
                        times(look.grown(look.cpu(), |c| c.wake), "wake"),
                        times(look.grown(other, |c| c.wake), "wake"),
                        cpu = look.cpu(),
                    )
                },
                hint: |look| timers_stopped(look).or_else(|| not_offline(look)),
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online(look.cpu()),
                done: |look| is_online(look) && look.grown(look.cpu(), |c| c.run) >= FIRED,
                explain: |look| {
                    format!(
                        "unpark() started the timer again: {}.",
                        look.change(look.cpu(), "wake", |c| c.wake)
                    )
                },
                hint: timers_stopped,
                kind: Kind::Toggles,
            },
            Step {
                task: |_| task::stop_timers(),
                done: |look| look.now.period_us == 0 && look.now.is_settled(),
                explain: |look| {
                    let counts = |cpu| {
                        let thread = look.now.thread(cpu);
                        (thread.counts.wake, thread.counts.run)
                    };
                    let (wakes, runs) = counts(look.cpu());
                    format!(
                        "The threads sleep. CPU {}: {}, {}.",
                        look.cpu(),
                        times(wakes, "wake"),
                        times(runs, "run")
                    )
                },
                hint: none,
                kind: Kind::Usual,
            },
        ],
    },
    Lesson {
        title: "A scheduling policy survives the offline",
        text: "A new thread shares its CPU fairly with other tasks. With the policy SCHED_FIFO it \
               runs before all of them, as soon as it is woken. The policy belongs to the thread, \
               so it is still there after an offline.",
        needs: Needs::Nothing,
        steps: &[
            Step {
                task: |look| {
                    let pid = look.thread().pid;
                    let what =
                        format!("Give PID {pid}, the thread of CPU {}, SCHED_FIFO", look.cpu());
                    Task::new(what, vec![Action::Policy { pid, fifo: Some(PRIORITY) }])
                },
                done: |look| look.thread().fifo.is_some(),
                explain: |look| {
                    format!(
                        "PID {} has SCHED_FIFO with priority {}. `chrt -p {0}` prints it.",
                        look.thread().pid,
                        look.thread().fifo.unwrap_or_default()
                    )
                },
                hint: |look| {
                    let other = look.now.cpus.iter().find(|(_, thread)| thread.fifo.is_some());
                    other.map(|(cpu, thread)| {
                        Hint::Progress(format!(
                            "PID {} is the thread of CPU {cpu}. This lesson looks at CPU {}.",
                            thread.pid,
                            look.cpu()
                        ))
                    })
                },
                kind: Kind::Usual,
            },
            Step {
                task: |look| task::offline(look.cpu()),
                done: is_offline,
                explain: |look| {
                    format!(
                        "The thread is parked, with priority {}.",
                        look.thread().fifo.unwrap_or_default()
                    )
                },
                hint: not_offline,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| task::online(look.cpu()),
                done: is_online,
                explain: |look| match look.thread().fifo {
                    Some(priority) => format!(
                        "PID {} still has SCHED_FIFO, priority {priority}: setup() need not set \
                         it again.",
                        look.thread().pid
                    ),
                    None => format!("PID {} has the default policy.", look.thread().pid),
                },
                hint: none,
                kind: Kind::Toggles,
            },
            Step {
                task: |look| {
                    let pid = look.thread().pid;
                    let what = format!("Give PID {pid} the default policy again");
                    Task::new(what, vec![Action::Policy { pid, fifo: None }])
                },
                done: |look| look.thread().fifo.is_none(),
                explain: |look| {
                    format!("PID {} shares CPU {} fairly again.", look.thread().pid, look.cpu())
                },
                hint: none,
                kind: Kind::Usual,
            },
        ],
    },
    Lesson {
        title: "Sleep of the whole machine",
        text: "Suspend and hibernation take all CPUs but one offline, and bring them online at the \
               resume. This VM has no disk for the image of a hibernation: the kernel does all \
               steps up to its write, which fails with \"No such device\" (ENODEV), and resumes.",
        needs: Needs::Hibernation,
        steps: &[Step {
            task: |_| {
                Task::new("Hibernate: all CPUs but one are offline for a moment", {
                    vec![Action::Hibernate]
                })
            },
            done: |look| {
                let cycled = |cpu: &u32| {
                    look.now.thread(*cpu).online
                        && look.grown(*cpu, |c| c.park) > 0
                        && look.grown(*cpu, |c| c.unpark) > 0
                };
                look.machine.secondary().iter().all(cycled)
            },
            explain: |look| {
                let all = look.machine.secondary();
                let stayed: Vec<u32> =
                    look.now.online().filter(|cpu| look.grown(*cpu, |c| c.park) == 0).collect();
                format!(
                    "{} {} parked and unparked: {}. The kernel log has each step. Not parked: the \
                     thread of {}, which executed the rest.",
                    of("thread", &all),
                    if all.len() == 1 { "was" } else { "were" },
                    look.change(look.cpu(), "park", |c| c.park),
                    cpus(&stayed),
                )
            },
            hint: |look| {
                let cycled = |cpu: &u32| look.grown(*cpu, |c| c.park) > 0;
                let all = look.machine.secondary();
                let some: Vec<u32> = all.iter().copied().filter(cycled).collect();
                (!some.is_empty() && some.len() < all.len()).then(|| {
                    Hint::Progress(format!(
                        "Of {}, {} went offline so far.",
                        cpus(&all),
                        cpus(&some)
                    ))
                })
            },
            kind: Kind::Toggles,
        }],
    },
];

/// The first step of each lesson, which makes the state that the lesson begins with.
pub static PREPARATION: Step = Step {
    task: |look| {
        let now = look.now;
        let wanted = [
            (!now.loaded, Action::Load),
            (now.open_files > 0, Action::Close),
            (now.period_us > 0, Action::Period(0)),
        ];
        let actions: Vec<Action> =
            wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, act)| act).collect();
        let offline: Vec<u32> = now.offline().collect();
        if actions == [Action::Load] && offline.is_empty() {
            return task::load();
        }
        let what = "Begin with the module loaded, all CPUs online, no timers and no open file";
        let mut task = Task::new(what, actions);
        let online = each(String::new(), &offline, 1, Action::Online);
        task.actions.extend(online.actions);
        task.commands.extend(online.commands);
        task
    },
    done: |look| {
        let now = look.now;
        let set_up = |thread: &crate::Thread| thread.pid != 0 && thread.counts.setup > 0;
        now.loaded
            && now.period_us == 0
            && now.open_files == 0
            && now.is_settled()
            && now.cpus.values().all(|thread| thread.online && set_up(thread))
    },
    explain: |look| {
        let pids: Vec<i32> = look.now.cpus.values().map(|thread| thread.pid).collect();
        match pids.as_slice() {
            [pid] => format!("The thread has PID {pid}. It ran setup() on CPU 0, and sleeps."),
            [first, .., last] => format!(
                "{} threads, one per CPU: PIDs {first} {} {last}. Each ran setup() on its CPU, and \
                 sleeps.",
                pids.len(),
                if pids.len() == 2 { "and" } else { "to" }
            ),
            [] => String::new(),
        }
    },
    hint: none,
    kind: Kind::Unloads,
};

/// The period of the timers, longer on a large machine: an emulator executes its CPUs in turn.
fn period_us(look: &Look<'_>) -> u32 {
    10_000 * (look.machine.possible.len() as u32).div_ceil(4)
}

/// Something of each of these CPUs, as the begin of a sentence.
fn of(noun: &str, list: &[u32]) -> String {
    format!("The {noun}{} of {}", if list.len() == 1 { "" } else { "s" }, cpus(list))
}

fn each(what: String, cpus: &[u32], value: u8, action: fn(u32) -> Action) -> Task {
    let task = Task::new(what, cpus.iter().map(|cpu| action(*cpu)).collect());
    if cpus.len() < 3 {
        return task;
    }
    let list: Vec<String> = cpus.iter().map(u32::to_string).collect();
    let is_range = cpus.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let list = match cpus {
        [first, .., last] if is_range => format!("$(seq {first} {last})"),
        _ => list.join(" "),
    };
    let path = "/sys/devices/system/cpu/cpu$n/online";
    task.typed(format!("for n in {list}; do echo {value} > {path}; done"))
}

fn none(_: &Look<'_>) -> Option<Hint> {
    None
}

fn is_offline(look: &Look<'_>) -> bool {
    let thread = look.thread();
    !thread.online && thread.state == "parked"
}

/// Whether it was brought online, and its thread continues.
fn is_online(look: &Look<'_>) -> bool {
    let thread = look.thread();
    thread.online && look.grown(look.cpu(), |c| c.unpark) > 0 && !thread.pending
}

fn is_pending(look: &Look<'_>, wakes: u64) -> bool {
    let thread = look.thread();
    !thread.online && thread.pending && look.grown(look.cpu(), |c| c.wake) >= wakes
}

fn ran_for_pending(look: &Look<'_>) -> bool {
    is_online(look) && look.grown(look.cpu(), |c| c.run) > 0
}

fn fired(look: &Look<'_>, mut cpus: impl Iterator<Item = u32>) -> bool {
    cpus.all(|cpu| look.grown(cpu, |c| c.run) >= FIRED)
}

fn other_thread_ran(look: &Look<'_>) -> Option<Hint> {
    let other = look.now.cpus.keys().find(|cpu| {
        **cpu != look.cpu() && (look.grown(**cpu, |c| c.run) > 0 || look.now.thread(**cpu).pending)
    })?;
    Some(Hint::Again(match look.now.thread(*other).pending {
        true => format!("The wake was for CPU {other}. This lesson looks at CPU {}.", look.cpu()),
        false => format!("The thread of CPU {other} ran. This lesson looks at CPU {}.", look.cpu()),
    }))
}

fn not_offline(look: &Look<'_>) -> Option<Hint> {
    let cpu = look.cpu();
    if look.grown(cpu, |c| c.park) > 0 && look.thread().online {
        return Some(Hint::Again(format!(
            "CPU {cpu} was offline, and is online again. Leave it offline in this step."
        )));
    }
    let others: Vec<u32> = look.went_offline().into_iter().filter(|other| *other != cpu).collect();
    (!others.is_empty()).then(|| {
        Hint::Progress(format!("Offline: {}. This lesson looks at CPU {cpu}.", cpus(&others)))
    })
}

fn not_pending(look: &Look<'_>) -> Option<Hint> {
    let cpu = look.cpu();
    let ran = look.grown(cpu, |c| c.run) > 0;
    if look.thread().online {
        let why = if ran { "its thread ran at once" } else { "its thread would run at once" };
        return Some(Hint::Again(format!(
            "CPU {cpu} is online: {why}. Take CPU {cpu} offline, then wake its thread."
        )));
    }
    other_thread_ran(look)
}

fn timers_stopped(look: &Look<'_>) -> Option<Hint> {
    let text = "The timers were stopped. Start them again.";
    (look.now.period_us == 0).then(|| Hint::Progress(text.into()))
}
