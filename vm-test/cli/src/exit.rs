// SPDX-License-Identifier: GPL-2.0

//! Exit statuses; vm-test/README.md documents them.

use nix::sys::signal::Signal;

/// Also: a splat during `run shell`.
pub const TEST_FAILED: u8 = 1;
pub const HARNESS_FAILED: u8 = 2;
pub const NOTHING_RAN: u8 = 3;
/// The guest ended before the script of `run shell` did.
pub const GUEST_ENDED: u8 = 4;
/// Standard output takes no more, and its reader is still there.
pub const OUTPUT_FAILED: u8 = 5;

/// The status that a shell shows for a program that this signal has ended.
pub fn by_signal(signal: Signal) -> i32 {
    128 + signal as i32
}
