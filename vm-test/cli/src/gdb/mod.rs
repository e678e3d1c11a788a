// SPDX-License-Identifier: GPL-2.0

//! `GDB=PORT`: lets gdb attach to the VM. scripts/gdb finds what it needs in a directory:
//!
//! - `lock`: held by this program
//! - `variables`: those of make that name directories with sources
//! - `modules/`: copies of the guest's modules, which may be built again
//! - `kernel`: the kernel's symbols, for gdb
//! - `attach.py`: the commands for gdb

mod symbols;

use crate::{Options, note};
use anyhow::{Context, Result, bail};
use host::Vm;
use host::machine::Debugger;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;

const ATTACH: &str = include_str!("attach.py");

/// Symbols that `attach.py` uses.
const USED: [&str; 8] = [
    "_text",
    "_end",
    "modules",
    "do_init_module",
    "free_module",
    "__start_orc_unwind_ip",
    "__stop_orc_unwind_ip",
    "__start_orc_unwind",
];

/// Reserves the directory, whose name is the port, and prepares it.
pub fn debugger(directory: &Path, options: &Options) -> Result<Debugger> {
    let name = directory.file_name().context("--gdb: a directory without a name")?;
    let port: u16 = name.to_string_lossy().parse().context("--gdb: the name must be a port")?;
    let about = || directory.display().to_string();
    fs::create_dir_all(directory).with_context(about)?;
    let lock = File::create(directory.join("lock")).with_context(about)?;
    let Ok(lock) = Flock::lock(lock, FlockArg::LockExclusiveNonblock) else {
        bail!("GDB={port}: another VM of this checkout uses this port: choose another");
    };
    check_port(port)?;

    match fs::remove_file(directory.join("attach.py")) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).with_context(about),
        _ => {}
    }
    let modules = directory.join("modules");
    match fs::remove_dir_all(&modules) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e).with_context(about),
        _ => fs::create_dir(&modules).with_context(about)?,
    }
    for module in options.modules()? {
        let name = module.file_name().context("a module without a name")?;
        fs::copy(&module, modules.join(name)).with_context(about)?;
    }
    fs::write(directory.join("variables"), &options.make_vars).with_context(about)?;

    let directory = directory.to_path_buf();
    // A kernel of the user's own, perhaps with debug info.
    let vmlinux = Some(options.kernel.join("build/vmlinux")).filter(|path| path.is_file());
    let prepare = move |vm: &Vm| {
        let _held = &lock;
        write(vm, &directory, port, vmlinux.as_deref())
            .with_context(|| format!("preparing {}", directory.display()))
    };
    Ok(Debugger { port, waits: false, prepare: Arc::new(prepare) })
}

fn check_port(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == ErrorKind::AddrInUse => {
            bail!("GDB={port}: port {port} of 127.0.0.1 is in use: choose another")
        }
        Err(e) => Err(e).with_context(|| format!("GDB={port}: 127.0.0.1")),
    }
}

/// Writes what gdb needs to know of this guest.
fn write(vm: &Vm, directory: &Path, port: u16, vmlinux: Option<&Path>) -> Result<()> {
    let kallsyms = vm.read("/proc/kallsyms")?;
    let symbols = symbols::of_kernel(&kallsyms);
    let arch = vm.machine().arch;
    let kernel = directory.join("kernel");
    fs::write(&kernel, symbols::elf(arch, &symbols))?;
    let kernel = vmlinux.unwrap_or(&kernel);
    let mut script = String::from("# SPDX-License-Identifier: GPL-2.0\n");
    script += &format!("DIRECTORY = {directory:?}\nKERNEL = {kernel:?}\nPORT = {port}\n");
    script += "ADDRESSES = {\n";
    for symbol in symbols.iter().filter(|symbol| USED.contains(&symbol.name)) {
        script += &format!("    {:?}: {:#x},\n", symbol.name, symbol.address);
    }
    script += &format!("}}\n{ATTACH}");
    // Complete or absent: scripts/gdb waits for no more than its presence.
    fs::write(directory.join("attach.py.partial"), script)?;
    fs::rename(directory.join("attach.py.partial"), directory.join("attach.py"))?;
    note!("vm-test: attach gdb in another terminal: make gdb GDB={port}");
    if vm.machine().debugger.as_ref().is_some_and(|debugger| debugger.waits) {
        note!("vm-test: the guest waits for gdb's 'continue', without a limit; Ctrl-C ends it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_refused() {
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = other.local_addr().unwrap().port();
        let error = check_port(port).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("GDB={port}: port {port} of 127.0.0.1 is in use: choose another")
        );
        // Not the port of `other`, closed: a child that another test starts may still have it open.
        check_port(0).unwrap();
    }
}
