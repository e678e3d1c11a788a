// SPDX-License-Identifier: GPL-2.0

//! The text or bytes of one record of a stream.

use core::fmt::Write;
use kernel::prelude::*;

/// The longest record, in bytes.
const MAX_RECORD: usize = 80;

/// The bytes of one record: at most 80.
///
/// Write to it with [`push`](Self::push) or, as text, with [`Write`]. Any context.
pub struct RecordBytes {
    bytes: [u8; MAX_RECORD],
    len: usize,
}

impl RecordBytes {
    #[inline]
    pub(super) fn new() -> Self {
        Self {
            bytes: [0; MAX_RECORD],
            len: 0,
        }
    }

    /// Appends `bytes`. Returns `EOVERFLOW`, and appends nothing, if the record would be too long.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) -> Result {
        // In two steps, so that the compiler sees that the lengths agree, and adds no panic.
        let rest = self.bytes.get_mut(self.len..).ok_or(EOVERFLOW)?;
        rest.get_mut(..bytes.len())
            .ok_or(EOVERFLOW)?
            .copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    #[inline]
    pub(super) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Write for RecordBytes {
    #[inline]
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.push(s.as_bytes()).map_err(|_| core::fmt::Error)
    }
}
