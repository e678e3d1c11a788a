//! The data of a directory's files outlives them.
//~ ERROR `counter` does not live long enough
use debugfs::Dir;
use kernel::sync::atomic::Atomic;

pub fn fill<'a>(_data: &'a (), dir: &Dir<'a>) {
    let counter = Atomic::<u64>::new(0);
    dir.file::<Atomic<u64>>(c"counter", &counter);
}
