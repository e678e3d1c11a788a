// SPDX-License-Identifier: GPL-2.0

//! The events of each CPU's thread, parsed from `events_binary`.

use crate::Nanos;
use crate::format::{Kind, RING, Record};
use crate::histogram::Histogram;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::collections::BTreeMap;

/// Upper bound of CPU numbers: more than any kernel's `NR_CPUS`.
const MAX_CPUS: u32 = 1 << 16;

/// An event that the module recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Event {
    pub time: Nanos,
    pub number: u64,
    pub kind: Kind,
}

/// Events that were overwritten before they were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// The number of the first lost event.
    pub first: u64,
    pub count: u64,
}

/// A CPU and its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    pub id: u32,
    /// Whether the CPU was online when the recording began.
    pub online: bool,
    /// The events in the order of their numbers. The order of their times may differ slightly: an
    /// event gets its number after its time, and any CPU may wake a thread.
    pub events: Vec<Event>,
    pub lost: Vec<Lost>,
    /// The module's buckets.
    pub latencies: Histogram,
}

impl Cpu {
    pub fn new(id: u32) -> Self {
        Self { id, online: true, events: vec![], lost: vec![], latencies: Histogram::default() }
    }
}

/// Returns the size of all records that `events_binary` can hold at a time.
pub fn capacity(cpus: u32) -> usize {
    cpus as usize * RING as usize * Record::SIZE
}

/// Parses `events_binary`.
pub fn parse(bytes: &[u8]) -> Result<Vec<Cpu>> {
    let mut events = Events::default();
    events.add(bytes)?;
    Ok(events.into_cpus())
}

/// A parser that reads `events_binary` in pieces. Each CPU's events are numbered from 0, without a
/// gap. A separate record reports lost events.
#[derive(Default)]
pub struct Events {
    /// Each CPU, with the number of its next event.
    cpus: BTreeMap<u32, (u64, Cpu)>,
    records: usize,
}

impl Events {
    /// Parses whole records.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.each(bytes, |_, record| Some(record))
    }

    /// Parses the records of a file that was opened again: skips those that are known.
    pub fn add_unknown(&mut self, bytes: &[u8]) -> Result<()> {
        self.each(bytes, |events, record| {
            let next = events.cpus.get(&record.cpu).map_or(0, |(next, _)| *next);
            let known = next.saturating_sub(record.number);
            match record.kind {
                Record::LOST if known < record.time => Some(Record {
                    number: record.number + known,
                    time: record.time - known,
                    ..record
                }),
                Record::LOST => None,
                _ => (known == 0).then_some(record),
            }
        })
    }

    fn each(
        &mut self,
        bytes: &[u8],
        wanted: impl Fn(&Self, Record) -> Option<Record>,
    ) -> Result<()> {
        for chunk in bytes.chunks(Record::SIZE) {
            let index = self.records;
            let record = chunk.try_into().ok().with_context(|| {
                let (len, size) = (chunk.len(), Record::SIZE);
                format!("events: record {index} has {len} bytes instead of {size}")
            })?;
            if let Some(record) = wanted(self, Record::from_bytes(record)) {
                self.event(record).with_context(|| format!("events: record {index}"))?;
            }
            self.records += 1;
        }
        Ok(())
    }

    fn event(&mut self, record: Record) -> Result<()> {
        let Record { time, number, cpu: id, kind } = record;
        ensure!(id < MAX_CPUS, "CPU number {id} out of range");
        let (next, cpu) = self.cpus.entry(id).or_insert_with(|| (0, Cpu::new(id)));
        ensure!(number == *next, "cpu{id}: number {number} where {next} was expected");

        let count = match kind {
            Record::LOST => {
                ensure!(time > 0, "cpu{id}: a record of lost events has count 0");
                cpu.lost.push(Lost { first: number, count: time });
                time
            }
            _ => {
                let kind =
                    Kind::from_number(kind).with_context(|| format!("unknown kind {kind}"))?;
                let time = Nanos::try_from(time).ok().context("time out of range")?;
                cpu.events.push(Event { time, number, kind });
                1
            }
        };
        *next = next.checked_add(count).context("event number out of range")?;
        Ok(())
    }

    pub fn cpu(&self, id: u32) -> Option<&Cpu> {
        self.cpus.get(&id).map(|(_, cpu)| cpu)
    }

    pub fn cpus(&self) -> impl Iterator<Item = &Cpu> {
        self.cpus.values().map(|(_, cpu)| cpu)
    }

    /// Forgets all but the newest events of each CPU, as if they had been overwritten before
    /// they were read.
    pub fn forget(&mut self, keep: usize) {
        for (_, cpu) in self.cpus.values_mut() {
            let old = cpu.events.len().saturating_sub(keep);
            let Some(last) = cpu.events[..old].last().copied() else { continue };
            cpu.events.drain(..old);
            cpu.lost.retain(|lost| lost.first > last.number);
            cpu.lost.insert(0, Lost { first: 0, count: last.number + 1 });
        }
    }

    /// Returns the records, in the order of numbers for each CPU.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![];
        for cpu in self.cpus() {
            let mut lost = cpu.lost.iter().peekable();
            let mut add = |time, number, kind| {
                bytes.extend(Record { time, number, cpu: cpu.id, kind }.to_bytes());
            };
            for event in &cpu.events {
                while let Some(lost) = lost.next_if(|lost| lost.first < event.number) {
                    add(lost.count, lost.first, Record::LOST);
                }
                add(event.time as u64, event.number, event.kind as u32);
            }
            lost.for_each(|lost| add(lost.count, lost.first, Record::LOST));
        }
        bytes
    }

    pub fn into_cpus(self) -> Vec<Cpu> {
        self.cpus.into_values().map(|(_, cpu)| cpu).collect()
    }
}

/// Returns the number of events and the number of lost events.
pub fn totals<'a>(cpus: impl IntoIterator<Item = &'a Cpu>) -> (u64, u64) {
    cpus.into_iter().fold((0, 0), |(events, lost), cpu| {
        let missing: u64 = cpu.lost.iter().map(|lost| lost.count).sum();
        (events + cpu.events.len() as u64, lost + missing)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use expect_test::expect;

    pub(crate) fn record(first: u64, number: u64, cpu: u32, kind: u32) -> Vec<u8> {
        [&first.to_le_bytes()[..], &number.to_le_bytes(), &cpu.to_le_bytes(), &kind.to_le_bytes()]
            .concat()
    }

    #[test]
    fn events_are_separated_by_cpu() {
        let bytes = [
            record(10, 0, 1, 1),
            record(11, 0, 0, 1),
            record(12, 1, 1, 2),
            record(4, 2, 1, 0),
            record(20, 6, 1, 8),
        ];
        let cpus = parse(&bytes.concat()).unwrap();
        assert_eq!(cpus.iter().map(|cpu| cpu.id).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(
            cpus[1].events.iter().map(|e| (e.time, e.number)).collect::<Vec<_>>(),
            [(10, 0), (12, 1), (20, 6)]
        );
        assert_eq!(cpus[1].lost, [Lost { first: 2, count: 4 }]);
        assert!(parse(&[]).unwrap().is_empty());
    }

    #[test]
    fn forgotten_events_count_as_lost() {
        let bytes = [
            record(10, 0, 1, 1),
            record(12, 1, 1, 2),
            record(4, 2, 1, 0),
            record(20, 6, 1, 7),
            record(21, 7, 1, 8),
            record(1, 8, 1, 0),
        ]
        .concat();
        let mut events = Events::default();
        events.add(&bytes).unwrap();
        assert_eq!(events.to_bytes(), bytes);
        events.forget(4);
        assert_eq!(events.to_bytes(), bytes);
        events.forget(1);
        let cpu = events.cpu(1).unwrap();
        assert_eq!(cpu.events.iter().map(|event| event.number).collect::<Vec<_>>(), [7]);
        assert_eq!(cpu.lost, [Lost { first: 0, count: 7 }, Lost { first: 8, count: 1 }]);
        // The next number is still the expected one.
        events.add(&record(30, 9, 1, 7)).unwrap();
        assert_eq!(parse(&events.to_bytes()).unwrap(), events.into_cpus());
    }

    #[test]
    fn known_records_are_skipped() {
        let mut events = Events::default();
        let first = [record(10, 0, 1, 1), record(12, 1, 1, 2)].concat();
        events.add(&first).unwrap();
        let again = [first.clone(), record(13, 2, 1, 7)].concat();
        events.add_unknown(&again).unwrap();
        assert_eq!(events.to_bytes(), again);
        // The known ones, and one more, were overwritten.
        events.add_unknown(&[record(4, 0, 1, 0), record(20, 4, 1, 8)].concat()).unwrap();
        events.add_unknown(&record(4, 0, 1, 0)).unwrap();
        let cpu = events.cpu(1).unwrap();
        assert_eq!(cpu.events.last().map(|event| event.number), Some(4));
        assert_eq!(cpu.lost, [Lost { first: 3, count: 1 }]);
    }

    #[test]
    fn invalid_records_are_refused() {
        let good = record(1, 0, 0, 1);
        let rubbish = [
            vec![good.clone(), good[..5].to_vec()],
            vec![record(1, 0, 0, 9)],
            vec![good.clone(), record(2, 2, 0, 8)],
            vec![good.clone(), good],
            vec![record(1, 0, 1 << 20, 1)],
            vec![record(1, 5, 0, 7)],
            vec![record(0, 0, 0, 0)],
            vec![record(u64::MAX, 0, 0, 1)],
            vec![record(u64::MAX, 0, 0, 0), record(1, u64::MAX, 0, 0)],
        ];
        let refused =
            rubbish.map(|records| format!("{:#}\n", parse(&records.concat()).unwrap_err()));
        expect![[r#"
            events: record 1 has 5 bytes instead of 24
            events: record 0: unknown kind 9
            events: record 1: cpu0: number 2 where 1 was expected
            events: record 1: cpu0: number 0 where 1 was expected
            events: record 0: CPU number 1048576 out of range
            events: record 0: cpu0: number 5 where 0 was expected
            events: record 0: cpu0: a record of lost events has count 0
            events: record 0: time out of range
            events: record 1: event number out of range
        "#]]
        .assert_eq(&refused.concat());
    }
}
