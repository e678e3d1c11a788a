// SPDX-License-Identifier: GPL-2.0

//! The host's end of one QEMU: receives everything that it sends, and waits for answers within the
//! limits.

use super::Limits;
use super::console::Console;
use super::process::{Event, Process};
use crate::errors::NoAnswer;
use crate::kernel_log::{splat, without_stamp};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use wire::stopwatch::{self, Stopwatch};
use wire::{Answer, Call, Hello, Message, Request, frame};

/// Gets the bytes of the console.
pub type Echo = Box<dyn FnMut(&[u8]) + Send>;

pub struct Connection {
    process: Process,
    pub console: Console,
    pub limits: Limits,
    pub echo: Option<Echo>,
    hello: Option<Hello>,
    answers: BTreeMap<u32, Answer>,
    qmp_answers: BTreeMap<u64, Json>,
    next_id: u32,
    last_output: Duration,
    exited: Option<(ExitStatus, String)>,
    /// When the present test must have ended, by [`Connection::now`].
    pub test_deadline: Option<Duration>,
    /// Why calls fail at once, if they do.
    pub no_answer: Option<NoAnswer>,
    /// How the guest ended, if it ended by itself.
    pub ended: Option<&'static str>,
    /// Whether a guest that suspends itself has ended, as nothing wakes it.
    pub nothing_wakes: bool,
}

impl Connection {
    pub fn new(process: Process, limits: Limits) -> Connection {
        Connection {
            last_output: process.now(),
            process,
            console: Console::new(),
            limits,
            echo: None,
            hello: None,
            answers: BTreeMap::new(),
            qmp_answers: BTreeMap::new(),
            next_id: 0,
            exited: None,
            test_deadline: None,
            no_answer: None,
            ended: None,
            nothing_wakes: false,
        }
    }

    /// The clock of this VM's limits. Stands still while this program, QEMU, or the guest in a
    /// debugger is stopped, and while QEMU waits for a CPU.
    pub fn now(&self) -> Duration {
        self.process.now()
    }

    /// The same with the time while QEMU waits for a CPU.
    pub fn time(&self) -> Duration {
        self.process.time()
    }

    pub fn wait_hello(&mut self) -> Result<Hello, NoAnswer> {
        let limit = self.limits.boot;
        self.wait("boot", limit, |connection| connection.hello.take())
    }

    pub fn call(&mut self, call: Call) -> Result<Answer, NoAnswer> {
        self.check()?;
        let doing = call.to_string();
        let limit = self.limits.call.saturating_add(call.asked_time());
        // The send may fail: then the wait returns the reason.
        let id = self.post(call);
        self.wait_answer(id, &doing, limit)
    }

    /// Sends the call without waiting; errors are ignored. Returns the id for `wait_answer`.
    pub fn post(&mut self, call: Call) -> u32 {
        let id = self.id();
        let _ = frame::send(&mut self.process.agent, &Request { id, call });
        id
    }

    pub fn wait_answer(
        &mut self,
        id: u32,
        doing: &str,
        limit: Duration,
    ) -> Result<Answer, NoAnswer> {
        self.wait(doing, limit, |connection| connection.answers.remove(&id))
    }

    /// Sends a command to QEMU, and returns its answer.
    pub fn qmp(&mut self, command: &str, arguments: Json) -> Result<Json, NoAnswer> {
        let id = u64::from(self.id());
        let mut request = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let _ = writeln!(self.process.qmp, "{request}");
        let limit = self.limits.call;
        self.wait(&format!("QMP {command}"), limit, |connection| connection.qmp_answers.remove(&id))
    }

    /// Waits until the debugger continues QEMU, without a limit: this clock stands still.
    pub fn wait_continued(&mut self) -> Result<(), NoAnswer> {
        let limit = self.limits.call;
        self.wait("stop for the debugger", limit, |connection| {
            (!connection.process.is_paused()).then_some(())
        })
    }

    pub fn type_on_console(&mut self, text: &[u8]) {
        let _ = self.process.console.write_all(text);
    }

    /// A stream that types on the console.
    pub fn console_input(&self) -> io::Result<UnixStream> {
        self.process.console.try_clone()
    }

    /// Waits for a line with this text, at or after line `from`.
    pub fn wait_line(&mut self, from: usize, text: &str) -> Result<(), NoAnswer> {
        let limit = self.limits.call;
        let shown = |connection: &mut Connection| connection.has_line(from, text).then_some(());
        self.wait(&format!("show \"{text}\" on its console"), limit, shown)
    }

    /// Waits for such a line at most this long; returns whether there is one.
    pub fn shows(&mut self, from: usize, text: &str, within: Duration) -> Result<bool, NoAnswer> {
        let end = self.now() + within;
        let shown = |connection: &mut Connection| match connection.has_line(from, text) {
            true => Some(true),
            false => (connection.now() >= end).then_some(false),
        };
        self.wait(&format!("show \"{text}\" on its console"), self.limits.call, shown)
    }

    fn has_line(&self, from: usize, text: &str) -> bool {
        let lines = self.console.lines().get(from..).unwrap_or_default();
        lines.iter().any(|line| line.text.contains(text))
    }

    /// Receives until the guest was quiet for that long, or until the limit.
    pub fn listen(&mut self, quiet: Duration, limit: Duration) {
        let end = self.now() + limit;
        while self.exited.is_none() && self.now() < end {
            match stopwatch::receive(&self.process.events, quiet) {
                Ok(Event::Agent(Message::Alive)) => return,
                Ok(event) => self.receive(event),
                Err(_) => return,
            }
        }
    }

    /// Waits for QEMU's exit; returns whether it exited.
    pub fn wait_exit(&mut self, limit: Duration) -> bool {
        let deadline = self.now() + limit;
        while self.exited.is_none() {
            let left = deadline.saturating_sub(self.now());
            match self.process.events.recv_timeout(left.min(Stopwatch::TICK)) {
                Ok(event) => self.receive(event),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return self.exited.is_some(),
            }
        }
        true
    }

    /// Kills QEMU from any thread.
    pub fn killer(&self) -> impl Fn() + Send + use<> {
        self.process.killer()
    }

    pub fn kill(&mut self) {
        self.process.kill();
        self.wait_exit(Duration::from_secs(10));
    }

    pub fn is_running(&self) -> bool {
        self.exited.is_none()
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn check(&self) -> Result<(), NoAnswer> {
        self.no_answer.clone().map_or(Ok(()), Err)
    }

    fn wait<T>(
        &mut self,
        doing: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Connection) -> Option<T>,
    ) -> Result<T, NoAnswer> {
        let doing = || doing.to_string();
        let start = self.now();
        let deadline = start.checked_add(limit);
        self.last_output = start;
        loop {
            if let Some(value) = done(self) {
                return Ok(value);
            }
            if let Some((status, stderr)) = &self.exited {
                let reason = self.exit_reason(*status, stderr);
                return self.fail(NoAnswer::Exited { doing: doing(), reason });
            }
            let now = self.now();
            let silence = self.limits.silence;
            if self.test_deadline.is_some_and(|deadline| now >= deadline) {
                let doing = format!("test limit reached during {}", doing());
                return self.fail(NoAnswer::TimedOut { doing, limit: self.limits.test });
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return self.fail(NoAnswer::TimedOut { doing: doing(), limit });
            }
            if now >= self.last_output + silence {
                return self.fail(NoAnswer::Silent { doing: doing(), limit: silence });
            }
            let ends = [deadline, self.test_deadline, Some(self.last_output + silence)];
            let until = ends.into_iter().flatten().min().unwrap_or(now);
            match self.process.events.recv_timeout((until - now).min(Stopwatch::TICK)) {
                Ok(Event::Garbled(e)) => {
                    return self
                        .fail(NoAnswer::Malformed { doing: doing(), reason: e.to_string() });
                }
                Ok(event) => self.receive(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let reason = "its thread here has ended".to_string();
                    return self.fail(NoAnswer::Exited { doing: doing(), reason });
                }
            }
        }
    }

    fn fail<T>(&mut self, reason: NoAnswer) -> Result<T, NoAnswer> {
        self.no_answer.get_or_insert(reason.clone());
        Err(reason)
    }

    fn receive(&mut self, event: Event) {
        // QMP events come from QEMU, and prove nothing about the guest.
        if let Event::Console(_) | Event::Agent(_) = event {
            self.last_output = self.now();
        }
        match event {
            Event::Console(bytes) => {
                let from = self.console.lines().len();
                self.console.feed(&bytes);
                if let Some(echo) = &mut self.echo {
                    echo(&bytes);
                }
                // QEMU runs on after the guest has halted.
                if self.console.lines()[from..].iter().any(|line| is_halt(&line.text)) {
                    self.end("halted");
                }
            }
            Event::Agent(Message::Hello(hello)) => self.hello = Some(hello),
            Event::Agent(Message::Alive) | Event::Garbled(_) => {}
            Event::Agent(Message::Reply { id, answer }) => {
                self.answers.insert(id, answer);
            }
            Event::Qmp(value) => self.receive_qmp(value),
            Event::Exited { status, stderr } => {
                self.console.end();
                self.exited = Some((status, stderr));
            }
        }
    }

    fn receive_qmp(&mut self, value: Json) {
        if let Some(id) = value["id"].as_u64() {
            self.qmp_answers.insert(id, value);
        } else if let Some(event) = value["event"].as_str() {
            let reason = value["data"]["reason"].as_str().unwrap_or_default();
            // A breakpoint may stop it a thousand times a second.
            if !(self.process.has_debugger() && matches!(event, "STOP" | "RESUME")) {
                self.console.note(&format!("QEMU: {event} {reason}"));
            }
            match (event, reason) {
                ("SHUTDOWN", "guest-shutdown") => self.ended = Some("powered off"),
                ("SHUTDOWN", "guest-reset") => self.ended = Some("rebooted"),
                ("SUSPEND" | "SUSPEND_DISK", _) if self.nothing_wakes => self.end("was suspended"),
                _ => {}
            }
        }
    }

    /// Kills QEMU, as the guest has ended in this way.
    fn end(&mut self, how: &'static str) {
        self.ended = Some(how);
        self.process.kill();
    }

    fn exit_reason(&self, status: ExitStatus, stderr: &str) -> String {
        let lines = self.console.lines().iter().rev();
        let splats: Vec<_> =
            lines.filter_map(|line| Some((splat::in_line(&line.text)?, line))).collect();
        let panic = splats.iter().find(|(kind, _)| *kind == "panic");
        let cause = panic.or(splats.first()).map(|(_, line)| line);
        match (cause, self.ended, stderr.trim()) {
            (Some(line), ..) => without_stamp(&line.text).to_string(),
            (None, Some(ended), _) => format!("the guest {ended}"),
            (None, None, "") => format!("QEMU: {status}"),
            (None, None, stderr) => format!("QEMU: {status}: {stderr}"),
        }
    }
}

/// The kernel's last line when it halts.
pub const HALTED: &str = "reboot: System halted";

/// A program may print the same text, but without a time stamp.
fn is_halt(line: &str) -> bool {
    line.starts_with('[') && without_stamp(line) == HALTED
}

#[cfg(test)]
mod tests {
    use super::super::process::Pauses;
    use super::*;
    use crate::machine::qemu::Sockets;
    use nix::sys::signal::{Signal, kill};
    use std::fs::File;
    use std::thread;
    use std::time::Instant;
    use wire::Value;

    /// A shell in QEMU's place; `$AGENT` and `$CONSOLE` are its ends of the sockets.
    fn stand_in(script: &str) -> Connection {
        stand_in_with(script, Pauses::OfHost)
    }

    fn stand_in_with(script: &str, pauses: Pauses) -> Connection {
        let initrd = File::open("/dev/null").unwrap().into();
        let process = Process::start("bash", &initrd, pauses, |sockets| {
            let Sockets { agent, console, qmp, .. } = sockets;
            let ends = format!("AGENT={agent} CONSOLE={console} QMP={qmp}; ");
            vec!["-c".into(), format!("{ends}{script}")]
        });
        Connection::new(process.unwrap(), LONG)
    }

    /// Limits that only end a hang: a busy machine takes long to start a shell.
    const LONG: Limits = {
        let minute = Duration::from_secs(60);
        Limits { boot: minute, call: minute, silence: minute, test: minute }
    };

    fn wait_until(what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < LONG.call, "timed out: {what}");
            thread::yield_now();
        }
    }

    /// `Message::Alive`, as the agent sends it every so often.
    const ALIVE: &str = r"printf '\1\0\0\0\1' >&$AGENT";

    #[test]
    fn an_exit_of_qemu_is_reported() {
        let mut connection = stand_in("echo no such machine >&2; exit 3");
        let Err(NoAnswer::Exited { reason, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert!(
            reason.contains("exit status: 3") && reason.contains("no such machine"),
            "{reason}"
        );
        assert!(!connection.is_running());
    }

    #[test]
    fn a_kill_of_qemu_is_reported() {
        let mut connection = stand_in("kill -9 $$");
        let Err(NoAnswer::Exited { reason, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert!(reason.contains("SIGKILL"), "{reason}");
    }

    #[test]
    fn the_reason_is_the_panic() {
        let log = "Kernel panic - not syncing: test\\nCall Trace:\\n";
        let mut connection = stand_in(&format!("printf '{log}' >&$CONSOLE"));
        let Err(NoAnswer::Exited { reason, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert_eq!(reason, "Kernel panic - not syncing: test");
    }

    #[test]
    fn no_sign_of_life_is_silence() {
        let mut connection = stand_in("exec sleep 60");
        connection.limits.silence = Duration::from_millis(300);
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(NoAnswer::Silent { .. })), "{got:?}");
        // Later calls fail at once: they do not wait for their own limit.
        connection.limits.silence = Duration::from_secs(1);
        assert_eq!(connection.call(Call::Kmsg), got);
    }

    #[test]
    fn a_heartbeat_without_an_answer_times_out() {
        let mut connection = stand_in(&format!("while {ALIVE}; do sleep 0.1; done"));
        // As long as the other tests that wait.
        connection.limits.silence = Duration::from_secs(4);
        connection.limits.call = Duration::from_secs(5);
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(NoAnswer::TimedOut { .. })), "{got:?}");
    }

    #[test]
    fn listening_to_a_guest_that_is_never_quiet_ends() {
        let mut connection = stand_in("while echo line >&$CONSOLE; do :; done");
        let start = Instant::now();
        connection.listen(Duration::from_secs(1), Duration::from_millis(300));
        assert!(
            start.elapsed() < Duration::from_secs(30) && !connection.console.lines().is_empty()
        );
    }

    #[test]
    fn an_invalid_frame_is_reported() {
        let mut connection = stand_in("printf 'not a frame' >&$AGENT; exec sleep 60");
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(NoAnswer::Malformed { .. })), "{got:?}");
    }

    #[test]
    fn a_test_has_to_end_in_time() {
        let mut connection = stand_in(&format!("while {ALIVE}; do sleep 0.1; done"));
        connection.test_deadline = Some(connection.now() + Duration::from_millis(300));
        let Err(NoAnswer::TimedOut { doing, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert!(doing.contains("test limit"), "{doing}");
    }

    /// Stops QEMU for longer than all limits, and continues it.
    #[test]
    fn no_limit_counts_the_time_of_a_stopped_qemu() {
        // A reply without a value to the request with id 1.
        let mut connection =
            stand_in(r"sleep 0.1; printf '\4\0\0\0\2\1\0\0' >&$AGENT; exec sleep 60");
        let (limit, stop) = (Duration::from_secs(3), Duration::from_secs(5));
        connection.limits = Limits { boot: limit, call: limit, silence: limit, test: limit };
        connection.test_deadline = Some(connection.now() + limit);
        let pid = connection.process.id().unwrap();
        kill(pid, Signal::SIGSTOP).unwrap();
        let continued = thread::spawn(move || {
            thread::sleep(stop);
            kill(pid, Signal::SIGCONT).unwrap();
        });
        assert_eq!(connection.call(Call::Kmsg), Ok(Ok(Value::Unit)));
        continued.join().unwrap();
    }

    /// A debugger stops the guest for longer than all limits.
    const STOPPED: &str = r#"
        echo '{"event": "STOP"}' >&$QMP
        sleep 5
        echo '{"event": "RESUME"}' >&$QMP
        printf '\4\0\0\0\2\1\0\0' >&$AGENT
        exec sleep 60"#;

    #[test]
    fn no_limit_counts_the_time_in_a_debugger() {
        let mut connection = stand_in_with(STOPPED, Pauses::OfDebugger);
        wait_until("the debugger's stop", || connection.process.is_paused());
        let limit = Duration::from_secs(3);
        connection.limits = Limits { boot: limit, call: limit, silence: limit, test: limit };
        connection.test_deadline = Some(connection.now() + limit);
        assert_eq!(connection.call(Call::Kmsg), Ok(Ok(Value::Unit)));
        // Without a debugger, a stopped guest hangs.
        let mut connection = stand_in(STOPPED);
        connection.limits.silence = Duration::from_millis(300);
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(NoAnswer::Silent { .. })), "{got:?}");
    }

    #[test]
    fn no_limit_counts_the_wait_for_a_cpu() {
        if !std::path::Path::new("/proc/self/schedstat").exists() {
            return;
        }
        let others = 2 * thread::available_parallelism().unwrap().get();
        // They end with the shell.
        let other = "while kill -0 $$; do :; done 2>/dev/null &";
        let script =
            format!("for ((i = 0; i < {others}; i++)); do {other} done; while :; do :; done");
        let connection = stand_in(&script);
        let begun = connection.now();
        let second = Duration::from_secs(1);
        wait_until("a wait for a CPU", || connection.now() + second < connection.time());
        assert!(connection.now() > begun, "the clock stands still");
    }

    #[test]
    fn a_guest_that_halts_has_ended() {
        let script = "printf '[    1.000000] reboot: System halted\\n' >&$CONSOLE; exec sleep 60";
        let mut connection = stand_in(script);
        let Err(NoAnswer::Exited { reason, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert_eq!(reason, "the guest halted");
        assert!(!connection.is_running());
        assert!(!is_halt("reboot: System halted"));
    }

    #[test]
    fn a_dropped_connection_leaves_no_process() {
        let connection = stand_in("exec sleep 60");
        let pid = connection.process.id().unwrap();
        let stat = format!("/proc/{pid}/stat");
        assert!(std::path::Path::new(&stat).exists());
        drop(connection);
        wait_until("the end of the process", || !std::path::Path::new(&stat).exists());
    }
}
