// SPDX-License-Identifier: GPL-2.0

//! The formats of the demo: kinds of events and their legal order, counters, records, buckets of
//! latencies, and the files that have them.
//!
//! `core` only: this file is a part of the module and of `vm-test/demo-format`, which parses the
//! module's files. To add a kind of event, declare it here: its number, its name, its counter, and
//! its place in the life cycle of a thread.

use core::ffi::CStr;

/// Converts a literal that ends with a NUL. Evaluated when the module is built.
const fn c_str(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("the text must have exactly one NUL, at its end"),
    }
}

/// Declares an enum whose variants have numbers and names.
macro_rules! named {
    ($(#[$doc:meta])* $Enum:ident { $($Variant:ident = $number:literal, $name:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $Enum {
            $(#[doc = $name] $Variant = $number,)*
        }

        impl $Enum {
            /// All variants, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$Variant),*];

            /// Returns the name.
            #[inline]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$Variant => $name,)*
                }
            }
        }
    };
}

named! {
    /// A kind of event, a callback or a wake: its number in a [`Record`], its name in the text and
    /// in the kernel log.
    Kind {
        Create = 1, "create";
        Setup = 2, "setup";
        Park = 3, "park";
        Unpark = 4, "unpark";
        CleanupOnline = 5, "cleanup(online)";
        CleanupOffline = 6, "cleanup(offline)";
        Wake = 7, "wake";
        Run = 8, "run";
    }
}

impl Kind {
    /// Returns the kind with this number.
    #[inline]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| *kind as u32 == number)
    }

    /// Returns the counter of events of this kind.
    #[inline]
    pub const fn count<T>(self, counts: &Counts<T>) -> &T {
        match self {
            Self::Create => &counts.create,
            Self::Setup => &counts.setup,
            Self::Park => &counts.park,
            Self::Unpark => &counts.unpark,
            Self::CleanupOnline | Self::CleanupOffline => &counts.cleanup,
            Self::Wake => &counts.wake,
            Self::Run => &counts.run,
        }
    }
}

/// Declares the counters of a thread.
macro_rules! counts {
    ($($name:ident)*) => {
        /// A value for each counter of a thread. A counter has a file and a column of the summary.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts<T> {
            $(#[doc = concat!("The value for `", stringify!($name), "`.")] pub $name: T,)*
        }

        /// The number of counters.
        pub const COUNTS: usize = [$(stringify!($name)),*].len();

        impl Counts<u64> {
            /// All counters at 0.
            pub const NONE: Self = Self {
                $($name: 0,)*
            };
        }

        impl<T> Counts<T> {
            /// Calls `value` with the name of each counter.
            #[inline]
            pub fn from_fn(mut value: impl FnMut(&'static str) -> T) -> Self {
                Self {
                    $($name: value(stringify!($name)),)*
                }
            }

            /// Returns the name (for Rust and for C) and the value of each counter.
            #[inline]
            pub fn each(&self) -> [(&'static str, &'static CStr, &T); COUNTS] {
                [$((
                    stringify!($name),
                    const { c_str(concat!(stringify!($name), "\0")) },
                    &self.$name,
                ),)*]
            }
        }
    };
}

// `should_run` is not an event: the kernel may call it any number of times.
counts! {
    create setup should_run run park unpark cleanup wake
}

named! {
    /// A state in the life cycle of a thread, as `kernel/smpboot.c` defines it.
    State {
        None = 0, "none"; // no thread
        Created = 1, "created"; // parked by __smpboot_create_thread(); its function has not run yet
        Active = 2, "active"; // between setup or unpark, and park or cleanup
        Parked = 3, "parked";
        Stopped = 4, "stopped"; // after cleanup, the last callback
    }
}

impl State {
    /// Returns the state after an event, or `None` if the event is illegal in this state.
    pub const fn after(self, kind: Kind) -> Option<Self> {
        match (self, kind) {
            // Any CPU may record a wake at any time.
            (state, Kind::Wake) => Some(state),
            (Self::None, Kind::Create) => Some(Self::Created),
            (Self::Created, Kind::Setup) => Some(Self::Active),
            (Self::Active, Kind::Run) => Some(Self::Active),
            (Self::Active, Kind::Park) => Some(Self::Parked),
            (Self::Parked, Kind::Unpark) => Some(Self::Active),
            // Hotplug and unregistration exclude each other: the CPU of an active thread is online.
            (Self::Active, Kind::CleanupOnline) => Some(Self::Stopped),
            (Self::Parked, Kind::CleanupOffline) => Some(Self::Stopped),
            // The CPU is back online; the thread is stopped before it sees that it is unparked.
            (Self::Parked, Kind::CleanupOnline) => Some(Self::Stopped),
            _ => None,
        }
    }
}

/// Capacity of the ring of a CPU, in events.
pub const RING: u64 = 2048;

/// A record of [`EVENTS_BINARY`], in the byte order of the machine:
///
/// | offset | size | |
/// |---|---|---|
/// | 0 | 8 | time in nanoseconds since the module was loaded; kind 0: number of lost events |
/// | 8 | 8 | number of the event, from 0 for each CPU; kind 0: number of the first lost event |
/// | 16 | 4 | CPU |
/// | 20 | 4 | kind: 0 lost, 1 create, 2 setup, 3 park, 4 unpark, 5 cleanup (online), 6 cleanup (offline), 7 wake, 8 run |
#[derive(Clone, Copy)]
pub struct Record {
    /// The time, or the number of lost events.
    pub time: u64,
    /// The number of the event, or of the first lost event.
    pub number: u64,
    /// The CPU.
    pub cpu: u32,
    /// The number of the [`Kind`], or [`LOST`](Self::LOST).
    pub kind: u32,
}

impl Record {
    /// Size of a record, in bytes.
    pub const SIZE: usize = 24;

    /// Stands for a kind when events were overwritten before they were read.
    pub const LOST: u32 = 0;

    /// Returns the record as bytes.
    #[inline]
    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[..8].copy_from_slice(&self.time.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.cpu.to_ne_bytes());
        bytes[20..].copy_from_slice(&self.kind.to_ne_bytes());
        bytes
    }

    /// Returns the record that `bytes` encode.
    #[inline]
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        fn field<const BYTES: usize>(bytes: [u8; Record::SIZE], at: usize) -> [u8; BYTES] {
            core::array::from_fn(|index| bytes[at + index])
        }
        Self {
            time: u64::from_ne_bytes(field(bytes, 0)),
            number: u64::from_ne_bytes(field(bytes, 8)),
            cpu: u32::from_ne_bytes(field(bytes, 16)),
            kind: u32::from_ne_bytes(field(bytes, 20)),
        }
    }
}

/// Number of latency buckets: below 1 ns, then [2^n, 2^(n + 1)) ns. The last bucket has no end.
pub const BUCKETS: usize = 36;

/// Returns the bucket of a latency.
#[inline]
pub fn bucket(nanoseconds: u64) -> usize {
    ((u64::BITS - nanoseconds.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// Returns the start of a bucket, in nanoseconds.
#[inline]
pub fn bucket_begin(bucket: usize) -> u64 {
    (1 << bucket) >> 1
}

/// Returns the end of a bucket, in nanoseconds: `None` for the last bucket.
#[inline]
pub fn bucket_end(bucket: usize) -> Option<u64> {
    (bucket + 1 < BUCKETS).then(|| 1 << bucket)
}

/// The name of the module, of its directory and of its wait queue.
pub const MODULE: &str = "rust_smpboot_demo";
/// The same name as a C string.
pub const C_MODULE: &CStr = c"rust_smpboot_demo";
/// The name of the threads, before `/` and the CPU.
pub const THREAD: &str = "rust_demo";
/// The same name as a C string.
pub const C_THREAD: &CStr = c"rust_demo";
/// The directory of the files.
pub const DIRECTORY: &str = "/sys/kernel/debug/rust_smpboot_demo";

/// A file of [`DIRECTORY`].
pub struct File {
    /// The name.
    pub name: &'static CStr,
    /// The path.
    pub path: &'static str,
}

macro_rules! files {
    ($($(#[$doc:meta])* $NAME:ident = $name:literal;)*) => {
        $($(#[$doc])*
        pub const $NAME: File = File {
            name: c_str(concat!($name, "\0")),
            path: concat!("/sys/kernel/debug/rust_smpboot_demo/", $name),
        };)*
    };
}

files! {
    /// A table of all threads: a line of names, and a line for each CPU.
    SUMMARY = "summary";
    /// Takes a CPU list and wakes the threads of these CPUs.
    WAKE = "wake";
    /// The period of the timers that wake the threads, in microseconds; 0: no timers.
    PERIOD = "period_us";
    /// The events as text: lines `SECONDS cpuN NUMBER KIND`, or `- cpuN NUMBER lost COUNT`.
    EVENTS = "events";
    /// The events as records.
    EVENTS_BINARY = "events_binary";
}

/// A file of each CPU: its wake latencies, as lines `[FROM, TO) COUNT`. The last TO is `...`.
pub const LATENCY_HIST: &CStr = c"latency_hist";
/// A file of each CPU: the latency of its last wake.
pub const LATENCY_LAST: &CStr = c"latency_last_ns";
/// A file of each CPU: the latency of its slowest wake.
pub const LATENCY_MAX: &CStr = c"latency_max_ns";
/// A file of each CPU: the PID of its thread; 0 if it has no thread.
pub const PID: &CStr = c"pid";
/// A file of each CPU: the state of its thread.
pub const STATE: &CStr = c"state";
