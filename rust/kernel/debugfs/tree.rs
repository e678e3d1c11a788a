// SPDX-License-Identifier: GPL-2.0

//! A value with a directory that shows it.

use super::{
    super::{
        module_scope::{
            ModuleScope,
            Node,
            NodeRef,
            Owned, //
        },
        wait::WaitQueue, //
    },
    attribute,
    stream,
    Attribute,
    Stream, //
};
use core::{
    cell::Cell,
    marker::{
        PhantomData,
        PhantomPinned, //
    },
    ptr::{
        null,
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    fmt,
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// The wait queues of a tree's streams.
type Queues = Cell<KVec<Arc<WaitQueue>>>;

/// A directory to be filled with files about data that lives for `'data`.
///
/// Only [`Tree::new`] makes one, for the time of its `fill`, which nothing of it outlives. What
/// cannot be made is left out: a name that is taken, empty or has a `/` in it, and a lack of
/// memory, are an entry in the kernel log, not an error.
///
/// Process context, as `fill`; one task at a time, as it is neither [`Send`] nor [`Sync`].
pub struct Dir<'data> {
    dentry: *mut bindings::dentry,
    queues: &'data Queues,
    _data: PhantomData<fn(&'data ()) -> &'data ()>,
}

/// Does nothing. With it, no other code can implement `Copy` or `Drop` for this.
impl Drop for Dir<'_> {
    #[inline(always)]
    fn drop(&mut self) {}
}

impl<'data> Dir<'data> {
    /// Makes a directory in this one. The name is kept in memory only while this runs.
    #[inline]
    pub fn dir(&self, name: fmt::Arguments<'_>) -> Dir<'data> {
        let dentry = match CString::try_from_fmt(name) {
            // SAFETY: The name is copied; the parent is a directory of debugfs, or an error, which
            // debugfs takes and returns.
            Ok(name) => unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), self.dentry) },
            // No memory: the files go on to be made in an erroneous directory, that is, nowhere.
            Err(e) => e.to_ptr(),
        };
        Dir {
            dentry,
            queues: self.queues,
            _data: PhantomData,
        }
    }

    /// Makes a file in this directory.
    ///
    /// Other tasks may open it at once, or, in the module's `init`, when that has succeeded.
    #[inline]
    pub fn file<A: Attribute>(&self, name: &CStr, data: &'data A::Data) {
        let operations = attribute::Operations::<A>::TABLE;
        // SAFETY: The operations take what `Attribute`s are about, and do not use `aux`.
        unsafe {
            self.create_file(
                name,
                attribute::Operations::<A>::MODE,
                data,
                null(),
                operations,
            )
        };
    }

    /// Makes a file in this directory that is read like `trace_pipe`.
    ///
    /// Its readers and pollers wait in `queue`. [Notify](WaitQueue::notify) it whenever
    /// [`S::is_ready`](Stream::is_ready) may have changed. The file holds a reference until it is
    /// removed, and so does each open file; files may share a queue.
    ///
    /// As for [`file`](Self::file).
    #[inline]
    pub fn stream<S: Stream>(&self, name: &CStr, data: &'data S::Data, queue: &Arc<WaitQueue>) {
        // Without memory for this, pollers could not be woken when the file is removed.
        let mut queues = self.queues.take();
        let pushed = queues.push(queue.clone(), GFP_KERNEL);
        self.queues.set(queues);
        if pushed.is_err() {
            return;
        }
        let aux = Arc::as_ptr(queue).cast();
        // SAFETY: The operations take what the `Stream` is about, and as `aux` a queue in an `Arc`,
        // to which `Root` keeps a reference until the file is removed.
        unsafe { self.create_file(name, 0o400, data, aux, stream::Operations::<S>::TABLE) };
    }

    /// # Safety
    ///
    /// `operations` take files whose inodes point to a `T`, with this `aux`.
    #[inline]
    unsafe fn create_file<T>(
        &self,
        name: &CStr,
        mode: bindings::umode_t,
        data: &'data T,
        aux: *const c_void,
        operations: &'static bindings::file_operations,
    ) {
        // SAFETY:
        // - The name is copied; the parent is a directory of debugfs, or an error, which it takes.
        // - The operations are static, as far as the module is: they name it as their owner, and
        //   open no file before its `init` has succeeded.
        // - They find the data valid, because `Tree` removes the file before the data is gone: only
        //   `Tree::new` makes a `Dir`, with the lifetime of a borrow of its data.
        unsafe {
            bindings::debugfs_create_file_full(
                name.as_char_ptr(),
                mode,
                self.dentry,
                core::ptr::from_ref(data).cast_mut().cast(),
                aux,
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
/// - `dentry` and `queues` are written before the node is registered, and used by the task that
///   owns the node. `dentry` is what `debugfs_create_dir()` returned.
#[repr(C)]
#[pin_data]
struct Root {
    node: Node,
    scope: &'static ModuleScope,
    dentry: *mut bindings::dentry,
    queues: Queues,
    // The scope has the address of the node.
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: `dentry` and `queues`, whose elements are `Send`, are used by the task that owns the
// node, whichever that is.
unsafe impl Send for Root {}
// SAFETY: As above.
unsafe impl Sync for Root {}

impl Root {
    /// Makes the directory, and has `fill` make its files. `EBUSY` is not possible.
    ///
    /// The end of the module waits for `fill`. If it has begun by then, the files are removed, and
    /// the error is `ESHUTDOWN`.
    fn new<'a>(
        scope: &'static ModuleScope,
        name: &'a CStr,
        fill: impl FnOnce(*mut bindings::dentry, *const Queues) + 'a,
    ) -> impl PinInit<Self, Error> + 'a {
        try_pin_init!(&this in Self {
            node: Node::new(Self::end),
            scope,
            dentry: null_mut(),
            queues: Cell::new(KVec::new()),
            _pin: PhantomPinned,
            _: {
                // SAFETY: Pinned, and the address is that of all of `Root`. It is in the memory of
                // a `Files`, which only dropping the `Tree` frees, or failing to make it. Then the
                // node is free, or revoked.
                let owned = scope.claim(unsafe { NodeRef::new(this.cast()) })?;
                let this = this.as_ptr();
                // SAFETY: The name is copied; null is the root of debugfs.
                let dir = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), null_mut()) };
                // SAFETY: This task owns the node.
                unsafe { (*this).dentry = dir };
                // SAFETY: Initialized above.
                fill(dir, unsafe { &raw const (*this).queues });
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
        // Pollers ask the files again, which are `POLLHUP` now. A poll that began before is found in the
        // queue, as removing has waited for the operation that put it there.
        for queue in &this.queues.take() {
            queue.wake_all();
        }
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

/// A value with a directory in debugfs that shows it.
///
/// Dropping it removes the files first, and waits for operations on them in progress; then it drops
/// the value. Process context, may sleep; see [the module](super#opening-removing-closing) for
/// where that would wait for itself. A task that drops a tree while the module's end removes it
/// waits for that.
///
/// A tree that is leaked keeps its files until the module ends, and its value for ever.
///
/// The value has memory of its own, in which it is pinned, so the tree may be moved, and the files
/// find the value also when the memory of the tree goes away without a drop. The value is shared:
/// no `&mut T` is to be had. [`Send`] and [`Sync`] are `T`'s, and each file demands [`Sync`] data.
pub struct Tree<T>(Pin<KBox<Files<T>>>);

/// What the files and the scope have the address of.
#[pin_data]
struct Files<T> {
    #[pin]
    root: Root,
    #[pin]
    data: T,
}

impl<T> Tree<T> {
    /// Makes the value, the directory `name` at the root of debugfs, and, with `fill`, its files.
    ///
    /// The files may outlive the tree, if that is leaked, so they cannot be about borrowed data.
    ///
    /// Process context; may sleep. `fill` runs in the calling task, with no lock held. The end of
    /// the module waits for it.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: no memory for the value.
    /// - `ESHUTDOWN`: the module is going away, or began to while this ran. The files are gone.
    /// - the error of `data`.
    ///
    /// That a file or a directory could not be made is no error: see [`Dir`].
    pub fn new<E>(
        scope: &'static ModuleScope,
        name: &CStr,
        data: impl PinInit<T, E>,
        fill: impl for<'data> FnOnce(&'data T, &Dir<'data>),
    ) -> Result<Self>
    where
        Error: From<E>,
        T: 'static,
    {
        let files = try_pin_init!(&this in Files {
            data <- data,
            root <- Root::new(scope, name, move |dentry, queues| {
                // SAFETY: Initialized above, and pinned. The borrow is from here to the end of
                // `drop`, where the files go first; without that, the memory stays.
                let data = unsafe { &(*this.as_ptr()).data };
                fill(data, &Dir {
                    dentry,
                    // SAFETY: As for the data; `Root::new` does not use it while this runs.
                    queues: unsafe { &*queues },
                    _data: PhantomData,
                });
            }),
        }? Error);
        KBox::pin_init::<Error>(files, GFP_KERNEL).map(Self)
    }
}

impl<T> Drop for Tree<T> {
    #[inline]
    fn drop(&mut self) {
        self.0.root.close();
    }
}

/// Any context.
impl<T> core::ops::Deref for Tree<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.data
    }
}
