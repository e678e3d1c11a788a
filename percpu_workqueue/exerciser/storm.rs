// SPDX-License-Identifier: GPL-2.0

//! The functions of a queue, called at random, by timers and by tasks at once.

use super::trial::Trial;
use crate::{
    debugfs::{
        Attribute,
        Number, //
    },
    percpu_workqueue::QueueType, //
};
use core::marker::PhantomData;
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    impl_has_hr_timer,
    prelude::*,
    sync::{
        atomic::Relaxed,
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
            RelativeHardMode,
            RelativeSoftMode, //
        },
        Delta,
        Monotonic, //
    },
};

/// Number of items used per CPU: so few that several contexts use the same item at once.
const ITEMS: usize = 3;

/// Maximum number of calls by a write to `random`: a flush may take 65 ms.
const CALLS: u64 = 50;

const PERIOD: Delta = Delta::from_micros(500);

/// The caller's context. Its value is the number of functions that the caller may use.
#[derive(Clone, Copy)]
enum Place {
    /// Only queues items: all other functions take a lock.
    HardIrq = 5,
    SoftIrq = 10,
    /// May sleep.
    Task = 13,
}

impl<Q: QueueType> Trial<Q> {
    /// Calls a function at random.
    fn act(&self, place: Place) -> Result {
        let (queue, random) = (&self.queue, self.shared.random());
        let cpu = |random: u64| {
            let number = (random as u32).checked_rem(nr_cpu_ids());
            number.and_then(CpuId::from_u32).ok_or(EINVAL)
        };
        let items = self.items.get(cpu(random)?).ok_or(EINVAL)?;
        let item = items.get((random >> 4) as usize % ITEMS).ok_or(EINVAL)?;
        let cpu = cpu(random >> 8)?;
        let delay = Delta::from_micros((random >> 16 & 0x7ff) as i64);
        // Long enough for items to be pending when a CPU goes offline.
        let long = Delta::from_micros((random >> 16 & 0xffff) as i64);
        let this = || item.clone();
        if random >> 38 == 0 {
            self.shared.again.add(1, Relaxed);
        }
        match (random >> 32) as u32 % place as u32 {
            0 | 1 => self.queueing(item, queue.queue_work(this())),
            2 => self.queueing(item, queue.queue_work_on(cpu, this())),
            3 => self.queueing(item, queue.queue_delayed_work(this(), delay)),
            4 => self.queueing(item, queue.queue_delayed_work_on(cpu, this(), long)),
            5 => self.modifying(item, queue.mod_delayed_work(this(), delay)),
            6 => self.modifying(item, queue.mod_delayed_work_on(cpu, this(), delay)),
            7..=9 => self.cancelled(item, queue.cancel(item)),
            10 => self.cancelled(item, queue.cancel_sync(item)?),
            11 => queue.flush_work(item),
            _ => queue.flush(),
        }
    }
}

/// The file `random`: calls functions in process context.
pub(crate) struct Random<Q>(PhantomData<fn() -> Q>);

#[vtable]
impl<Q: QueueType> Attribute for Random<Q> {
    type Data = Trial<Q>;

    fn store(trial: &Trial<Q>, input: &CStr) -> Result {
        for _ in 0..Number::<0, CALLS>::parse(input)? {
            // Refusals are part of the storm: not counted as queued.
            let _ = trial.act(Place::Task);
        }
        Ok(())
    }
}

#[pin_data]
pub(crate) struct Soft<Q: QueueType> {
    trial: Arc<Trial<Q>>,
    #[pin]
    timer: HrTimer<Self>,
}

#[pin_data]
pub(crate) struct Hard<Q: QueueType> {
    trial: Arc<Trial<Q>>,
    #[pin]
    timer: HrTimer<Self>,
}

macro_rules! timer {
    ($name:ident, $mode:ident, $place:expr) => {
        impl<Q: QueueType> $name<Q> {
            fn start(trial: &Arc<Trial<Q>>) -> Result<ArcHrTimerHandle<Self>> {
                let trial = trial.clone();
                let timer = pin_init!(Self { trial, timer <- HrTimer::new() });
                Ok(Arc::pin_init(timer, GFP_KERNEL)?.start(PERIOD))
            }
        }

        impl<Q: QueueType> HrTimerCallback for $name<Q> {
            type Pointer<'a> = Arc<Self>;

            fn run(
                this: ArcBorrow<'_, Self>,
                mut cx: HrTimerCallbackContext<'_, Self>,
            ) -> HrTimerRestart {
                let _ = this.trial.act($place);
                cx.forward_now(PERIOD);
                HrTimerRestart::Restart
            }
        }

        impl_has_hr_timer! {
            impl{Q: QueueType} HasHrTimer<Self> for $name<Q> {
                mode: $mode<Monotonic>, field: self.timer
            }
        }
    };
}

timer!(Soft, RelativeSoftMode, Place::SoftIrq);
timer!(Hard, RelativeHardMode, Place::HardIrq);

/// The timer of a queue, stopped when this is dropped.
pub(crate) enum Timer<Q: QueueType> {
    Off,
    Soft { _handle: ArcHrTimerHandle<Soft<Q>> },
    Hard { _handle: ArcHrTimerHandle<Hard<Q>> },
}

impl<Q: QueueType> Timer<Q> {
    /// Starts the timer that the module's parameter selects.
    pub(crate) fn start(trial: &Arc<Trial<Q>>, kind: u8) -> Result<Self> {
        Ok(match kind {
            0 => Self::Off,
            1 => Self::Soft {
                _handle: Soft::start(trial)?,
            },
            2 => Self::Hard {
                _handle: Hard::start(trial)?,
            },
            _ => return Err(EINVAL),
        })
    }
}
