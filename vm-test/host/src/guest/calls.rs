// SPDX-License-Identifier: GPL-2.0

//! Calls to be put into batches, loops and tasks.

use super::cpus::online_file;
use wire::Call;

pub fn read(path: &str) -> Call {
    Call::Read { path: path.into() }
}

pub fn write(path: &str, data: impl AsRef<[u8]>) -> Call {
    Call::Write { path: path.into(), data: data.as_ref().into() }
}

pub fn offline(cpu: u32) -> Call {
    write(&online_file(cpu), "0")
}

pub fn online(cpu: u32) -> Call {
    write(&online_file(cpu), "1")
}

pub fn insmod(module: &str, params: &str) -> Call {
    Call::LoadModule { path: module_path(module), params: params.into() }
}

pub fn module_path(module: &str) -> String {
    format!("/modules/{module}.ko")
}

pub fn rmmod(module: &str) -> Call {
    Call::UnloadModule { name: module.into() }
}
