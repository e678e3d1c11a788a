// SPDX-License-Identifier: GPL-2.0

//! For a terminal.

use super::{Bench, Row, Verdict, Versus};
use std::fmt::Write;

/// Writing to a string cannot fail.
macro_rules! line {
    ($text:ident, $($format:tt)*) => {{ let _ = writeln!($text, $($format)*); }};
}

pub fn text(bench: &Bench) -> String {
    let mut text = String::new();
    for group in bench.groups() {
        line!(text, "\n{} ({})", group.title, group.unit);
        if !group.note.is_empty() {
            line!(text, "  {}", group.note);
        }
        for row in &group.rows {
            line!(text, "  {}", row_text(row));
        }
    }
    let conditions = &bench.conditions;
    line!(
        text,
        "\nMedian of the medians of {} boots, their range, the minimum of all rounds, rounds per boot;",
        conditions.boots
    );
    line!(text, "against the first line: the ratio, and '=' where the ranges overlap.");
    line!(
        text,
        "Linux {}, QEMU {}: {}",
        conditions.release,
        conditions.qemu_version,
        conditions.flags
    );
    for (what, hash) in &conditions.hashes {
        line!(text, "sha256 {hash}  {what}");
    }
    line!(text, "\nGoals");
    for (goal, verdict) in bench.goals() {
        let (value, word) = match verdict {
            Verdict::Met(value) => (format!("{value:.3}"), "met"),
            Verdict::Missed(value) => (format!("{value:.3}"), "MISSED"),
            Verdict::Missing => ("-".into(), "not measured"),
        };
        line!(text, "  {:<54} {value:>8}, at most {:<5} {word}", goal.text, goal.at_most);
    }
    text
}

fn row_text(row: &Row) -> String {
    let range = format!("{}..{}", number(row.stat.low), number(row.stat.high));
    let versus = versus(row).unwrap_or_default();
    format!(
        "{:<28} {:>10} {range:>19} {:>10} {:>5} {versus:>6}",
        row.label,
        number(row.stat.median),
        number(row.minimum),
        row.rounds
    )
    .trim_end()
    .into()
}

pub(super) fn versus(row: &Row) -> Option<String> {
    Some(match row.versus.as_ref()? {
        Versus::Same => "=".into(),
        Versus::Ratio(ratio) => format!("{:.3}", ratio.median),
    })
}

/// As many digits as there are to be told apart.
pub(super) fn number(value: f64) -> String {
    match value.fract() == 0.0 || value.abs() >= 1000.0 {
        true => format!("{value:.0}"),
        false => format!("{value:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::figure;
    use super::*;

    #[test]
    fn a_line_for_each_figure() {
        let figures = vec![
            figure("c", &[6000.0, 6010.0]),
            figure("rust", &[6005.0, 6009.0]),
            figure("wq", &[12000.0, 12020.0]),
        ];
        let text = text(&Bench { figures, ..Bench::default() });
        let words = |start: &str| {
            let line = text.lines().find(|line| line.trim_start().starts_with(start)).unwrap();
            line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(words("C twin"), ["C", "twin", "6005", "6000..6010", "1", "9"]);
        assert_eq!(words("Rust")[5..], ["="]);
        assert_eq!(words("queue_work_on")[5..], ["2.000"]);
    }

    #[test]
    fn fractions_are_for_small_numbers() {
        assert_eq!(
            ["5", "27.1", "5999"],
            [5.0, 27.06, 5999.4].map(number).each_ref().map(|s| s.as_str())
        );
    }
}
