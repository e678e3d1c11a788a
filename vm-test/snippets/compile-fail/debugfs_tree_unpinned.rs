//! The files of a tree point into it: it does not move, whatever its data is.
//~ ERROR `PhantomPinned` cannot be unpinned
use debugfs::Tree;
use kernel::sync::atomic::Atomic;

pub fn move_out(tree: Pin<KBox<Tree<Atomic<u64>>>>) -> Tree<Atomic<u64>> {
    KBox::into_inner(Pin::into_inner(tree))
}
