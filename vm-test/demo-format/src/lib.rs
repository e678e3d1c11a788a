// SPDX-License-Identifier: GPL-2.0

//! Reads what the demo module writes.
//!
//! [`format`](mod@format) is the module's own file: kinds, names, records, buckets and paths are declared once, for
//! both sides. The rest is for programs that look at the module from outside, in the guest and on the host:
//! [`events`] and [`files`] parse its files, [`life`] checks the order of a thread's events, [`latency`] relates runs
//! to wakes, and [`table`] draws all of it for a terminal.

pub mod ascii;
pub mod events;
pub mod files;
#[rustfmt::skip] // in the kernel's style
#[path = "../../../demo/format.rs"]
pub mod format;
pub mod histogram;
pub mod latency;
pub mod life;
pub mod table;

use serde::{Serialize, Serializer};

/// By name, as everywhere outside of [`format::Record`].
impl Serialize for format::Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Serialize for format::State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Nanoseconds since the module was loaded, in the guest's `CLOCK_MONOTONIC`. Before that: negative.
pub type Nanos = i64;

/// The start of a line, for a message.
pub fn excerpt(line: &str) -> String {
    let mut text: String = line.chars().take(100).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}
