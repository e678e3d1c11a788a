// SPDX-License-Identifier: GPL-2.0

//! Files that are read and written as text.

use super::super::seam::{
    check_live,
    THIS_MODULE, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    fmt,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The longest input of a file, in bytes. Longer input fails with `E2BIG`.
pub const MAX_INPUT: usize = 16 << 10;

/// The text of a file.
///
/// Reading the file calls [`show`](Self::show), writing it calls [`store`](Self::store). If the
/// type lacks one of them, the file's mode lacks that permission.
///
/// Both run in process context with no lock held, in several tasks at a time, and concurrently with
/// the module's own code. They may sleep. Removing the file waits for them: see [the module's
/// page](super#opening-removing-closing) for the consequences.
///
/// # Examples
///
/// ```
/// use debugfs::{Attribute, Decimal, Number, Tree};
/// use kernel::{fmt, sync::atomic::{Atomic, Relaxed}};
///
/// /// In steps of 10.
/// struct Limit;
///
/// #[vtable]
/// impl Attribute for Limit {
///     type Data = Atomic<u64>;
///
///     fn show(limit: &Atomic<u64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         writeln!(f, "{}", Decimal(limit.load(Relaxed)))
///     }
///
///     fn store(limit: &Atomic<u64>, input: &CStr) -> Result {
///         let number = Number::<0, 1000>::parse(input)?;
///         limit.store(number.next_multiple_of(10), Relaxed);
///         Ok(())
///     }
/// }
///
/// let files = Tree::new(scope, c"example", Atomic::<u64>::new(7), |limit, dir| {
///     dir.file::<Limit>(c"limit", limit);
/// })?;
/// # drop(files);
/// ```
#[vtable]
pub trait Attribute: 'static {
    /// The value that the file shows.
    type Data: Sync + 'static;

    /// Writes the file's text. If the text outgrows the buffer, this is called again from the
    /// start, so the parts of one text may be from different times. An error means a lack of
    /// memory: the read fails with `ENOMEM`.
    fn show(_data: &Self::Data, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Handles the bytes of one `write(2)`, up to the first NUL. The `write` fails with the
    /// returned error, with `E2BIG` for more than [`MAX_INPUT`] bytes, or with `ENOMEM` or
    /// `EFAULT`.
    fn store(_data: &Self::Data, _input: &CStr) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

struct Show<'a, A: Attribute> {
    data: &'a A::Data,
    /// The result, which `seq_print!` ignores.
    result: core::cell::Cell<fmt::Result>,
}

impl<A: Attribute> fmt::Display for Show<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = A::show(self.data, f);
        self.result.set(result);
        result
    }
}

pub(super) struct Operations<A: Attribute>(PhantomData<A>);

impl<A: Attribute> Operations<A> {
    pub(super) const MODE: u16 =
        if A::HAS_SHOW { 0o400 } else { 0 } | if A::HAS_STORE { 0o200 } else { 0 };

    pub(super) const TABLE: &'static bindings::file_operations = &bindings::file_operations {
        owner: THIS_MODULE,
        open: Some(Self::open),
        read: if A::HAS_SHOW {
            Some(bindings::seq_read)
        } else {
            None
        },
        write: if A::HAS_STORE {
            Some(Self::write)
        } else {
            None
        },
        llseek: if A::HAS_SHOW {
            Some(bindings::seq_lseek)
        } else {
            Some(bindings::noop_llseek)
        },
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by debugfs for a file that [`Dir::file`](super::Dir::file) made.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        if let Err(e) = check_live() {
            return e.to_errno();
        }
        // SAFETY: Both are valid while the file is being opened.
        unsafe { bindings::single_open(file, Some(Self::seq_show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Called by `seq_read()` for a file opened by [`Self::open`], which debugfs does only while
    /// the file is not removed.
    unsafe extern "C" fn seq_show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: `single_open()` stored the file's data in `private`. The data exists until the
        // file is removed.
        let data = unsafe { &*(*seq).private.cast::<A::Data>() };
        // SAFETY: `seq` is valid, and its reader holds its lock.
        let seq = unsafe { SeqFile::from_raw(seq) };

        if !A::HAS_SHOW {
            return 0;
        }
        let show = Show::<A> {
            data,
            result: core::cell::Cell::new(Ok(())),
        };
        seq_print!(seq, "{show}");
        match show.result.get() {
            Ok(()) => 0,
            Err(_) => ENOMEM.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by debugfs for a file opened by [`Self::open`], while it is not removed.
    unsafe extern "C" fn write(
        file: *mut bindings::file,
        buf: *const c_char,
        count: usize,
        _ppos: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: `single_open()` stored a `seq_file` in the open file, and the data in that. The
        // data exists until the file is removed.
        let data = unsafe {
            let seq = (*file).private_data.cast::<bindings::seq_file>();
            &*(*seq).private.cast::<A::Data>()
        };

        from_result(|| {
            if count > MAX_INPUT {
                return Err(E2BIG);
            }
            let mut input = KVec::with_capacity(count + 1, GFP_KERNEL)?;
            UserSlice::new(UserPtr::from_ptr(buf.cast_mut().cast()), count)
                .read_all(&mut input, GFP_KERNEL)?;
            input.push(0, GFP_KERNEL)?;

            A::store(
                data,
                CStr::from_bytes_until_nul(&input).map_err(|_| EINVAL)?,
            )?;
            Ok(count as isize)
        })
    }
}
