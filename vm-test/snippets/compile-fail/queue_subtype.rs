//! Each type has its own work queue: that of a subtype is no queue of its supertype.
//~ IN THE LIBRARY'S CRATE
//~ ERROR mismatched types .. one type is more general than the other
use core::marker::PhantomData;
use percpu_workqueue::{HasSlot, Queue, QueueType};

pub struct Events<F>(PhantomData<F>);

impl<F: Send + Sync + 'static> QueueType for Events<F>
where
    Self: HasSlot,
{
    const NAME: &'static CStr = c"events";
}

type Sub = for<'a> fn(&'a ());
type Super = fn(&'static ());
percpu_workqueue!(Events<Sub>);
percpu_workqueue!(Events<Super>);

pub fn supertype(sub: Queue<Events<Sub>>) -> Queue<Events<Super>> {
    sub
}
