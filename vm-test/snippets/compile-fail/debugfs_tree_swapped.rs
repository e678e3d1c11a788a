//! The files of a tree point into it: two trees do not change places.
//~ ERROR cannot borrow data in dereference of .. Tree<Atomic<u64>> .. as mutable
use debugfs::Tree;
use kernel::sync::atomic::Atomic;

pub fn swap(mut a: Pin<KBox<Tree<Atomic<u64>>>>, mut b: Pin<KBox<Tree<Atomic<u64>>>>) {
    core::mem::swap(&mut *a, &mut *b);
}
