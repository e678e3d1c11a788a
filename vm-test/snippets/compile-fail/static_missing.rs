//! Hazard 2: without the static the descriptor has no place.
//~ ERROR `Worker` has no static for the registration of its hotplug threads
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = ();
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}
