// SPDX-License-Identifier: GPL-2.0

//! `smpboot-top`: the demo's threads as a table that stays up to date.

use nix::fcntl::OFlag;
use report::module;
use report::module::Events;
use report::table;
use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io;
use std::io::IsTerminal;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::Duration;

/// The agent under this name is this program.
pub const NAME: &str = "smpboot-top";

const FOLDER: &str = "/sys/kernel/debug/rust_smpboot_demo";
const REFRESH: Duration = Duration::from_millis(500);

/// On a terminal until Ctrl-C or until the module is gone, elsewhere once.
pub fn main() -> io::Result<()> {
    let mut out = io::stdout();
    if !out.is_terminal() {
        for row in rows()? {
            writeln!(out, "{}", row.text)?;
        }
        return Ok(());
    }
    write!(out, "\x1b[2J")?;
    loop {
        let rows = match rows() {
            Ok(rows) => rows,
            Err(e) => {
                eprintln!("\r\x1b[K{e}");
                return Ok(());
            }
        };
        let mut screen = String::from("\x1b[H");
        for row in rows {
            screen += &row.colored();
            screen += "\x1b[K\r\n";
        }
        screen += "\x1b[2mevery half second, until Ctrl-C\x1b[0m\x1b[K\r\n\x1b[J";
        out.write_all(screen.as_bytes())?;
        out.flush()?;
        thread::sleep(REFRESH);
    }
}

fn rows() -> io::Result<Vec<table::Row>> {
    let summary = fs::read_to_string(format!("{FOLDER}/summary")).map_err(|e| {
        io::Error::new(e.kind(), format!("{NAME}: rust_smpboot_demo is not loaded ({e})"))
    })?;
    let mut latencies = BTreeMap::new();
    for cpu in
        summary.lines().skip(1).filter_map(|line| line.split_whitespace().next()?.parse().ok())
    {
        let path = format!("{FOLDER}/cpu{cpu}/latency_hist");
        latencies.insert(cpu, fs::read_to_string(path)?);
    }
    let events = events(latencies.len() as u32)?;
    table::rows(&summary, &latencies, &events).map_err(io::Error::other)
}

/// The events that the module holds now. The file does not stay open, which would keep the module loaded.
fn events(cpus: u32) -> io::Result<Events> {
    let mut file = File::options()
        .read(true)
        .custom_flags(OFlag::O_NONBLOCK.bits())
        .open(format!("{FOLDER}/events_binary"))?;
    let mut bytes = vec![0; module::capacity(cpus)];
    let len = match file.read(&mut bytes) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => 0,
        len => len?,
    };
    let mut events = Events::default();
    events.add(&bytes[..len]).map_err(io::Error::other)?;
    Ok(events)
}
