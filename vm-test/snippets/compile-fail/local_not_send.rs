//! Hazards 6, 7: a value that belongs to a context cannot be kept from one callback to the next.
//~ ERROR cannot be sent between threads safely
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = Option<kernel::sync::rcu::Guard>;
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        None
    }
    fn run(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
