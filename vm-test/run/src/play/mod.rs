// SPDX-License-Identifier: GPL-2.0

//! `run play`: a VM to play with, on this terminal.

mod lanes;
mod look;
mod overlays;
mod screen;
mod shell;
#[cfg(test)]
mod tests;
mod tour;
mod view;

use ::tour::{Action, Guide, Machine};
use anyhow::{Result, bail};
use cli::{Options, exit, note, output, progress, say, terminal};
use console::{Term, style};
use host::clock;
use live::{Session, State, Status};
use look::Look;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use ratatui::{Terminal, TerminalOptions, Viewport};
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use view::{Request, View};

/// Time between two frames.
const FRAME: Duration = Duration::from_millis(33);

/// Whether a tour runs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Free,
    /// With this pause after each step.
    Tour(Duration),
}

/// Whether the view can be drawn here.
pub fn is_possible() -> bool {
    let out = Term::stdout();
    // A serial line may have no size.
    io::stdin().is_terminal() && out.size_checked().is_some() && !terminal::is_dumb()
}

pub fn run(options: &Options, mode: Mode) -> Result<ExitCode> {
    if !is_possible() {
        bail!("this is no terminal that can be drawn on; `make demo` prints lines");
    }
    let machine = options.machine()?;
    say!("{}", style(machine.banner()).dim());
    let config = options.config(&machine)?;
    let vm = progress::boot(&machine, &config)?;
    let (name, title) = match mode {
        Mode::Free => ("play", "A session by hand"),
        Mode::Tour(_) => ("demo", "A guided tour"),
    };
    let about = demo_module::about(&vm, title);
    let session = Session::start(vm, about, name)?;

    let look = Look {
        ascii: output::is_ascii(),
        colors: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let mut view = View::new(look);
    match mode {
        Mode::Free => session.act(Action::Load),
        Mode::Tour(pace) => {
            let state = session.state();
            let machine = Machine::clone(&state.machine);
            view.guide = Some(Guide::new(1, machine, &state.observation(), pace));
        }
    }
    restore_at_panic();
    // Ctrl-C, or the terminal is closed: what was recorded is not lost.
    terminal::before_end(|| SIGNALED.store(true, Relaxed));
    terminal::screen()?;
    let result = play(&session, view);
    terminal::restore();
    if result? {
        session.kill();
    } else if SIGNALED.load(Relaxed) {
        note!("The session ends, with a report. Ctrl-C: do not wait.");
    }
    Ok(verdict(&session.finish()))
}

/// Whether a signal was received that is to end the program.
static SIGNALED: AtomicBool = AtomicBool::new(false);

/// Draws the session until it ends; returns whether the user does not want to wait for the end.
fn play(session: &Session, mut view: View) -> Result<bool> {
    let buffer = Buffer::default();
    let options = TerminalOptions { viewport: Viewport::Fullscreen };
    let mut screen = Terminal::with_options(CrosstermBackend::new(buffer.clone()), options)?;
    loop {
        let start = clock::now();
        let state = session.state();
        if let (Status::Ended { ok: true, .. }, true) = (&state.status, view.ending) {
            return Ok(false);
        }
        if SIGNALED.load(Relaxed) {
            return Ok(false);
        }
        if let Some(request) = view.guided(session.now(), &state) {
            perform(request, session);
        }
        if terminal::take_resumed() {
            screen.clear()?;
        }
        screen.draw(|frame| screen::draw(frame, &mut view, &state, session.now()))?;
        match terminal::draw(&buffer.take()) {
            Ok(true) => {}
            // The next drawing begins anew.
            Ok(false) => screen.clear()?,
            // The terminal was closed.
            Err(_) => return Ok(false),
        }
        let mut wait = Duration::ZERO;
        loop {
            // crossterm would read a closed terminal forever.
            if !is_open(wait) {
                return Ok(false);
            }
            if !event::poll(Duration::ZERO)? {
                wait = FRAME.saturating_sub(clock::now() - start);
                if wait.is_zero() {
                    break;
                }
                continue;
            }
            wait = Duration::ZERO;
            let state = session.state();
            let request = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    view.key(key, session.now(), &state)
                }
                Event::Mouse(mouse) => view.mouse(mouse, &state),
                _ => None,
            };
            match request {
                Some(Request::Shell) => {
                    terminal::restore();
                    let shell = shell::run(session, view.is_busy(&state));
                    terminal::restore();
                    terminal::screen()?;
                    screen.clear()?;
                    shell?;
                }
                Some(Request::Leave) => return Ok(true),
                Some(request) => perform(request, session),
                None => {}
            }
        }
    }
}

/// Waits for keys; returns whether the terminal is still there.
fn is_open(wait: Duration) -> bool {
    let stdin = io::stdin();
    let mut wanted = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    let _ = poll(&mut wanted, PollTimeout::try_from(wait).unwrap_or(PollTimeout::ZERO));
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    !wanted[0].revents().is_some_and(|events| events.intersects(gone))
}

fn perform(request: Request, session: &Session) {
    match request {
        Request::Act(action) => session.act(action),
        Request::FailNext(cpu) => session.fail_next(cpu),
        Request::Save => session.save(),
        Request::End => session.end(),
        // Those need the screen.
        Request::Shell | Request::Leave => {}
    }
}

/// Prints the verdict.
fn verdict(state: &State) -> ExitCode {
    let (ok, lines) = match &state.status {
        Status::Ended { ok, lines } => (*ok, lines.as_slice()),
        Status::Running => (false, &[] as &[String]),
    };
    match ok {
        true => say!("{}: {}", style("ok").green().bold(), lines.join(" ")),
        false => {
            say!("{}", style("FAILED").red().bold());
            lines.iter().for_each(|line| say!("- {line}"));
        }
    }
    for path in &state.reports {
        let text = format!("{}   timeline: open in a browser", path.display());
        say!("{}", terminal::linked(&text, path));
    }
    ExitCode::from(if ok { 0 } else { exit::TEST_FAILED })
}

/// The terminal shows the message of a panic only after it was restored.
fn restore_at_panic() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        terminal::restore();
        hook(info);
    }));
}

/// Collects what is to be drawn.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
