// SPDX-License-Identifier: GPL-2.0

//! insmod and rmmod.

use crate::files::errno;
use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};
use std::ffi::CString;
use std::fs::File;

pub fn load(path: &str, params: &str) -> nix::Result<()> {
    let file = File::open(path).map_err(errno)?;
    let params = CString::new(params).map_err(|_| Errno::EINVAL)?;
    finit_module(&file, &params, ModuleInitFlags::empty())
}

pub fn unload(name: &str) -> nix::Result<()> {
    let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
    delete_module(&name, DeleteModuleFlags::O_NONBLOCK)
}
