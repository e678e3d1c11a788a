// SPDX-License-Identifier: GPL-2.0

//! A timer notifies a wait queue.

use crate::wait::WaitQueue;
use kernel::{
    impl_has_hr_timer,
    prelude::*,
    static_lock_class,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativeSoftMode, //
        },
        Delta,
        Monotonic, //
    },
};

#[pin_data]
struct Alarm {
    rang: Atomic<u32>,
    #[pin]
    queue: WaitQueue,
    #[pin]
    timer: HrTimer<Self>,
}

impl HrTimerCallback for Alarm {
    type Pointer<'a> = Arc<Self>;

    fn run(this: ArcBorrow<'_, Self>, _: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        this.rang.xchg(1, Full);
        this.queue.notify();
        HrTimerRestart::NoRestart
    }
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Alarm {
        mode: RelativeSoftMode<Monotonic>, field: self.timer
    }
}

pub(crate) fn begin() -> Result {
    let alarm = Arc::pin_init(
        pin_init!(Alarm {
            rang: Atomic::new(0),
            queue <- WaitQueue::new(c"hole_notify", static_lock_class!()),
            timer <- HrTimer::new(),
        }),
        GFP_KERNEL,
    )?;
    // Long enough for the task to sleep: only then the notification takes a lock.
    let handle = alarm.clone().start(Delta::from_millis(200));
    alarm.queue.wait_until(|| alarm.rang.load(Relaxed) != 0)?;
    drop(handle);
    pr_info!("notified\n");
    Ok(())
}
