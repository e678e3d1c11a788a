// SPDX-License-Identifier: GPL-2.0

//! The kernel's trace, `/sys/kernel/tracing/trace`.

use anyhow::{Context, Result, ensure};
use demo_format::format::THREAD;
use demo_format::{Nanos, excerpt};
use std::fmt;

/// Returns files of `/sys/kernel/tracing` and the text to write to each, in this order, before the
/// module is loaded.
///
/// The clock is `CLOCK_MONOTONIC`, as for the module. Filters limit the scheduler's events to those
/// of the demo's threads, except for switches: with all of them, the trace has what each CPU ran.
pub fn setup() -> Vec<(String, String)> {
    let mut files = vec![
        ("trace_clock".to_owned(), "mono".to_owned()),
        ("buffer_size_kb".to_owned(), "4096".to_owned()),
    ];
    for event in ["cpuhp_enter", "cpuhp_multi_enter", "cpuhp_exit"] {
        files.push((format!("events/cpuhp/{event}/enable"), "1".to_owned()));
    }
    for event in [
        "sched_waking",
        "sched_wakeup",
        "sched_wakeup_new",
        "sched_switch",
        "sched_migrate_task",
        "sched_kthread_stop",
    ] {
        if event != "sched_switch" {
            files.push((format!("events/sched/{event}/filter"), format!("comm ~ \"{THREAD}/*\"")));
        }
        files.push((format!("events/sched/{event}/enable"), "1".to_owned()));
    }
    files
}

/// The begin or the end of a host's action, in the kernel's trace. The host writes the line to
/// `trace_marker` in the guest, so the time is of the same clock: `rust_smpboot: + LABEL`, with
/// ` $ COMMAND` for each command, and `rust_smpboot: - LABEL`.
///
/// [`Marker::sync`] is the action that aligns the module's clock to that of the trace. Between its
/// two markers, the host wakes that CPU's thread with the module's file `wake`, for the first time
/// since the module was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    Begin { label: String, commands: Vec<String> },
    End(String),
}

impl Marker {
    const PREFIX: &str = "rust_smpboot: ";
    const PROMPT: &str = " $ ";

    /// Returns the marker for the begin of an action.
    pub fn begin(label: &str, commands: &[&str]) -> Self {
        let commands = commands.iter().map(|command| command.to_string()).collect();
        Self::Begin { label: label.into(), commands }
    }

    const SYNC: &str = "sync cpu";

    /// Returns the label of the action that aligns the clocks.
    pub fn sync(cpu: u32) -> String {
        format!("{}{cpu}", Self::SYNC)
    }

    /// Returns the CPU if this is the label of the action that aligns the clocks.
    pub(crate) fn synced(label: &str) -> Option<u32> {
        label.strip_prefix(Self::SYNC)?.parse().ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let (sign, text) = text.strip_prefix(Self::PREFIX)?.split_once(' ')?;
        match sign {
            "+" => {
                let mut words = text.split(Self::PROMPT).map(str::to_owned);
                Some(Self::Begin { label: words.next()?, commands: words.collect() })
            }
            "-" => Some(Self::End(text.to_owned())),
            _ => None,
        }
    }
}

/// Formats the line to write to `trace_marker`.
impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin { label, commands } => {
                write!(f, "{}+ {label}", Self::PREFIX)?;
                commands.iter().try_for_each(|command| write!(f, "{}{command}", Self::PROMPT))
            }
            Self::End(label) => write!(f, "{}- {label}", Self::PREFIX),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trace {
    /// The events, in the order of time.
    pub events: Vec<Event>,
    /// Number of overwritten events.
    pub lost: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The time, in whole microseconds: the kernel prints no more digits.
    pub time: Nanos,
    /// The CPU and the task that recorded it.
    pub cpu: u32,
    pub task: String,
    pub pid: i32,
    /// The kernel's name of the event, such as `sched_waking`.
    pub name: String,
    /// The rest of the line, unchanged.
    pub text: String,
    pub what: What,
}

/// The parsed part of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// `cpu` is the CPU that is taken offline or brought online, here and in `HotplugExit`.
    HotplugEnter {
        cpu: u32,
        target: i32,
        step: i32,
        function: String,
    },
    HotplugExit {
        cpu: u32,
        step: i32,
        ret: i32,
    },
    /// `sched_waking`, `sched_wakeup`, `sched_wakeup_new`, `sched_migrate_task`,
    /// `sched_kthread_stop`.
    Thread {
        comm: String,
    },
    Switch {
        from: String,
        state: String,
        to: String,
    },
    Marker(Marker),
    Other,
}

impl Trace {
    /// Parses the text of the file `trace`. Times are those of the trace clock.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let mut trace = Self::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let shown = String::from_utf8_lossy(line);
            trace
                .line(line, &shown)
                .with_context(|| format!("trace: line {}: `{}`", index + 1, excerpt(&shown)))?;
        }
        // Already in order, except for clock skew between CPUs.
        trace.events.sort_by_key(|event| event.time);
        Ok(trace)
    }

    fn line(&mut self, line: &[u8], shown: &str) -> Result<()> {
        if let Some(counts) = shown.strip_prefix("# entries-in-buffer/entries-written: ") {
            let counts = counts.split_whitespace().next().unwrap_or_default();
            let (kept, written) = counts.split_once('/').context("not two counts")?;
            let (kept, written): (u64, u64) = (kept.parse()?, written.parse()?);
            self.lost = written.checked_sub(kept).context("more entries kept than written")?;
        } else if !(line.is_empty() || line.starts_with(b"#") || is_about_buffers(shown)) {
            self.events.push(event(line)?);
        }
        Ok(())
    }

    /// Makes `epoch` time 0.
    pub fn since(mut self, epoch: Nanos) -> Self {
        for event in &mut self.events {
            event.time = event.time.saturating_sub(epoch);
        }
        self
    }

    pub fn markers(&self) -> impl Iterator<Item = (Nanos, &Marker)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Marker(marker) => Some((event.time, marker)),
            _ => None,
        })
    }
}

/// Returns whether the line is like `CPU:1 [LOST 12 EVENTS]`. The head of the file has the count.
fn is_about_buffers(line: &str) -> bool {
    line.starts_with("CPU:") && line.ends_with(" EVENTS]")
}

/// Parses `%16s-%-7d [%03d] FLAGS SECONDS.MICROSECONDS: NAME: TEXT`. A task's name may have any
/// bytes, but has a fixed width.
fn event(line: &[u8]) -> Result<Event> {
    const WIDTH: usize = 16;

    ensure!(line.len() > WIDTH && line[WIDTH] == b'-', "no task");
    let task = String::from_utf8_lossy(&line[..WIDTH]).trim_start().to_owned();
    let rest = String::from_utf8_lossy(&line[WIDTH + 1..]);

    let (pid, rest) = rest.split_once(' ').context("no pid")?;
    let pid = pid.parse().context("no pid")?;
    let (cpu, rest) =
        rest.trim_start().strip_prefix('[').and_then(|r| r.split_once("] ")).context("no CPU")?;
    let cpu = cpu.parse().context("no CPU")?;
    let (_flags, rest) = rest.trim_start().split_once(' ').context("no flags")?;
    let (time, rest) = rest.trim_start().split_once(": ").context("no time")?;
    let time =
        nanoseconds(time).context("no time in seconds and microseconds (is the clock `mono`?)")?;
    let (name, text) = rest.split_once(':').context("no name")?;
    let text = text.strip_prefix(' ').unwrap_or(text);

    let what = what(name, text).with_context(|| format!("unknown format of {name}"))?;
    Ok(Event { time, cpu, task, pid, name: name.to_owned(), text: text.trim().to_owned(), what })
}

fn nanoseconds(time: &str) -> Option<Nanos> {
    let (seconds, micros) = time.split_once('.')?;
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if micros.len() != 6 || !digits(micros) || !digits(seconds) {
        return None;
    }
    let (seconds, micros): (Nanos, Nanos) = (seconds.parse().ok()?, micros.parse().ok()?);
    seconds.checked_mul(1_000_000)?.checked_add(micros)?.checked_mul(1000)
}

fn what(name: &str, text: &str) -> Option<What> {
    let what = match name {
        // cpu: 0001 target: 142 step: 147 (smpboot_park_threads)
        "cpuhp_enter" | "cpuhp_multi_enter" => What::HotplugEnter {
            cpu: number(text, "cpu:")?,
            target: number(text, "target:")?,
            step: number(text, "step:")?,
            function: text.rsplit_once('(')?.1.trim_end().strip_suffix(')')?.to_owned(),
        },
        //  cpu: 0001  state: 146 step: 147 ret: 0
        "cpuhp_exit" => What::HotplugExit {
            cpu: number(text, "cpu:")?,
            step: number(text, "step:")?,
            ret: number(text, "ret:")?,
        },
        // comm=rust_demo/1 pid=117 prio=120 target_cpu=001
        "sched_waking" | "sched_wakeup" | "sched_wakeup_new" | "sched_migrate_task"
        | "sched_kthread_stop" => {
            let (comm, _) = text.strip_prefix("comm=")?.rsplit_once(" pid=")?;
            What::Thread { comm: comm.to_owned() }
        }
        // prev_comm=a prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=b next_pid=2
        // next_prio=120
        "sched_switch" => {
            let (from, to) = text.strip_prefix("prev_comm=")?.split_once(" ==> next_comm=")?;
            let (from, state) = from.rsplit_once(" prev_state=")?;
            let (from, _) = from.rsplit_once(" prev_pid=")?;
            let (to, _) = to.rsplit_once(" next_pid=")?;
            What::Switch { from: from.to_owned(), state: state.to_owned(), to: to.to_owned() }
        }
        "tracing_mark_write" => Marker::parse(text.trim_end()).map_or(What::Other, What::Marker),
        _ => What::Other,
    };
    Some(what)
}

/// Returns the number that follows `key`.
fn number<T: std::str::FromStr>(text: &str, key: &str) -> Option<T> {
    let (_, rest) = text.split_once(key)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    const TEXT: &str = "\
# tracer: nop
#
# entries-in-buffer/entries-written: 7/9   #P:3
#
CPU:1 [LOST 2 EVENTS]
              sh-112     [002] ...1.    12.583682: tracing_mark_write: rust_smpboot: + cpu1 offline
         cpuhp/1-22      [001] .....    13.401841: cpuhp_enter: cpu: 0001 target: 142 step: 147 (smpboot_park_threads)
         cpuhp/1-22      [001] d..2.    13.409281: sched_waking: comm=rust_demo/1 pid=117 prio=120 target_cpu=001
         cpuhp/1-22      [001] d..2.    13.409320: sched_switch: prev_comm=cpuhp/1 prev_pid=22 prev_prio=120 prev_state=D ==> next_comm=rust_demo/1 next_pid=117 next_prio=120
         cpuhp/1-22      [001] .....    13.409899: cpuhp_exit:  cpu: 0001  state: 146 step: 147 ret: -11
   my task [x] a-9       [000] .....    14.000000: something_new: whatever: it is
              sh-112     [002] ...1.    15.000000: tracing_mark_write: another user's
";

    #[test]
    fn a_trace_is_parsed() {
        let trace = Trace::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(trace.lost, 2);
        let what: Vec<_> = trace.events.iter().map(|event| format!("{:?}\n", event.what)).collect();
        expect![[r#"
            Marker(Begin { label: "cpu1 offline", commands: [] })
            HotplugEnter { cpu: 1, target: 142, step: 147, function: "smpboot_park_threads" }
            Thread { comm: "rust_demo/1" }
            Switch { from: "cpuhp/1", state: "D", to: "rust_demo/1" }
            HotplugExit { cpu: 1, step: 147, ret: -11 }
            Other
            Other
        "#]]
        .assert_eq(&what.concat());
        let enter = &trace.events[1];
        assert_eq!(
            (enter.time, enter.cpu, enter.task.as_str(), enter.pid),
            (13_401_841_000, 1, "cpuhp/1", 22)
        );
        assert_eq!(trace.events[5].task, "my task [x] a");
        assert_eq!(trace.events[5].text, "whatever: it is");
        assert_eq!(trace.markers().count(), 1);
        assert_eq!(trace.since(12_000_000_000).events[0].time, 583_682_000);
    }

    #[test]
    fn markers_survive_a_round_trip() {
        for (marker, line) in [
            (Marker::begin("load", &[]), "rust_smpboot: + load"),
            (
                Marker::begin("Wake all: 2 runs", &["echo all > wake", "cat summary"]),
                "rust_smpboot: + Wake all: 2 runs $ echo all > wake $ cat summary",
            ),
            (Marker::End(Marker::sync(4)), "rust_smpboot: - sync cpu4"),
        ] {
            assert_eq!(marker.to_string(), line);
            assert_eq!(Marker::parse(line), Some(marker));
        }
        assert_eq!(Marker::parse("rust_smpboot: * x"), None);
        assert_eq!(Marker::parse("+ x"), None);
    }

    #[test]
    fn invalid_lines_of_a_trace_are_refused() {
        let sh = |rest: &str| format!("              sh-{rest}");
        let rubbish = [
            "hello".into(),
            "# entries-in-buffer/entries-written: 9/7".into(),
            sh("x  [002] .. 1.000000: a: b"),
            sh("1  [x] .. 1.000000: a: b"),
            sh("1  [002]"),
            sh("1  [002] .. 12345: a: b"),
            sh("1  [002] .. -1.000000: a: b"),
            sh("1  [002] .. 99999999999999.000000: a: b"),
            sh("1  [002] .. 1.000000: a"),
            sh("1  [002] .. 1.000000: cpuhp_enter: cpu: x"),
            sh("1  [002] .. 1.000000: sched_switch: x"),
        ];
        let refused =
            rubbish.map(|text| format!("{:#}\n", Trace::parse(text.as_bytes()).unwrap_err()));
        expect![[r#"
            trace: line 1: `hello`: no task
            trace: line 1: `# entries-in-buffer/entries-written: 9/7`: more entries kept than written
            trace: line 1: `              sh-x  [002] .. 1.000000: a: b`: no pid: invalid digit found in string
            trace: line 1: `              sh-1  [x] .. 1.000000: a: b`: no CPU: invalid digit found in string
            trace: line 1: `              sh-1  [002]`: no CPU
            trace: line 1: `              sh-1  [002] .. 12345: a: b`: no time in seconds and microseconds (is the clock `mono`?)
            trace: line 1: `              sh-1  [002] .. -1.000000: a: b`: no time in seconds and microseconds (is the clock `mono`?)
            trace: line 1: `              sh-1  [002] .. 99999999999999.000000: a: b`: no time in seconds and microseconds (is the clock `mono`?)
            trace: line 1: `              sh-1  [002] .. 1.000000: a`: no name
            trace: line 1: `              sh-1  [002] .. 1.000000: cpuhp_enter: cpu: x`: unknown format of cpuhp_enter
            trace: line 1: `              sh-1  [002] .. 1.000000: sched_switch: x`: unknown format of sched_switch
        "#]].assert_eq(&refused.concat());
        // A line that is not UTF-8 does not end the trace.
        let trace =
            Trace::parse(b"            \xff\xfe\xfdx-1       [000] .....    14.000000: a: \xff\n")
                .unwrap();
        assert_eq!(trace.events[0].pid, 1);
    }

    #[test]
    fn the_setup_names_events_that_are_parsed() {
        let files = setup();
        assert_eq!(files[0], ("trace_clock".to_owned(), "mono".to_owned()));
        assert!(files.iter().any(|(file, _)| file == "events/sched/sched_waking/filter"));
        assert!(files.iter().any(|(file, _)| file == "events/sched/sched_switch/enable"));
    }
}
