// SPDX-License-Identifier: GPL-2.0

//! The project's own files, over a kernel that is made of shuttle.

extern crate pinned_init as pin_init;

include!(concat!(env!("OUT_DIR"), "/modules/modules.rs"));

use library::{smpboot, wait};

static __LOG_PREFIX: &[u8] = b"sim\0";

fn main() {}
