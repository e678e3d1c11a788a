// SPDX-License-Identifier: GPL-2.0

//! Progress, for a user interface to show.

use crate::Config;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wire::Missing;

/// Something that a user may want to know while it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// A VM starts. One of the next two follows.
    Booting { config: &'a Config },
    /// The guest answers.
    Booted { config: &'a Config, took: Duration },
    /// The caller gets the error.
    BootFailed,
    /// The guest could not mount this file system, which it takes for `lost`.
    FileSystemMissing { missing: &'a Missing, lost: &'static str },
    /// KVM is tried with a boot, which takes up to `limit`.
    KvmTried { limit: Duration },
    /// The outcome of that could not be kept: the next run will try again.
    KvmVerdictNotKept { path: PathBuf, error: std::io::Error },
}

/// Gets the events, from whichever thread they happen in.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;
