//! Each type has its own threads: a handle to those of a subtype is no handle to those of its
//! supertype.
//~ ERROR mismatched types .. one type is more general than the other
use core::marker::PhantomData;

pub struct Worker<F>(PhantomData<F>);

#[vtable]
impl<F: Send + Sync + 'static> HotplugThread for Worker<F>
where
    Self: HasThreadSlot,
{
    const NAME: &'static CStr = c"worker";
    type Local = ();
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}
    fn run(&self, _local: Pin<&mut ()>, _cx: &Context<'_>) {}
}

type Sub = for<'a> fn(&'a ());
type Super = fn(&'static ());
hotplug_thread!(Worker<Sub>);
hotplug_thread!(Worker<Super>);

pub fn supertype(sub: smpboot::Threads<Worker<Sub>>) -> smpboot::Threads<Worker<Super>> {
    sub
}
