//! The contexts of callbacks: a context cannot outlive its callback.
//~ ERROR cannot be shared between threads safely .. type Local
//~ ERROR lifetime may not live long enough .. assignment requires that `'1` must outlive `'static`
//~ ERROR lifetime may not live long enough .. assignment requires that `'2` must outlive `'static`
struct Worker;

#[vtable]
impl HotplugThread for Worker {
    const NAME: &'static CStr = c"worker";
    type Local = Option<&'static Context<'static>>;
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<Self::Local> {
        None
    }
    fn run(&self, mut local: Pin<&mut Self::Local>, cx: &Context<'_>) {
        *local = Some(cx);
    }
}
hotplug_thread!(Worker);
