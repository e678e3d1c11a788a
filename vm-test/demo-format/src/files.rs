// SPDX-License-Identifier: GPL-2.0

//! Parsers of the module's text files: the summary and the latencies of a CPU.

use crate::excerpt;
use crate::format::{BUCKETS, Counts, bucket_begin, bucket_end};
use crate::histogram::Histogram;
use anyhow::{Context, Error, Result, bail, ensure};
use std::collections::BTreeMap;
use std::num::ParseIntError;
use std::str::FromStr;

/// A table of words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    pub columns: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns the index of a column.
    pub fn column(&self, name: &str) -> Result<usize> {
        let found = self.columns.iter().position(|column| column == name);
        found.with_context(|| format!("summary: no column {name}"))
    }
}

/// Parses `latency_hist`: lines `[FROM, TO) COUNT`, where TO is `...` for the last bucket.
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
    ensure!(bucket < BUCKETS && from == bucket_begin(bucket), "no bucket begins there");
    match bucket_end(bucket) {
        Some(end) => ensure!(to == end.to_string(), "the bucket ends at {end}"),
        None => ensure!(to == "...", "the last bucket has no end"),
    }
    Ok((bucket, count.parse().context("no count")?))
}

/// Parses `summary`: a line of names, and a line of as many words for each CPU.
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

/// A thread, as a line of `summary` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// `none`, `parked`, `sleeping` or `running`.
    pub state: String,
    /// 0: no thread.
    pub pid: i32,
    pub counts: Counts<u64>,
}

/// Parses the threads of `summary`, by CPU.
pub fn threads(text: &str) -> Result<BTreeMap<u32, Thread>> {
    let table = summary(text)?;
    let thread = |row: &Vec<String>| {
        let word = |name: &str| Ok::<&str, Error>(&row[table.column(name)?]);
        let counts = Counts::read(|name| number(name, word(name)?))?;
        let (state, pid) = (word("state")?.to_owned(), number("pid", word("pid")?)?);
        Ok((number("cpu", word("cpu")?)?, Thread { state, pid, counts }))
    };
    table.rows.iter().map(thread).collect()
}

fn number<T: FromStr<Err = ParseIntError>>(name: &str, word: &str) -> Result<T> {
    word.parse().with_context(|| format!("summary: {name} is not a number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_histogram_is_parsed() {
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
    fn invalid_lines_of_a_histogram_are_refused() {
        let rubbish = [
            "hello",
            "hello 1",
            "[3, 6) 1",
            "[2, 8) 1",
            "[17179869184, 34359738368) 1",
            "[34359738368, ...) 1",
            "[2, 4) 1\n[1, 2) 1",
            "[2, 4) -1",
        ];
        let refused = rubbish.map(|text| format!("{:#}\n", latency_hist(text).unwrap_err()));
        expect![[r#"
            latency_hist: line 1: `hello`: no count
            latency_hist: line 1: `hello 1`: no range
            latency_hist: line 1: `[3, 6) 1`: no bucket begins there
            latency_hist: line 1: `[2, 8) 1`: the bucket ends at 4
            latency_hist: line 1: `[17179869184, 34359738368) 1`: the last bucket has no end
            latency_hist: line 1: `[34359738368, ...) 1`: no bucket begins there
            latency_hist: line 2: `[1, 2) 1`: out of order
            latency_hist: line 1: `[2, 4) -1`: no count: invalid digit found in string
        "#]]
        .assert_eq(&refused.concat());
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

    #[test]
    fn threads_have_state_pid_and_counters() {
        let text = "cpu online state pid create setup should_run run park unpark cleanup wake\n\
                    2 no parked 72 1 1 3 9 4 3 0 8\n";
        let threads = threads(text).unwrap();
        let counts = Counts::read(|name| {
            Ok::<u64, ()>(match name {
                "create" | "setup" => 1,
                "should_run" | "unpark" => 3,
                "run" => 9,
                "park" => 4,
                "wake" => 8,
                _ => 0,
            })
        });
        let wanted = Thread { state: "parked".into(), pid: 72, counts: counts.unwrap() };
        assert_eq!(threads, BTreeMap::from([(2, wanted)]));
        let refused = super::threads(&text.replace("72", "x")).unwrap_err();
        assert_eq!(refused.to_string(), "summary: pid is not a number");
    }
}
