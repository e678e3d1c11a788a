//! Hazard 6: cleanup cannot move the state out; it is dropped once, after cleanup.
//~ ERROR cannot move out of dereference of `core::pin::Pin<&mut Option<Box<u32, Kmalloc>>>`
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = Option<KBox<u32>>;
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        None
    }
    fn run(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {}
    fn cleanup(&self, local: Pin<&mut Self::Local>, _cx: &Context<'_>, _online: bool) {
        drop(*local);
    }
}
hotplug_thread!(Worker);
