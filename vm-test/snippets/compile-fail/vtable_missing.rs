//! A callback that the type implements is called: without the attribute, the build fails.
//~ ERROR missing: `USE_VTABLE_ATTR`
struct Worker;

impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = ();
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
