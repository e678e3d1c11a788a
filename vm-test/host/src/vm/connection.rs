// SPDX-License-Identifier: GPL-2.0

//! The runner's end of one QEMU: what was heard, what is waited for, and for how long.

use super::console::Console;
use super::process::{Event, Process};
use crate::errors::Trouble;
use crate::kernel_log::{splat, without_stamp};
use crate::machine::kernel::BuiltWith;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use wire::stopwatch::{Stopwatch, receive};
use wire::{Answer, Call, Hello, Message, Request, frame};

/// How long things may take, by [`Connection::now`]. Every wait has one of these.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From the start to the agent's first word.
    pub boot: Duration,
    /// One call, above what it asks for itself.
    pub call: Duration,
    /// No sign of life at all. Longer than the kernel's own lockup detectors need.
    pub silence: Duration,
    /// One test, all that it does.
    pub test: Duration,
}

impl Limits {
    /// For a machine that boots in [`Limits::USUAL_BOOT`].
    pub const BASE: Limits = Limits {
        boot: Duration::from_secs(90),
        call: Duration::from_secs(25),
        silence: Duration::from_secs(30),
        test: Duration::from_secs(60),
    };

    pub const USUAL_BOOT: Duration = Duration::from_secs(6);

    /// So many CPUs more take another `boot`.
    const CPUS_PER_BOOT: u32 = 32;

    /// For a boot of this kernel with so many CPUs, which it brings up one after the other. The rest is measured by that.
    pub fn of(built_with: &BuiltWith, cpus: u32) -> Limits {
        let factor = 1 + cpus / Self::CPUS_PER_BOOT;
        Limits {
            boot: Self::BASE.boot * built_with.slowness() * factor,
            silence: Self::BASE.silence * factor,
            ..Self::BASE
        }
    }

    /// Not for the boot.
    pub fn at_most(self, limit: Option<Duration>) -> Limits {
        let limit = limit.unwrap_or(Duration::MAX);
        Limits {
            boot: self.boot,
            call: self.call.min(limit),
            silence: self.silence.min(limit),
            test: self.test.min(limit),
        }
    }

    /// For a machine that took so long to boot; a fast one gets no less than the usual time.
    pub fn measured(self, boot: Duration) -> Limits {
        let factor = (boot.as_secs_f64() / Self::USUAL_BOOT.as_secs_f64()).clamp(1.0, 20.0);
        Limits {
            boot: self.boot,
            call: self.call.mul_f64(factor),
            silence: self.silence.mul_f64(factor),
            test: self.test.mul_f64(factor),
        }
    }
}

pub type Echo = Box<dyn FnMut(&[u8]) + Send>;

pub struct Connection {
    process: Process,
    pub console: Console,
    pub limits: Limits,
    /// Gets the bytes of the console as they come.
    pub echo: Option<Echo>,
    hello: Option<Hello>,
    answers: BTreeMap<u32, Answer>,
    qmp_answers: BTreeMap<u64, Json>,
    next_id: u32,
    last_sign: Duration,
    exited: Option<(ExitStatus, String)>,
    /// When the present test has to be done, by [`Connection::now`].
    pub test_deadline: Option<Duration>,
    /// Why there is no more talking to this VM.
    pub trouble: Option<Trouble>,
    /// How the guest ended, if it ended by itself.
    pub ended: Option<&'static str>,
    /// A guest that suspends itself has ended: nothing would wake it.
    pub nothing_wakes: bool,
}

impl Connection {
    pub fn new(process: Process, limits: Limits) -> Connection {
        Connection {
            last_sign: process.now(),
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
            trouble: None,
            ended: None,
            nothing_wakes: false,
        }
    }

    /// The clock of this VM's limits. Stands still while the runner or QEMU is stopped.
    pub fn now(&self) -> Duration {
        self.process.now()
    }

    pub fn wait_hello(&mut self) -> Result<Hello, Trouble> {
        let limit = self.limits.boot;
        self.wait("boot", limit, |connection| connection.hello.take())
    }

    pub fn call(&mut self, call: Call) -> Result<Answer, Trouble> {
        self.check()?;
        let doing = call.to_string();
        let limit = self.limits.call.saturating_add(call.asked_time());
        // A VM that does not take it is dead or hangs, and the wait will find out which.
        let id = self.post(call);
        self.wait_answer(id, &doing, limit)
    }

    /// Does not wait, nor mind if nobody is there. What to wait for, if one does.
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
    ) -> Result<Answer, Trouble> {
        self.wait(doing, limit, |connection| connection.answers.remove(&id))
    }

    /// A command to QEMU itself.
    pub fn qmp(&mut self, command: &str, arguments: Json) -> Result<Json, Trouble> {
        let id = u64::from(self.id());
        let mut request = json!({ "execute": command, "id": id });
        if !arguments.is_null() {
            request["arguments"] = arguments;
        }
        let _ = writeln!(self.process.qmp, "{request}");
        let limit = self.limits.call;
        self.wait(&format!("QMP {command}"), limit, |connection| connection.qmp_answers.remove(&id))
    }

    pub fn type_on_console(&mut self, text: &[u8]) {
        let _ = self.process.console.write_all(text);
    }

    /// For a keyboard: writing to it types on the console.
    pub fn console_input(&self) -> io::Result<UnixStream> {
        self.process.console.try_clone()
    }

    /// Until the console has shown such a line at or after line `from`.
    pub fn wait_line(&mut self, from: usize, text: &str) -> Result<(), Trouble> {
        let limit = self.limits.call;
        let shown = |connection: &mut Connection| {
            let lines = connection.console.lines().get(from..).unwrap_or_default();
            lines.iter().any(|line| line.text.contains(text)).then_some(())
        };
        self.wait(&format!("show \"{text}\" on its console"), limit, shown)
    }

    /// Hears the guest until it was quiet for so long, or until the limit.
    pub fn listen(&mut self, quiet: Duration, limit: Duration) {
        let end = self.now() + limit;
        while self.exited.is_none() && self.now() < end {
            match receive(&self.process.events, quiet) {
                Ok(Event::Agent(Message::Alive)) => return,
                Ok(event) => self.hear(event),
                Err(_) => return,
            }
        }
    }

    /// Until QEMU has ended.
    pub fn wait_exit(&mut self, limit: Duration) -> bool {
        let deadline = self.now() + limit;
        while self.exited.is_none() {
            let left = deadline.saturating_sub(self.now());
            match self.process.events.recv_timeout(left.min(Stopwatch::TICK)) {
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => return self.exited.is_some(),
            }
        }
        true
    }

    /// Ends QEMU from any thread.
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

    fn check(&self) -> Result<(), Trouble> {
        self.trouble.clone().map_or(Ok(()), Err)
    }

    fn wait<T>(
        &mut self,
        doing: &str,
        limit: Duration,
        mut done: impl FnMut(&mut Connection) -> Option<T>,
    ) -> Result<T, Trouble> {
        let doing = || doing.to_string();
        let start = self.now();
        let deadline = start.checked_add(limit);
        self.last_sign = start;
        loop {
            if let Some(value) = done(self) {
                return Ok(value);
            }
            if let Some((status, stderr)) = &self.exited {
                let how = self.how_it_died(*status, stderr);
                return self.fail(Trouble::Died { doing: doing(), how });
            }
            let now = self.now();
            let silence = self.limits.silence;
            if self.test_deadline.is_some_and(|deadline| now >= deadline) {
                let doing = format!("{doing} (and end the test)", doing = doing());
                return self.fail(Trouble::TookTooLong { doing, limit: self.limits.test });
            }
            if deadline.is_some_and(|deadline| now >= deadline) {
                return self.fail(Trouble::TookTooLong { doing: doing(), limit });
            }
            if now >= self.last_sign + silence {
                return self.fail(Trouble::Silent { doing: doing(), limit: silence });
            }
            let ends = [deadline, self.test_deadline, Some(self.last_sign + silence)];
            let until = ends.into_iter().flatten().min().unwrap_or(now);
            match self.process.events.recv_timeout((until - now).min(Stopwatch::TICK)) {
                Ok(Event::Garbled(e)) => {
                    return self.fail(Trouble::Garbled { doing: doing(), what: e.to_string() });
                }
                Ok(event) => self.hear(event),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let how = "the runner lost it".to_string();
                    return self.fail(Trouble::Died { doing: doing(), how });
                }
            }
        }
    }

    fn fail<T>(&mut self, trouble: Trouble) -> Result<T, Trouble> {
        self.trouble.get_or_insert(trouble.clone());
        Err(trouble)
    }

    fn hear(&mut self, event: Event) {
        // What QEMU says of itself is no sign of life of the guest.
        if let Event::Console(_) | Event::Agent(_) = event {
            self.last_sign = self.now();
        }
        match event {
            Event::Console(bytes) => {
                let from = self.console.lines().len();
                self.console.feed(&bytes);
                if let Some(echo) = &mut self.echo {
                    echo(&bytes);
                }
                // QEMU goes on with a guest that has halted.
                if self.console.lines()[from..].iter().any(|line| is_halt(&line.text)) {
                    self.end("halted");
                }
            }
            Event::Agent(Message::Hello(hello)) => self.hello = Some(hello),
            Event::Agent(Message::Alive) | Event::Garbled(_) => {}
            Event::Agent(Message::Reply { id, answer }) => {
                self.answers.insert(id, answer);
            }
            Event::Qmp(value) => self.hear_qmp(value),
            Event::Exited { status, stderr } => {
                self.console.end();
                self.exited = Some((status, stderr));
            }
        }
    }

    fn hear_qmp(&mut self, value: Json) {
        if let Some(id) = value["id"].as_u64() {
            self.qmp_answers.insert(id, value);
        } else if let Some(event) = value["event"].as_str() {
            let reason = value["data"]["reason"].as_str().unwrap_or_default();
            self.console.note(&format!("QEMU: {event} {reason}"));
            match (event, reason) {
                ("SHUTDOWN", "guest-shutdown") => self.ended = Some("powered off"),
                ("SHUTDOWN", "guest-reset") => self.ended = Some("rebooted"),
                ("SUSPEND" | "SUSPEND_DISK", _) if self.nothing_wakes => self.end("was suspended"),
                _ => {}
            }
        }
    }

    /// Ends QEMU: the guest did `how`, and does nothing more.
    fn end(&mut self, how: &'static str) {
        self.ended = Some(how);
        self.process.kill();
    }

    fn how_it_died(&self, status: ExitStatus, stderr: &str) -> String {
        let lines = self.console.lines().iter().rev();
        let splats: Vec<_> =
            lines.filter_map(|line| Some((splat::in_line(&line.text)?, line))).collect();
        let panic = splats.iter().find(|(kind, _)| *kind == "panic");
        let last_words = panic.or(splats.first()).map(|(_, line)| line);
        match (last_words, self.ended, stderr.trim()) {
            (Some(line), ..) => without_stamp(&line.text).to_string(),
            (None, Some(ended), _) => format!("the guest {ended}"),
            (None, None, "") => format!("QEMU: {status}"),
            (None, None, stderr) => format!("QEMU: {status}: {stderr}"),
        }
    }
}

/// The last line of a kernel that halts.
pub const HALTED: &str = "reboot: System halted";

/// The kernel's last line when it halts. What a program prints has no time stamp.
fn is_halt(line: &str) -> bool {
    line.starts_with('[') && without_stamp(line) == HALTED
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use std::fs::File;
    use std::thread;
    use std::time::Instant;
    use wire::Value;

    #[test]
    fn the_limit_of_a_boot_follows_the_cpus() {
        let of = |cpus| Limits::of(&BuiltWith::default(), cpus).boot;
        assert_eq!(of(4), Limits::BASE.boot);
        assert_eq!(of(128), Limits::BASE.boot * 5);
    }

    #[test]
    fn limits_follow_the_measured_boot() {
        let base = Limits::BASE;
        assert_eq!(base.measured(Limits::USUAL_BOOT / 3).call, base.call);
        assert_eq!(base.measured(Limits::USUAL_BOOT * 3).call, base.call * 3);
        assert_eq!(base.measured(Limits::USUAL_BOOT * 3).silence, base.silence * 3);
        assert_eq!(base.measured(Limits::USUAL_BOOT * 1000).call, base.call * 20);
    }

    /// A shell in QEMU's place; `$AGENT` and `$CONSOLE` are its ends of the wires.
    fn stand_in(script: &str) -> Connection {
        let initrd = File::open("/dev/null").unwrap().into();
        let process = Process::start("bash", &initrd, |wires| {
            let ends = format!("AGENT={} CONSOLE={}; ", wires.agent, wires.console);
            vec!["-c".into(), format!("{ends}{script}")]
        });
        let second = Duration::from_secs(1);
        let limits = Limits { boot: second, call: second, silence: second / 2, test: second };
        Connection::new(process.unwrap(), limits)
    }

    /// `Message::Alive`, as the agent sends it every so often.
    const ALIVE: &str = r"printf '\1\0\0\0\1' >&$AGENT";

    #[test]
    fn a_qemu_that_ends_has_died() {
        let mut connection = stand_in("echo no such machine >&2; exit 3");
        let Err(Trouble::Died { how, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert!(how.contains("exit status: 3") && how.contains("no such machine"), "{how}");
        assert!(!connection.is_running());
    }

    #[test]
    fn a_qemu_that_is_killed_has_died() {
        let mut connection = stand_in("kill -9 $$");
        let Err(Trouble::Died { how, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert!(how.contains("SIGKILL"), "{how}");
    }

    #[test]
    fn last_words_are_the_panic() {
        let log = "Kernel panic - not syncing: test\\nCall Trace:\\n";
        let mut connection = stand_in(&format!("printf '{log}' >&$CONSOLE"));
        let Err(Trouble::Died { how, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert_eq!(how, "Kernel panic - not syncing: test");
    }

    #[test]
    fn no_sign_of_life_is_silence() {
        let mut connection = stand_in("exec sleep 60");
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(Trouble::Silent { .. })), "{got:?}");
        // From then on nobody has to wait.
        let start = Instant::now();
        assert_eq!(connection.call(Call::Kmsg), got);
        assert!(start.elapsed() < Duration::from_millis(100));
    }

    #[test]
    fn life_without_an_answer_takes_too_long() {
        let mut connection = stand_in(&format!("while {ALIVE}; do sleep 0.1; done"));
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(Trouble::TookTooLong { .. })), "{got:?}");
    }

    #[test]
    fn a_guest_that_is_never_quiet_is_not_heard_for_ever() {
        let mut connection = stand_in("while echo line >&$CONSOLE; do :; done");
        let start = Instant::now();
        connection.listen(Duration::from_secs(1), Duration::from_millis(300));
        assert!(
            start.elapsed() < Duration::from_secs(30) && !connection.console.lines().is_empty()
        );
    }

    #[test]
    fn a_frame_of_nonsense_is_garbled() {
        let mut connection = stand_in("printf 'nonsense' >&$AGENT; exec sleep 60");
        let got = connection.call(Call::Kmsg);
        assert!(matches!(got, Err(Trouble::Garbled { .. })), "{got:?}");
    }

    #[test]
    fn a_test_has_to_end_in_time() {
        let mut connection = stand_in(&format!("while {ALIVE}; do sleep 0.1; done"));
        connection.limits.call = Duration::from_secs(60);
        connection.test_deadline = Some(connection.now() + Duration::from_millis(300));
        let Err(Trouble::TookTooLong { doing, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert!(doing.contains("end the test"), "{doing}");
    }

    /// Stops QEMU for longer than all limits, and lets it go on.
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
        let going_on = thread::spawn(move || {
            thread::sleep(stop);
            kill(pid, Signal::SIGCONT).unwrap();
        });
        assert_eq!(connection.call(Call::Kmsg), Ok(Ok(Value::Unit)));
        going_on.join().unwrap();
    }

    #[test]
    fn a_guest_that_halts_has_ended() {
        let script = "printf '[    1.000000] reboot: System halted\\n' >&$CONSOLE; exec sleep 60";
        let mut connection = stand_in(script);
        let Err(Trouble::Died { how, .. }) = connection.call(Call::Kmsg) else { panic!() };
        assert_eq!(how, "the guest halted");
        assert!(!connection.is_running());
        assert!(!is_halt("reboot: System halted"));
    }

    #[test]
    fn nothing_is_left_of_a_link_that_is_dropped() {
        let connection = stand_in("exec sleep 60");
        let pid = connection.process.id().unwrap();
        let stat = format!("/proc/{pid}/stat");
        assert!(std::path::Path::new(&stat).exists());
        drop(connection);
        let start = Instant::now();
        while std::path::Path::new(&stat).exists() {
            assert!(start.elapsed() < Duration::from_secs(5), "{pid} is still there");
            std::thread::yield_now();
        }
    }
}
