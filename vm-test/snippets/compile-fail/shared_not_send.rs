//! The shared value may be dropped by another task than the one that made it.
//~ ERROR cannot be sent between threads safely
struct Worker(core::marker::PhantomData<*mut ()>);

// SAFETY: Nothing is shared.
unsafe impl Sync for Worker {}

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = ();
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
