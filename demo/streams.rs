// SPDX-License-Identifier: GPL-2.0

//! The events as files: text for people, records for programs.
//!
//! A reader gets the events that the rings hold when it opens the file, then new ones as they are
//! recorded. The events of one CPU are in order. Events of several CPUs that one read finds
//! recorded are in the order of their times.

use super::{
    cpu::Cpu,
    events::{
        Cursor,
        Found, //
    },
    format,
    threads::Demo, //
};
use crate::{
    debugfs::{
        Decimal,
        RecordBytes,
        Stream, //
    },
    smpboot::{
        PerCpu,
        Registration, //
    }, //
};
use core::{
    fmt::Write,
    marker::PhantomData, //
};
use kernel::{
    cpu::CpuId,
    prelude::*,
    time::Delta, //
};

/// A reader's position in each CPU's ring.
pub(crate) struct Position(KVec<(CpuId, Cursor)>);

/// An event, or a run of lost events, with its CPU.
pub(crate) struct Record {
    cpu: CpuId,
    found: Found,
}

impl Position {
    fn new(cpus: &PerCpu<Cpu>) -> Result<Self> {
        let mut cursors = KVec::new();
        for (cpu, _) in cpus.iter() {
            cursors.push((cpu, Cursor::default()), GFP_KERNEL)?;
        }
        Ok(Self(cursors))
    }

    fn is_ready(&self, cpus: &PerCpu<Cpu>) -> bool {
        self.0
            .iter()
            .any(|(id, cursor)| cpus.get(*id).is_some_and(|cpu| cursor.is_ready(&cpu.ring)))
    }

    fn begin(&mut self, cpus: &PerCpu<Cpu>) {
        for (id, cursor) in self.0.iter_mut() {
            if let Some(cpu) = cpus.get(*id) {
                cursor.begin(&cpu.ring);
            }
        }
    }

    /// Returns the record with the earliest time.
    fn peek(&self, cpus: &PerCpu<Cpu>) -> Option<Record> {
        self.0
            .iter()
            .filter_map(|(id, cursor)| {
                let found = cursor.peek(&cpus.get(*id)?.ring)?;
                Some(Record { cpu: *id, found })
            })
            .min_by_key(|record| match record.found {
                Found::Event(_, event) => event.time,
                // Lost events are older than all that are left.
                Found::Lost(..) => 0,
            })
    }

    fn advance(&mut self, record: &Record) {
        if let Some((_, cursor)) = self.0.iter_mut().find(|(id, _)| *id == record.cpu) {
            cursor.advance(&record.found);
        }
    }
}

/// A format of the events.
pub(crate) trait Format: 'static {
    fn write(record: &Record, bytes: &mut RecordBytes) -> Result;
}

/// The events of all CPUs in one format.
pub(crate) struct Events<F>(PhantomData<F>);

impl<F: Format> Stream for Events<F> {
    type Data = Registration<Demo>;
    type Reader = Position;
    type Record = Record;

    fn open(demo: &Self::Data) -> Result<Position> {
        Position::new(&demo.cpus)
    }

    fn is_ready(demo: &Self::Data, position: &Position) -> bool {
        position.is_ready(&demo.cpus)
    }

    fn begin(demo: &Self::Data, position: &mut Position) {
        position.begin(&demo.cpus);
    }

    fn peek(demo: &Self::Data, position: &Position) -> Option<Record> {
        position.peek(&demo.cpus)
    }

    fn advance(position: &mut Position, record: &Record) {
        position.advance(record);
    }

    fn write(record: &Record, bytes: &mut RecordBytes) -> Result {
        F::write(record, bytes)
    }
}

/// Lines `SECONDS cpuN NUMBER EVENT`. A line `- cpuN NUMBER lost COUNT` reports COUNT overwritten
/// events, from NUMBER on.
pub(crate) struct Text;

impl Format for Text {
    fn write(record: &Record, bytes: &mut RecordBytes) -> Result {
        let cpu = record.cpu.as_u32();
        match &record.found {
            Found::Event(number, event) => {
                // Kernels for 32-bit machines lack the division of 64-bit integers.
                let time = Delta::from_nanos(event.time as i64);
                writeln!(
                    bytes,
                    "{}.{:09} cpu{cpu} {} {}",
                    Decimal((time / Delta::from_secs(1)) as u64),
                    Decimal(time.rem_nanos(1_000_000_000).as_nanos() as u64),
                    Decimal(*number),
                    event.kind.name(),
                )
            }
            Found::Lost(number, count) => {
                let (number, count) = (Decimal(*number), Decimal(*count));
                writeln!(bytes, "- cpu{cpu} {number} lost {count}")
            }
        }
        .map_err(|_| EIO)
    }
}

/// The records that [`format::Record`] describes.
pub(crate) struct Binary;

impl Format for Binary {
    fn write(record: &Record, bytes: &mut RecordBytes) -> Result {
        let (time, number, kind) = match &record.found {
            Found::Event(number, event) => (event.time, *number, event.kind as u32),
            Found::Lost(number, count) => (*count, *number, format::Record::LOST),
        };
        let cpu = record.cpu.as_u32();
        bytes.push(
            &format::Record {
                time,
                number,
                cpu,
                kind,
            }
            .to_bytes(),
        )
    }
}
