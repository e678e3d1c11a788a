// SPDX-License-Identifier: GPL-2.0

//! The threads at this moment, as a table for a terminal.

use crate::latency::Latencies;
use crate::model::Cpu;
use crate::module;
use crate::module::Events;
use crate::spark::{Histogram, time};
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub text: String,
    pub kind: RowKind,
}

/// How a line is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    Head,
    Offline,
    /// The CPU is online, its thread parked: one of the two is on its way.
    Parked,
    Online,
}

impl Row {
    /// With colors, for a terminal that has them.
    pub fn colored(&self) -> String {
        let code = match self.kind {
            RowKind::Head => "1",
            RowKind::Offline => "31",
            RowKind::Parked => "33",
            RowKind::Online => "32",
        };
        format!("\x1b[{code}m{}\x1b[0m", self.text)
    }
}

/// Of the text of `summary` and of each `cpuN/latency_hist`, and of all events so far. A `~` is before figures that are
/// estimated, because events were lost.
pub fn rows(
    summary: &str,
    latency_hist: &BTreeMap<u32, String>,
    events: &Events,
) -> Result<Vec<Row>> {
    let table = module::summary(summary)?;
    let column = |name: &str| {
        let found = table.columns.iter().position(|column| column == name);
        found.with_context(|| format!("summary: no column {name}"))
    };
    let columns = ["cpu", "online", "state", "pid", "setup", "park", "unpark", "wake", "run"];
    let indices = columns.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;
    let max = column("max_ns")?;

    let mut latencies = vec![];
    for row in &table.rows {
        let cpu: u32 = row[indices[0]].parse().context("summary: a CPU without a number")?;
        let max = row[max].parse().context("summary: a maximum that is no number")?;
        let buckets = match latency_hist.get(&cpu) {
            Some(text) => module::latency_hist(text).with_context(|| format!("cpu{cpu}"))?,
            None => Histogram::default(),
        };
        let none = Cpu::new(cpu);
        latencies.push(Latencies::of(events.cpu(cpu).unwrap_or(&none), &buckets, Some(max)));
    }
    // The same scale for all, so that they can be compared.
    let mut sum = Histogram::default();
    latencies.iter().for_each(|latencies| sum.add(&latencies.histogram));
    let range = sum.range();

    let head = line(&columns, ["pend", "p50", "p99", "max"], "latency");
    let mut rows = vec![Row { text: head, kind: RowKind::Head }];
    for (row, latencies) in table.rows.iter().zip(&latencies) {
        let cells: Vec<&str> = indices.iter().map(|index| row[*index].as_str()).collect();
        let about = if latencies.estimated { "~" } else { "" };
        let [p50, p99, max] = match latencies.figures {
            Some(f) => {
                [format!("{about}{}", time(f.p50)), format!("{about}{}", time(f.p99)), time(f.max)]
            }
            None => ["-"; 3].map(str::to_owned),
        };
        let spark = latencies.histogram.spark(range.clone());
        let pending = latencies.pending.to_string();
        rows.push(Row {
            text: line(&cells, [&pending, &p50, &p99, &max], spark.trim_end()),
            kind: match (cells[1], cells[2]) {
                ("no", _) => RowKind::Offline,
                (_, "parked") => RowKind::Parked,
                _ => RowKind::Online,
            },
        });
    }
    Ok(rows)
}

fn line(cells: &[&str], latency: [&str; 4], spark: &str) -> String {
    let [cpu, online, state, pid, setup, park, unpark, wake, run] =
        std::array::from_fn(|i| cells.get(i).copied().unwrap_or_default());
    let [pending, p50, p99, max] = latency;
    let line = format!(
        "{cpu:>3} {online:<6} {state:<8} {pid:>5} {setup:>5} {park:>4} {unpark:>6} {wake:>6} {run:>6} \
         {pending:>4} {p50:>8} {p99:>8} {max:>7} {spark}"
    );
    line.trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::module::tests::record;

    const SUMMARY: &str =
        "cpu online state       pid create setup should_run        run   park unpark cleanup       wake last_ns   max_ns
  0 yes    sleeping     71      1     1          5          2      0      0       0          2    1500     3000
  1 no     parked       72      1     1          3          0      1      0       0          0       0        0
";

    #[test]
    fn a_row_for_each_cpu() {
        let hists = [(0, "[1024, 2048) 1\n[2048, 4096) 1\n".to_owned()), (1, String::new())];
        let rows = rows(SUMMARY, &hists.into(), &Events::default()).unwrap();
        let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [RowKind::Head, RowKind::Online, RowKind::Offline]);
        let words = |i: usize| rows[i].text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(
            words(0),
            "cpu online state pid setup park unpark wake run pend p50 p99 max latency"
        );
        assert_eq!(words(1), "0 yes sleeping 71 1 0 0 2 2 0 ~2.05 µs ~3.00 µs 3.00 µs ██");
        assert_eq!(words(2), "1 no parked 72 1 1 0 0 0 0 - - -");
        assert!(rows[1].colored().starts_with("\x1b[32m  0 yes"));
    }

    #[test]
    fn figures_of_all_events_are_exact() {
        let records =
            [(0, 1), (1, 2), (10, 7), (1510, 8), (2000, 3), (2001, 7), (8000, 4), (8001, 8)];
        let mut events = Events::default();
        for ((time, kind), number) in records.into_iter().zip(0..) {
            events.add(&record(time, number, 0, kind)).unwrap();
        }
        let hists = [(0, "[1024, 2048) 1\n[4096, 8192) 1\n".to_owned())];
        let rows = rows(SUMMARY, &hists.into(), &events).unwrap();
        let words = rows[1].text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words, "0 yes sleeping 71 1 0 0 2 2 1 1.50 µs 1.50 µs 1.50 µs █");
    }

    #[test]
    fn a_summary_without_a_column_is_refused() {
        let refused =
            rows("cpu online\n0 yes\n", &BTreeMap::new(), &Events::default()).unwrap_err();
        assert_eq!(refused.to_string(), "summary: no column state");
    }
}
