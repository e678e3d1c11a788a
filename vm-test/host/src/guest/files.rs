// SPDX-License-Identifier: GPL-2.0

//! Files of the guest.

use super::DEFAULT_LIMIT;
use super::calls::{read, write};
use crate::Vm;
use crate::errors::{Refused, refused};
use anyhow::{Result, bail, ensure};
use nix::errno::Errno;
use std::time::Duration;
use wire::{Access, Call, Until, Value};

impl Vm {
    /// The contents of a file.
    pub fn read_bytes(&self, path: &str) -> Result<Vec<u8>> {
        expect!(self.call(read(path))?, Value::Bytes(bytes) => bytes)
    }

    /// The text of a file, without white space at its end.
    pub fn read(&self, path: &str) -> Result<String> {
        text(Value::Bytes(self.read_bytes(path)?))
    }

    /// Writes a file by one write(2), which must take all of it.
    pub fn write(&self, path: &str, data: impl AsRef<[u8]>) -> Result<()> {
        let data = data.as_ref();
        let n = expect!(self.call(write(path, data))?, Value::Count(n) => n)?;
        ensure!(n == data.len() as u64, "{path} took {n} of {} bytes", data.len());
        Ok(())
    }

    /// Sorted names in a directory.
    pub fn list(&self, path: &str) -> Result<Vec<String>> {
        expect!(self.call(Call::List { path: path.into() })?, Value::Names(names) => names)
    }

    /// Whether a file exists.
    pub fn exists(&self, path: &str) -> Result<bool> {
        match self.call(Call::Stat { path: path.into() }) {
            Ok(_) => Ok(true),
            Err(e) => match e.downcast::<Refused>()?.errno {
                Errno::ENOENT => Ok(false),
                errno => bail!("stat {path}: {errno:?}"),
            },
        }
    }

    /// The permission bits of a file.
    pub fn mode(&self, path: &str) -> Result<u32> {
        let call = Call::Stat { path: path.into() };
        expect!(self.call(call)?, Value::Stat { mode, .. } => mode & 0o7777)
    }

    /// Opens a file.
    pub fn open(&self, path: &str, access: Access) -> Result<Handle<'_>> {
        let call = Call::Open { path: path.into(), access };
        let handle = expect!(self.call(call)?, Value::Handle(handle) => handle)?;
        Ok(Handle { vm: self, handle })
    }

    /// Waits until the file reads as wanted; the error has what was read last.
    pub fn wait_for(&self, path: &str, until: Until) -> Result<()> {
        self.wait_for_within(path, until, DEFAULT_LIMIT)
    }

    /// Like [`Vm::wait_for`], with a limit.
    pub fn wait_for_within(&self, path: &str, until: Until, limit: Duration) -> Result<()> {
        let limit_ms = self.ms(limit);
        let call = Call::WaitFor { path: path.into(), until: until.clone(), limit_ms };
        waited(path, &until, self.call(call)?)
    }

    /// Waits for several files, in one message.
    pub fn wait_for_all(&self, wanted: Vec<(String, Until)>) -> Result<()> {
        let calls = wanted.iter().map(|(path, until)| self.waiting(path, until.clone())).collect();
        let values = self.batch(calls)?;
        let mut results =
            wanted.iter().zip(values).map(|((path, until), value)| waited(path, until, value));
        results.try_for_each(|result| result)
    }

    fn waiting(&self, path: &str, until: Until) -> Call {
        Call::WaitFor { path: path.into(), until, limit_ms: self.ms(DEFAULT_LIMIT) }
    }
}

/// Limit of one read of an open file, in bytes.
pub const MAX_READ: u32 = 1 << 20;

/// A file that is open in the guest until this is dropped.
pub struct Handle<'a> {
    vm: &'a Vm,
    handle: u32,
}

impl<'a> Handle<'a> {
    /// The VM that it is open in.
    pub fn vm(&self) -> &'a Vm {
        self.vm
    }

    /// One read, as text without white space at its end.
    pub fn read(&self) -> Result<String> {
        text(Value::Bytes(self.read_bytes()?))
    }

    /// One read.
    pub fn read_bytes(&self) -> Result<Vec<u8>> {
        let call = Call::ReadHandle { handle: self.handle, max: MAX_READ };
        expect!(self.vm.call(call)?, Value::Bytes(bytes) => bytes)
    }

    /// One read into a buffer whose first `valid` bytes alone are accessible.
    pub fn read_faulting(&self, valid: u32) -> Result<Vec<u8>> {
        let call = Call::ReadFaulting { handle: self.handle, valid, max: MAX_READ };
        expect!(self.vm.call(call)?, Value::Bytes(bytes) => bytes)
    }

    /// One read of a file that was opened with [`Access::ReadNow`]; empty if the file has nothing
    /// at present.
    pub fn read_now(&self) -> Result<Vec<u8>> {
        match self.read_bytes() {
            Ok(bytes) => Ok(bytes),
            Err(e) => match refused::<()>(Err(e))? {
                Errno::EAGAIN => Ok(Vec::new()),
                errno => bail!("{errno}"),
            },
        }
    }

    /// Reads what a file that was opened with [`Access::ReadNow`] has at present, of records of
    /// `record` bytes, onto the end of `bytes`. Stops after about `max` bytes: records may arrive
    /// faster than they are read.
    pub fn drain(&self, bytes: &mut Vec<u8>, record: usize, max: usize) -> Result<()> {
        let end = bytes.len() + max;
        while bytes.len() < end {
            let more = self.read_now()?;
            bytes.extend(&more);
            // Another record would have fitted into this read.
            if more.len() + record <= MAX_READ as usize {
                break;
            }
        }
        Ok(())
    }

    /// One write; returns how many bytes it took.
    pub fn write(&self, data: impl AsRef<[u8]>) -> Result<u64> {
        let call = Call::WriteHandle { handle: self.handle, data: data.as_ref().into() };
        expect!(self.vm.call(call)?, Value::Count(n) => n)
    }
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // Fails only if the VM has ended, and the file with it.
        let _ = self.vm.call(Call::Close { handle: self.handle });
    }
}

/// Bytes that were read, as text without white space at its end.
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
    ensure!(held, "{path} is not {until:?} after {seconds:.1} s, but {:?}", last.trim_end());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_fails_shows_what_was_read_last() {
        let value = Value::Waited { held: false, last: "2\n".into(), took_us: 1_500_000 };
        let error = waited("/park", &Until::AtLeast(3), value).unwrap_err().to_string();
        assert_eq!(error, r#"/park is not AtLeast(3) after 1.5 s, but "2""#);
    }
}
