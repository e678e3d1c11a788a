// SPDX-License-Identifier: GPL-2.0

//! Files that are read like `trace_pipe`: the records so far, then each new one.

use super::super::{
    seam::THIS_MODULE,
    wait::WaitQueue, //
};
use core::{
    fmt::Write,
    marker::PhantomData, //
};
use kernel::{
    bindings,
    error::from_result,
    fs::File,
    new_condvar,
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        CondVar,
        Mutex,
        SpinLock, //
    },
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    }, //
};

/// The longest record, in bytes.
const MAX_RECORD: usize = 80;

/// What a file streams.
///
/// Each open file has a reader of its own, so every open file gets all records. The file can be
/// polled, and not sought. For each `read(2)`:
///
/// - It returns whole records, at most those that were there when it began.
/// - Without any record it waits for the next one, or fails with `EAGAIN` if the file is
///   `O_NONBLOCK`. A buffer without room for one record is `EINVAL`.
/// - A signal, or a fault of the buffer, ends it after the records copied so far. The next `read`
///   goes on with the first record that did not arrive.
/// - A second `read` of one open file (after `dup` or `fork`, or in another thread) waits until the
///   first has returned, as with `trace_pipe`. A signal ends that wait. With `O_NONBLOCK` it is
///   `EAGAIN`.
pub trait Stream: 'static {
    /// What the file is about.
    type Data: Sync + 'static;

    /// The position of one open file.
    type Reader: Send + Unpin + 'static;

    /// A record, not yet converted to bytes.
    type Record;

    /// Returns a reader at the first record. Process context.
    fn open(data: &Self::Data) -> Result<Self::Reader>;

    /// Returns the queue that readers wait in. Notify it whenever [`is_ready`](Self::is_ready) may
    /// have changed.
    fn queue(data: &Self::Data) -> &WaitQueue;

    /// Returns whether there is a record to read. Atomic context.
    fn is_ready(data: &Self::Data, reader: &Self::Reader) -> bool;

    /// Limits [`peek`](Self::peek) to the records that are there now. Atomic context.
    fn begin(data: &Self::Data, reader: &mut Self::Reader);

    /// Returns the next record within the limit, without advancing. Atomic context.
    fn peek(data: &Self::Data, reader: &Self::Reader) -> Option<Self::Record>;

    /// Goes past `record`, which [`peek`](Self::peek) returned last. Atomic context.
    fn advance(reader: &mut Self::Reader, record: &Self::Record);

    /// Converts a record to bytes. Process context.
    fn write(record: &Self::Record, bytes: &mut RecordBytes) -> Result;
}

/// The bytes of one record.
pub struct RecordBytes {
    bytes: [u8; MAX_RECORD],
    len: usize,
}

impl RecordBytes {
    fn new() -> Self {
        Self {
            bytes: [0; MAX_RECORD],
            len: 0,
        }
    }

    /// Appends `bytes`. Returns `EOVERFLOW` if the record gets too long.
    pub fn push(&mut self, bytes: &[u8]) -> Result {
        let end = self.len + bytes.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(EOVERFLOW)?
            .copy_from_slice(bytes);
        self.len = end;
        Ok(())
    }

    fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Write for RecordBytes {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        self.push(s.as_bytes()).map_err(|_| core::fmt::Error)
    }
}

/// An open file.
#[pin_data]
struct Open<S: Stream> {
    data: *const S::Data,
    /// A spinlock: taken in the condition of a wait, and by a poll beside a `read`.
    #[pin]
    reader: SpinLock<S::Reader>,
    /// Whether a `read` is in progress. Only that `read` advances the reader.
    #[pin]
    is_read: Mutex<bool>,
    #[pin]
    turns: CondVar,
}

/// The right of one `read` to advance the reader.
struct Turn<'a, S: Stream>(&'a Open<S>);

impl<'a, S: Stream> Turn<'a, S> {
    fn take(open: &'a Open<S>, nonblock: bool) -> Result<Self> {
        let mut is_read = open.is_read.lock();
        while *is_read {
            if nonblock {
                return Err(EAGAIN);
            }
            if open.turns.wait_interruptible(&mut is_read) {
                return Err(ERESTARTSYS);
            }
        }
        *is_read = true;
        Ok(Self(open))
    }
}

impl<S: Stream> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        *self.0.is_read.lock() = false;
        // All of them: the first may be about to return because of a signal.
        self.0.turns.notify_all();
    }
}

pub(super) struct Operations<S: Stream>(PhantomData<S>);

impl<S: Stream> Operations<S> {
    pub(super) const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: THIS_MODULE,
        open: Some(Self::open),
        read: Some(Self::read),
        poll: Some(Self::poll),
        llseek: Some(bindings::noop_llseek),
        release: Some(Self::release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by debugfs for a file that [`Dir::stream`](super::Dir::stream) made, while it is not
    /// removed.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        from_result(|| {
            // SAFETY: The inode is valid while the file is being opened.
            let data = unsafe { (*inode).i_private }.cast_const().cast::<S::Data>();
            // SAFETY: It points to the data, which lives until the file is removed.
            let reader = S::open(unsafe { &*data })?;
            let open = KBox::pin_init(
                pin_init!(Open::<S> {
                    data,
                    reader <- new_spinlock!(reader),
                    is_read <- new_mutex!(false),
                    turns <- new_condvar!(),
                }),
                GFP_KERNEL,
            )?;
            // SAFETY: The file is being opened; `private_data` is its opener's.
            unsafe { (*file).private_data = open.into_foreign() };
            // SAFETY: Both are valid.
            Ok(unsafe { bindings::stream_open(inode, file) })
        })
    }

    /// # Safety
    ///
    /// Called by the VFS when the last user of a file opened by [`Self::open`] is gone.
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` put it there, and nobody else uses it any more. The data may be gone; it is
        // not touched.
        drop(unsafe { Pin::<KBox<Open<S>>>::from_foreign((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// `file` was opened by [`Self::open`] and is not removed, nor closed, during `'a`.
    unsafe fn parts<'a>(file: *mut bindings::file) -> (&'a S::Data, &'a Open<S>) {
        // SAFETY: `open` put it there, and `release` comes after `'a`.
        let open = unsafe { &*(*file).private_data.cast::<Open<S>>() };
        // SAFETY: The data lives until the file is removed.
        (unsafe { &*open.data }, open)
    }

    /// # Safety
    ///
    /// Called by debugfs for a file opened by [`Self::open`], while it is not removed.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        buf: *mut c_char,
        count: usize,
        _ppos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: By the requirements of this function.
        let (data, open) = unsafe { Self::parts(file) };
        // SAFETY: The file is valid, and is not being read under `fdget_pos`: it is a stream.
        let flags = unsafe { File::from_raw_file(file) }.flags();
        let nonblock = flags & bindings::O_NONBLOCK != 0;

        from_result(|| {
            if count == 0 {
                return Ok(0);
            }
            let turn = Turn::take(open, nonblock)?;
            let mut writer = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
            loop {
                let read = Self::copy(data, &turn, &mut writer)?;
                if read > 0 {
                    return Ok(read as isize);
                }
                if nonblock {
                    return Err(EAGAIN);
                }
                S::queue(data).wait_until(|| S::is_ready(data, &open.reader.lock()))?;
                // The wait looks for signals only before it sleeps.
                if current!().signal_pending() {
                    return Err(ERESTARTSYS);
                }
            }
        })
    }

    /// Copies the records that are there. Returns their size in bytes, or the error that came before
    /// the first was copied.
    fn copy(data: &S::Data, turn: &Turn<'_, S>, writer: &mut UserSliceWriter) -> Result<usize> {
        let reader = &turn.0.reader;
        S::begin(data, &mut reader.lock());

        let mut read = 0;
        while read == 0 || !current!().signal_pending() {
            let Some(record) = S::peek(data, &reader.lock()) else {
                break;
            };
            match Self::copy_record(&record, writer) {
                Ok(size) => read += size,
                Err(e) if read == 0 => return Err(e),
                Err(_) => break,
            }
            // Only now: what did not arrive is there for the next `read`.
            S::advance(&mut reader.lock(), &record);
        }
        Ok(read)
    }

    fn copy_record(record: &S::Record, writer: &mut UserSliceWriter) -> Result<usize> {
        let mut bytes = RecordBytes::new();
        S::write(record, &mut bytes)?;
        let bytes = bytes.as_slice();
        if writer.len() < bytes.len() {
            return Err(EINVAL);
        }
        writer.write_slice(bytes)?;
        Ok(bytes.len())
    }

    /// # Safety
    ///
    /// Called by debugfs for a file opened by [`Self::open`], while it is not removed.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: By the requirements of this function.
        let (data, open) = unsafe { Self::parts(file) };

        // SAFETY: The file is valid; the table is the one of this poll.
        unsafe { S::queue(data).poll_wait(File::from_raw_file(file), table) };

        if S::is_ready(data, &open.reader.lock()) {
            bindings::POLLIN
        } else {
            0
        }
    }
}
