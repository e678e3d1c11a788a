//! The contexts of callbacks: a context cannot outlive its callback.
//~ ERROR `'_` cannot be used here
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = Option<&'static Context<'_>>;
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        None
    }
    fn run(&self, _local: Pin<&mut Self::Local>, _cx: &Context<'_>) {}
}
hotplug_thread!(Worker);
