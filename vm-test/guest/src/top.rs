// SPDX-License-Identifier: GPL-2.0

//! `smpboot-top`: the demo's threads as a table that stays up to date.

use demo_format::events::{self, Events};
use demo_format::format::{DIRECTORY, EVENTS_BINARY, MODULE, SUMMARY};
use demo_format::{ascii, table};
use nix::fcntl::OFlag;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;
use std::{env, thread};

/// The agent under this name is this program.
pub const NAME: &str = "smpboot-top";

const REFRESH: Duration = Duration::from_millis(500);

/// Repeats on a terminal until Ctrl-C or until the module is unloaded. Otherwise prints the table
/// once.
pub fn main() -> io::Result<()> {
    match run() {
        // The reader closed the pipe: `smpboot-top | head`.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn run() -> io::Result<()> {
    let mut out = io::stdout();
    if !out.is_terminal() {
        for row in rows(usize::MAX)? {
            writeln!(out, "{}", shown(row.text))?;
        }
        return Ok(());
    }
    let colors = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Not before there is a table: it would clear the message that there is none.
    let mut clear = "\x1b[2J";
    loop {
        let (height, width) = size(&out);
        let rows = match rows(width) {
            Ok(rows) => rows,
            Err(e) => {
                eprintln!("\r\x1b[K{e}");
                return Ok(());
            }
        };
        let mut screen = format!("{clear}\x1b[H");
        clear = "";
        for row in table::fitting(&rows, height.saturating_sub(2)) {
            screen += &shown(row.shown(colors));
            screen += "\x1b[K\r\n";
        }
        screen += "refreshes every 0.5 s; Ctrl-C quits\x1b[K\r\n\x1b[J";
        out.write_all(screen.as_bytes())?;
        out.flush()?;
        thread::sleep(REFRESH);
    }
}

nix::ioctl_read_bad!(get_size, nix::libc::TIOCGWINSZ, nix::libc::winsize);

/// Returns the rows and columns of a terminal.
pub fn size(terminal: &io::Stdout) -> (usize, usize) {
    let mut size = nix::libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes such a structure, and the terminal is open.
    let got = unsafe { get_size(terminal.as_raw_fd(), &mut size) };
    match got {
        Ok(_) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row.into(), size.ws_col.into()),
        _ => (24, 80),
    }
}

fn shown(text: String) -> String {
    match env::var_os("RUST_SMPBOOT_ASCII") {
        Some(_) => ascii::of(&text),
        None => text,
    }
}

fn rows(width: usize) -> io::Result<Vec<table::Row>> {
    let summary = fs::read_to_string(SUMMARY.path)
        .map_err(|e| io::Error::new(e.kind(), format!("{NAME}: {MODULE} is not loaded ({e})")))?;
    let mut latencies = BTreeMap::new();
    for cpu in
        summary.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok())
    {
        let path = format!("{DIRECTORY}/cpu{cpu}/latency_hist");
        latencies.insert(cpu, fs::read_to_string(path)?);
    }
    let events = events(latencies.len() as u32)?;
    table::rows(&summary, &latencies, &events, width).map_err(io::Error::other)
}

/// Reads the events that the module holds now. Closes the file: an open file keeps the module
/// loaded.
pub fn events(cpus: u32) -> io::Result<Events> {
    let mut file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(EVENTS_BINARY.path)?;
    let mut bytes = vec![0; events::capacity(cpus)];
    let len = match file.read(&mut bytes) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
        len => len?,
    };
    let mut events = Events::default();
    events.add(&bytes[..len]).map_err(io::Error::other)?;
    Ok(events)
}
