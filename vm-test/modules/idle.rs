// SPDX-License-Identifier: GPL-2.0

//! Threads without work: tests look only at their registration.

/// Implements threads that do nothing. The optional third argument is their scheduling class.
macro_rules! idle_thread {
    ($type:ty, $name:literal $(, $policy:expr)?) => {
        #[vtable]
        impl $crate::smpboot::HotplugThread for $type {
            const NAME: &'static CStr = $name;

            type Local = ();

            fn setup(&self, _cx: &$crate::smpboot::Context<'_>) -> impl PinInit<()> {}

            fn run(&self, _local: Pin<&mut ()>, _cx: &$crate::smpboot::Context<'_>) {}

            $(
                fn sched_policy(&self) -> $crate::smpboot::SchedPolicy {
                    $policy
                }
            )?
        }

        $crate::hotplug_thread!($type);
    };
}
