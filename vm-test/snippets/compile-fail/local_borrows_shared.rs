//! Hazard 6: a thread's state cannot borrow from the registration.
//~ ERROR lifetime may not live long enough
struct Worker(u32);

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = &'static u32;
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        &self.0
    }
    fn run(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
