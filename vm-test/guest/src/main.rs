// SPDX-License-Identifier: GPL-2.0

//! The guest's init: makes one call at a time for the host, and returns the kernel's answer.

mod calls;
mod children;
mod chrt;
mod fail_nth;
mod files;
mod fuzz;
mod init;
mod kmsg;
mod modules;
mod port;
mod programs;
mod shell;
mod tasks;
mod top;
mod tour;

use calls::Agent;
use port::Port;
use std::io;
use wire::{Call, Hello, Message, Request, VERSION};

fn main() -> io::Result<()> {
    // Links in /bin name programs that are in this file.
    let name = std::env::args().next().unwrap_or_default();
    match name.rsplit('/').next().unwrap_or_default() {
        top::NAME => return top::main(),
        tour::NAME => return tour::main(),
        chrt::NAME => return chrt::main(),
        _ => {}
    }
    if std::env::args().nth(1).as_deref() == Some(tasks::ARGUMENT) {
        return tasks::main();
    }
    let missing = init::mount_all()?;
    init::handle_signals()?;
    let port = Port::open()?;
    port.send(&Message::Hello(Hello {
        version: VERSION,
        release: files::text("/proc/sys/kernel/osrelease")?.trim().into(),
        missing,
    }))?;
    port.start_heartbeat();

    let mut agent = Agent::new()?;
    loop {
        let Request { id, call } = port.receive()?;
        children::reap_orphans();
        if call == Call::PowerOff {
            return init::power_off();
        }
        let answer = agent.call(call).map_err(|e| e as i32);
        port.send(&Message::Reply { id, answer })?;
    }
}
