// SPDX-License-Identifier: GPL-2.0

//! The threads at this moment, as a table for a terminal.

use crate::module;
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

/// The text of `summary` and of each `cpuN/latency_hist`.
pub fn rows(summary: &str, latency_hist: &BTreeMap<u32, String>) -> Result<Vec<Row>> {
    let table = module::summary(summary)?;
    let column = |name: &str| {
        let found = table.columns.iter().position(|column| column == name);
        found.with_context(|| format!("summary: no column {name}"))
    };
    let columns = ["cpu", "online", "state", "pid", "setup", "park", "unpark", "wake", "run"];
    let indices = columns.iter().map(|name| column(name)).collect::<Result<Vec<_>>>()?;
    let max = column("max_ns")?;

    let mut histograms = BTreeMap::new();
    for (cpu, text) in latency_hist {
        histograms.insert(*cpu, module::latency_hist(text).with_context(|| format!("cpu{cpu}"))?);
    }
    // The same scale for all, so that they can be compared.
    let mut sum = Histogram::default();
    histograms.values().for_each(|histogram| sum.add(histogram));
    let range = sum.range();

    let mut rows =
        vec![Row { text: line(&columns, ["p50", "p99", "max"], "latency"), kind: RowKind::Head }];
    for row in &table.rows {
        let cells: Vec<&str> = indices.iter().map(|index| row[*index].as_str()).collect();
        let cpu: u32 = cells[0].parse().context("summary: a CPU without a number")?;
        let histogram = histograms.get(&cpu);
        let max = row[max].parse().context("summary: a maximum that is no number")?;
        let figures = histogram.and_then(|histogram| histogram.figures(Some(max)));
        let figures = match figures {
            Some(f) => [f.p50, f.p99, f.max].map(time),
            None => ["-"; 3].map(str::to_owned),
        };
        let spark = histogram.map(|histogram| histogram.spark(range.clone())).unwrap_or_default();
        rows.push(Row {
            text: line(&cells, figures.each_ref().map(String::as_str), spark.trim_end()),
            kind: match (cells[1], cells[2]) {
                ("no", _) => RowKind::Offline,
                (_, "parked") => RowKind::Parked,
                _ => RowKind::Online,
            },
        });
    }
    Ok(rows)
}

fn line(cells: &[&str], latency: [&str; 3], spark: &str) -> String {
    let [cpu, online, state, pid, setup, park, unpark, wake, run] =
        std::array::from_fn(|i| cells.get(i).copied().unwrap_or_default());
    let [p50, p99, max] = latency;
    let line = format!(
        "{cpu:>3} {online:<6} {state:<8} {pid:>5} {setup:>5} {park:>4} {unpark:>6} {wake:>6} {run:>6} \
         {p50:>7} {p99:>7} {max:>7} {spark}"
    );
    line.trim_end().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUMMARY: &str =
        "cpu online state       pid create setup should_run        run   park unpark cleanup       wake last_ns   max_ns
  0 yes    sleeping     71      1     1          5          2      0      0       0          2    1500     3000
  1 no     parked       72      1     1          3          0      1      0       0          0       0        0
";

    #[test]
    fn a_row_for_each_cpu() {
        let hists = [(0, "[1024, 2048) 1\n[2048, 4096) 1\n".to_owned()), (1, String::new())];
        let rows = rows(SUMMARY, &hists.into()).unwrap();
        let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [RowKind::Head, RowKind::Online, RowKind::Offline]);
        let words = |i: usize| rows[i].text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(words(0), "cpu online state pid setup park unpark wake run p50 p99 max latency");
        assert_eq!(words(1), "0 yes sleeping 71 1 0 0 2 2 2.05 µs 3.00 µs 3.00 µs ██");
        assert_eq!(words(2), "1 no parked 72 1 1 0 0 0 - - -");
        assert!(rows[1].colored().starts_with("\x1b[32m  0 yes"));
    }

    #[test]
    fn a_summary_without_a_column_is_refused() {
        let refused = rows("cpu online\n0 yes\n", &BTreeMap::new()).unwrap_err();
        assert_eq!(refused.to_string(), "summary: no column state");
    }
}
