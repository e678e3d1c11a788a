// SPDX-License-Identifier: GPL-2.0

//! debugfs files that hold their module.
//!
//! The kernel crate's debugfs leaves `file_operations::owner` empty. In a loadable module that is
//! not enough: the operations are part of the module, debugfs calls `release` through them however
//! long ago the file was removed, and so closing a file that was held open over `rmmod` calls freed
//! code. The files made here name their owner, as those of C modules do: while one of them is open,
//! `rmmod` fails with `EAGAIN`.
//!
//! A [`Tree`] is a value with a directory that shows it. [`Dir::file`] makes a file of an
//! [`Attribute`], among them [`Number`]; [`Dir::stream`] makes one of a [`Stream`].
//!
//! As all of debugfs, it never fails: without the files the module works as well.
//!
//! # Opening, removing, closing
//!
//! - Until the module's `init` has succeeded, `open` fails with `EAGAIN`. If `init` fails, the
//!   kernel frees the module even while its files are open.
//! - A directory is removed when its [`Tree`] is dropped, or, if that was leaked, when the module
//!   ends. Removing waits for the operations in progress, so for the user's code that they run.
//! - A `read` that waits, for a record of a [`Stream`] or for its turn, does not hold that up: it
//!   ends with `EIO`. A `poll` ends with `POLLHUP`.
//! - Afterwards every operation on an open file is `EIO`, `POLLHUP` in `poll`; `close` works. What
//!   `close` needs belongs to the open file, not to the tree.
//!
//! So an operation must not drop its own tree, nor wait for a task that does: it would wait for
//! itself, and no signal ends that. For the same reason do not drop a tree with a lock held that an
//! operation takes: the CPU hotplug lock is one if an operation registers threads or makes a
//! [`CpusReadGuard`](super::cpu::hotplug::CpusReadGuard), so not in a hotplug callback either.
//! Nothing refuses or reports either before the kernel's hung task detector does.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)

mod attribute;
mod number;
mod record;
mod stream;
mod table;
mod tree;

pub use attribute::{
    Attribute,
    MAX_INPUT, //
};
pub use number::Number;
pub use record::RecordBytes;
pub use stream::Stream;
pub use table::{
    Cell,
    Table, //
};
pub use tree::{
    Dir,
    Tree, //
};
