//! What is pinned is not made `Unpin` by the user's crate, which owns the library's types.
//~ IN THE LIBRARY'S CRATE
//~ ERROR conflicting implementations of trait `Unpin` .. impl Unpin for wait::WaitQueue
impl Unpin for wait::WaitQueue {}
