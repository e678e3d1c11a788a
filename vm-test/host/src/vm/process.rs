// SPDX-License-Identifier: GPL-2.0

//! QEMU as a process: starts it, passes on its output, and never leaves it behind.

use crate::clock;
use crate::machine::qemu::Sockets;
use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::{Pid, getppid};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use wire::stopwatch::Stopwatch;
use wire::{Message, frame};

/// Output of QEMU, in order of arrival.
pub enum Event {
    Console(Vec<u8>),
    Agent(Message),
    /// An invalid frame.
    Garbled(io::Error),
    Qmp(serde_json::Value),
    /// The last event; all output precedes it.
    Exited {
        status: ExitStatus,
        stderr: String,
    },
}

pub struct Process {
    pid: Running,
    pauses: Pauses,
    stops: Stops,
    delay: Mutex<Delay>,
    pub events: Receiver<Event>,
    pub console: UnixStream,
    pub qmp: UnixStream,
    pub agent: UnixStream,
}

/// The process id, while it is certainly QEMU's.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<Option<Pid>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one that pauses the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pauses {
    /// This program, by QMP. Their time counts, as in a hang.
    OfHost,
    /// A debugger. Their time does not count.
    OfDebugger,
}

/// Time during which QEMU was stopped by a signal, or the guest by a debugger.
#[derive(Clone, Default)]
struct Stops(Arc<Mutex<Stopped>>);

#[derive(Default)]
struct Stopped {
    earlier: Duration,
    since: Option<Duration>,
    by_signal: bool,
    by_debugger: bool,
}

impl Stops {
    fn lock(&self) -> MutexGuard<'_, Stopped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Stopped)) {
        let mut stopped = self.lock();
        change(&mut stopped);
        if stopped.by_signal || stopped.by_debugger {
            stopped.since.get_or_insert_with(clock::now);
        } else if let Some(since) = stopped.since.take() {
            stopped.earlier += clock::now() - since;
        }
    }

    fn total(&self) -> Duration {
        let stopped = self.lock();
        stopped.earlier + stopped.since.map_or(Duration::ZERO, |since| clock::now() - since)
    }
}

/// Time during which QEMU could not run, because other programs had the host's CPUs.
#[derive(Default)]
struct Delay {
    total: Duration,
    /// When that was read, by [`clock::now`].
    read: Duration,
    /// The result of the last [`Process::now`], which never decreases.
    last: Duration,
}

/// Returns how long QEMU has waited for a CPU: its main thread, and of the others the one that
/// waited longest. The CPUs of the guest wait for the main thread, too.
fn cpu_delay(id: Pid) -> Duration {
    let (mut main, mut longest) = (0, 0);
    for task in fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
        // Time on a CPU, time of waiting for one, in ns, and the number of times. Kernels without
        // CONFIG_SCHED_INFO have no such file.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let waited = text.split(' ').nth(1).and_then(|ns| ns.parse().ok()).unwrap_or_default();
        match task.file_name() == *id.to_string() {
            true => main = waited,
            false => longest = waited.max(longest),
        }
    }
    Duration::from_nanos(main + longest)
}

/// The QMP sockets of all QEMUs that run.
static QMP: Mutex<Vec<(Pid, UnixStream)>> = Mutex::new(Vec::new());

fn qmp_sockets() -> MutexGuard<'static, Vec<(Pid, UnixStream)>> {
    QMP.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends a QMP command to all QEMUs. Nothing waits for the answers.
pub fn qmp_to_all(command: &str) {
    for (_, socket) in qmp_sockets().iter_mut() {
        // In one write: it must not end up inside another command.
        let _ = socket.write_all(format!("{{\"execute\": \"{command}\"}}\n").as_bytes());
    }
}

impl Process {
    pub fn start(
        program: &str,
        initrd: &OwnedFd,
        pauses: Pauses,
        arguments: impl FnOnce(&Sockets) -> Vec<String>,
    ) -> Result<Process> {
        let (console, console_end) = UnixStream::pair()?;
        let (qmp, qmp_end) = UnixStream::pair()?;
        let (agent, agent_end) = UnixStream::pair()?;
        let sockets = Sockets {
            initrd: initrd.as_raw_fd(),
            console: console_end.as_raw_fd(),
            qmp: qmp_end.as_raw_fd(),
            agent: agent_end.as_raw_fd(),
        };
        let mut command = Command::new(program);
        command
            .args(arguments(&sockets))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C must reach this program only.
            .process_group(0);
        inherit(&mut command, vec![sockets.initrd, sockets.console, sockets.qmp, sockets.agent]);

        let (sender, events) = mpsc::channel();
        let readers = Readers {
            console: console.try_clone()?,
            qmp: qmp.try_clone()?,
            agent: agent.try_clone()?,
        };
        let (pid, stops) = (Running::default(), Stops::default());
        let theirs = [console_end, qmp_end, agent_end];
        let (started, wait_started) = mpsc::channel();
        thread::spawn({
            let (pid, stops) = (pid.clone(), stops.clone());
            move || supervise(command, theirs, readers, (pid, pauses, stops), started, sender)
        });
        wait_started.recv()?.with_context(|| format!("cannot start {program}"))?;
        let delay = Mutex::default();
        Ok(Process { pid, pauses, stops, delay, events, console, qmp, agent })
    }

    /// The time without that while QEMU is stopped by a signal, or the guest by a debugger.
    pub fn time(&self) -> Duration {
        clock::now() - self.stops.total()
    }

    /// The clock of limits: [`Process::time`] without that while QEMU waits for a CPU. A busy host
    /// slows the guest down, and a limit is there to find a guest that hangs. At least a tenth of
    /// the time counts, so that each limit ends.
    pub fn now(&self) -> Duration {
        let mut delay = self.delay.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::now();
        if now >= delay.read + Stopwatch::TICK {
            let most = (now - delay.read) * 9 / 10;
            let waited = (*self.pid.lock()).map_or(Duration::ZERO, cpu_delay);
            let more = waited.saturating_sub(delay.total).min(most);
            delay.total += more;
            delay.read = now;
        }
        delay.last = delay.last.max(self.time().saturating_sub(delay.total));
        delay.last
    }

    /// Whether a debugger may attach.
    pub fn has_debugger(&self) -> bool {
        self.pauses == Pauses::OfDebugger
    }

    /// Whether the guest is stopped for the debugger.
    pub fn is_paused(&self) -> bool {
        self.stops.lock().by_debugger
    }

    #[cfg(test)]
    pub fn id(&self) -> Option<Pid> {
        *self.pid.lock()
    }

    pub fn kill(&self) {
        self.killer()();
    }

    /// Kills QEMU from any thread.
    pub fn killer(&self) -> impl Fn() + Send + use<> {
        let pid = self.pid.clone();
        move || {
            if let Some(pid) = *pid.lock() {
                // It may have exited already; `supervise` reports that.
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Lets the child inherit these files, and kills it when this program ends, even by a signal.
fn inherit(command: &mut Command, files: Vec<RawFd>) {
    let parent = nix::unistd::getpid();
    let prepare = move || {
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if getppid() != parent {
            return Err(io::Error::other("the parent has exited"));
        }
        for fd in &files {
            // SAFETY: `Process::start` and its caller keep the files open until the child runs.
            let fd = unsafe { BorrowedFd::borrow_raw(*fd) };
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty()))?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec this makes system calls only; nothing allocates or locks.
    unsafe { command.pre_exec(prepare) };
}

struct Readers {
    console: UnixStream,
    qmp: UnixStream,
    agent: UnixStream,
}

/// Starts one QEMU and waits for its exit, in a thread of its own: the parent death signal is sent
/// when the thread ends that started the child.
fn supervise(
    mut command: Command,
    their_ends: [UnixStream; 3],
    readers: Readers,
    (pid, pauses, stops): (Running, Pauses, Stops),
    started: Sender<io::Result<()>>,
    events: Sender<Event>,
) {
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(e) => {
            let _ = started.send(Err(e));
            return;
        }
    };
    drop(their_ends); // so that the readers see the end of file when QEMU ends
    let id = Pid::from_raw(child.id() as i32);
    *pid.lock() = Some(id);
    let _ = started.send(Ok(()));

    // A guest that a debugger has stopped is the debugger's to continue.
    match readers.qmp.try_clone() {
        Ok(socket) if pauses == Pauses::OfHost => qmp_sockets().push((id, socket)),
        _ => {}
    }
    let stderr = child.stderr.take();
    let stderr = thread::spawn(move || {
        let mut text = String::new();
        if let Some(mut stderr) = stderr {
            let _ = stderr.read_to_string(&mut text);
        }
        text
    });
    let (console, qmp, agent) = (events.clone(), events.clone(), events.clone());
    let threads = [
        thread::spawn(move || read_console(readers.console, console)),
        thread::spawn({
            let stops = (pauses == Pauses::OfDebugger).then(|| stops.clone());
            move || read_qmp(readers.qmp, stops, qmp)
        }),
        thread::spawn(move || read_agent(readers.agent, agent)),
    ];
    wait_exited(id, &stops);
    qmp_sockets().retain(|(pid, _)| *pid != id);
    let status = reap(&mut child, &pid);
    for thread in threads {
        let _ = thread.join();
    }
    let stderr = stderr.join().unwrap_or_default();
    if let Ok(status) = status {
        let _ = events.send(Event::Exited { status, stderr });
    }
}

/// Waits until the child has exited, and leaves it a zombie. Measures how long it was stopped.
fn wait_exited(id: Pid, stops: &Stops) {
    let stop = WaitPidFlag::WSTOPPED | WaitPidFlag::WCONTINUED;
    loop {
        match waitid(Id::Pid(id), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | stop) {
            Ok(WaitStatus::Stopped(..) | WaitStatus::Continued(_)) | Err(Errno::EINTR) => {}
            _ => return,
        }
        match waitid(Id::Pid(id), WaitPidFlag::WNOHANG | stop) {
            Ok(WaitStatus::Stopped(..)) => stops.change(|stopped| stopped.by_signal = true),
            Ok(WaitStatus::Continued(_)) => stops.change(|stopped| stopped.by_signal = false),
            _ => {}
        }
    }
}

/// Forgets the process id before the kernel can give it to another process.
fn reap(child: &mut Child, pid: &Running) -> io::Result<ExitStatus> {
    *pid.lock() = None;
    child.wait()
}

// The readers end with QEMU, or when the receiver is dropped.

fn read_console(mut from: UnixStream, to: Sender<Event>) {
    let mut buffer = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        if to.send(Event::Console(buffer[..n].to_vec())).is_err() {
            return;
        }
    }
}

/// Passes the events on, and applies those of a debugger at once.
fn read_qmp(from: UnixStream, of_debugger: Option<Stops>, to: Sender<Event>) {
    for line in BufReader::new(from).lines().map_while(Result::ok) {
        let event = match serde_json::from_str::<serde_json::Value>(&line) {
            Ok(value) => {
                if let Some(stops) = &of_debugger {
                    match value["event"].as_str() {
                        Some("STOP") => stops.change(|stopped| stopped.by_debugger = true),
                        Some("RESUME") => stops.change(|stopped| stopped.by_debugger = false),
                        _ => {}
                    }
                }
                Event::Qmp(value)
            }
            Err(e) => Event::Garbled(e.into()),
        };
        if to.send(event).is_err() {
            return;
        }
    }
}

fn read_agent(from: UnixStream, to: Sender<Event>) {
    let mut from = BufReader::new(from);
    loop {
        let event = match frame::receive(&mut from) {
            Ok(message) => Event::Agent(message),
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Event::Garbled(e),
            Err(_) => return,
        };
        let garbled = matches!(event, Event::Garbled(_));
        if to.send(event).is_err() || garbled {
            return;
        }
    }
}
