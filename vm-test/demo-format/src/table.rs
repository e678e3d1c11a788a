// SPDX-License-Identifier: GPL-2.0

//! A table of the threads' present state, for a terminal.

use crate::events::{Cpu, Events};
use crate::files;
use crate::histogram::{Histogram, time};
use crate::latency::Latencies;
use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub text: String,
    pub kind: RowKind,
}

/// The kind of a line, which gives its color.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    Head,
    Offline,
    /// The CPU is online and its thread parked: one of the two is changing.
    Parked,
    Online,
    /// The number of CPUs without a line.
    Note,
}

impl Row {
    /// Returns the line for a terminal, with colors if it supports them.
    pub fn shown(&self, colors: bool) -> String {
        let code = match self.kind {
            RowKind::Head => "1",
            RowKind::Offline => "31",
            RowKind::Parked => "33",
            RowKind::Online => "32",
            RowKind::Note => "2",
        };
        match colors {
            true => format!("\x1b[{code}m{}\x1b[0m", self.text),
            false => self.text.clone(),
        }
    }
}

/// Returns at most `room` rows, with a last one that counts the CPUs without a row. CPUs that are
/// offline or have a parked thread have priority.
pub fn fitting(rows: &[Row], room: usize) -> Vec<Row> {
    if rows.len() <= room {
        return rows.to_vec();
    }
    let mut cpus: Vec<usize> = (1..rows.len()).collect();
    cpus.sort_by_key(|i| rows[*i].kind == RowKind::Online);
    let left_out = cpus.split_off(room.saturating_sub(2).min(cpus.len())).len();
    cpus.sort();
    let note = format!("{left_out} more CPUs do not fit into this terminal");
    let mut shown: Vec<Row> = rows.iter().take(1).cloned().collect();
    shown.extend(cpus.into_iter().map(|i| rows[i].clone()));
    shown.push(Row { text: note, kind: RowKind::Note });
    shown.truncate(room);
    shown
}

/// The name of a column, its minimum width, and whether it is text (aligned to the left).
type Column = (&'static str, usize, bool);

/// Columns of `summary`.
const COUNTS: [Column; 9] = [
    ("cpu", 3, false),
    ("online", 6, true),
    ("state", 8, true),
    ("pid", 5, false),
    ("setup", 5, false),
    ("park", 4, false),
    ("unpark", 6, false),
    ("wake", 6, false),
    ("run", 6, false),
];

const FIGURES: [Column; 4] =
    [("pend", 4, false), ("p50", 8, false), ("p99", 8, false), ("max", 7, false)];

/// The last column: a histogram.
const LATENCY: &str = "latency";

/// Columns that a narrow terminal omits, in this order. `state` and color show whether a CPU is
/// offline.
const OPTIONAL: [&str; 10] =
    ["pid", "setup", "online", "p99", "unpark", "park", "pend", "p50", "wake", "run"];

/// Returns the table, from the text of `summary` and of each `cpuN/latency_hist`, and all events so
/// far. Lines have at most `width` characters if possible. A `~` marks figures that are estimated
/// because events were lost.
pub fn rows(
    summary: &str,
    latency_hist: &BTreeMap<u32, String>,
    events: &Events,
    width: usize,
) -> Result<Vec<Row>> {
    let table = files::summary(summary)?;
    let indices = COUNTS.iter().map(|count| table.column(count.0)).collect::<Result<Vec<_>>>()?;
    let (online, state, max) =
        (table.column("online")?, table.column("state")?, table.column("max_ns")?);

    let mut latencies = vec![];
    for row in &table.rows {
        let cpu: u32 = row[indices[0]].parse().context("summary: invalid CPU number")?;
        let max = row[max].parse().context("summary: invalid maximum")?;
        let buckets = match latency_hist.get(&cpu) {
            Some(text) => files::latency_hist(text).with_context(|| format!("cpu{cpu}"))?,
            None => Histogram::default(),
        };
        let none = Cpu::new(cpu);
        latencies.push(Latencies::of(events.cpu(cpu).unwrap_or(&none), &buckets, Some(max)));
    }
    // All rows have the same scale and can be compared.
    let mut sum = Histogram::default();
    latencies.iter().for_each(|latencies| sum.add(&latencies.histogram));
    let range = sum.range();

    let columns: Vec<&Column> = COUNTS.iter().chain(&FIGURES).collect();
    let head = columns.iter().map(|column| column.0).chain([LATENCY]);
    let mut lines = vec![(head.map(String::from).collect::<Vec<_>>(), RowKind::Head)];
    for (row, latencies) in table.rows.iter().zip(&latencies) {
        let mut cells: Vec<String> = indices.iter().map(|index| row[*index].clone()).collect();
        cells.push(latencies.pending.to_string());
        let about = if latencies.estimated { "~" } else { "" };
        cells.extend(match latencies.figures {
            Some(f) => {
                [format!("{about}{}", time(f.p50)), format!("{about}{}", time(f.p99)), time(f.max)]
            }
            None => ["-"; 3].map(str::to_owned),
        });
        cells.push(latencies.histogram.bars(range.clone()).trim_end().to_owned());
        let kind = match (row[online].as_str(), row[state].as_str()) {
            ("no", _) => RowKind::Offline,
            (_, "parked") => RowKind::Parked,
            _ => RowKind::Online,
        };
        lines.push((cells, kind));
    }

    let longest = |i: usize| lines.iter().map(|(cells, _)| cells[i].chars().count()).max();
    let least = |i: usize| columns.get(i).map_or(0, |column| column.1);
    let widths: Vec<usize> =
        (0..=columns.len()).map(|i| longest(i).unwrap_or_default().max(least(i))).collect();
    let mut shown: Vec<usize> = (0..widths.len()).collect();
    for name in OPTIONAL {
        if shown.iter().map(|i| widths[*i] + 1).sum::<usize>() - 1 <= width {
            break;
        }
        shown.retain(|i| columns.get(*i).is_none_or(|column| column.0 != name));
    }
    let line = |cells: &[String]| {
        let cell = |i: &usize| match columns.get(*i) {
            Some((.., false)) => format!("{:>1$}", cells[*i], widths[*i]),
            _ => format!("{:<1$}", cells[*i], widths[*i]),
        };
        shown.iter().map(cell).collect::<Vec<_>>().join(" ").trim_end().to_owned()
    };
    Ok(lines.iter().map(|(cells, kind)| Row { text: line(cells), kind: *kind }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::record;
    use expect_test::expect;

    const SUMMARY: &str =
        "cpu online state       pid create setup should_run        run   park unpark cleanup       wake last_ns   max_ns
  0 yes    sleeping     71      1     1          5          2      0      0       0          2    1500     3000
  1 no     parked       72      1     1          3          0      1      0       0          0       0        0
";

    fn text(rows: &[Row]) -> String {
        rows.iter().flat_map(|row| [row.text.as_str(), "\n"]).collect()
    }

    #[test]
    fn a_row_for_each_cpu() {
        let hists = [(0, "[1024, 2048) 1\n[2048, 4096) 1\n".to_owned()), (1, String::new())];
        let rows = rows(SUMMARY, &hists.into(), &Events::default(), usize::MAX).unwrap();
        let kinds: Vec<_> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds, [RowKind::Head, RowKind::Online, RowKind::Offline]);
        expect![[r#"
            cpu online state      pid setup park unpark   wake    run pend      p50      p99     max latency
              0 yes    sleeping    71     1    0      0      2      2    0 ~2.05 µs ~3.00 µs 3.00 µs ██
              1 no     parked      72     1    1      0      0      0    0        -        -       -
        "#]].assert_eq(&text(&rows));
        assert!(rows[1].shown(true).starts_with("\x1b[32m  0 yes"));
        assert!(rows[1].shown(false).starts_with("  0 yes"));
    }

    #[test]
    fn a_narrow_terminal_keeps_maximum_and_histogram() {
        let hist = "[128, 256) 1\n[524288, 1048576) 1\n";
        let hists = BTreeMap::from([(0, hist.to_owned()), (1, hist.to_owned())]);
        let at = |width| rows(SUMMARY, &hists, &Events::default(), width).unwrap();
        assert_eq!(at(usize::MAX), at(200));
        for width in [95, 79, 60, 40] {
            for row in at(width) {
                assert!(row.text.chars().count() <= width, "{width}: {}", row.text);
            }
            let head = at(width)[0].text.clone();
            let words: Vec<_> = head.split_whitespace().collect();
            assert!(words.ends_with(&["max", "latency"]), "{head}");
            assert!(at(width)[1].text.ends_with('█'), "{}", at(width)[1].text);
        }
        let head = at(79)[0].text.clone();
        assert!(!head.contains("pid") && head.contains("p50") && head.contains("run"), "{head}");
        // The essential columns stay.
        assert_eq!(at(1)[0].text.split_whitespace().count(), 4);
    }

    #[test]
    fn rows_that_do_not_fit_are_counted() {
        let mut rows = vec![Row { text: "head".into(), kind: RowKind::Head }];
        rows.extend((0..24).map(|cpu| Row {
            text: cpu.to_string(),
            kind: if cpu == 20 { RowKind::Offline } else { RowKind::Online },
        }));
        assert_eq!(fitting(&rows, 25), rows);
        let texts = |room| fitting(&rows, room).into_iter().map(|row| row.text).collect::<Vec<_>>();
        assert_eq!(
            texts(5),
            ["head", "0", "1", "20", "21 more CPUs do not fit into this terminal"]
        );
        assert_eq!(texts(3), ["head", "20", "23 more CPUs do not fit into this terminal"]);
        assert_eq!(texts(1), ["head"]);
        assert!(texts(0).is_empty());
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
        let rows = rows(SUMMARY, &hists.into(), &events, usize::MAX).unwrap();
        expect![[r#"
            cpu online state      pid setup park unpark   wake    run pend      p50      p99     max latency
              0 yes    sleeping    71     1    0      0      2      2    1  1.50 µs  1.50 µs 1.50 µs █
              1 no     parked      72     1    1      0      0      0    0        -        -       -
        "#]].assert_eq(&text(&rows));
    }

    #[test]
    fn a_summary_without_a_column_is_refused() {
        let refused =
            rows("cpu online\n0 yes\n", &BTreeMap::new(), &Events::default(), 80).unwrap_err();
        assert_eq!(refused.to_string(), "summary: no column state");
    }
}
