// SPDX-License-Identifier: GPL-2.0

//! The run as a picture: one HTML file that loads no other file.

use crate::run::{Action, Run};
use crate::view::{CpuView, View};
use demo_format::Nanos;
use demo_format::format::{Kind, bucket_begin, bucket_end};
use demo_format::histogram::{Histogram, time};
use demo_format::latency::Latencies;
use serde::Serialize;
use std::fmt::Write;

/// A page that loads nothing; its policy keeps the browser from doing so.
pub(crate) struct Page<'a> {
    pub title: &'a str,
    /// Texts shown in one line, empty ones omitted.
    pub about: &'a [&'a str],
    /// CSS in addition to the style of all pages.
    pub style: &'a str,
    /// Whether the page has a script.
    pub script: bool,
    /// The body, as HTML.
    pub body: String,
}

impl Page<'_> {
    pub fn html(&self) -> String {
        let style = "default-src 'none'; style-src 'unsafe-inline'";
        let policy = match self.script {
            true => format!("{style}; script-src 'unsafe-inline'"),
            false => style.to_owned(),
        };
        let about = self.about.iter().filter(|text| !text.is_empty());
        let about = about.flat_map(|text| ["<span>".into(), escape(text), "</span>".into()]);
        fill(
            include_str!("html/page.html"),
            &[
                ("policy", &policy),
                ("title", &escape(self.title)),
                ("style", &format!("{}{}", include_str!("html/page.css"), self.style)),
                ("about", &about.collect::<String>()),
                ("body", &self.body),
            ],
        )
    }
}

/// Replaces each hole, `{{NAME}}`, with its text. Does not search the texts for holes.
fn fill(skeleton: &str, texts: &[(&str, &str)]) -> String {
    let mut pieces = skeleton.split("{{");
    let mut html = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or_default();
        html += texts.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text);
        html += rest;
    }
    html
}

/// Returns the text of the file.
pub fn page(view: &View) -> String {
    let about = &view.run.about;
    let release = match about.release.as_str() {
        "" => String::new(),
        release => format!("Linux {release}"),
    };
    let cpus = match about.cpus {
        0 => String::new(),
        1 => "1 CPU".to_owned(),
        count => format!("{count} CPUs"),
    };
    let body = fill(
        include_str!("html/run.html"),
        &[
            ("notes", &notes(&view.run)),
            ("histograms", &histograms(view)),
            ("counters", &counters(&view.run)),
            ("data", &data(view)),
            ("script", include_str!("html/page.js")),
        ],
    );
    Page {
        title: if about.title.is_empty() { "Per-CPU threads" } else { &about.title },
        about: &[&release, &about.arch, &cpus, &about.accelerator, &about.date],
        style: "",
        script: true,
        body,
    }
    .html()
}

/// Escapes text for HTML, attributes in double quotes included.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Data for the script. The script reads these fields and those of [`CpuView`] by name.
#[derive(Serialize)]
struct Data<'a> {
    begin: Nanos,
    end: Nanos,
    traced: bool,
    actions: &'a [Action],
    cpus: &'a [CpuView],
    kinds: Vec<Mark>,
}

/// The mark of a kind of event: a path around 0, filled or stroked, in a color of `page.css`.
#[derive(Serialize)]
struct Mark {
    name: &'static str,
    lane: &'static str,
    color: &'static str,
    path: &'static str,
    /// The width of the stroke; 0 to fill.
    stroke: f32,
}

impl Mark {
    fn of(kind: Kind) -> Self {
        let (lane, color, path, stroke) = match kind {
            Kind::Wake => ("wakes", "wake", "M-.75-4h1.5v8h-1.5z", 0.0),
            Kind::Run => ("runs", "run", "M3 0A3 3 0 1 1-3 0 3 3 0 1 1 3 0z", 0.0),
            Kind::Setup => ("callbacks", "setup", "M0-5.5 5.5 0 0 5.5-5.5 0z", 0.0),
            Kind::Park => ("callbacks", "park", "M-5.5-4.5h11L0 5.5z", 0.0),
            Kind::Unpark => ("callbacks", "unpark", "M-5.5 4.5h11L0-5.5z", 0.0),
            Kind::CleanupOnline | Kind::CleanupOffline => {
                ("callbacks", "cleanup", "M-4.5-4.5l9 9M4.5-4.5l-9 9", 2.5)
            }
            // `create`, and any other callback.
            _ => ("callbacks", "create", "M4.5 0A4.5 4.5 0 1 1-4.5 0 4.5 4.5 0 1 1 4.5 0z", 2.0),
        };
        Self { name: kind.name(), lane, color, path, stroke }
    }
}

fn data(view: &View) -> String {
    let data = Data {
        begin: view.begin,
        end: view.end,
        traced: !view.run.trace.events.is_empty(),
        actions: &view.run.actions,
        cpus: &view.cpus,
        kinds: Kind::ALL.iter().map(|kind| Mark::of(*kind)).collect(),
    };
    // An end tag or a comment in the data must not end the element.
    serde_json::to_string(&data).unwrap_or_default().replace('<', "\\u003c")
}

fn notes(run: &Run) -> String {
    let mut notes = vec![];
    for cpu in &run.cpus {
        let lost: u64 = cpu.lost.iter().map(|lost| lost.count).sum();
        if lost > 0 {
            notes.push(format!(
                "{lost} events of cpu{} were overwritten before they were read.",
                cpu.id
            ));
        }
    }
    if run.trace.lost > 0 {
        notes.push(format!("{} events of the kernel's trace were overwritten.", run.trace.lost));
    }
    match run.trace.events.is_empty() {
        true => notes.push("The kernel was not traced: sched and cpuhp events are missing.".to_owned()),
        false => notes.push(format!(
            "Times start when the module was loaded. The kernel prints times of its events (sched, cpuhp) in \
             microseconds; they are aligned to the module's clock within {}.",
            time(run.clock_error.unsigned_abs())
        )),
    }
    let mut html = String::new();
    for note in notes {
        let _ = writeln!(html, "<p class=\"dim\">{}</p>", escape(&note));
    }
    html
}

fn histograms(view: &View) -> String {
    let mut all = Histogram::default();
    view.cpus.iter().for_each(|cpu| all.add(&cpu.latencies.histogram));
    if all.total() == 0 {
        return String::new();
    }
    let range = all.range();
    let mut html = "<h2>From wake to run</h2>\n<div class=\"cards\" id=\"latencies\">\n".to_owned();
    for cpu in &view.cpus {
        html += &histogram(cpu.id, &cpu.latencies, range.clone());
    }
    html + "</div>\n"
}

fn histogram(id: u32, latencies: &Latencies, range: std::ops::Range<usize>) -> String {
    const WIDTH: f64 = 320.0;
    const BASE: f64 = 84.0;

    let Latencies { histogram, figures, estimated, pending } = latencies;
    let Some(figures) = figures else { return String::new() };
    let bar = WIDTH / range.len().max(6) as f64;
    let most = histogram.counts.iter().copied().max().unwrap_or(1) as f64;
    let mut svg = String::new();
    for bucket in range.clone() {
        let count = histogram.counts[bucket];
        let x = (bucket - range.start) as f64 * bar;
        let from = time(bucket_begin(bucket));
        let label = match bucket_end(bucket) {
            Some(to) => format!("{from} to {}: {count}", time(to)),
            None => format!("{from} and more: {count}"),
        };
        let height = if count == 0 { 0.0 } else { (count as f64 / most * (BASE - 12.0)).max(1.5) };
        let (top, inner) = (BASE - height, (bar - 2.0).max(1.0));
        let _ = write!(
            svg,
            "<g><title>{label}</title><rect class=\"all\" x=\"{x:.1}\" width=\"{bar:.1}\" height=\"{BASE}\"/>\
             <rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{inner:.1}\" height=\"{height:.1}\" rx=\"1.5\"/></g>",
            x + 1.0
        );
        // Draw as many labels as there is room for.
        let every = (52.0 / bar).ceil() as usize;
        if (bucket - range.start) % every == 0 && x < WIDTH - 40.0 {
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{}\">{from}</text>", BASE + 13.0);
        }
    }
    let place = |value: u64| {
        let bucket = (value.max(1) as f64).log2() + 1.0;
        ((bucket - range.start as f64) * bar).clamp(0.0, WIDTH - 1.0)
    };
    // Put names that would overlap on the outer sides of their lines.
    let near = place(figures.p99) - place(figures.p50) < 30.0;
    for (name, value, side) in [("p50", figures.p50, "end"), ("p99", figures.p99, "start")] {
        let (x, anchor) = (place(value), if near { side } else { "middle" });
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"10\" y2=\"{BASE}\"/>\
             <text x=\"{x:.1}\" y=\"8\" text-anchor=\"{anchor}\">{name}</text>"
        );
    }
    let about = if *estimated { "~" } else { "" };
    let mut notes = String::new();
    if *estimated {
        notes += "<span class=\"dim\" title=\"Events were lost: only the buckets of single latencies are known\">\
                  estimated from buckets</span>";
    }
    if *pending > 0 {
        let _ = write!(
            notes,
            "<span class=\"dim\" title=\"Runs that answered a wake pending while the CPU was offline: \
             not counted as latencies\">{pending} pending</span>"
        );
    }
    format!(
        "<figure><figcaption><b>cpu{id}</b><span>{} runs</span><span>p50 {about}{}</span>\
         <span>p99 {about}{}</span><span>max {}</span>{notes}</figcaption>\
         <svg viewBox=\"-2 -2 {} 102\" role=\"img\" aria-label=\"Latencies of cpu{id}\">{svg}\
         <line x1=\"0\" x2=\"{WIDTH}\" y1=\"{BASE}\" y2=\"{BASE}\"/></svg></figure>\n",
        histogram.total(),
        time(figures.p50),
        time(figures.p99),
        time(figures.max),
        WIDTH + 4.0
    )
}

fn counters(run: &Run) -> String {
    let table = &run.counters;
    if table.rows.is_empty() {
        return String::new();
    }
    let mut html =
        "<h2>Counters at the end</h2>\n<div class=\"scroll\"><table id=\"counters\"><tr>"
            .to_owned();
    for column in &table.columns {
        let _ = write!(html, "<th>{}</th>", escape(column.strip_suffix("_ns").unwrap_or(column)));
    }
    html += "</tr>\n";
    for row in &table.rows {
        html += "<tr>";
        for (column, word) in table.columns.iter().zip(row) {
            let nanoseconds = column.ends_with("_ns").then(|| word.parse::<u64>().ok()).flatten();
            let _ = match nanoseconds {
                Some(ns) => write!(html, "<td title=\"{ns} ns\">{}</td>", time(ns)),
                None => write!(html, "<td>{}</td>", escape(word)),
            };
        }
        html += "</tr>\n";
    }
    html + "</table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ftrace::{Event, What};
    use crate::run::About;
    use demo_format::events::{self, Cpu, Lost};
    use demo_format::files::Table;
    use serde_json::{Value, json};

    const EVIL: &str = "</script><script>alert('x')</script>\"&<!--";

    fn run() -> Run {
        let mut cpu = Cpu::new(0);
        cpu.latencies.record(1500);
        cpu.lost.push(Lost { first: 0, count: 3 });
        let event = Event {
            time: 5,
            cpu: 0,
            task: EVIL.into(),
            pid: 1,
            name: "sched_waking".into(),
            text: EVIL.into(),
            what: What::Thread { comm: "rust_demo/0".into() },
        };
        let mut run = Run {
            about: About { title: EVIL.into(), release: EVIL.into(), cpus: 2, ..About::default() },
            actions: vec![Action { label: EVIL.into(), end: Some(9), ..Action::default() }],
            cpus: vec![cpu],
            counters: Table {
                columns: vec!["cpu".into(), EVIL.into(), "max_ns".into()],
                rows: vec![vec!["0".into(), EVIL.into(), "1600".into()]],
            },
            ..Run::default()
        };
        run.trace.events.push(event);
        run
    }

    fn data_in(page: &str) -> Value {
        let (_, rest) = page.split_once("<script type=\"application/json\" id=\"run\">").unwrap();
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn names_are_escaped() {
        let page = page(&View::new(run()));
        assert!(!page.contains("alert('x')</script>"));
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)"));
        let data = data_in(&page);
        assert_eq!(data["actions"][0]["label"], EVIL);
        assert_eq!(data["cpus"][0]["sched"]["text"][0], EVIL);
        assert_eq!(data["cpus"][0]["sched"]["by"][0], EVIL);
    }

    #[test]
    fn each_hole_is_filled_once() {
        let filled = fill("<{{a}}{{b}}>{{a}}", &[("a", "{{b}}"), ("b", "2")]);
        assert_eq!(filled, "<{{b}}2>{{b}}");
        for (skeleton, page) in [
            (include_str!("html/page.html"), page(&View::new(Run::default()))),
            (include_str!("html/run.html"), page(&View::new(Run::default()))),
        ] {
            for piece in skeleton.split("{{").flat_map(|piece| piece.split("}}").skip(1)) {
                assert!(page.contains(piece), "{piece}");
            }
            assert!(!page.contains("{{"));
        }
    }

    #[test]
    fn the_page_loads_no_other_file() {
        let page = page(&View::new(run()));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_page_reports_missing_data() {
        let mut run = run();
        run.trace.lost = 7;
        let with_trace = page(&View::new(run.clone()));
        assert!(with_trace.contains("3 events of cpu0 were overwritten"));
        assert!(with_trace.contains("7 events of the kernel&#39;s trace were overwritten"));
        run.trace = Default::default();
        assert!(page(&View::new(run.clone())).contains("The kernel was not traced"));
    }

    #[test]
    fn latencies_and_counters_need_no_script() {
        let page = page(&View::new(run()));
        assert!(page.contains("<title>1.02 µs to 2.05 µs: 1</title>"));
        assert!(page.contains("max 1.60 µs"));
        assert!(page.contains("<td title=\"1600 ns\">1.60 µs</td>"));
    }

    #[test]
    fn latencies_are_exact_unless_events_were_lost() {
        // 86 µs, in the bucket from 65 to 131 µs.
        let events = [(0, Kind::Create), (1, Kind::Setup), (1000, Kind::Wake), (87_000, Kind::Run)];
        let offline = [(100_000, Kind::Park), (110_000, Kind::Wake), (9_000_000, Kind::Unpark)];
        let all = events.iter().chain(&offline).chain(&[(9_001_000, Kind::Run)]).zip(0..);
        let mut run = run();
        let cpu = &mut run.cpus[0];
        cpu.events = all
            .map(|((time, kind), number)| events::Event { time: *time, number, kind: *kind })
            .collect();
        cpu.lost.clear();
        let exact = page(&View::new(run.clone()));
        assert!(exact.contains("<span>1 runs</span><span>p50 86.0 µs</span>"), "{exact}");
        assert!(exact.contains("<span>max 86.0 µs</span>") && exact.contains(">1 pending</span>"));
        assert!(!exact.contains("estimated from buckets"));

        run.cpus[0].lost.push(Lost { first: 8, count: 1 });
        let estimated = page(&View::new(run.clone()));
        assert!(estimated.contains("<span>p50 ~1.60 µs</span>"));
        assert!(estimated.contains("estimated from buckets"));
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let page = page(&View::new(Run::default()));
        assert!(page.contains("Per-CPU threads"));
        assert_eq!(data_in(&page)["cpus"], json!([]));
    }
}
