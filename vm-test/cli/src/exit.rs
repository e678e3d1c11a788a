// SPDX-License-Identifier: GPL-2.0

//! Exit statuses; vm-test/README.md documents them.

use nix::sys::signal::Signal;

/// A test failed, or the kernel log of `run shell` has a splat.
pub const TEST_FAILED: u8 = 1;
/// An error of the harness.
pub const HARNESS_FAILED: u8 = 2;
/// No test matches.
pub const NOTHING_RAN: u8 = 3;
/// The guest ended before the script of `run shell` did.
pub const GUEST_ENDED: u8 = 4;
/// Standard output cannot be written, for another reason than a closed pipe.
pub const OUTPUT_FAILED: u8 = 5;

/// The status that a shell shows for a program that a signal has killed.
pub fn by_signal(signal: Signal) -> i32 {
    128 + signal as i32
}
