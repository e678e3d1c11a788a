// SPDX-License-Identifier: GPL-2.0

//! Files in `rust_smpboot_holes/` of a tree whose memory was freed without a drop.

use crate::{
    debugfs::Tree,
    smpboot::ModuleScope, //
};
use core::mem::{
    size_of,
    MaybeUninit, //
};
use kernel::{
    prelude::*,
    sync::atomic::Atomic, //
};
use pin_init::Wrapper;

type Undropped = MaybeUninit<Tree<Atomic<u64>>>;

pub(crate) struct Held {
    /// Allocations of the size of the freed memory; one of them reuses it.
    _memory: KVec<KBox<[u8; size_of::<Undropped>()]>>,
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<Held> {
    let mut memory = KVec::with_capacity(256, GFP_KERNEL)?;
    let tree = Tree::new(
        scope,
        c"rust_smpboot_holes",
        Atomic::<u64>::new(42),
        |number, dir| {
            dir.file::<Atomic<u64>>(c"number", number);
        },
    );
    let tree = <Undropped as Wrapper<_>>::pin_init::<Error>(tree);
    drop(KBox::pin_init::<Error>(tree, GFP_KERNEL)?);
    for _ in 0..memory.capacity() {
        let bytes = KBox::new([0xff; size_of::<Undropped>()], GFP_KERNEL)?;
        memory.push(bytes, GFP_KERNEL)?;
    }
    Ok(Held { _memory: memory })
}
