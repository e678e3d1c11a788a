//! Each type has a work queue of its own: that of a subtype is not one of its supertype.
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
