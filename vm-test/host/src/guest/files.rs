// SPDX-License-Identifier: GPL-2.0

//! Files of the guest.

use super::SOON;
use super::calls::{read, write};
use crate::Vm;
use crate::errors::Refused;
use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use std::time::Duration;
use wire::{Access, Call, Until, Value};

impl Vm {
    pub fn read_bytes(&self, path: &str) -> Result<Vec<u8>> {
        expect!(self.call(read(path))?, Value::Bytes(bytes) => bytes)
    }

    /// Without the newline at its end.
    pub fn read(&self, path: &str) -> Result<String> {
        text(Value::Bytes(self.read_bytes(path)?))
    }

    /// One write(2) of all of it.
    pub fn write(&self, path: &str, data: impl AsRef<[u8]>) -> Result<()> {
        let data = data.as_ref();
        let n = expect!(self.call(write(path, data))?, Value::Count(n) => n)?;
        ensure!(n == data.len() as u64, "{path} took {n} of {} bytes", data.len());
        Ok(())
    }

    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        expect!(self.call(Call::List { path: path.into() })?, Value::Names(names) => names)
    }

    pub fn exists(&self, path: &str) -> Result<bool> {
        match self.call(Call::Stat { path: path.into() }) {
            Ok(_) => Ok(true),
            Err(e) => match e.downcast::<Refused>()?.errno {
                Errno::ENOENT => Ok(false),
                errno => bail!("stat {path}: {errno:?}"),
            },
        }
    }

    /// The permission bits.
    pub fn mode(&self, path: &str) -> Result<u32> {
        let call = Call::Stat { path: path.into() };
        expect!(self.call(call)?, Value::Stat { mode, .. } => mode & 0o7777)
    }

    pub fn open(&self, path: &str, access: Access) -> Result<Handle<'_>> {
        let call = Call::Open { path: path.into(), access };
        let handle = expect!(self.call(call)?, Value::Handle(handle) => handle)?;
        Ok(Handle { vm: self, handle })
    }

    /// Until the file reads as wanted; a failure says what it read last.
    pub fn wait_for(&self, path: &str, until: Until) -> Result<()> {
        self.wait_for_within(path, until, SOON)
    }

    pub fn wait_for_within(&self, path: &str, until: Until, limit: Duration) -> Result<()> {
        let limit_ms = self.ms(limit);
        let call = Call::WaitFor { path: path.into(), until: until.clone(), limit_ms };
        waited(path, &until, self.call(call)?)
    }

    /// All of them, in one message.
    pub fn wait_for_all(&self, wanted: Vec<(String, Until)>) -> Result<()> {
        let calls = wanted.iter().map(|(path, until)| self.waiting(path, until.clone())).collect();
        let values = self.batch(calls)?;
        let mut results =
            wanted.iter().zip(values).map(|((path, until), value)| waited(path, until, value));
        results.try_for_each(|result| result)
    }

    fn waiting(&self, path: &str, until: Until) -> Call {
        Call::WaitFor { path: path.into(), until, limit_ms: self.ms(SOON) }
    }
}

/// What one read of an open file gives at most, in bytes.
pub const MOST: u32 = 1 << 20;

/// A file that is open in the guest until this is dropped.
pub struct Handle<'a> {
    pub vm: &'a Vm,
    handle: u32,
}

impl Handle<'_> {
    pub fn read(&self) -> Result<String> {
        text(Value::Bytes(self.read_bytes()?))
    }

    pub fn read_bytes(&self) -> Result<Vec<u8>> {
        let call = Call::ReadHandle { handle: self.handle, max: MOST };
        expect!(self.vm.call(call)?, Value::Bytes(bytes) => bytes)
    }

    /// One read into a buffer of which only the first `valid` bytes are accessible.
    pub fn read_faulting(&self, valid: u32) -> Result<Vec<u8>> {
        let call = Call::ReadFaulting { handle: self.handle, valid, max: 1 << 20 };
        expect!(self.vm.call(call)?, Value::Bytes(bytes) => bytes)
    }

    pub fn write(&self, data: impl AsRef<[u8]>) -> Result<u64> {
        let call = Call::WriteHandle { handle: self.handle, data: data.as_ref().into() };
        expect!(self.vm.call(call)?, Value::Count(n) => n)
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // If the VM is gone, so is the file.
        let _ = self.vm.call(Call::Close { handle: self.handle });
    }
}

/// The bytes of a small file as text, without the newline at its end.
pub fn text(value: Value) -> Result<String> {
    let bytes = expect!(value, Value::Bytes(bytes) => bytes)?;
    let mut text = String::from_utf8(bytes)?;
    text.truncate(text.trim_end().len());
    Ok(text)
}

fn waited(path: &str, until: &Until, value: Value) -> Result<()> {
    let (held, last, took_us) =
        expect!(value, Value::Waited { held, last, took_us } => (held, last, took_us))?;
    let seconds = took_us as f64 / 1e6;
    ensure!(held, "{path} is not {until:?} after {seconds:.1} s: {:?}", last.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_vain_says_what_was_read_last() {
        let value = Value::Waited { held: false, last: "2\n".into(), took_us: 1_500_000 };
        let error = waited("/park", &Until::AtLeast(3), value).unwrap_err().to_string();
        assert_eq!(error, r#"/park is not AtLeast(3) after 1.5 s: "2""#);
    }
}
