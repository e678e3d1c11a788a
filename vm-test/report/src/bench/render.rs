// SPDX-License-Identifier: GPL-2.0

//! The figures as tables: for a terminal, and as one HTML file that loads no other file and has no
//! script.

use super::{Bench, Group, Row, Verdict, Versus};
use crate::html::{Page, escape};
use std::fmt::Write;

const TITLE: &str = "Cost of per-CPU threads";
const EXPLAINED: &str = "Each figure is the median of the medians of all boots, with their range and the minimum of all \
                         rounds. Against first: the ratio, or “=” where the ranges overlap and the figures count as \
                         equal. One instruction takes one nanosecond of the guest's time (icount), \
                         whatever time it takes the host.";

/// Rows under a head: the first column is text, the others are numbers.
struct Table {
    title: String,
    note: &'static str,
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn figures(group: &Group) -> Self {
        let row = |row: &Row| {
            let numbers = [row.stat.median, row.stat.low, row.stat.high, row.minimum].map(number);
            let versus = match &row.versus {
                None => String::new(),
                Some(Versus::Same) => "=".into(),
                Some(Versus::Ratio(ratio)) => format!("{:.3}", ratio.median),
            };
            let first = [row.label.clone()].into_iter().chain(numbers);
            first.chain([row.rounds.to_string(), versus]).collect()
        };
        Self {
            title: group.title.clone(),
            note: group.note,
            head: vec![group.unit, "lowest", "highest", "minimum", "rounds", "against first"],
            rows: group.rows.iter().map(row).collect(),
        }
    }

    fn goals(bench: &Bench) -> Self {
        let row = |(goal, verdict): (&super::Goal, Verdict)| {
            let (value, word) = match verdict {
                Verdict::Met(value) => (format!("{value:.3}"), "met"),
                Verdict::Missed(value) => (format!("{value:.3}"), "MISSED"),
                Verdict::Missing => ("–".into(), "not measured"),
            };
            vec![goal.text.into(), value, goal.at_most.to_string(), word.into()]
        };
        Self {
            title: "Goals".into(),
            note: "",
            head: vec!["value", "at most", "verdict"],
            rows: bench.goals().into_iter().map(row).collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("\n{}\n", self.title);
        if !self.note.is_empty() {
            let _ = writeln!(text, "  {}", self.note);
        }
        let widths: Vec<usize> = (0..=self.head.len())
            .map(|i| {
                let head = if i == 0 { "" } else { self.head[i - 1] };
                let cells = self.rows.iter().map(|row| row[i].as_str()).chain([head]);
                cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
            })
            .collect();
        let head = [""].iter().chain(&self.head).map(|cell| cell.to_string()).collect();
        for row in [&head].into_iter().chain(&self.rows) {
            let mut line = format!("  {:<1$}", row[0], widths[0]);
            for (cell, width) in row.iter().zip(&widths).skip(1) {
                let _ = write!(line, "  {cell:>width$}");
            }
            let _ = writeln!(text, "{}", line.trim_end());
        }
        text
    }

    fn html(&self) -> String {
        let first = [self.title.as_str()].into_iter();
        let mut html = line("th", first.chain(self.head.iter().copied()));
        for row in &self.rows {
            html += &line("td", row.iter().map(String::as_str));
        }
        if !self.note.is_empty() {
            let (columns, note) = (self.head.len() + 1, escape(self.note));
            let _ = writeln!(html, "<tr><td class=\"dim\" colspan=\"{columns}\">{note}</td></tr>");
        }
        html
    }
}

/// A row of an HTML table.
fn line<'a>(tag: &str, words: impl Iterator<Item = &'a str>) -> String {
    let mut html = "<tr>".to_owned();
    for word in words {
        let _ = write!(html, "<{tag}{}>{}</{tag}>", class(word), escape(word));
    }
    html + "</tr>\n"
}

fn class(word: &str) -> &'static str {
    match word {
        "met" => " class=\"met\"",
        "MISSED" => " class=\"missed\"",
        "not measured" => " class=\"dim\"",
        _ => "",
    }
}

/// Formats a figure with its significant digits.
fn number(value: f64) -> String {
    match value.fract() == 0.0 || value.abs() >= 1000.0 {
        true => format!("{value:.0}"),
        false => format!("{value:.1}"),
    }
}

/// Returns the conditions of the measurement, by name.
fn conditions(bench: &Bench) -> Vec<(&str, &str)> {
    let conditions = &bench.conditions;
    let first = [("QEMU", conditions.flags.as_str()), ("command line", &conditions.command_line)];
    let hashes = conditions.hashes.iter().map(|(of, hash)| (of.as_str(), hash.as_str()));
    first.into_iter().chain(hashes).collect()
}

fn about(bench: &Bench) -> [String; 5] {
    let conditions = &bench.conditions;
    [
        format!("Linux {}", conditions.release),
        format!("QEMU {}", conditions.qemu_version),
        format!("{} boots", conditions.boots),
        "counted, not timed".into(),
        conditions.date.clone(),
    ]
}

/// Returns the figures as text for a terminal.
pub fn text(bench: &Bench) -> String {
    let mut text: String =
        bench.groups().iter().map(|group| Table::figures(group).text()).collect();
    let _ = writeln!(text, "\n{EXPLAINED}\n{}", about(bench).join(", "));
    for (name, value) in conditions(bench) {
        let _ = writeln!(text, "{name}: {value}");
    }
    text + &Table::goals(bench).text()
}

/// Returns the figures as an HTML file.
pub fn page(bench: &Bench) -> String {
    const TABLE: (&str, &str) = ("<div class=\"scroll\"><table>", "</table></div>\n");
    let groups = bench.groups();
    let bars: String = groups.iter().map(bars).collect();
    let figures: String = groups.iter().map(|group| Table::figures(group).html()).collect();
    let goals = Table::goals(bench).html();
    let mut footer = String::new();
    for (name, value) in conditions(bench) {
        let _ = write!(footer, "<p>{}: <code>{}</code></p>", escape(name), escape(value));
    }
    let body = format!(
        "<p class=\"dim\">{EXPLAINED}</p>\n<h2>Goals</h2>\n{}{goals}{}<h2>Figures</h2>\n<div class=\"cards\">\n{bars}</div>\n\
         <h2>All numbers</h2>\n{}{figures}{}<footer>{footer}</footer>\n",
        TABLE.0, TABLE.1, TABLE.0, TABLE.1
    );
    let about = about(bench);
    let about = about.each_ref().map(String::as_str);
    let style = include_str!("../html/bench.css");
    Page { title: TITLE, about: &about, style, script: false, body }.html()
}

/// Draws bars with names above them.
fn bars(group: &Group) -> String {
    const WIDTH: f64 = 400.0;
    const ROW: f64 = 26.0;
    let most = group.rows.iter().map(|row| row.stat.high).fold(1.0, f64::max);
    let x = |value: f64| value / most * WIDTH;
    let mut svg = String::new();
    for (i, row) in group.rows.iter().enumerate() {
        let top = i as f64 * ROW;
        let class = if row.label == "Rust" { "" } else { " class=\"twin\"" };
        let (name, bar, middle) = (top + 11.0, top + 14.0, top + 18.5);
        let (width, low, high) = (x(row.stat.median).max(1.0), x(row.stat.low), x(row.stat.high));
        let [median, lowest, highest] = [row.stat.median, row.stat.low, row.stat.high].map(number);
        let label = escape(&row.label);
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"0\" y=\"{name:.1}\">{label}</text>\
             <text x=\"{WIDTH}\" y=\"{name:.1}\" text-anchor=\"end\">{median}</text>\
             <g><title>{lowest} to {highest}</title><rect{class} x=\"0\" y=\"{bar:.1}\" width=\"{width:.1}\" height=\"9\" rx=\"1.5\"/></g>\
             <line class=\"range\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
        );
    }
    let (title, unit) = (escape(&group.title), group.unit);
    let (width, height) = (WIDTH + 4.0, group.rows.len() as f64 * ROW + 4.0);
    format!(
        "<figure><figcaption><b>{title}</b><span>{unit}</span></figcaption>\
         <svg viewBox=\"-2 -2 {width} {height}\" role=\"img\" aria-label=\"{title}\">{svg}</svg></figure>\n",
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::figure;
    use super::*;
    use expect_test::expect;

    #[test]
    fn each_figure_has_a_line() {
        let figures = vec![
            figure("c", &[6000.0, 6010.0]),
            figure("rust", &[6005.0, 6009.0]),
            figure("wq", &[12000.0, 12020.0]),
        ];
        let text = text(&Bench { figures, ..Bench::default() });
        expect![[r#"

            From wake to run: the same CPU, normal priority
              On the same CPU the waker sleeps after the wake, which is included at normal priority. An interrupt (smp_call_function_single) has no priority.
                             instructions  lowest  highest  minimum  rounds  against first
              C twin                 6005    6000     6010        1       9
              Rust                   6007    6005     6009        1       9              =
              queue_work_on         12010   12000    12020        1       9          2.000

        "#]].assert_eq(text.split_inclusive("\n\n").next().unwrap());
    }

    #[test]
    fn only_small_numbers_have_fractions() {
        assert_eq!([5.0, 27.06, 5999.4].map(number), ["5", "27.1", "5999"]);
    }

    #[test]
    fn the_page_loads_no_other_file_and_has_no_script() {
        let mut evil = figure("<script>alert(1)</script>", &[1.0, 2.0]);
        evil.key.arg = 1;
        let bench = Bench { figures: vec![figure("rust", &[3.0]), evil], ..Bench::default() };
        let page = page(&bench);
        for outside in ["http://", "https://", "src=", "@import", "url(", "<script"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<figure>").count(), 2);
        assert!(page.contains("not measured"));
    }
}
