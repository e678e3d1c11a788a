// SPDX-License-Identifier: GPL-2.0

//! The guest's program `tour`, as a learner uses it.

use super::program::{Program, Pty, Terminal, ends};
use anyhow::{Context, Result, ensure};
use std::io::Write;
use std::process::{Child, Output, Stdio};
use suite_macros::program_test;

/// Answers of all lessons, some in other ways than the tour shows.
const ANSWERS: &str = r#"
d=/sys/kernel/debug/rust_smpboot_demo
cpu=/sys/devices/system/cpu
fail=$(sed -n 's/: workqueue:online$//p' $cpu/hotplug/states)

tour; insmod rust_smpboot_demo.ko
tour; echo all > $d/wake
tour; echo 0 > $cpu/cpu1/online
tour; (cd $cpu/cpu1; echo 1 > online)

tour; echo 0 > $cpu/cpu1/online
tour; echo 0-2 > $d/wake
tour; echo 1 > $cpu/cpu1/online

tour; echo 0 > $cpu/cpu1/online
tour; for i in 1 2 3 4; do echo 1 > $d/wake; done
tour; echo 1 > $cpu/cpu1/online

tour; echo 0 > $cpu/cpu1/online
tour; echo 1 > $cpu/cpu1/online
tour; rmmod rust_smpboot_demo; insmod rust_smpboot_demo.ko

tour; echo 0 > $cpu/cpu1/online
tour; echo $fail > $cpu/cpu1/hotplug/fail; echo 1 > $cpu/cpu1/online
tour; echo 1 > $cpu/cpu1/online

tour; exec 4< $d/summary
tour; exec 4<&-; rmmod rust_smpboot_demo

tour; insmod rust_smpboot_demo.ko
tour; for n in 3 2 1; do echo 0 > $cpu/cpu$n/online; done
tour; echo 0-3 > $d/wake
tour; for n in 1 2 3; do echo 1 > $cpu/cpu$n/online; done

tour; echo 20000 > $d/period_us
tour; echo 0 > $cpu/cpu1/online
tour; echo 1 > $cpu/cpu1/online
tour; echo 0 > $d/period_us

tour; chrt -f -p 1 $(cat $d/cpu1/pid)
tour; chrt -p $(cat $d/cpu1/pid); echo 0 > $cpu/cpu1/online
tour; echo 1 > $cpu/cpu1/online
tour; chrt -o -p 0 $(cat $d/cpu1/pid)

tour; echo disk > /sys/power/state
tour; tour list
"#;

/// Number of the lessons.
const LESSONS: usize = 10;

fn learn(program: &Program, cpus: &str, answers: &str) -> Result<Output> {
    let mut command = program.command("shell", &["--cpus", cpus])?;
    let mut child = command.env("NO_COLOR", "1").stdin(Stdio::piped()).spawn()?;
    child.stdin.take().context("no stdin")?.write_all(answers.as_bytes())?;
    Ok(child.wait_with_output()?)
}

/// The tour accepts the answers of all lessons, in whatever way they are given; the host is still
/// connected after the hibernation.
#[program_test]
fn accepts_the_answers_of_all_lessons(program: &Program) -> Result<()> {
    let output = learn(program, "4", ANSWERS)?;
    ends(&output, 0, &[])?;
    let text = String::from_utf8_lossy(&output.stdout);
    for lesson in 1..=LESSONS {
        let done = text.contains(&format!("Lesson {lesson} is done."));
        let skipped = text.contains(&format!("Lesson {lesson} is skipped: the kernel cannot"));
        ensure!(done || skipped, "lesson {lesson} is not done:\n{text}");
    }
    ensure!(!text.contains("Not yet:"), "an answer was not accepted:\n{text}");
    for seen in [
        "wake 1 -> 2, but run is still 1: the wake is pending",
        "4 wakes led to 1 run.",
        "still has SCHED_FIFO, priority 1",
        "scheduling policy: SCHED_FIFO",
        "10 Sleep of the whole machine",
    ] {
        // Where lines are broken depends on the numbers.
        let words: Vec<&str> = text.split_whitespace().collect();
        ensure!(words.join(" ").contains(seen), "the output lacks \"{seen}\":\n{text}");
    }
    Ok(())
}

/// The tour answers something else with a hint, and continues when the step is done.
#[program_test]
fn helps_after_wrong_answers(program: &Program) -> Result<()> {
    let script = "
d=/sys/kernel/debug/rust_smpboot_demo
cpu=/sys/devices/system/cpu
insmod rust_smpboot_demo.ko; tour 2
tour; tour
echo 0 > $cpu/cpu2/online; tour
echo 1 > $cpu/cpu2/online; tour
echo 0 > $cpu/cpu1/online; echo 1 > $cpu/cpu1/online; tour
echo 0 > $cpu/cpu1/online; tour
echo 2 > $d/wake; tour
echo 1 > $cpu/cpu1/online; tour; echo 1 > $d/wake; tour
rmmod rust_smpboot_demo; tour
tour 3; insmod rust_smpboot_demo.ko; tour
tour 11; tour x y; tour skip; tour next; tour end; tour end
cat /tmp/tour
";
    let output = learn(program, "4", script)?;
    ends(
        &output,
        1,
        &[
            "Not yet: Offline: CPU 2. This lesson looks at CPU 1.",
            "Not yet: CPU 1 was offline, and is online again.",
            "Done: CPU 1 is offline, its thread is parked.",
            "Not yet: The thread of CPU 2 ran. This lesson looks at CPU 1.",
            "Not yet: CPU 1 is online: its thread would run at once.",
            "Not yet: CPU 1 is online: its thread ran at once.",
            "Not yet: The module was unloaded: the lesson begins again.",
            "Lesson 3 of 10: Why there are fewer runs than wakes",
            "tour: no lesson '11'",
            "tour: too many words",
            "Step 2 of 3: Wake the thread of CPU 1 3 times",
            "Lesson 4 of 10",
            "The tour has ended.",
        ],
    )
}

/// With one CPU the tour skips the lessons that need a second one.
#[program_test(long)]
fn skips_lessons_that_need_a_second_cpu(program: &Program) -> Result<()> {
    let script = "
d=/sys/kernel/debug/rust_smpboot_demo
insmod rust_smpboot_demo.ko; tour
exec 3< $d/events; tour
exec 3<&-; rmmod rust_smpboot_demo; tour
insmod rust_smpboot_demo.ko; tour
echo 10000 > $d/period_us; tour
echo 0 > $d/period_us; tour
chrt -f -p 50 $(cat $d/cpu0/pid); tour
chrt -o -p 0 $(cat $d/cpu0/pid); tour
";
    let output = learn(program, "1", script)?;
    ends(&output, 0, &["Lesson 1 is skipped: no second CPU", "3 of 10 lessons are done"])
}

/// A program that does not outlive its test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

/// On a terminal each prompt looks at what the last command did, in 80 columns of ASCII; the
/// greeting names the tour.
#[program_test]
fn looks_at_each_command_of_a_terminal(program: &Program) -> Result<()> {
    let Pty { master, slave, .. } = Pty::open(24, 80)?;
    let mut keys = master.try_clone()?;
    let child = program
        .command("shell", &["--cpus", "2"])?
        .env("TERM", "vt100")
        .env("NO_COLOR", "1")
        .env("RUST_SMPBOOT_ASCII", "1")
        .stdin(slave.try_clone()?)
        .stdout(slave)
        .stderr(Stdio::null())
        .spawn()?;
    let mut child = Ended(child);
    let mut shown = Terminal::read(master);
    shown.wait(b"tour  ")?;
    let mut answer = |line: &str, expected: &[&str]| -> Result<()> {
        shown.wait(b"/modules # ")?;
        keys.write_all(format!("{line}\r").as_bytes())?;
        expected.iter().try_for_each(|text| shown.wait(text.as_bytes()))
    };
    answer("tour 2", &["Lesson 2 of 10", "First: Load the module"])?;
    answer("insmod rust_smpboot_demo.ko", &["Done: 2 threads", "Step 1 of 3"])?;
    answer("echo 0 > /sys/devices/system/cpu/cpu1/online", &["Done: ", "Step 2 of 3"])?;
    answer("echo 0 > /sys/kernel/debug/rust_smpboot_demo/wake", &["Not yet: ", "CPU 0 ran"])?;
    answer("echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake", &["is pending", "Step 3 of 3"])?;
    answer("echo 1 > /sys/devices/system/cpu/cpu1/online", &["Lesson 2 is done", "Lesson 3 of"])?;
    answer("false", &[])?;
    answer("echo status $?", &["status 1"])?;
    answer("tour 8", &["every 10000 us", "period_us"])?;
    answer("poweroff", &[])?;
    let status = child.0.wait()?;
    let all = shown.rest();
    let text = String::from_utf8_lossy(&all);
    ensure!(status.success(), "{status}: {text}");
    let after_greeting = text.split("rmmod rust_smpboot_demo").nth(1).unwrap_or_default();
    ensure!(after_greeting.is_ascii() && !after_greeting.contains("\x1b[1m"), "{text}");
    let from_tour =
        |line: &&str| ["Done", "Not yet", "Step", "Lesson"].iter().any(|w| line.starts_with(w));
    for line in after_greeting.lines().filter(from_tour) {
        ensure!(line.trim_end().len() <= 80, "wider than 80 columns: {line}");
    }
    Ok(())
}
