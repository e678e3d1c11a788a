// SPDX-License-Identifier: GPL-2.0

//! Periodic wakes: one timer per CPU, owned by its thread, which stops it while the CPU is offline.

use super::{
    cpu::Cpu,
    threads::Demo, //
};
use crate::smpboot::{
    PerCpu,
    Threads, //
};
use kernel::{
    cpu::CpuId,
    impl_has_hr_timer,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    time::{
        hrtimer::{
            ArcHrTimerHandle,
            HrTimer,
            HrTimerCallback,
            HrTimerCallbackContext,
            HrTimerPointer,
            HrTimerRestart,
            RelativePinnedMode, //
        },
        Delta,
        Monotonic, //
    },
};

/// Returns whether a period, in microseconds, is allowed. 0 is no timer. A period below 100 us
/// would leave a slow machine no time for other work.
pub(crate) fn is_period(period_us: u64) -> bool {
    matches!(period_us, 0 | 100..=60_000_000)
}

#[pin_data]
struct Timer {
    #[pin]
    timer: HrTimer<Self>,
    cpus: Arc<PerCpu<Cpu>>,
    cpu: CpuId,
    period: Delta,
}

impl_has_hr_timer! {
    impl HasHrTimer<Self> for Timer {
        mode: RelativePinnedMode<Monotonic>, field: self.timer
    }
}

impl HrTimerCallback for Timer {
    type Pointer<'a> = Arc<Self>;

    // Called in interrupt context, on the CPU that started the timer.
    fn run(this: ArcBorrow<'_, Self>, mut cx: HrTimerCallbackContext<'_, Self>) -> HrTimerRestart {
        if let Some(cpu) = this.cpus.get(this.cpu) {
            cpu.wake(|cpu| {
                Threads::<Demo>::new().wake(cpu);
            });
        }
        cx.forward_now(this.period);
        HrTimerRestart::Restart
    }
}

/// A timer that wakes the thread of a CPU until this is dropped.
pub(crate) struct PeriodicWake(
    #[expect(dead_code, reason = "cancels when dropped")] ArcHrTimerHandle<Timer>,
);

impl PeriodicWake {
    /// Starts the timer, pinned to the calling CPU.
    pub(crate) fn start(cpus: Arc<PerCpu<Cpu>>, cpu: CpuId, period_us: u64) -> Result<Self> {
        let period = Delta::from_micros(period_us as i64);
        let timer = Arc::pin_init(
            pin_init!(Timer {
                timer <- HrTimer::new(),
                cpus,
                cpu,
                period,
            }),
            GFP_KERNEL,
        )?;
        Ok(Self(timer.start(period)))
    }
}
