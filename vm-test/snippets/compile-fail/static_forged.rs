//! Hazard 1: only an unsafe implementation can name another static.
//~ ERROR the trait `HasThreadSlot` requires an `unsafe impl` declaration
worker!(Worker, c"worker");
struct Thief;

impl HasThreadSlot for Thief {
    fn slot(_: smpboot::SlotAccess) -> &'static smpboot::ThreadSlot<Self>
    where
        Self: HotplugThread,
    {
        loop {}
    }
}
