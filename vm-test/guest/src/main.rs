// SPDX-License-Identifier: GPL-2.0

//! The guest's init: makes one call at a time for the host, and returns the kernel's answer.

mod calls;
mod children;
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

use calls::Agent;
use port::Port;
use std::io;
use wire::{Call, Hello, Message, Request, VERSION, Value, frame};

fn main() -> io::Result<()> {
    if std::env::args().next().is_some_and(|name| name.ends_with(top::NAME)) {
        return top::main();
    }
    if std::env::args().nth(1).as_deref() == Some(tasks::ARGUMENT) {
        return tasks::main();
    }
    let missing = init::mount_all()?;
    init::handle_signals()?;
    let (port, mut requests) = Port::open()?;
    port.send(&Message::Hello(Hello {
        version: VERSION,
        release: files::text("/proc/sys/kernel/osrelease")?.trim().into(),
        missing,
    }))?;
    port.start_heartbeat();

    let mut agent = Agent::new()?;
    loop {
        let Request { id, call } = frame::receive(&mut requests)?;
        children::reap_orphans();
        if call == Call::PowerOff {
            return init::power_off();
        }
        if call == Call::Suspend {
            let slept = port.asleep(init::suspend)?;
            requests = slept.reader;
            let answer = slept.result.map(|()| Value::Unit).map_err(|e| e as i32);
            port.send(&Message::Reply { id, answer })?;
            continue;
        }
        let answer = agent.call(call).map_err(|e| e as i32);
        port.send(&Message::Reply { id, answer })?;
    }
}
