// SPDX-License-Identifier: GPL-2.0

//! The clock of all limits.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use wire::stopwatch::Stopwatch;

/// Time since the first call, without the time while this process or the machine was stopped.
pub fn now() -> Duration {
    static WATCH: LazyLock<Mutex<Stopwatch>> = LazyLock::new(|| {
        thread::spawn(|| {
            loop {
                thread::sleep(Stopwatch::TICK);
                now();
            }
        });
        Mutex::new(Stopwatch::start())
    });
    WATCH.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
}
