// SPDX-License-Identifier: GPL-2.0

//! The Rust twin of `smpboot_many_c.c`: up to 64 registrations, whose threads follow CPU hotplug
//! and do no other work.

use kernel::{
    cpu::CpuId,
    prelude::*, //
};

mod driver;
#[path = "../rust/kernel/library.rs"]
mod library;

use driver::{
    Added,
    Mechanism, //
};
use library::smpboot;
use smpboot::{
    AtomicContext,
    Context,
    HasThreadSlot,
    HotplugThread,
    ModuleScope,
    Registration,
    ScopedModule, //
};

scoped_module! {
    type: ManyModule,
    name: "smpboot_many_rust",
    authors: ["The rust_smpboot developers"],
    description: "Rust twin of smpboot_many_c",
    license: "GPL",
}

/// The types of the registrations: each registration needs its own.
struct Many<const N: usize>;

#[vtable]
impl<const N: usize> HotplugThread for Many<N>
where
    Self: HasThreadSlot,
{
    const NAME: &'static CStr = c"many_rust";

    type Local = u64;

    #[inline]
    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<u64> {
        0
    }

    #[inline]
    fn should_run(&self, _parks: Pin<&mut u64>, _cx: &AtomicContext<'_>) -> bool {
        false
    }

    #[inline]
    fn run(&self, _parks: Pin<&mut u64>, _cx: &Context<'_>) {}

    #[inline]
    fn park(&self, mut parks: Pin<&mut u64>, _cx: &Context<'_>) {
        *parks = parks.wrapping_add(1);
    }

    #[inline]
    fn unpark(&self, mut parks: Pin<&mut u64>, _cx: &Context<'_>) {
        *parks = parks.wrapping_add(1);
    }
}

trait Held: Send + Sync {}

impl<T: HotplugThread> Held for Registration<T> {}

type Register = fn(&'static ModuleScope) -> Result<KBox<dyn Held>>;

fn register<const N: usize>(scope: &'static ModuleScope) -> Result<KBox<dyn Held>>
where
    Many<N>: HotplugThread,
{
    Ok(KBox::new(Registration::new(scope, Many::<N>)?, GFP_KERNEL)?)
}

macro_rules! registers {
    ($($n:literal)*) => {
        $(hotplug_thread!(Many<$n>);)*

        static REGISTERS: &[Register] = &[$(register::<$n>),*];
    };
}

registers! {
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31
    32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63
}

struct Driven;

impl Mechanism for Driven {
    const NAME: &'static CStr = c"many_rust";

    type Handle = KBox<KVec<KBox<dyn Held>>>;

    #[inline]
    fn start(scope: &'static ModuleScope, count: u32) -> Result<Self::Handle> {
        let mut all = KBox::new(KVec::new(), GFP_KERNEL)?;
        for register in REGISTERS.iter().take(count as usize) {
            all.push(register(scope)?, GFP_KERNEL)?;
        }
        Ok(all)
    }

    #[inline]
    fn wake(_all: &KVec<KBox<dyn Held>>, _cpu: CpuId, _item: u32) {}
}

struct ManyModule {
    _added: Added<Driven>,
}

impl ScopedModule for ManyModule {
    #[inline]
    fn init(
        _module: &'static ThisModule,
        scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Ok::<_, Error>(Self {
            _added: Added::new(scope)?,
        })
    }
}
