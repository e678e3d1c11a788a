// SPDX-License-Identifier: GPL-2.0

//! debugfs files that keep their module loaded.
//!
//! The kernel crate's debugfs leaves `file_operations::owner` empty. For a loadable module that is
//! not enough. The operations are part of the module, and debugfs calls `release` through them even
//! long after the file was removed. So closing a file that was open during `rmmod` would call freed
//! code. The files made here name their owner, as those of C modules do: while one of them is open,
//! `rmmod` fails with `EAGAIN`.
//!
//! A [`Tree`] is a value with a directory that shows it. [`Dir::file`] makes a file of an
//! [`Attribute`], among them [`Number`]; [`Dir::stream`] makes one of a [`Stream`].
//!
//! Like all of debugfs, it never fails: the module also works without the files.
//!
//! # Opening, removing, closing
//!
//! - Until the module's `init` has succeeded, `open` fails with `EAGAIN`. The reason: if `init`
//!   fails, the kernel frees the module even while its files are open.
//! - A directory is removed when its [`Tree`] is dropped, or, if the tree was leaked, when the
//!   module ends. Removing waits for the operations in progress, and so for the user's code in
//!   them.
//! - Removing ends a `read` that waits for a record of a [`Stream`] or for its turn, with `EIO`,
//!   and a `poll`, with `POLLHUP`.
//! - Afterwards each operation on an open file returns `EIO`, and `poll` returns `POLLHUP`. `close`
//!   works: the data that it needs belongs to the open file, not to the tree.
//!
//! So an operation must not drop its own tree, nor wait for a task that does: it would wait for
//! itself, and no signal ends that wait. For the same reason do not drop a tree while you hold a
//! lock that an operation takes. If an operation registers threads or makes a
//! [`CpusReadGuard`](super::cpu::hotplug::CpusReadGuard), the CPU hotplug lock is one of these, so
//! do not drop the tree in a hotplug callback either. Only the kernel's hung task detector reports
//! these mistakes.
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
pub use number::{
    Decimal,
    Number, //
};
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
