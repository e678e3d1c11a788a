// SPDX-License-Identifier: GPL-2.0

//! The events as files: text for people, records for programs.
//!
//! A reader gets the events that the rings hold when it opens the file, and then those that come.
//! The events of one CPU are in their order; between CPUs, the order is that of their times, as far
//! as they are there when the reader comes by.

use super::{
    cpu::Cpu,
    events::{
        Cursor,
        Found, //
    },
    threads::Demo, //
};
use crate::{
    debugfs::Stream,
    smpboot::{
        PerCpu,
        Registration, //
    },
    wait::WaitQueue, //
};
use core::fmt::Write;
use kernel::{
    cpu::CpuId,
    prelude::*,
    uaccess::UserSliceWriter, //
};

/// Where a reader is in each CPU's ring.
pub(crate) struct Position(KVec<(CpuId, Cursor)>);

impl Position {
    fn new(cpus: &PerCpu<Cpu>) -> Result<Self> {
        let mut cursors = KVec::new();
        for (cpu, _) in cpus.iter() {
            cursors.push((cpu, Cursor::default()), GFP_KERNEL)?;
        }
        Ok(Self(cursors))
    }

    fn is_ready(&self, cpus: &PerCpu<Cpu>) -> bool {
        self.0.iter().any(|(id, cursor)| {
            cpus.get(*id)
                .is_some_and(|cpu| cursor.peek(&cpu.ring).is_some())
        })
    }

    /// Hands out records in the order of time, as long as `write` takes them and there are any.
    ///
    /// `write` gets a record, and returns its size, or `None` if there is no room for it.
    fn read(
        &mut self,
        cpus: &PerCpu<Cpu>,
        mut write: impl FnMut(CpuId, &Found) -> Result<Option<usize>>,
    ) -> Result<usize> {
        let mut read = 0;
        loop {
            let first = self
                .0
                .iter_mut()
                .filter_map(|(id, cursor)| {
                    let found = cursor.peek(&cpus.get(*id)?.ring)?;
                    Some((*id, cursor, found))
                })
                .min_by_key(|(_, _, found)| match found {
                    Found::Event(_, event) => event.time,
                    // What is lost was before all that is left.
                    Found::Lost(..) => 0,
                });
            let Some((id, cursor, found)) = first else {
                return Ok(read);
            };
            match write(id, &found)? {
                Some(size) => {
                    cursor.advance(&found);
                    read += size;
                }
                None if read == 0 => return Err(EINVAL),
                None => return Ok(read),
            }
        }
    }
}

/// Lines `SECONDS cpuN NUMBER EVENT`, and `- cpuN NUMBER lost COUNT` for events that were
/// overwritten: COUNT of them from NUMBER on.
pub(crate) struct Text;

/// A line in the making; longer than any.
struct Line {
    bytes: [u8; 80],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let end = self.len + s.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(core::fmt::Error)?
            .copy_from_slice(s.as_bytes());
        self.len = end;
        Ok(())
    }
}

impl Stream for Text {
    type Data = Registration<Demo>;
    type Reader = Position;

    fn open(demo: &Self::Data) -> Result<Position> {
        Position::new(&demo.cpus)
    }

    fn queue(demo: &Self::Data) -> &WaitQueue {
        &demo.common.readers
    }

    fn is_ready(demo: &Self::Data, position: &Position) -> bool {
        position.is_ready(&demo.cpus)
    }

    fn read(
        demo: &Self::Data,
        position: &mut Position,
        writer: &mut UserSliceWriter,
    ) -> Result<usize> {
        position.read(&demo.cpus, |id, found| {
            let mut line = Line {
                bytes: [0; 80],
                len: 0,
            };
            match found {
                Found::Event(number, event) => writeln!(
                    line,
                    "{}.{:09} cpu{} {number} {}",
                    event.time / 1_000_000_000,
                    event.time % 1_000_000_000,
                    id.as_u32(),
                    event.kind.name(),
                ),
                Found::Lost(number, count) => {
                    writeln!(line, "- cpu{} {number} lost {count}", id.as_u32())
                }
            }
            .map_err(|_| EIO)?;

            let line = line.bytes.get(..line.len).ok_or(EIO)?;
            if writer.len() < line.len() {
                return Ok(None);
            }
            writer.write_slice(line)?;
            Ok(Some(line.len()))
        })
    }
}

/// Records of 24 bytes, in the machine's byte order:
///
/// | offset | size | |
/// |---|---|---|
/// | 0 | 8 | time in nanoseconds since the module was loaded; of kind 0: how many events are lost |
/// | 8 | 8 | number of the event, counted from 0 for each CPU; of kind 0: of the first one lost |
/// | 16 | 4 | CPU |
/// | 20 | 4 | kind: 0 lost, 1 create, 2 setup, 3 park, 4 unpark, 5 cleanup (online), 6 cleanup (offline), 7 wake, 8 run |
pub(crate) struct Binary;

impl Stream for Binary {
    type Data = Registration<Demo>;
    type Reader = Position;

    fn open(demo: &Self::Data) -> Result<Position> {
        Position::new(&demo.cpus)
    }

    fn queue(demo: &Self::Data) -> &WaitQueue {
        &demo.common.readers
    }

    fn is_ready(demo: &Self::Data, position: &Position) -> bool {
        position.is_ready(&demo.cpus)
    }

    fn read(
        demo: &Self::Data,
        position: &mut Position,
        writer: &mut UserSliceWriter,
    ) -> Result<usize> {
        const SIZE: usize = 24;

        position.read(&demo.cpus, |id, found| {
            if writer.len() < SIZE {
                return Ok(None);
            }
            let (time, number, kind) = match found {
                Found::Event(number, event) => (event.time, *number, event.kind as u32),
                Found::Lost(number, count) => (*count, *number, 0),
            };
            writer.write(&time)?;
            writer.write(&number)?;
            writer.write(&id.as_u32())?;
            writer.write(&kind)?;
            Ok(Some(SIZE))
        })
    }
}
