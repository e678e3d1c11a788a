// SPDX-License-Identifier: GPL-2.0

//! Exit statuses; 0 is that all is well.

pub const TEST_FAILED: u8 = 1;
pub const HARNESS_FAILED: u8 = 2;
pub const NOTHING_RAN: u8 = 3;
