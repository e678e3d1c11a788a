// SPDX-License-Identifier: GPL-2.0

//! The figures as tables: for a terminal, and as one HTML file that loads no other file and has no
//! script.

use super::{Bench, Group, Row, Verdict, Versus, many};
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
        many(conditions.boots, "boot"),
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
    let groups = bench.groups();
    let bars: String = groups.iter().map(bars).collect();
    let figures: String = groups.iter().map(|group| Table::figures(group).html()).collect();
    let mut footer = String::new();
    for (name, value) in conditions(bench) {
        let _ = write!(footer, "<p>{}: <code>{}</code></p>", escape(name), escape(value));
    }
    let body = format!(
        "<p class=\"dim\">{EXPLAINED}</p>\n<h2>Ratios to C</h2>\n{}<h2>Goals</h2>\n{}\
         <details><summary>Figures as bars</summary>\n<div class=\"cards\">\n{bars}</div></details>\n\
         <details><summary>All numbers</summary>\n\
         <div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"All numbers\"><table>{figures}</table></div></details>\n\
         <footer>{footer}</footer>\n",
        ratios(&groups),
        goals(bench),
    );
    let about = about(bench);
    let about = about.each_ref().map(String::as_str);
    let style = include_str!("../html/bench.css");
    Page { title: TITLE, about: &about, style, script: false, body }.html()
}

/// Returns the class of a row's mark, which `bench.css` gives a shape and a color.
fn kind(label: &str) -> &'static str {
    match label {
        "C twin" => "c",
        "Rust" => "ours",
        _ if label.contains("rust_percpu_workqueue") || label.contains("the same,") => "queue",
        _ if label.contains("queue_work") => "wq",
        _ => "other",
    }
}

/// A place on a logarithmic scale, in percent.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Covers the values, 1 and whole powers of two.
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let logarithms = values.filter(|value| *value > 0.0 && value.is_finite()).map(f64::log2);
        let (low, high) =
            logarithms.fold((-1.0f64, 1.0f64), |(low, high), log| (low.min(log), high.max(log)));
        Self { low: low.floor(), high: high.ceil() }
    }

    fn place(&self, value: f64) -> f64 {
        let log = value.max(f64::MIN_POSITIVE).log2().clamp(self.low, self.high);
        (log - self.low) / (self.high - self.low) * 100.0
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = ((self.high - self.low) / 8.0).ceil().max(1.0) as usize;
        // Always with a tick at 1.
        let first = (self.low as i32).rem_euclid(step as i32);
        let first = self.low as i32 + if first == 0 { 0 } else { step as i32 - first };
        (first..=self.high as i32).step_by(step).map(|log| f64::from(log).exp2())
    }
}

/// Returns each figure as a multiple of the first of its group.
fn to_first(group: &Group) -> Vec<(&Row, f64)> {
    let Some((first, others)) = group.rows.split_first() else { return vec![] };
    let ratio = |row: &Row| match &row.versus {
        Some(Versus::Ratio(ratio)) => ratio.median,
        _ => row.stat.median / first.stat.median,
    };
    others.iter().map(|row| (row, ratio(row))).filter(|(_, ratio)| ratio.is_finite()).collect()
}

fn short(ratio: f64) -> String {
    match ratio {
        ratio if ratio >= 100.0 => format!("{ratio:.0}"),
        ratio if ratio >= 10.0 => format!("{ratio:.1}"),
        ratio => format!("{ratio:.2}"),
    }
}

/// Draws all ratios in one chart, a line for each group.
fn ratios(groups: &[Group]) -> String {
    const MARKS: [(&str, &str); 4] = [
        ("ours", "Rust"),
        ("queue", "rust_percpu_workqueue"),
        ("wq", "queue_work_on"),
        ("other", "others"),
    ];
    let all: Vec<_> = groups.iter().map(|group| (group, to_first(group))).collect();
    let scale = Scale::of(all.iter().flat_map(|(_, rows)| rows.iter().map(|(_, ratio)| *ratio)));
    let mut html = "<p class=\"marks\">".to_owned();
    for (class, name) in MARKS {
        let _ = write!(html, "<span><i class=\"{class}\"></i>{name}</span>");
    }
    let _ = write!(
        html,
        "<span class=\"dim\">left of 1.00: cheaper than C; logarithmic scale</span></p>\n\
         <ul class=\"ratios\" style=\"--one:{:.2}%\">\n<li class=\"axis\" aria-hidden=\"true\"><span></span><span class=\"track\">",
        scale.place(1.0)
    );
    for tick in scale.ticks() {
        let text = if tick == 1.0 { "1.00".into() } else { format!("{tick}") };
        let _ = write!(html, "<b style=\"left:{:.2}%\">{text}</b>", scale.place(tick));
    }
    html += "</span><span></span></li>\n";
    for (group, rows) in all.iter().filter(|(_, rows)| !rows.is_empty()) {
        let mut words = vec![];
        let mut dots = String::new();
        for (row, ratio) in rows {
            let word = format!("{} {}", row.label, short(*ratio));
            let (class, left) = (kind(&row.label), scale.place(*ratio));
            let _ = write!(
                dots,
                "<i class=\"{class}\" style=\"left:{left:.2}%\" title=\"{}\"></i>",
                escape(&word)
            );
            words.push(word);
        }
        let first = &group.rows[0].label;
        let base = match first.as_str() {
            "C twin" => String::new(),
            first => format!(" <small>to {}</small>", escape(first)),
        };
        let ours = rows.iter().find(|(row, _)| ["ours", "queue"].contains(&kind(&row.label)));
        let (_, shown) = ours.unwrap_or(&rows[0]);
        let _ = writeln!(
            html,
            "<li><span>{}{base}</span><span class=\"track\" role=\"img\" aria-label=\"{}\">{dots}</span><span>{}</span></li>",
            escape(&group.title),
            escape(&words.join(", ")),
            short(*shown)
        );
    }
    html + "</ul>\n"
}

/// Lists the goals: each with a bar up to its value, and a line at its limit.
fn goals(bench: &Bench) -> String {
    /// The place of the limit.
    const LIMIT: f64 = 75.0;
    let mut html = "<ul class=\"goals\">\n".to_owned();
    for (goal, verdict) in bench.goals() {
        let (value, word) = match verdict {
            Verdict::Met(value) => (Some(value), "met"),
            Verdict::Missed(value) => (Some(value), "MISSED"),
            Verdict::Missing => (None, "not measured"),
        };
        let width = value.map_or(0.0, |value| (value / goal.at_most * LIMIT).clamp(0.0, 100.0));
        let value = value.map_or("–".into(), |value| format!("{value:.3}"));
        let _ = writeln!(
            html,
            "<li><span>{}</span><span class=\"gauge\" aria-hidden=\"true\"><i style=\"width:{width:.1}%\"></i>\
             <b style=\"left:{LIMIT}%\"></b></span><span>{value} of at most {}</span><strong{}>{word}</strong></li>",
            escape(goal.text),
            goal.at_most,
            class(word),
        );
    }
    html + "</ul>\n"
}

/// Draws bars with names above them.
fn bars(group: &Group) -> String {
    const WIDTH: f64 = 400.0;
    const ROW: f64 = 26.0;
    let most = group.rows.iter().map(|row| row.stat.high).fold(1.0, f64::max);
    let x = |value: f64| value / most * WIDTH;
    let ratios = to_first(group);
    let mut svg = String::new();
    for (i, row) in group.rows.iter().enumerate() {
        let top = i as f64 * ROW;
        let class = kind(&row.label);
        let (name, bar, middle) = (top + 11.0, top + 14.0, top + 18.5);
        let (width, low, high) = (x(row.stat.median).max(1.0), x(row.stat.low), x(row.stat.high));
        let [median, lowest, highest] = [row.stat.median, row.stat.low, row.stat.high].map(number);
        let label = escape(&row.label);
        let ratio = ratios.iter().find(|(other, _)| std::ptr::eq(*other, row));
        let ratio =
            ratio.map_or(String::new(), |(_, ratio)| format!(" · {} of the first", short(*ratio)));
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"0\" y=\"{name:.1}\">{label}</text>\
             <text x=\"{WIDTH}\" y=\"{name:.1}\" text-anchor=\"end\">{median}{ratio}</text>\
             <g><title>{lowest} to {highest}</title><rect class=\"{class}\" x=\"0\" y=\"{bar:.1}\" width=\"{width:.1}\" height=\"9\" rx=\"1.5\"/></g>\
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
    #[test]
    fn ratios_are_in_one_chart() {
        let figures = vec![
            figure("c", &[100.0, 101.0]),
            figure("rust", &[100.0, 102.0]),
            figure("wq", &[200.0, 202.0]),
        ];
        let page = page(&Bench { figures, ..Bench::default() });
        assert!(page.contains("aria-label=\"Rust 1.00, queue_work_on 2.00\""), "{page}");
        // The scale is from 1/2 to 2: 1.00 is in its middle.
        assert!(page.contains("--one:50.00%"));
        assert!(
            page.contains("<i class=\"wq\" style=\"left:100.00%\" title=\"queue_work_on 2.00\">")
        );
        assert!(page.contains("<b style=\"left:50.00%\">1.00</b>"));
    }

    #[test]
    fn each_goal_has_its_value_and_its_verdict() {
        let figures = vec![figure("c", &[100.0]), figure("rust", &[102.0])];
        let page = page(&Bench { figures, ..Bench::default() });
        assert!(page.contains(
            "<span>1.020 of at most 1.01</span><strong class=\"missed\">MISSED</strong>"
        ));
        assert!(
            page.contains(
                "<span>– of at most 1.01</span><strong class=\"dim\">not measured</strong>"
            )
        );
    }

    #[test]
    fn a_scale_has_a_tick_at_one() {
        for values in [vec![], vec![0.3, 40.0], vec![1e-4, 1e5], vec![1.0, 1.1]] {
            let scale = Scale::of(values.iter().copied());
            let ticks: Vec<f64> = scale.ticks().collect();
            assert!(ticks.contains(&1.0) && ticks.len() <= 10, "{values:?}: {ticks:?}");
            assert!(values.iter().all(|value| (0.0..=100.0).contains(&scale.place(*value))));
        }
    }

    #[test]
    fn one_boot_is_one_boot() {
        let mut bench = Bench::default();
        bench.conditions.boots = 1;
        assert!(page(&bench).contains("<span>1 boot</span>"));
    }
}
