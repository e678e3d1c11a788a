//! The user's crate, which owns the library's types, cannot make a pinned type `Unpin`.
//~ IN THE LIBRARY'S CRATE
//~ ERROR conflicting implementations of trait `Unpin` .. impl Unpin for wait::WaitQueue
impl Unpin for wait::WaitQueue {}
