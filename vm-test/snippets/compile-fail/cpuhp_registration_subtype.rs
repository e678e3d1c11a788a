//! Each type has its own hotplug state: the registration of a subtype is no registration of its
//! supertype.
//~ ERROR mismatched types .. one type is more general than the other
use core::marker::PhantomData;
use smpboot::cpuhp::{Callbacks, HasStateSlot};

pub struct State<F>(PhantomData<F>);

#[vtable]
impl<F: Send + Sync + 'static> Callbacks for State<F>
where
    Self: HasStateSlot,
{
    const NAME: &'static CStr = c"test:online";
}

type Sub = for<'a> fn(&'a ());
type Super = fn(&'static ());
cpuhp_state!(State<Sub>);
cpuhp_state!(State<Super>);

pub fn supertype(sub: smpboot::cpuhp::Registration<State<Sub>>) -> smpboot::cpuhp::Registration<State<Super>> {
    sub
}
