// SPDX-License-Identifier: GPL-2.0

//! The bindings that `bindgen` generates for [`linux/smpboot.h`], and the kernel crate's bindings.
//!
//! Only the files of this directory may use them: the C functions have contracts that no type
//! expresses.
//!
//! [`linux/smpboot.h`]: srctree/include/linux/smpboot.h

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    unreachable_pub,
    unused_imports
)]

pub(super) use kernel::bindings::*;
use pin_init::MaybeZeroable;

include!(env!("SMPBOOT_BINDINGS"));
