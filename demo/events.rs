// SPDX-License-Identifier: GPL-2.0

//! What happened to each thread, and when.
//!
//! Each CPU has a ring of the last [`SIZE`] events of its thread. Recording never waits: one atomic
//! operation takes a place in the ring, another one stores the event, which is a single word, so that
//! no reader ever sees half of one. It may be done in any context, also hard-irq, by several CPUs
//! at once. What is overwritten before a reader came by is lost for that reader, who can tell how
//! much it was: events of a CPU are numbered.

use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
};

/// How many events a ring holds.
pub(crate) const SIZE: u64 = 2048;

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Create = 1,
    Setup = 2,
    Park = 3,
    Unpark = 4,
    CleanupOnline = 5,
    CleanupOffline = 6,
    Wake = 7,
    Run = 8,
}

impl Kind {
    fn from_bits(bits: u64) -> Option<Self> {
        [
            Self::Create,
            Self::Setup,
            Self::Park,
            Self::Unpark,
            Self::CleanupOnline,
            Self::CleanupOffline,
            Self::Wake,
            Self::Run,
        ]
        .into_iter()
        .find(|kind| *kind as u64 == bits)
    }

    /// As in the kernel log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Setup => "setup",
            Self::Park => "park",
            Self::Unpark => "unpark",
            Self::CleanupOnline => "cleanup(online)",
            Self::CleanupOffline => "cleanup(offline)",
            Self::Wake => "wake",
            Self::Run => "run",
        }
    }
}

/// One event.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    /// When, in nanoseconds of `CLOCK_MONOTONIC`'s scale since the demo's epoch.
    pub(crate) time: u64,
}

// A word of the ring: the kind, never 0; how often the ring had been filled, so that an old event
// is not taken for a new one; the time. Time wraps after 13 days; laps wrap after 2 million events,
// which would have to happen while one is being recorded.
const KIND_BITS: u32 = 4;
const LAP_BITS: u32 = 10;
const TIME_BITS: u32 = u64::BITS - KIND_BITS - LAP_BITS;

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

fn lap(number: u64) -> u64 {
    (number / SIZE) & mask(LAP_BITS)
}

fn pack(number: u64, event: Event) -> u64 {
    event.kind as u64
        | lap(number) << KIND_BITS
        | (event.time & mask(TIME_BITS)) << (KIND_BITS + LAP_BITS)
}

/// The event in `word`, if it is the one with `number`.
fn unpack(number: u64, word: u64) -> Option<Event> {
    let kind = Kind::from_bits(word & mask(KIND_BITS))?;
    (lap(number) == (word >> KIND_BITS) & mask(LAP_BITS)).then_some(Event {
        kind,
        time: word >> (KIND_BITS + LAP_BITS),
    })
}

/// The events of one CPU.
#[pin_data]
pub(crate) struct Ring {
    /// The number of the next event.
    head: Atomic<u64>,
    #[pin]
    words: [Atomic<u64>; SIZE as usize],
}

impl Ring {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head: Atomic::new(0),
            words <- pin_init::init_array_from_fn(|_| Atomic::new(0)),
        })
    }

    fn word(&self, number: u64) -> Option<&Atomic<u64>> {
        self.words.get((number % SIZE) as usize)
    }

    /// Records an event. A full memory barrier follows the store.
    #[inline]
    pub(crate) fn record(&self, event: Event) {
        let number = self.head.fetch_add(1, Relaxed);
        if let Some(word) = self.word(number) {
            word.xchg(pack(number, event), Full);
        }
    }
}

/// What a reader finds.
pub(crate) enum Found {
    /// The event with this number.
    Event(u64, Event),
    /// So many events, from this number on, were overwritten before the reader came by.
    Lost(u64, u64),
}

/// Where a reader of a ring is.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    next: u64,
}

impl Cursor {
    /// What comes next, or nothing. Does not advance.
    pub(crate) fn peek(&self, ring: &Ring) -> Option<Found> {
        let event = unpack(self.next, ring.word(self.next)?.load(Acquire));
        if let Some(event) = event {
            return Some(Found::Event(self.next, event));
        }

        // There is nothing yet, or it is being stored; or else the writers are a lap ahead, and then
        // an eighth of the ring is left to them, so that they are not again at once.
        let head = ring.head.load(Acquire);
        let lost = head.saturating_sub(self.next + SIZE);
        (lost > 0).then_some(Found::Lost(self.next, lost + SIZE / 8))
    }

    /// Goes past what [`peek`](Self::peek) found.
    pub(crate) fn advance(&mut self, found: &Found) {
        self.next += match found {
            Found::Event(..) => 1,
            Found::Lost(_, count) => *count,
        };
    }
}
