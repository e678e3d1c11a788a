// SPDX-License-Identifier: GPL-2.0

//! Parses the files of the demo module.
//!
//! [`format`](mod@format) is the module's own file: it declares kinds, names, records, buckets and
//! paths once, for both sides. The rest is for programs in the guest and on the host. [`events`]
//! and [`files`] parse the files, [`life`] checks the order of a thread's events, [`latency`]
//! relates runs to wakes, and [`table`] draws the threads for a terminal.

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

/// Serializes the name, as everywhere outside of [`format::Record`].
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

impl format::Counts<u64> {
    /// Counters of a thread after `setup`.
    pub const SET_UP: Self = Self { create: 1, setup: 1, ..Self::NONE };

    /// Calls `read` with the name of each counter but `should_run`, whose count the kernel
    /// determines.
    pub fn read<E>(mut read: impl FnMut(&'static str) -> Result<u64, E>) -> Result<Self, E> {
        let mut failed = None;
        let counts = Self::from_fn(|name| match name {
            "should_run" => 0,
            name => read(name).unwrap_or_else(|e| {
                failed = Some(e);
                0
            }),
        });
        failed.map_or(Ok(counts), Err)
    }

    /// Returns the counters that [`read`](Self::read) reads, in its order.
    pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let each = self.each().map(|(name, _, count)| (name, *count));
        each.into_iter().filter(|(name, _)| *name != "should_run")
    }

    /// Returns the number of counted events.
    pub fn total(&self) -> u64 {
        self.named().map(|(_, count)| count).sum()
    }
}

/// Nanoseconds since the module was loaded, on the guest's `CLOCK_MONOTONIC`; negative before that.
pub type Nanos = i64;

/// Returns the start of a line, for a message.
pub fn excerpt(line: &str) -> String {
    let mut text: String = line.chars().take(100).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::format::{Counts, Kind};

    #[test]
    fn names_and_values_go_together() {
        let counts = Counts::read(|name| Ok::<_, ()>(name.len() as u64)).unwrap();
        assert_eq!((counts.create, counts.unpark, counts.wake, counts.should_run), (6, 6, 4, 0));
        assert!(counts.named().all(|(name, count)| name.len() as u64 == count));
        assert_eq!(counts.total(), 6 + 5 + 3 + 4 + 6 + 7 + 4);
        assert_eq!(Counts::read(|name| if name == "run" { Err(name) } else { Ok(0) }), Err("run"));
        let names = Counts::from_fn(|name| name);
        assert!(Kind::ALL.iter().all(|kind| kind.name().starts_with(kind.count(&names))));
    }

    #[test]
    fn kinds_are_found_by_their_numbers() {
        let found: Vec<_> = (0..=255).filter_map(Kind::from_number).collect();
        assert_eq!(found, Kind::ALL);
        assert!((1..).zip(Kind::ALL).all(|(number, kind)| *kind as u32 == number));
    }
}
