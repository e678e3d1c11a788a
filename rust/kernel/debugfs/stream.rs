// SPDX-License-Identifier: GPL-2.0

//! Files that are read like a pipe: what is there now, then what comes.

use super::super::{
    seam::THIS_MODULE,
    wait::WaitQueue, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::from_result,
    fs::File,
    new_mutex,
    prelude::*,
    sync::Mutex,
    types::ForeignOwnable,
    uaccess::{
        UserPtr,
        UserSlice,
        UserSliceWriter, //
    }, //
};

/// What a file streams.
///
/// Each open file has a reader of its own, so that every reader gets all there is. A read that finds
/// nothing waits, or fails with `EAGAIN` if the file is `O_NONBLOCK`; the file can be polled. It
/// cannot be sought. Process context.
pub trait Stream: 'static {
    /// What the file is about.
    type Data: Sync + 'static;

    /// Where one reader is.
    type Reader: Send + Unpin + 'static;

    /// A reader at its start.
    fn open(data: &Self::Data) -> Result<Self::Reader>;

    /// Where readers wait. To be notified whenever [`is_ready`](Self::is_ready) may have changed.
    fn queue(data: &Self::Data) -> &WaitQueue;

    /// Whether there is something to read. Must not sleep.
    fn is_ready(data: &Self::Data, reader: &Self::Reader) -> bool;

    /// Reads as many whole records as there are and fit. Returns their size, in bytes: 0 if there is
    /// none, `EINVAL` if there is one but it does not fit.
    fn read(
        data: &Self::Data,
        reader: &mut Self::Reader,
        writer: &mut UserSliceWriter,
    ) -> Result<usize>;
}

/// An open file.
#[pin_data]
struct Open<S: Stream> {
    data: *const S::Data,
    #[pin]
    reader: Mutex<S::Reader>,
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
                    reader <- new_mutex!(reader),
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
    unsafe fn parts<'a>(file: *mut bindings::file) -> (&'a S::Data, &'a Mutex<S::Reader>) {
        // SAFETY: `open` put it there, and `release` comes after `'a`.
        let open = unsafe { &*(*file).private_data.cast::<Open<S>>() };
        // SAFETY: The data lives until the file is removed.
        (unsafe { &*open.data }, &open.reader)
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
        let (data, reader) = unsafe { Self::parts(file) };
        // SAFETY: The file is valid, and is not being read under `fdget_pos`: it is a stream.
        let flags = unsafe { File::from_raw_file(file) }.flags();

        from_result(|| {
            if count == 0 {
                return Ok(0);
            }
            // One reader at a time: a second one would wait for the first where no signal reaches.
            let mut reader = reader.try_lock().ok_or(EBUSY)?;
            let mut writer = UserSlice::new(UserPtr::from_ptr(buf.cast()), count).writer();
            loop {
                let read = S::read(data, &mut reader, &mut writer)?;
                if read > 0 {
                    return Ok(read as isize);
                }
                if flags & bindings::O_NONBLOCK != 0 {
                    return Err(EAGAIN);
                }
                S::queue(data).wait_until(|| S::is_ready(data, &reader))?;
            }
        })
    }

    /// # Safety
    ///
    /// Called by debugfs for a file opened by [`Self::open`], while it is not removed.
    unsafe extern "C" fn poll(
        file: *mut bindings::file,
        table: *mut bindings::poll_table_struct,
    ) -> bindings::__poll_t {
        // SAFETY: By the requirements of this function.
        let (data, reader) = unsafe { Self::parts(file) };

        // SAFETY: The file is valid; the table is the one of this poll.
        unsafe { S::queue(data).poll_wait(File::from_raw_file(file), table) };

        match reader.try_lock() {
            Some(reader) if S::is_ready(data, &reader) => bindings::POLLIN,
            _ => 0,
        }
    }
}
