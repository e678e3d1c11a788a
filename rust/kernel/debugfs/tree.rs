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

/// A directory for files that show data, which exists during `'data`.
///
/// Only [`Tree::new`] makes a `Dir`, for the duration of its `fill`. Files and directories that
/// cannot be made are skipped: a name that is taken, is empty or contains a `/`, and a lack of
/// memory, lead to a message in the kernel log, not to an error.
///
/// Process context, like `fill`. Only one task uses it: it is neither [`Send`] nor [`Sync`].
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
    /// Makes a directory in this one. debugfs copies the name.
    #[inline]
    pub fn dir(&self, name: fmt::Arguments<'_>) -> Dir<'data> {
        let dentry = match CString::try_from_fmt(name) {
            // SAFETY: The name is copied; the parent is a directory of debugfs, or an error, which
            // debugfs accepts and returns.
            Ok(name) => unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), self.dentry) },
            // No memory: the parent of the files is then an error, and debugfs makes none of them.
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
    /// Other tasks may open it at once, or, if the module's `init` makes it, after `init` has
    /// succeeded.
    #[inline]
    pub fn file<A: Attribute>(&self, name: &CStr, data: &'data A::Data) {
        let operations = attribute::Operations::<A>::TABLE;
        // SAFETY: The operations take the data of the `Attribute`, and do not use `aux`.
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

    /// Makes a file in this directory, as [`file`](Self::file) does, that is read like
    /// `trace_pipe`.
    ///
    /// Its readers and pollers wait in `queue`. [Notify](WaitQueue::notify) it whenever
    /// [`S::is_ready`](Stream::is_ready) may have changed. The file holds a reference until it is
    /// removed, and each open file holds one until it is closed. Files may share a queue.
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
        // SAFETY: The operations take the data of the `Stream`, and as `aux` a queue in an `Arc`,
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
        // - The name is copied; the parent is a directory of debugfs, or an error, which debugfs
        //   accepts.
        // - The operations exist as long as the module: they name it as their owner, and open no
        //   file before its `init` has succeeded.
        // - The data is valid when they use it, because `Tree` removes the file before it drops the
        //   data: only `Tree::new` makes a `Dir`, with the lifetime of a borrow of its data.
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

/// A directory of debugfs. Dropping its [`Tree`] removes it, and otherwise the scope when the
/// module ends.
///
/// # Invariants
///
/// - `node` was claimed in `scope`.
/// - `dentry` and `queues` are written before the node is registered, and used by the task that
///   owns the node. `debugfs_create_dir()` returned `dentry`.
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

// SAFETY: Only the task that owns the node uses `dentry` and `queues`. It may be any task; the
// elements of `queues` are `Send`.
unsafe impl Send for Root {}
// SAFETY: As above.
unsafe impl Sync for Root {}

impl Root {
    /// Makes the directory, and calls `fill` to make its files. Cannot return `EBUSY`.
    ///
    /// The end of the module waits for `fill`. If the module's end has begun when `fill` returns,
    /// this removes the files and returns `ESHUTDOWN`.
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
                // a `Files`, which is freed only when the `Tree` is dropped or cannot be made. Then
                // the node is free, or revoked.
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

    /// Removes the directory and its contents, and waits for operations in progress.
    ///
    /// # Safety
    ///
    /// The requirements of the function that [`Node::new`] takes. The node is that of a `Root`.
    #[inline]
    unsafe fn end(owned: Owned) {
        // SAFETY: The address that `new` passed, of a `Root` that stays until the node is
        // `REVOKED`.
        let this = unsafe { &*owned.node().as_ptr().cast::<Self>() };
        // SAFETY: By the type invariant; errors are ignored.
        unsafe { bindings::debugfs_remove(this.dentry) };
        // Pollers call `poll` again, which now returns `POLLHUP`. The entry of a poll that began
        // earlier is in the queue, because removing has waited for the operation that added it.
        for queue in &this.queues.take() {
            queue.wake_all();
        }
        owned.revoke();
    }

    /// Removes the directory, unless the scope has removed it. Waits in both cases.
    #[inline]
    fn close(&self) {
        // SAFETY: Pinned. The reference is not used after this returns.
        let node = unsafe { NodeRef::new(NonNull::from(self).cast()) };
        if let Some(owned) = self.scope.retire(node) {
            // SAFETY: The ownership is that of this node.
            unsafe { Self::end(owned) };
        }
    }
}

/// A value with a directory in debugfs that shows it.
///
/// Dropping it first removes the files and waits for operations on them in progress; then it drops
/// the value. Process context, may sleep. [The module's page](super#opening-removing-closing) lists
/// the contexts where a drop would wait for itself. A task that drops a tree while the module's end
/// removes it waits for the removal.
///
/// A leaked tree keeps its files until the module ends, and its value forever.
///
/// The value is pinned in memory of its own. So the tree may be moved, and the files find the value
/// even if the memory of the tree is reused without a drop. The value is shared: the tree never
/// gives a `&mut T`. The tree is [`Send`] and [`Sync`] if `T` is, and each file requires [`Sync`]
/// data.
pub struct Tree<T>(Pin<KBox<Files<T>>>);

/// The values whose addresses the files and the scope hold.
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
    /// The files of a leaked tree outlive it, so their data cannot be borrowed.
    ///
    /// Process context, may sleep. `fill` runs in the calling task, with no lock held. The end of
    /// the module waits for it.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`: no memory for the value.
    /// - `ESHUTDOWN`: the module is ending, or began to end during the call. The files are removed.
    /// - The error of `data`.
    ///
    /// A file or a directory that cannot be made is not an error: see [`Dir`].
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
                // SAFETY: Initialized above, and pinned. The borrow lasts from here to the drop of
                // the tree, which removes the files before it drops the data; if the tree is
                // leaked, the memory stays.
                let data = unsafe { &(*this.as_ptr()).data };
                fill(data, &Dir {
                    dentry,
                    // SAFETY: Valid as the data is. `Root::new` does not use it while this runs.
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

/// Dereferences to the value. Any context.
impl<T> core::ops::Deref for Tree<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.data
    }
}
