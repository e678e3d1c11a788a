// SPDX-License-Identifier: GPL-2.0

//! Files that are read like `trace_pipe`: the records so far, then each new record.

use super::{
    super::{
        seam::{
            check_live,
            THIS_MODULE, //
        },
        wait::WaitQueue, //
    },
    RecordBytes, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::from_result,
    fs::File,
    new_spinlock,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            AtomicFlag,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        SpinLock, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    }, //
};

/// A source of records.
///
/// Each open file has its own reader, so every open file gets all records. The file supports
/// `poll`, but not seeking. For each `read(2)`:
///
/// - It returns whole records, at most those that existed when it began.
/// - Without a record it waits for the next one, or fails with `EAGAIN` if the file is
///   `O_NONBLOCK`. It fails with `EINVAL` if one record does not fit into the buffer.
/// - A signal, or a fault of the buffer, ends it after the records copied so far. The next `read`
///   continues with the first record that was not copied. After a signal before the first record,
///   the `read` fails with `EINTR` or is restarted.
/// - Empty records are skipped. A signal ends the `read` also after an empty record, because a
///   source may return empty records forever.
/// - A second `read` of one open file (after `dup` or `fork`, or in another thread) waits until the
///   first has returned, as with `trace_pipe`. A signal ends that wait. With `O_NONBLOCK` the
///   second `read` fails with `EAGAIN`.
/// - Removing the file ends it after the records copied so far, or with `EIO` before the first.
///
/// The functions run in the task that reads, polls or opens, in several tasks at a time, and
/// concurrently with the module's own code. Those in atomic context run under a `spinlock_t` of the
/// open file, which is not taken in interrupts, so they must not sleep, nor wait for a task that
/// reads this file. Their results decide only which records are read: the worst effect of a wrong
/// result is an endless read, which a signal ends.
pub trait Stream: 'static {
    /// The value that the file shows.
    type Data: Sync + 'static;

    /// The position of one open file.
    ///
    /// Dropped, in process context, when the file is closed. The tree may have been dropped by
    /// then.
    type Reader: Send + Unpin + 'static;

    /// A record, not yet converted to bytes. Dropped in process context.
    type Record;

    /// Returns a reader at the first record. Process context. If it fails, `open(2)` fails with its
    /// error.
    fn open(data: &Self::Data) -> Result<Self::Reader>;

    /// Returns whether a record is ready. Atomic context.
    fn is_ready(data: &Self::Data, reader: &Self::Reader) -> bool;

    /// Limits [`peek`](Self::peek) to the present records. Atomic context.
    fn begin(data: &Self::Data, reader: &mut Self::Reader);

    /// Returns the next record within the limit, without advancing. Atomic context.
    fn peek(data: &Self::Data, reader: &Self::Reader) -> Option<Self::Record>;

    /// Advances past `record`, which [`peek`](Self::peek) returned last. Atomic context.
    fn advance(reader: &mut Self::Reader, record: &Self::Record);

    /// Converts a record to bytes. Process context. If it fails for the first record, `read(2)`
    /// fails with its error; otherwise `read(2)` ends before the record.
    fn write(record: &Self::Record, bytes: &mut RecordBytes) -> Result;
}

/// An open file.
#[pin_data]
struct Open<S: Stream> {
    data: *const S::Data,
    /// A reference, so that the queue exists until the file is released.
    queue: Arc<WaitQueue>,
    /// A spinlock, because the condition of a wait takes it; a `poll` may take it during a `read`.
    #[pin]
    reader: SpinLock<S::Reader>,
    /// Whether a `read` is in progress. Only that `read` advances the reader.
    is_read: AtomicFlag,
    #[pin]
    turns: WaitQueue,
    /// Whether the file is being removed.
    removed: AtomicFlag,
}

impl<S: Stream> Open<S> {
    fn is_removed(&self) -> bool {
        self.removed.load(Relaxed)
    }

    /// Returns an error if a `read` must end.
    fn check(&self) -> Result {
        if self.is_removed() {
            return Err(EIO);
        }
        if current!().signal_pending() {
            return Err(ERESTARTSYS);
        }
        Ok(())
    }
}

/// The right of one `read` to advance the reader.
struct Turn<'a, S: Stream>(&'a Open<S>);

impl<'a, S: Stream> Turn<'a, S> {
    fn take(open: &'a Open<S>, nonblock: bool) -> Result<Self> {
        let mut taken = false;
        let mut take = || {
            taken = !open.is_read.xchg(true, Full);
            taken
        };
        if nonblock {
            take();
        } else {
            open.turns.wait_until(|| open.is_removed() || take())?;
        }
        match taken {
            true => Ok(Self(open)),
            false if open.is_removed() => Err(EIO),
            false => Err(EAGAIN),
        }
    }
}

impl<S: Stream> Drop for Turn<'_, S> {
    fn drop(&mut self) {
        self.0.is_read.xchg(false, Full);
        self.0.turns.notify();
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
            check_live()?;
            // SAFETY: The inode is valid while the file is being opened.
            let data = unsafe { (*inode).i_private }.cast_const().cast::<S::Data>();
            // SAFETY: The file is valid, and is a debugfs file.
            let queue = unsafe { bindings::debugfs_get_aux(file) }.cast::<WaitQueue>();
            // SAFETY: `Dir::stream` got it from an `Arc`, to which `Root` keeps a reference until
            // the file is removed.
            let queue = unsafe { ArcBorrow::from_raw(queue) };
            // SAFETY: It points to the data, which exists until the file is removed.
            let reader = S::open(unsafe { &*data })?;
            let open = KBox::pin_init(
                pin_init!(Open::<S> {
                    data,
                    queue: queue.into(),
                    reader <- new_spinlock!(reader),
                    is_read: AtomicFlag::new(false),
                    turns <- WaitQueue::new(c"debugfs turns", static_lock_class!()),
                    removed: AtomicFlag::new(false),
                }),
                GFP_KERNEL,
            )?;
            // SAFETY: The file is being opened; `private_data` belongs to its opener.
            unsafe { (*file).private_data = open.into_foreign() };
            // SAFETY: Both are valid.
            Ok(unsafe { bindings::stream_open(inode, file) })
        })
    }

    /// # Safety
    ///
    /// Called by the VFS after the last use of a file opened by [`Self::open`].
    unsafe extern "C" fn release(_inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: `open` stored it, and it has no other users any more. The data may have been
        // dropped; this does not access it.
        drop(unsafe { Pin::<KBox<Open<S>>>::from_foreign((*file).private_data) });
        0
    }

    /// # Safety
    ///
    /// `file` was opened by [`Self::open`] and is not removed, nor closed, during `'a`.
    unsafe fn parts<'a>(file: *mut bindings::file) -> (&'a S::Data, &'a Open<S>) {
        // SAFETY: `open` stored it, and `release` runs after `'a`.
        let open = unsafe { &*(*file).private_data.cast::<Open<S>>() };
        // SAFETY: The data exists until the file is removed.
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
        let mut writer = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();

        let cancellation = Opaque::new(bindings::debugfs_cancellation {
            cancel: Some(Self::cancel),
            cancel_data: core::ptr::from_ref(open).cast_mut().cast(),
            ..pin_init::zeroed()
        });
        // SAFETY: This is an operation on `file`. The cancellation stays in place until it is left.
        unsafe { bindings::debugfs_enter_cancellation(file, cancellation.get()) };
        let result = from_result(|| Self::copy(data, open, nonblock, &mut writer));
        // SAFETY: Entered above.
        unsafe { bindings::debugfs_leave_cancellation(file, cancellation.get()) };
        result
    }

    /// Ends the `read` operations in progress.
    ///
    /// # Safety
    ///
    /// Called by debugfs between the enter and the leave in [`Self::read`], with its `open`, in the
    /// task that removes the file.
    unsafe extern "C" fn cancel(_dentry: *mut bindings::dentry, open: *mut c_void) {
        // SAFETY: By the requirements of this function. The file is not released during a `read`.
        let open = unsafe { &*open.cast::<Open<S>>() };
        open.removed.xchg(true, Full);
        open.queue.notify();
        open.turns.notify();
    }

    /// Copies records, and waits for the first. Returns their size in bytes.
    fn copy(
        data: &S::Data,
        open: &Open<S>,
        nonblock: bool,
        writer: &mut UserSliceWriter,
    ) -> Result<isize> {
        if writer.is_empty() {
            return Ok(0);
        }
        let turn = Turn::take(open, nonblock)?;
        loop {
            let read = Self::copy_present(data, &turn, writer)?;
            if read > 0 {
                return Ok(read as isize);
            }
            if nonblock {
                return Err(EAGAIN);
            }
            let is_ready = || S::is_ready(data, &open.reader.lock());
            open.queue.wait_until(|| open.is_removed() || is_ready())?;
            // The wait tests for signals only before it sleeps.
            open.check()?;
        }
    }

    /// Copies the present records. Returns their size in bytes, or the error if there was one
    /// before the first was copied.
    fn copy_present(
        data: &S::Data,
        Turn(open): &Turn<'_, S>,
        writer: &mut UserSliceWriter,
    ) -> Result<usize> {
        S::begin(data, &mut open.reader.lock());

        let mut read = 0;
        let mut result = Ok(());
        while result.is_ok() {
            let Some(record) = S::peek(data, &open.reader.lock()) else {
                break;
            };
            result = Self::copy_record(&record, writer).and_then(|size| {
                read += size;
                // Only now, so that the next `read` gets a record that was not copied.
                S::advance(&mut open.reader.lock(), &record);
                open.check()
            });
        }
        if read == 0 {
            result?;
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

        // SAFETY:
        // - The file is valid; the table is that of this poll.
        // - The open file holds a reference to the queue until `release`.
        unsafe { open.queue.poll_wait(File::from_raw_file(file), table) };

        if S::is_ready(data, &open.reader.lock()) {
            bindings::POLLIN
        } else {
            0
        }
    }
}
