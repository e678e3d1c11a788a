//! Another task than its maker may drop the shared value.
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
