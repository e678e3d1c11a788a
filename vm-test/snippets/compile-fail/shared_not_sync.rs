//! All threads access the shared value concurrently.
//~ ERROR Cell<u32>` cannot be shared between threads safely
struct Worker(core::cell::Cell<u32>);

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = ();
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
