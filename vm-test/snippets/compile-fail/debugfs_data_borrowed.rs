//! A leaked tree keeps its files, so a tree cannot hold borrowed data.
//~ ERROR `counter` does not live long enough
use debugfs::Tree;
use kernel::sync::atomic::Atomic;

pub struct Borrower<'a>(&'a Atomic<u64>);

pub fn leak(scope: &'static ModuleScope) -> Result {
    let counter = Atomic::<u64>::new(0);
    core::mem::forget(Tree::new(scope, c"borrower", Borrower(&counter), |borrower, dir| {
        dir.file::<Atomic<u64>>(c"counter", borrower.0)
    })?);
    Ok(())
}
