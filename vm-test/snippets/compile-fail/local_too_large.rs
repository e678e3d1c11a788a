//! Hazard 13: per-CPU storage has a limit.
//~ ERROR too large for per-CPU storage
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = [u8; smpboot::percpu::MAX_SIZE];
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        [0; smpboot::percpu::MAX_SIZE]
    }
    fn run(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
