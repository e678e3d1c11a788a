// SPDX-License-Identifier: GPL-2.0

//! Time during which this process ran, for limits.
//!
//! A process can be stopped (Ctrl-Z, `SIGSTOP`, the cgroup freezer), and so can the machine below
//! it. No clock of the kernel excludes all of these. A limit must not count them: the user's pause
//! is not the guest's delay.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Adds up the time between two calls of `elapsed`, each gap as at most [`Stopwatch::LONGEST`].
#[derive(Debug)]
pub struct Stopwatch {
    ran: Duration,
    last: Instant,
}

impl Stopwatch {
    /// Longer than a busy host delays a thread, shorter than any limit.
    pub const LONGEST: Duration = Duration::from_secs(1);

    /// Interval in which to call `elapsed`; otherwise it misses time.
    pub const TICK: Duration = Duration::from_millis(250);

    pub fn start() -> Stopwatch {
        Stopwatch { ran: Duration::ZERO, last: Instant::now() }
    }

    pub fn elapsed(&mut self) -> Duration {
        self.look(Instant::now())
    }

    fn look(&mut self, now: Instant) -> Duration {
        self.ran += now.saturating_duration_since(self.last).min(Self::LONGEST);
        self.last = self.last.max(now);
        self.ran
    }
}

/// [`Receiver::recv_timeout`] with a limit that a stopped process does not use up.
pub fn receive<T>(from: &Receiver<T>, limit: Duration) -> Result<T, RecvTimeoutError> {
    let mut watch = Stopwatch::start();
    loop {
        let left = limit.saturating_sub(watch.elapsed());
        match from.recv_timeout(left.min(Stopwatch::TICK)) {
            Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn a_gap_is_no_running_time() {
        let mut watch = Stopwatch::start();
        let start = watch.last;
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(watch.look(at(250)), Duration::from_millis(250));
        // Stopped for 45 s.
        assert_eq!(watch.look(at(45_250)), Duration::from_millis(1250));
        assert_eq!(watch.look(at(45_500)), Duration::from_millis(1500));
        // Another thread read the clock later, but added its time first.
        assert_eq!(watch.look(at(45_400)), Duration::from_millis(1500));
        assert_eq!(watch.look(at(45_600)), Duration::from_millis(1600));
    }

    #[test]
    fn a_limit_ends_without_a_message() {
        let (sender, receiver) = mpsc::channel::<()>();
        let limit = Duration::from_millis(300);
        let start = Instant::now();
        assert_eq!(receive(&receiver, limit), Err(RecvTimeoutError::Timeout));
        assert!(start.elapsed() >= limit);
        sender.send(()).unwrap();
        assert_eq!(receive(&receiver, limit), Ok(()));
        drop(sender);
        assert_eq!(receive(&receiver, limit), Err(RecvTimeoutError::Disconnected));
    }
}
