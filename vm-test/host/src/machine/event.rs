// SPDX-License-Identifier: GPL-2.0

//! Progress as a stream of events, for a user interface to show.

use super::Config;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wire::Missing;

/// Progress of a VM or of the trial of KVM.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields explain themselves")]
pub enum Event<'a> {
    /// A VM starts; [`Event::Booted`] or [`Event::BootFailed`] follows.
    Booting { config: &'a Config },
    /// The guest answers.
    Booted { config: &'a Config, took: Duration },
    /// The VM did not boot; the caller of [`Vm::boot`](crate::Vm::boot) gets the error.
    BootFailed,
    /// The guest could not mount a file system, with this effect.
    FileSystemMissing { missing: &'a Missing, effect: &'static str },
    /// KVM is tried with a boot.
    KvmTrial { limit: Duration },
    /// The outcome of the trial could not be saved: the next run tries again.
    KvmVerdictNotSaved { path: PathBuf, error: std::io::Error },
}

/// Gets the events, in the thread where they happen.
pub type Observer = Arc<dyn Fn(&Event<'_>) + Send + Sync>;
