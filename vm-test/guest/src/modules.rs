// SPDX-License-Identifier: GPL-2.0

//! insmod and rmmod.

use crate::calls::Agent;
use crate::files::errno;
use nix::errno::Errno;
use nix::kmod::{DeleteModuleFlags, ModuleInitFlags, delete_module, finit_module};
use std::ffi::CString;
use std::fs::File;
use wire::Value;

impl Agent {
    pub fn load_module(&mut self, path: String, params: String) -> nix::Result<Value> {
        let file = File::open(path).map_err(errno)?;
        let params = CString::new(params).map_err(|_| Errno::EINVAL)?;
        finit_module(&file, &params, ModuleInitFlags::empty())?;
        Ok(Value::Unit)
    }

    pub fn unload_module(&mut self, name: String) -> nix::Result<Value> {
        let name = CString::new(name).map_err(|_| Errno::EINVAL)?;
        delete_module(&name, DeleteModuleFlags::O_NONBLOCK)?;
        Ok(Value::Unit)
    }
}
