// SPDX-License-Identifier: GPL-2.0

//! What the module's files give.

use crate::model::{Cpu, Event, Kind, Lost, Nanos, Table};
use crate::spark::{BUCKETS, Histogram};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;

/// The size of a record of `events_binary`.
pub const RECORD: usize = 24;
/// How many events of a CPU the module holds.
const RING: usize = 2048;

/// The size of all records that `events_binary` can hold at a time.
pub fn capacity(cpus: u32) -> usize {
    cpus as usize * RING * RECORD
}

/// More than any kernel's `NR_CPUS`.
const MAX_CPUS: u32 = 1 << 16;

/// Events of `events_binary`, by CPU.
///
/// The layout is documented in the module's `demo/log.rs`. Both architectures that the module is tested on are little
/// endian. A CPU's events are numbered from 0, without a gap: a record of its own reports missing ones.
pub fn events(bytes: &[u8]) -> Result<Vec<Cpu>> {
    let mut events = Events::default();
    events.add(bytes)?;
    Ok(events.into_cpus())
}

/// The same, read piece by piece.
#[derive(Default)]
pub struct Events {
    /// With the number of the next event of each CPU.
    cpus: BTreeMap<u32, (u64, Cpu)>,
    records: usize,
}

impl Events {
    /// Takes whole records.
    pub fn add(&mut self, bytes: &[u8]) -> Result<()> {
        for record in bytes.chunks(RECORD) {
            let index = self.records;
            let whole = record.len() == RECORD;
            ensure!(whole, "events: record {index} has {} bytes instead of {RECORD}", record.len());
            event(record, &mut self.cpus).with_context(|| format!("events: record {index}"))?;
            self.records += 1;
        }
        Ok(())
    }

    pub fn cpu(&self, id: u32) -> Option<&Cpu> {
        self.cpus.get(&id).map(|(_, cpu)| cpu)
    }

    pub fn cpus(&self) -> impl Iterator<Item = &Cpu> {
        self.cpus.values().map(|(_, cpu)| cpu)
    }

    pub fn into_cpus(self) -> Vec<Cpu> {
        self.cpus.into_values().map(|(_, cpu)| cpu).collect()
    }
}

fn event(record: &[u8], cpus: &mut BTreeMap<u32, (u64, Cpu)>) -> Result<()> {
    let number = |from: usize, len: usize| {
        record[from..from + len].iter().rev().fold(0u64, |n, byte| (n << 8) | u64::from(*byte))
    };
    let (first, second) = (number(0, 8), number(8, 8));
    let (id, kind) = (number(16, 4) as u32, number(20, 4) as u32);

    ensure!(id < MAX_CPUS, "no CPU has the number {id}");
    let (next, cpu) = cpus.entry(id).or_insert_with(|| (0, Cpu::new(id)));
    ensure!(second == *next, "cpu{id}: number {second} where {next} was expected");

    let count = match kind {
        0 => {
            ensure!(first > 0, "cpu{id}: none lost");
            cpu.lost.push(Lost { first: second, count: first });
            first
        }
        _ => {
            let kind = Kind::from_number(kind).with_context(|| format!("unknown kind {kind}"))?;
            let time = Nanos::try_from(first).context("a time beyond all times")?;
            cpu.events.push(Event { time, number: second, kind });
            1
        }
    };
    *next = next.checked_add(count).context("a number beyond all numbers")?;
    Ok(())
}

/// How many events there are, and how many were lost.
pub fn totals(cpus: &[Cpu]) -> (u64, u64) {
    let events = cpus.iter().map(|cpu| cpu.events.len() as u64).sum();
    (events, cpus.iter().flat_map(|cpu| &cpu.lost).map(|lost| lost.count).sum())
}

/// `latency_hist`: lines `[FROM, TO) COUNT`, where TO is `...` for the last bucket.
pub fn latency_hist(text: &str) -> Result<Histogram> {
    let mut histogram = Histogram::default();
    let mut next = 0;

    for (index, line) in text.lines().enumerate() {
        let place = || format!("latency_hist: line {}: `{}`", index + 1, excerpt(line));
        let (bucket, count) = bucket(line).with_context(place)?;
        ensure!(bucket >= next, "{}: out of order", place());
        histogram.counts[bucket] = count;
        next = bucket + 1;
    }
    Ok(histogram)
}

fn bucket(line: &str) -> Result<(usize, u64)> {
    let (range, count) = line.rsplit_once(' ').context("no count")?;
    let (from, to) = range
        .strip_prefix('[')
        .and_then(|range| range.strip_suffix(')'))
        .and_then(|range| range.split_once(", "))
        .context("no range")?;
    let from: u64 = from.parse().context("no number")?;

    let bucket = (u64::BITS - from.leading_zeros()) as usize;
    ensure!(bucket < BUCKETS && from == Histogram::from(bucket), "no bucket begins there");
    match Histogram::to(bucket) {
        Some(end) => ensure!(to == end.to_string(), "the bucket ends at {end}"),
        None => ensure!(to == "...", "the last bucket has no end"),
    }
    Ok((bucket, count.parse().context("no count")?))
}

/// `summary`: a line of names, and a line of as many words for each CPU.
pub fn summary(text: &str) -> Result<Table> {
    let mut lines =
        text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    let columns = lines.next().unwrap_or_default();
    ensure!(!columns.is_empty(), "summary: empty");

    let mut rows = vec![];
    for (index, row) in lines.enumerate() {
        if row.len() != columns.len() {
            bail!(
                "summary: line {} has {} words instead of {}",
                index + 2,
                row.len(),
                columns.len()
            );
        }
        rows.push(row);
    }
    Ok(Table { columns, rows })
}

/// The start of a line, for a message.
pub(crate) fn excerpt(line: &str) -> String {
    let mut text: String = line.chars().take(100).collect();
    if text.len() < line.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn record(first: u64, number: u64, cpu: u32, kind: u32) -> Vec<u8> {
        [&first.to_le_bytes()[..], &number.to_le_bytes(), &cpu.to_le_bytes(), &kind.to_le_bytes()]
            .concat()
    }

    #[test]
    fn events_are_sorted_out_by_cpu() {
        let bytes = [
            record(10, 0, 1, 1),
            record(11, 0, 0, 1),
            record(12, 1, 1, 2),
            record(4, 2, 1, 0),
            record(20, 6, 1, 8),
        ];
        let cpus = events(&bytes.concat()).unwrap();
        assert_eq!(cpus.iter().map(|cpu| cpu.id).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(
            cpus[1].events.iter().map(|e| (e.time, e.number)).collect::<Vec<_>>(),
            [(10, 0), (12, 1), (20, 6)]
        );
        assert_eq!(cpus[1].lost, [Lost { first: 2, count: 4 }]);
        assert!(events(&[]).unwrap().is_empty());
    }

    #[test]
    fn rubbish_among_the_events_is_refused() {
        let refused = |records: &[Vec<u8>]| format!("{:#}", events(&records.concat()).unwrap_err());
        let good = record(1, 0, 0, 1);

        assert_eq!(
            refused(&[good.clone(), good[..5].to_vec()]),
            "events: record 1 has 5 bytes instead of 24"
        );
        assert_eq!(refused(&[record(1, 0, 0, 9)]), "events: record 0: unknown kind 9");
        assert_eq!(
            refused(&[good.clone(), record(2, 2, 0, 8)]),
            "events: record 1: cpu0: number 2 where 1 was expected"
        );
        assert_eq!(
            refused(&[good.clone(), good.clone()]),
            "events: record 1: cpu0: number 0 where 1 was expected"
        );
        assert_eq!(
            refused(&[record(1, 0, 1 << 20, 1)]),
            "events: record 0: no CPU has the number 1048576"
        );
        assert_eq!(
            refused(&[record(1, 5, 0, 7)]),
            "events: record 0: cpu0: number 5 where 0 was expected"
        );
        assert_eq!(refused(&[record(0, 0, 0, 0)]), "events: record 0: cpu0: none lost");
        assert_eq!(
            refused(&[record(u64::MAX, 0, 0, 1)]),
            "events: record 0: a time beyond all times: out of range integral type conversion attempted"
        );
        assert_eq!(
            refused(&[record(u64::MAX, 0, 0, 0), record(1, u64::MAX, 0, 0)]),
            "events: record 1: a number beyond all numbers"
        );
    }

    #[test]
    fn a_histogram_is_read() {
        let histogram =
            latency_hist("[0, 1) 2\n[1, 2) 3\n[65536, 131072) 5\n[17179869184, ...) 1\n").unwrap();
        assert_eq!(histogram.counts[0], 2);
        assert_eq!(histogram.counts[1], 3);
        assert_eq!(histogram.counts[17], 5);
        assert_eq!(histogram.counts[35], 1);
        assert_eq!(histogram.total(), 11);
        assert_eq!(latency_hist("").unwrap(), Histogram::default());
    }

    #[test]
    fn rubbish_in_a_histogram_is_refused() {
        let refused = |text: &str| format!("{:#}", latency_hist(text).unwrap_err());
        assert_eq!(refused("hello"), "latency_hist: line 1: `hello`: no count");
        assert_eq!(refused("hello 1"), "latency_hist: line 1: `hello 1`: no range");
        assert_eq!(refused("[3, 6) 1"), "latency_hist: line 1: `[3, 6) 1`: no bucket begins there");
        assert_eq!(refused("[2, 8) 1"), "latency_hist: line 1: `[2, 8) 1`: the bucket ends at 4");
        assert_eq!(
            refused("[17179869184, 34359738368) 1"),
            "latency_hist: line 1: `[17179869184, 34359738368) 1`: the last bucket has no end"
        );
        assert_eq!(
            refused("[34359738368, ...) 1"),
            "latency_hist: line 1: `[34359738368, ...) 1`: no bucket begins there"
        );
        assert_eq!(refused("[2, 4) 1\n[1, 2) 1"), "latency_hist: line 2: `[1, 2) 1`: out of order");
        assert!(refused("[2, 4) -1").contains("no count"));
    }

    #[test]
    fn a_summary_is_a_table() {
        let table = summary("cpu state\n  0 sleeping\n  1 parked\n").unwrap();
        assert_eq!(table.columns, ["cpu", "state"]);
        assert_eq!(table.rows, [["0", "sleeping"], ["1", "parked"]]);
        assert_eq!(summary("").unwrap_err().to_string(), "summary: empty");
        assert_eq!(
            summary("a b\n1\n").unwrap_err().to_string(),
            "summary: line 2 has 1 words instead of 2"
        );
    }
}
