// SPDX-License-Identifier: GPL-2.0

//! What differs between the kernel versions that we build for, in one place.

pub(super) use pin_init::raw_init;
pub(super) use pin_init::raw_try_init;
