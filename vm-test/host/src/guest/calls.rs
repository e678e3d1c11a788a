// SPDX-License-Identifier: GPL-2.0

//! Calls as values, for batches, loops and tasks.

use super::cpus::online_file;
use wire::Call;

/// Reads a file.
pub fn read(path: &str) -> Call {
    Call::Read { path: path.into() }
}

/// Writes a file by one write(2).
pub fn write(path: &str, data: impl AsRef<[u8]>) -> Call {
    Call::Write { path: path.into(), data: data.as_ref().into() }
}

/// Takes a CPU offline.
pub fn offline(cpu: u32) -> Call {
    write(&online_file(cpu), "0")
}

/// Brings a CPU online.
pub fn online(cpu: u32) -> Call {
    write(&online_file(cpu), "1")
}

/// Loads a module of the initramfs.
pub fn insmod(module: &str, params: &str) -> Call {
    Call::LoadModule { path: module_path(module), params: params.into() }
}

/// The guest's path of a module.
pub fn module_path(module: &str) -> String {
    format!("/modules/{module}.ko")
}

/// Unloads a module.
pub fn rmmod(module: &str) -> Call {
    Call::UnloadModule { name: module.into() }
}
