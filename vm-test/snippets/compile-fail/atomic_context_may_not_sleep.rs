//! `should_run` does not get the context of callbacks that may sleep.
//~ ERROR method `should_run` has an incompatible type for trait
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = ();
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
    fn should_run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) -> bool {
        true
    }
}
hotplug_thread!(Worker);
