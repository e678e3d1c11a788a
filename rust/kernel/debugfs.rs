// SPDX-License-Identifier: GPL-2.0

//! debugfs files that hold their module.
//!
//! The kernel crate's debugfs leaves `file_operations::owner` empty. In a loadable module that is
//! not enough: the operations are part of the module, debugfs calls `release` through them however
//! long ago the file was removed, and so closing a file that was held open over `rmmod` calls freed
//! code. The files made here name their owner, as those of C modules do: while one of them is open,
//! `rmmod` fails with `EAGAIN`. What is still there when the module ends, because its [`Tree`] was
//! leaked, is removed then.
//!
//! As all of debugfs, it never fails: without the files the module works as well.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

use super::{
    module_scope::{
        ModuleScope,
        Node,
        NodeRef,
        Owned, //
    },
    seam::THIS_MODULE, //
};
use core::{
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
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
    str::CString,
    sync::atomic::Atomic,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

mod stream;
mod table;

pub use stream::{
    RecordBytes,
    Stream, //
};
pub use table::{
    Cell,
    Table, //
};

/// The longest input, in bytes, that a file takes. More is `E2BIG`.
pub const MAX_INPUT: usize = 16 << 10;

/// What a file shows, and what it takes.
///
/// Reading the file calls [`show`](Self::show), writing it calls [`store`](Self::store); of the
/// two, what is not written does not exist in the file's mode either. Process context.
///
/// # Examples
///
/// ```
/// use debugfs::{Attribute, Tree};
/// use kernel::{fmt, sync::atomic::{Atomic, Relaxed}};
///
/// struct Limit;
///
/// #[vtable]
/// impl Attribute for Limit {
///     type Data = Atomic<u64>;
///
///     fn show(limit: &Atomic<u64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         writeln!(f, "{}", limit.load(Relaxed))
///     }
///
///     fn store(limit: &Atomic<u64>, input: &CStr) -> Result {
///         let input = input.to_str()?.trim();
///         limit.store(input.parse().map_err(|_| EINVAL)?, Relaxed);
///         Ok(())
///     }
/// }
///
/// let files = KBox::pin_init(
///     Tree::new(scope, c"example", Atomic::<u64>::new(7), |limit, dir| {
///         dir.file::<Limit>(c"limit", limit);
///     }),
///     GFP_KERNEL,
/// )?;
/// # drop(files);
/// ```
#[vtable]
pub trait Attribute: 'static {
    /// What the file is about.
    type Data: Sync + 'static;

    /// Writes the file's text. Called again, from the start, if the text outgrows the buffer. An error
    /// means a lack of memory: the read fails with `ENOMEM`.
    fn show(_data: &Self::Data, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Takes what was written to the file in one go, up to the first NUL.
    fn store(_data: &Self::Data, _input: &CStr) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }
}

struct Show<'a, A: Attribute> {
    data: &'a A::Data,
    /// What `seq_print!` ignores.
    result: core::cell::Cell<fmt::Result>,
}

impl<A: Attribute> fmt::Display for Show<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = A::show(self.data, f);
        self.result.set(result);
        result
    }
}

struct Operations<A: Attribute>(PhantomData<A>);

impl<A: Attribute> Operations<A> {
    const MODE: u16 = if A::HAS_SHOW { 0o400 } else { 0 } | if A::HAS_STORE { 0o200 } else { 0 };

    const TABLE: bindings::file_operations = bindings::file_operations {
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
    /// Called by debugfs for a file that [`Dir::file`] made.
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: Both are valid while the file is being opened.
        unsafe { bindings::single_open(file, Some(Self::seq_show), (*inode).i_private) }
    }

    /// # Safety
    ///
    /// Called by `seq_read()` for a file opened by [`Self::open`], which debugfs does only while
    /// the file is not removed.
    unsafe extern "C" fn seq_show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: `single_open()` keeps the file's data in `private`. It lives until the file is
        // removed.
        let data = unsafe { &*(*seq).private.cast::<A::Data>() };
        // SAFETY: `seq` is valid, and locked by its reader.
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
        // SAFETY: `single_open()` stored a `seq_file` in the open file, and the data in that. It
        // lives until the file is removed.
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

/// Gives `TABLE` one address for all files.
trait HasTable {
    const TABLE: &'static bindings::file_operations;
}

impl<A: Attribute> HasTable for A {
    const TABLE: &'static bindings::file_operations = &Operations::<A>::TABLE;
}

/// A folder that is being filled with files about data that lives for `'data`.
pub struct Dir<'data> {
    dentry: *mut bindings::dentry,
    _data: PhantomData<fn(&'data ()) -> &'data ()>,
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl Drop for Dir<'_> {
    #[inline(always)]
    fn drop(&mut self) {}
}

impl<'data> Dir<'data> {
    #[inline]
    fn create(name: &CStr, parent: *mut bindings::dentry) -> Self {
        Self {
            // SAFETY: The name is copied; the parent is a folder of debugfs, an error, which
            // debugfs takes and returns, or null for its root.
            dentry: unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), parent) },
            _data: PhantomData,
        }
    }

    /// Makes a folder in this one.
    #[inline]
    pub fn dir(&self, name: fmt::Arguments<'_>) -> Dir<'data> {
        match CString::try_from_fmt(name) {
            Ok(name) => Self::create(&name, self.dentry),
            // No memory: the files go on to be made in an erroneous folder, that is, nowhere.
            Err(e) => Dir {
                dentry: e.to_ptr(),
                _data: PhantomData,
            },
        }
    }

    /// Makes a file in this folder.
    pub fn file<A: Attribute>(&self, name: &CStr, data: &'data A::Data) {
        // SAFETY: The operations take what `Attribute`s are about.
        unsafe { self.create_file(name, Operations::<A>::MODE, data, <A as HasTable>::TABLE) };
    }

    /// Makes a file in this folder that is read like `trace_pipe`.
    pub fn stream<S: Stream>(&self, name: &CStr, data: &'data S::Data) {
        // SAFETY: The operations take what the `Stream` is about.
        unsafe { self.create_file(name, 0o400, data, stream::Operations::<S>::TABLE) };
    }

    /// # Safety
    ///
    /// `operations` take files whose inodes point to a `T`.
    unsafe fn create_file<T>(
        &self,
        name: &CStr,
        mode: bindings::umode_t,
        data: &'data T,
        operations: &'static bindings::file_operations,
    ) {
        // SAFETY:
        // - The name is copied; the parent is a folder of debugfs, or an error, which it takes.
        // - The operations are static, as far as the module is: they name it as their owner.
        // - They find the data valid, because `Tree` removes the file before the data is gone: only
        //   `Tree::new` makes a `Dir`, with the lifetime of a borrow of its data.
        unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                mode,
                self.dentry,
                core::ptr::from_ref(data).cast_mut().cast(),
                null_mut(),
                operations,
            )
        };
    }
}

/// A directory of debugfs, which its [`Tree`] removes when that is dropped, and the scope when the
/// module ends.
///
/// # Invariants
///
/// - `node` was claimed in `scope`.
/// - `dentry` is written before the node is registered. It is what `debugfs_create_dir()` returned, and
///   is removed by the task that owns the node.
#[repr(C)]
#[pin_data]
struct Root {
    node: Node,
    scope: &'static ModuleScope,
    dentry: *mut bindings::dentry,
    // The scope has the address of the node.
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: `dentry` is not used but to remove it, by the task that owns the node.
unsafe impl Send for Root {}
// SAFETY: As above.
unsafe impl Sync for Root {}

impl Root {
    /// Makes the directory, and has `fill` make its files. `EBUSY` is not possible.
    ///
    /// The end of the module waits for `fill`. If it has begun by then, the files are removed, and the
    /// error is `ESHUTDOWN`.
    fn new<'a>(
        scope: &'static ModuleScope,
        name: &'a CStr,
        fill: impl FnOnce(*mut bindings::dentry) + 'a,
    ) -> impl PinInit<Self, Error> + 'a {
        try_pin_init!(&this in Self {
            node: Node::new(Self::end),
            scope,
            dentry: null_mut(),
            _pin: PhantomPinned,
            _: {
                // SAFETY: Pinned, and the address is that of all of `Root`. The node is free, or
                // the scope has revoked it, when the `Tree` is gone.
                let owned = scope.claim(unsafe { NodeRef::new(this.cast()) })?;
                let this = this.as_ptr();
                // SAFETY: The name is copied; null is the root of debugfs.
                let dir = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), null_mut()) };
                // SAFETY: Nobody looks at it before the node is registered.
                unsafe { (*this).dentry = dir };
                fill(dir);
                // SAFETY: All fields are initialized.
                owned.publish().inspect_err(|_| unsafe { &*this }.close())?;
            },
        }? Error)
    }

    /// Removes the directory with all that is in it, and waits for operations in progress.
    ///
    /// # Safety
    ///
    /// As of the function that [`Node::new`] takes; the node is that of a `Root`.
    #[inline]
    unsafe fn end(owned: Owned) {
        // SAFETY: The address that `new` passed, of a `Root` that stays until the node is `REVOKED`.
        let this = unsafe { &*owned.node().as_ptr().cast::<Self>() };
        // SAFETY: By the type invariant; errors are ignored.
        unsafe { bindings::debugfs_remove(this.dentry) };
        owned.revoke();
    }

    /// Removes the directory, unless the scope has. Waits in any case.
    #[inline]
    fn close(&self) {
        // SAFETY: Pinned; it is not used any more when this returns.
        let node = unsafe { NodeRef::new(NonNull::from(self).cast()) };
        if let Some(owned) = self.scope.retire(node) {
            // SAFETY: It is the ownership of this node.
            unsafe { Self::end(owned) };
        }
    }
}

/// Data with a folder in debugfs that shows it.
///
/// Dropping it removes the files first, and waits for operations on them in progress; then it drops
/// the data.
///
/// Make it last in a module's `init`. Where an `init` fails the kernel does not ask who holds the
/// module: a file that somebody opened in the meantime would be closed by code that is gone, as it
/// would with a C module.
#[pin_data(PinnedDrop)]
pub struct Tree<T> {
    #[pin]
    root: Root,
    #[pin]
    data: T,
}

impl<T> Tree<T> {
    /// Makes the data, the folder `name` at the root of debugfs, and, with `fill`, its files.
    ///
    /// The files may outlive the tree, if that is leaked, so they cannot be about borrowed data.
    ///
    /// Process context. The end of the module waits for `fill`. Returns what `data` fails with, or
    /// `ESHUTDOWN` if the module is going away, or began to while `fill` ran.
    pub fn new<'a, E>(
        scope: &'static ModuleScope,
        name: &'a CStr,
        data: impl PinInit<T, E> + 'a,
        fill: impl for<'data> FnOnce(&'data T, &Dir<'data>) + 'a,
    ) -> impl PinInit<Self, Error> + 'a
    where
        Error: From<E>,
        T: 'static,
    {
        try_pin_init!(&this in Self {
            data <- data,
            root <- Root::new(scope, name, move |dentry| {
                // SAFETY: Initialized above, and pinned. The borrow is from here to the end of `drop`,
                // where the files go first.
                let data = unsafe { &(*this.as_ptr()).data };
                fill(data, &Dir {
                    dentry,
                    _data: PhantomData,
                });
            }),
        }? Error)
    }
}

#[pinned_drop]
impl<T> PinnedDrop for Tree<T> {
    fn drop(self: Pin<&mut Self>) {
        self.root.close();
    }
}

impl<T> core::ops::Deref for Tree<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

/// A counter: one decimal number.
#[vtable]
impl Attribute for Atomic<u64> {
    type Data = Self;

    #[inline]
    fn show(data: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", data.load(kernel::sync::atomic::Relaxed))
    }
}
