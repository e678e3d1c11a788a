// SPDX-License-Identifier: GPL-2.0

//! Rust sample of per-CPU threads that follow CPU hotplug.
//!
//! Each CPU has a thread, `rust_hotplug/N`. Loading the module wakes all of them. When a CPU comes
//! online, its thread is woken. To see the threads park and unpark:
//!
//! ```sh
//! echo 0 > /sys/devices/system/cpu/cpu1/online
//! echo 1 > /sys/devices/system/cpu/cpu1/online
//! ```

use kernel::{
    cpu::{
        cpuhp,
        CpuId, //
    },
    percpu::PerCpu,
    prelude::*,
    smpboot::{
        Context,
        HotplugThread,
        Registration, //
    },
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};

module! {
    type: HotplugThreads,
    name: "rust_hotplug_threads",
    authors: ["Rust for Linux Contributors"],
    description: "Rust sample of per-CPU hotplug threads",
    license: "GPL",
}

/// Shared by all threads: the number of runs of each CPU's thread.
struct Worker {
    runs: PerCpu<Atomic<u32>>,
}

#[vtable]
impl HotplugThread for Worker {
    /// The number of runs of this thread.
    type Local = u32;

    fn setup(&self, cx: &Context<'_>) -> impl PinInit<u32> {
        pr_info!("CPU {}: setup\n", cx.cpu().as_u32());
        0
    }

    fn run(&self, mut runs: Pin<&mut u32>, cx: &Context<'_>) {
        *runs += 1;
        self.runs.of(cx).add(1, Relaxed);
        pr_info!("CPU {}: run {}\n", cx.cpu().as_u32(), *runs);
    }

    fn park(&self, _runs: Pin<&mut u32>, cx: &Context<'_>) {
        pr_info!("CPU {}: park\n", cx.cpu().as_u32());
    }

    fn unpark(&self, _runs: Pin<&mut u32>, cx: &Context<'_>) {
        pr_info!("CPU {}: unpark\n", cx.cpu().as_u32());
    }

    fn cleanup(&self, runs: Pin<&mut u32>, cx: &Context<'_>, _online: bool) {
        pr_info!("CPU {}: cleanup after {} runs\n", cx.cpu().as_u32(), *runs);
    }
}

/// Wakes the thread of a CPU that has come online.
struct Online(Arc<Registration<Worker>>);

impl cpuhp::Callbacks for Online {
    fn startup(&self, cpu: CpuId) -> Result {
        self.0.wake(cpu);
        Ok(())
    }
}

/// Dropped in this order: first the state, then the threads, which have no other owner then.
struct HotplugThreads {
    _online: Pin<KBox<cpuhp::Registration<Online>>>,
    threads: Arc<Registration<Worker>>,
}

impl kernel::Module for HotplugThreads {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let runs = PerCpu::new(|_cpu| Atomic::<u32>::new(0))?;
        // SAFETY: The module drops both registrations when it is unloaded.
        let threads = unsafe { Registration::new(c"rust_hotplug/%u", Worker { runs }) };
        let threads = Arc::pin_init(threads, GFP_KERNEL)?;

        // Wakes the threads of all CPUs that are online now.
        let online = Online(threads.clone());
        // SAFETY: As above.
        let online = unsafe { cpuhp::Registration::new(c"samples/rust_hotplug:online", online) };
        Ok(Self {
            _online: KBox::pin_init(online, GFP_KERNEL)?,
            threads,
        })
    }
}

impl Drop for HotplugThreads {
    fn drop(&mut self) {
        let runs: u32 = self
            .threads
            .shared()
            .runs
            .iter()
            .map(|(_cpu, runs)| runs.load(Relaxed))
            .sum();
        pr_info!("{} runs in all\n", runs);
    }
}
