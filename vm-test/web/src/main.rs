// SPDX-License-Identifier: GPL-2.0

//! The live view in a browser: `make play WEB=1`.
//!
//! ```text
//! page.js ── socket ── server ── live::Session ──> guest
//! ```

// They panic on a closed pipe; output.rs does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

mod guard;
mod protocol;
mod server;
mod session;
mod tour;

use anyhow::Result;
use clap::Parser;
use cli::{Options, exit, progress, say, terminal};
use console::style;
use live::{Session, Status};
use server::Server;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Name of the files in the directory for reports.
const NAME: &str = "play";

#[derive(Parser)]
#[command(about = "Shows per-CPU threads in a browser, and takes CPUs offline and online there")]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// Port on 127.0.0.1; default: any free port
    #[arg(long, default_value_t = 0)]
    port: u16,
}

fn main() -> ExitCode {
    let Cli { options, port } = Cli::parse();
    cli::exit_code(|| run(&options, port))
}

fn run(options: &Options, port: u16) -> Result<ExitCode> {
    // Before the boot: the port may be in use.
    let listener = server::listen(port)?;
    let machine = options.machine()?;
    say!("{}", style(machine.banner()).dim());
    let config = options.config(&machine)?;
    let vm = progress::boot(&machine, &config)?;
    let about = demo_module::about(&vm, "A session by hand");
    let line = format!("Linux {}, {config}, {}", machine.kernel.release, machine.accel.accel);
    let session = Arc::new(Session::start(vm, about, NAME)?);
    let server = Server::start(listener, session.clone(), &line)?;
    say!("\nOpen this page; the address has a key, and works on this machine only:\n");
    say!("    {}\n", style(&server.url).bold());
    say!("Ctrl-C ends the session. Closing the page does not.");

    let (stop, stopped) = mpsc::channel();
    let ending = session.clone();
    terminal::before_end(move || {
        ending.end();
        let _ = stop.send(());
    });
    let (ok, lines, reports) = wait(&session);
    let verdict = if ok { style("ok").green() } else { style("FAILED").red() };
    say!("\n{}: {}", verdict.bold(), lines.join("\n"));
    for report in &reports {
        say!("{}", report.display());
    }
    if stopped.try_recv().is_err() {
        say!("The page still has the report. Ctrl-C ends the program.");
        let _ = stopped.recv();
    }
    Ok(ExitCode::from(if ok { 0 } else { exit::TEST_FAILED }))
}

/// Waits for the end of the session. Returns its verdict and its reports.
fn wait(session: &Session) -> (bool, Vec<String>, Vec<PathBuf>) {
    let mut state = session.state();
    loop {
        if let Status::Ended { ok, lines } = &state.status {
            return (*ok, lines.clone(), state.reports.clone());
        }
        state = session.changed(&state, Duration::from_secs(1));
    }
}
