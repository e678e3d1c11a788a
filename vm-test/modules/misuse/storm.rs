// SPDX-License-Identifier: GPL-2.0

//! Wakes from threads and interrupts, while the woken threads are registered and unregistered.

use super::report::{
    Counts,
    Outcome,
    Tracked,
    TrackedLocal, //
};
use crate::{
    hotplug_thread,
    smpboot::{
        hotplug,
        Context,
        HotplugThread,
        ModuleScope,
        Registration,
        Threads, //
    }, //
};
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    time::{
        delay::udelay,
        hrtimer::{
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeHardMode, //
        },
        Delta,
        Monotonic, //
    }, //
};

/// The threads that are registered and unregistered. Each wakes the next one in its callback.
struct Victim(Tracked);

#[vtable]
impl HotplugThread for Victim {
    const NAME: &'static CStr = c"mis_victim";

    type Local = TrackedLocal;

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<TrackedLocal> {
        let counts = &self.0 .0;
        counts.setup.up();
        Threads::<Self>::new().wake(cx.cpu());
        TrackedLocal(counts.clone())
    }

    fn run(&self, local: Pin<&mut TrackedLocal>, cx: &Context<'_>) {
        local.0.run.up();
        let next = hotplug::online_cpus()
            .find(|cpu| cpu.as_u32() > cx.cpu().as_u32())
            .or_else(|| hotplug::online_cpus().next());
        if let Some(next) = next {
            Threads::<Self>::new().wake(next);
        }
    }

    fn cleanup(&self, local: Pin<&mut TrackedLocal>, _cx: &Context<'_>, _online: bool) {
        // The threads exit one by one: some have already exited.
        Threads::<Self>::new().wake_all();
        local.0.cleanup.up();
    }
}

hotplug_thread!(Victim);

/// Threads that stay registered, and wake the others.
struct Waker;

#[vtable]
impl HotplugThread for Waker {
    const NAME: &'static CStr = c"mis_waker";

    type Local = ();

    fn setup(&self, _cx: &Context<'_>) -> impl PinInit<()> {}

    fn run(&self, _local: Pin<&mut ()>, cx: &Context<'_>) {
        Threads::<Victim>::new().wake_all();
        cx.sleep(Delta::from_micros(100));
        Threads::<Self>::new().wake(cx.cpu());
    }
}

hotplug_thread!(Waker);

/// Wakes from hard-irq context.
#[pin_data]
struct Alarm {
    #[pin]
    timer: HrTimer<Self>,
}

impl HrTimerCallback for Alarm {
    type Pointer<'a> = Arc<Self>;

    fn run(_: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        Threads::<Victim>::new().wake_all();
        cx.forward_now(Delta::from_micros(200));
        HrTimerRestart::Restart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Alarm {
        mode: RelativeHardMode<Monotonic>, field: self.timer
    }
}

pub(crate) fn storm(scope: &'static ModuleScope, count: u32) -> Outcome {
    let counts = Counts::new()?;
    let wakers = Registration::new(scope, Waker)?;
    wakers.threads().wake_all();
    let alarm = Arc::pin_init(pin_init!(Alarm { timer <- HrTimer::new() }), GFP_KERNEL)?;
    let alarm = alarm.start(Delta::from_micros(200));

    for i in 0..count {
        let victims = Registration::new(scope, Victim(Tracked::new(&counts)))?;
        victims.threads().wake_all();
        udelay(Delta::from_micros(i64::from(i % 8) * 100));
        drop(victims);
    }

    drop(alarm);
    drop(wakers);
    for cpu in hotplug::possible_cpus() {
        ensure!(
            Threads::<Victim>::new().info(cpu).is_none(),
            "a thread is left"
        );
    }
    ensure_eq!(counts.made.get(), count);
    pr_info!("storm: {} runs\n", counts.run.get());
    counts.balanced()
}
