// SPDX-License-Identifier: GPL-2.0

//! The figures as one HTML file that needs nothing else, no script either.

use super::text::{number, versus};
use super::{Bench, Group, Verdict};
use crate::html::{STYLE, escape};
use std::fmt::Write;

const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
const TITLE: &str = "What per-CPU threads cost";

/// Beside the style of the other pages.
const MORE_STYLE: &str = "figure rect.twin { fill: var(--wake); } figure text.name { fill: var(--text); font-size: 11px; }
figure line.range { stroke: var(--text); } td:first-child, th:first-child { text-align: left; }
.met { color: var(--setup); } .missed { color: var(--cleanup); font-weight: 600; }
code { font: 12px ui-monospace, \"DejaVu Sans Mono\", monospace; overflow-wrap: anywhere; }
.cards { grid-template-columns: repeat(auto-fill, minmax(430px, 1fr)); }
";

pub fn page(bench: &Bench) -> String {
    let conditions = &bench.conditions;
    let mut spans = String::new();
    for text in [
        format!("Linux {}", conditions.release),
        format!("QEMU {}", conditions.qemu_version),
        format!("{} boots", conditions.boots),
        "counted, not timed".into(),
        conditions.date.clone(),
    ] {
        let _ = write!(spans, "<span>{}</span>", escape(&text));
    }
    let figures: String = bench.groups().iter().map(figure).collect();
    format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">
<title>{TITLE}</title>
<style>
{STYLE}{MORE_STYLE}</style>
</head>
<body>
<h1>{TITLE}</h1>
<p class=\"about\">{spans}</p>
<p class=\"dim\">Bars: the median of the medians of all boots; the thin line is their range. One instruction takes one
nanosecond of the guest's time (icount), however long it takes the host.</p>
<h2>Goals</h2>
{}
<h2>Figures</h2>
<div class=\"cards\">
{figures}</div>
<h2>All numbers</h2>
{}
<footer>{}</footer>
</body>
</html>
",
        goals(bench),
        table(bench),
        about(bench)
    )
}

fn goals(bench: &Bench) -> String {
    let mut html =
        "<div class=\"scroll\"><table><tr><th>what</th><th>value</th><th>at most</th><th></th></tr>\n"
            .to_owned();
    for (goal, verdict) in bench.goals() {
        let (value, class, word) = match verdict {
            Verdict::Met(value) => (format!("{value:.3}"), "met", "met"),
            Verdict::Missed(value) => (format!("{value:.3}"), "missed", "missed"),
            Verdict::Missing => ("–".into(), "dim", "not measured"),
        };
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td>{value}</td><td>{}</td><td class=\"{class}\">{word}</td></tr>",
            escape(goal.text),
            goal.at_most
        );
    }
    html + "</table></div>"
}

/// Bars with names above them.
fn figure(group: &Group) -> String {
    const WIDTH: f64 = 400.0;
    const ROW: f64 = 26.0;
    let most = group.rows.iter().map(|row| row.stat.high).fold(1.0, f64::max);
    let x = |value: f64| value / most * WIDTH;
    let mut svg = String::new();
    for (i, row) in group.rows.iter().enumerate() {
        let top = i as f64 * ROW;
        let class = if row.label == "Rust" { "" } else { " class=\"twin\"" };
        let middle = top + 18.5;
        let _ = write!(
            svg,
            "<text class=\"name\" x=\"0\" y=\"{:.1}\">{}</text><text x=\"{WIDTH}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <g><title>{} to {}</title><rect{class} x=\"0\" y=\"{:.1}\" width=\"{:.1}\" height=\"9\" rx=\"1.5\"/></g>\
             <line class=\"range\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>",
            top + 11.0,
            escape(&row.label),
            top + 11.0,
            number(row.stat.median),
            number(row.stat.low),
            number(row.stat.high),
            top + 14.0,
            x(row.stat.median).max(1.0),
            x(row.stat.low),
            x(row.stat.high),
        );
    }
    let title = escape(&group.title);
    format!(
        "<figure><figcaption><b>{title}</b><span>{}</span></figcaption>\
         <svg viewBox=\"-2 -2 {} {}\" role=\"img\" aria-label=\"{title}\">{svg}</svg></figure>\n",
        group.unit,
        WIDTH + 4.0,
        group.rows.len() as f64 * ROW + 4.0
    )
}

fn table(bench: &Bench) -> String {
    let mut html = "<div class=\"scroll\"><table>".to_owned();
    for group in bench.groups() {
        let _ = writeln!(
            html,
            "<tr><th>{}</th><th>{}</th><th>lowest</th><th>highest</th><th>minimum</th><th>rounds</th>\
             <th>against the first</th></tr>",
            escape(&group.title),
            group.unit
        );
        for row in &group.rows {
            let _ = writeln!(
                html,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escape(&row.label),
                number(row.stat.median),
                number(row.stat.low),
                number(row.stat.high),
                number(row.minimum),
                row.rounds,
                versus(row).unwrap_or_default()
            );
        }
        if !group.note.is_empty() {
            let _ = writeln!(
                html,
                "<tr><td class=\"dim\" colspan=\"7\">{}</td></tr>",
                escape(group.note)
            );
        }
    }
    html + "</table></div>"
}

fn about(bench: &Bench) -> String {
    let conditions = &bench.conditions;
    let mut html = format!(
        "<p>“=”: the ranges overlap, so that the figures cannot be told apart.</p>\
         <p>QEMU: <code>{}</code></p><p>Command line: <code>{}</code></p>",
        escape(&conditions.flags),
        escape(&conditions.command_line)
    );
    for (what, hash) in &conditions.hashes {
        let _ = write!(html, "<p>{}: <code>{}</code></p>", escape(what), escape(hash));
    }
    html
}

#[cfg(test)]
mod tests {
    use super::super::tests::figure;
    use super::*;

    #[test]
    fn the_page_needs_nothing_else_and_runs_nothing() {
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
