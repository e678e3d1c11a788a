// SPDX-License-Identifier: GPL-2.0

//! The events of each thread, with their times.
//!
//! Each CPU has a ring of the last [`RING`] events of its thread. Recording never waits: one atomic
//! operation takes a place in the ring, another one stores the event. An event is a single word, so
//! no reader sees half of one. Several CPUs may record at once, in any context, hard-irq included.
//! A reader loses the events that are overwritten before it reads them. It can count them: the
//! events of a CPU are numbered.

use super::format::{
    Kind,
    RING, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    },
};

/// One event.
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) kind: Kind,
    /// Nanoseconds since the demo's epoch, as `CLOCK_MONOTONIC` counts them.
    pub(crate) time: u64,
}

// A word of the ring has the kind (never 0), the lap and the time. The lap is how often the ring
// had been filled: it keeps an old event from being taken for a new one. The time wraps after 13
// days. The lap wraps after 2 million events. Two laps would look alike only if so many were
// recorded while one is being stored. (A reader that is that late checks `head`.)
const KIND_BITS: u32 = 4;
const LAP_BITS: u32 = 10;
const TIME_BITS: u32 = u64::BITS - KIND_BITS - LAP_BITS;

const _: () = assert!(Kind::ALL.len() < 1 << KIND_BITS);

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

fn lap(number: u64) -> u64 {
    (number / RING) & mask(LAP_BITS)
}

fn pack(number: u64, event: Event) -> u64 {
    event.kind as u64
        | lap(number) << KIND_BITS
        | (event.time & mask(TIME_BITS)) << (KIND_BITS + LAP_BITS)
}

/// Returns the event in `word`, if it is event `number`.
fn unpack(number: u64, word: u64) -> Option<Event> {
    let kind = Kind::from_number((word & mask(KIND_BITS)) as u32)?;
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
    words: [Atomic<u64>; RING as usize],
}

impl Ring {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            head: Atomic::new(0),
            words <- pin_init::init_array_from_fn(|_| Atomic::new(0)),
        })
    }

    fn word(&self, number: u64) -> Option<&Atomic<u64>> {
        self.words.get((number % RING) as usize)
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

/// A read from a ring.
pub(crate) enum Found {
    /// The event with this number.
    Event(u64, Event),
    /// Events overwritten before they were read: the number of the first one, and their count.
    Lost(u64, u64),
}

/// A reader's position in a ring, and the limit of its present read.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    next: u64,
    end: u64,
}

impl Cursor {
    /// Limits [`peek`](Self::peek) to the events recorded so far.
    pub(crate) fn begin(&mut self, ring: &Ring) {
        self.end = ring.head.load(Relaxed);
    }

    /// Returns the next event within the limit, or the lost events before it. Does not advance.
    pub(crate) fn peek(&self, ring: &Ring) -> Option<Found> {
        if self.next < self.end {
            self.find(ring)
        } else {
            None
        }
    }

    /// Returns whether the ring has more for this reader, within the limit or not.
    pub(crate) fn is_ready(&self, ring: &Ring) -> bool {
        self.find(ring).is_some()
    }

    fn find(&self, ring: &Ring) -> Option<Found> {
        let word = ring.word(self.next)?.load(Acquire);
        // Load `head` after the word: a word of a thousand laps later is not taken for this one.
        let head = ring.head.load(Acquire);
        let lost = head.saturating_sub(self.next + RING);
        if lost > 0 {
            // Skip another eighth of the ring, so that the writers do not overtake this reader
            // again at once.
            return Some(Found::Lost(self.next, lost + RING / 8));
        }
        // If the lap does not match, the event is not recorded yet, or is being stored.
        Some(Found::Event(self.next, unpack(self.next, word)?))
    }

    /// Advances past the result of [`peek`](Self::peek).
    pub(crate) fn advance(&mut self, found: &Found) {
        self.next += match found {
            Found::Event(..) => 1,
            Found::Lost(_, count) => *count,
        };
    }
}

#[kernel::macros::kunit_tests(rust_smpboot_events)]
mod tests {
    use super::*;

    const RUN: Event = Event {
        kind: Kind::Run,
        time: 0,
    };

    fn ring(events: u64) -> Result<Pin<KBox<Ring>>> {
        let ring = KBox::pin_init(Ring::new(), GFP_KERNEL)?;
        for time in 0..events {
            ring.record(Event { time, ..RUN });
        }
        Ok(ring)
    }

    /// Reads from `cursor` on. Returns events read, events lost, and whether they were in order.
    fn read(ring: &Ring, cursor: &mut Cursor) -> (u64, u64, bool) {
        let (mut events, mut lost, mut in_order) = (0, 0, true);
        cursor.begin(ring);
        while let Some(found) = cursor.peek(ring) {
            match found {
                Found::Event(number, event) => {
                    in_order &= number == event.time && number == events + lost;
                    events += 1;
                }
                Found::Lost(_, count) => lost += count,
            }
            cursor.advance(&found);
        }
        (events, lost, in_order)
    }

    #[test]
    fn unpack_returns_the_packed_event() {
        for &kind in Kind::ALL {
            for (number, time) in [(0, 0), (RING * 3 + 1, 1 << 40), (u64::MAX, mask(TIME_BITS))] {
                let event = unpack(number, pack(number, Event { kind, time }));
                assert!(event.is_some_and(|e| e.kind == kind && e.time == time));
            }
        }
    }

    #[test]
    fn unpack_refuses_an_event_of_another_lap() {
        let word = pack(RING, RUN);
        assert!(unpack(RING, word).is_some());
        assert!(unpack(0, word).is_none());
        assert!(unpack(2 * RING, word).is_none());
    }

    #[test]
    fn an_unused_place_has_no_event() {
        assert!(unpack(0, 0).is_none());
        assert!(unpack(RING, 0).is_none());
    }

    #[test]
    fn a_full_ring_has_lost_no_event() -> Result {
        let ring = ring(RING)?;
        assert_eq!(read(&ring, &mut Cursor::default()), (RING, 0, true));
        Ok(())
    }

    #[test]
    fn overwritten_events_are_counted_as_lost() -> Result {
        let ring = ring(RING + 1)?;
        let mut cursor = Cursor::default();
        let lost = 1 + RING / 8;
        assert_eq!(read(&ring, &mut cursor), (RING + 1 - lost, lost, true));
        assert!(!cursor.is_ready(&ring));
        Ok(())
    }

    #[test]
    fn a_reader_continues_where_it_stopped() -> Result {
        let ring = ring(3)?;
        let mut cursor = Cursor::default();
        assert_eq!(read(&ring, &mut cursor), (3, 0, true));
        ring.record(Event { time: 3, ..RUN });
        assert!(cursor.is_ready(&ring) && cursor.peek(&ring).is_none());
        cursor.begin(&ring);
        assert!(matches!(
            cursor.peek(&ring),
            Some(Found::Event(3, Event { time: 3, .. }))
        ));
        Ok(())
    }

    #[test]
    fn laps_wrap() -> Result {
        let laps = 1 << LAP_BITS;
        let ring = ring(RING * (laps + 1))?;
        let (events, lost, in_order) = read(&ring, &mut Cursor::default());
        assert!(in_order);
        assert_eq!(events + lost, RING * (laps + 1));
        Ok(())
    }
}
