// SPDX-License-Identifier: GPL-2.0

//! The run as a picture: one HTML file that loads no other file.

use crate::legend::{self, Mark};
use crate::run::{Action, Run};
use crate::story::{self, Card, Opening};
use crate::view::{CpuView, View};
use anyhow::{Context, Result};
use base64::{Engine, prelude::BASE64_STANDARD};
use demo_format::Nanos;
use demo_format::format::{bucket_begin, bucket_end};
use demo_format::histogram::{Histogram, time};
use demo_format::latency::Latencies;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde::Serialize;
use std::fmt::Write;
use std::io::{Read, Write as _};

/// Draws lanes on a canvas: the class `Lanes`, with its description.
pub const LANES_JS: &str = include_str!("html/lanes.js");
/// The colors of the lanes, as variables.
pub const LANES_CSS: &str = include_str!("html/lanes.css");

/// Returns the marks of all kinds of events, as JSON for `new Lanes(kinds)`.
pub fn kinds() -> String {
    serde_json::to_string(&legend::marks()).unwrap_or_default()
}

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
                ("style", &[LANES_CSS, include_str!("html/page.css"), self.style].concat()),
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
    let (cards, opening) = (story::cards(view), story::opening(view));
    let caption = opening.as_ref().map_or("", |opening| &opening.caption);
    let body = fill(
        include_str!("html/run.html"),
        &[
            ("faults", &faults(&view.run)),
            ("cards", &self::cards(&cards)),
            ("caption", &escape(caption)),
            ("legend", &legend::legend(view.is_traced())),
            ("notes", &notes(&view.run)),
            ("histograms", &histograms(view)),
            ("counters", &counters(&view.run)),
            ("data", &pack(&data(view, &opening))),
            ("script", &[LANES_JS, include_str!("html/page.js")].concat()),
        ],
    );
    let title = if about.title.is_empty() { "Per-CPU threads" } else { &about.title };
    let failed = if view.run.faults.is_empty() { "" } else { "FAILED: " };
    Page {
        title: &format!("{failed}{title}"),
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
    actions: Vec<&'a Action>,
    cpus: &'a [CpuView],
    kinds: Vec<Mark>,
    /// The explanation of each lane, by its name.
    lanes: Vec<(&'static str, &'static str)>,
    opening: &'a Option<Opening>,
    faults: Vec<FaultAt<'a>>,
}

/// A fault of a CPU at a time.
#[derive(Serialize)]
struct FaultAt<'a> {
    cpu: u32,
    time: Nanos,
    text: &'a str,
}

fn data(view: &View, opening: &Option<Opening>) -> String {
    let faults = view.run.faults.iter().filter_map(|fault| {
        let (cpu, time) = fault.at?;
        Some(FaultAt { cpu, time, text: &fault.text })
    });
    let data = Data {
        begin: view.begin,
        end: view.end,
        traced: view.is_traced(),
        actions: view.run.actions.iter().filter(|action| !action.aligns_clocks()).collect(),
        cpus: &view.cpus,
        kinds: legend::marks(),
        lanes: legend::lanes(view.is_traced()).collect(),
        opening,
        faults: faults.collect(),
    };
    serde_json::to_string(&data).unwrap_or_default()
}

/// Compresses the data, and encodes it as letters that cannot end its element.
fn pack(data: &str) -> String {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    // Writes to a vector do not fail.
    let _ = encoder.write_all(data.as_bytes());
    BASE64_STANDARD.encode(encoder.finish().unwrap_or_default())
}

/// Returns the data of a page, as JSON.
pub fn data_of(page: &str) -> Result<String> {
    let (_, rest) = page.split_once(" id=\"run\">").context("no data in the page")?;
    let (packed, _) = rest.split_once("</script>").context("no end of the data")?;
    let mut json = String::new();
    GzDecoder::new(BASE64_STANDARD.decode(packed)?.as_slice()).read_to_string(&mut json)?;
    Ok(json)
}

/// Time that is shown to either side of a fault, in ns.
const AROUND_FAULT: Nanos = 1_000_000;

/// Lists the faults of a failed run, with links to those whose places in the timeline are known.
fn faults(run: &Run) -> String {
    if run.faults.is_empty() {
        return String::new();
    }
    let mut html =
        "<section class=\"failed\" aria-label=\"Faults\">\n<h2>FAILED</h2>\n<ul>\n".to_owned();
    for fault in &run.faults {
        let text = escape(&fault.text);
        let _ = match fault.at {
            Some((cpu, time)) => {
                let [from, to] =
                    [time - AROUND_FAULT, time + AROUND_FAULT].map(|time| time as f64 / 1e9);
                writeln!(html, "<li><a href=\"#t={from:.9},{to:.9}&amp;cpu={cpu}\">{text}</a></li>")
            }
            None => writeln!(html, "<li>{text}</li>"),
        };
    }
    html + "</ul>\n</section>\n"
}

/// Lists the actions as links into the timeline.
fn cards(cards: &[Card<'_>]) -> String {
    if cards.is_empty() {
        return String::new();
    }
    let mut html = "<ol id=\"story\" aria-label=\"Actions of this run\">\n".to_owned();
    for card in cards {
        let Card { number, action, cpu, begin, end, caption } = card;
        let margin = ((end - begin) as f64 * 0.12).max(240.0);
        let (from, to) = (*begin as f64 - margin, *end as f64 + margin);
        let cpu = cpu.map_or(String::new(), |cpu| format!("&amp;cpu={cpu}"));
        let took = match action.end {
            Some(_) => time(end.abs_diff(*begin)),
            None => "did not end".into(),
        };
        let commands: Vec<_> =
            action.commands.iter().map(|command| format!("$ {command}")).collect();
        let _ = writeln!(
            html,
            "<li><a href=\"#t={:.9},{:.9}{cpu}\" data-caption=\"{}\"><b>{number}</b><span>{}</span>\
             <small>{took}</small><code>{}</code></a></li>",
            from / 1e9,
            to / 1e9,
            escape(caption),
            escape(&action.label),
            escape(&commands.join("\n")),
        );
    }
    html + "</ol>\n"
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
        "<h2>Counters at the end</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Counters\"><table id=\"counters\"><tr>"
            .to_owned();
    for column in &table.columns {
        let _ = write!(
            html,
            "<th scope=\"col\">{}</th>",
            escape(column.strip_suffix("_ns").unwrap_or(column))
        );
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
    use crate::run::{About, Fault};
    use demo_format::events::{self, Cpu, Lost};
    use demo_format::files::Table;
    use demo_format::format::Kind;
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
        serde_json::from_str(&data_of(page).unwrap()).unwrap()
    }

    #[test]
    fn names_are_escaped() {
        let page = page(&View::new(run()));
        assert!(!page.contains("alert('x')</script>"));
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)"));
        assert!(page.contains("<span>&lt;/script&gt;"));
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
    fn a_failed_run_is_marked_as_failed() {
        let mut run = run();
        run.about.title = "Threads".into();
        assert!(!page(&View::new(run.clone())).contains("FAILED"));
        run.faults.push(Fault { text: "cpu0: event 3: \"<\"".into(), at: Some((0, 7)) });
        run.faults.push(Fault { text: "a warning".into(), at: None });
        let page = page(&View::new(run));
        assert!(page.contains("<title>FAILED: Threads</title>"));
        assert!(page.contains("<h1>FAILED: Threads</h1>"));
        assert!(page.contains(
            "<li><a href=\"#t=-0.000999993,0.001000007&amp;cpu=0\">cpu0: event 3: &quot;&lt;&quot;</a>\
             </li>\n<li>a warning</li>"
        ));
        let at = json!([{ "cpu": 0, "time": 7, "text": "cpu0: event 3: \"<\"" }]);
        assert_eq!(data_in(&page)["faults"], at);
    }

    #[test]
    fn cards_have_the_sentence_and_the_commands() {
        let mut run = run();
        run.actions[0] = Action {
            label: "Wake CPU 0".into(),
            commands: vec!["echo 0 > wake".into()],
            begin: 1_000_000,
            end: Some(3_000_000),
        };
        run.actions.push(Action { label: "Unload".into(), begin: 4_000_000, ..Action::default() });
        run.actions.push(Action {
            label: "sync cpu0".into(),
            begin: 1_500_000,
            ..Action::default()
        });
        let page = page(&View::new(run));
        let card = "<li><a href=\"#t=0.000760000,0.003240000\" data-caption=\"In 2.00 ms.\"><b>1</b>\
                    <span>Wake CPU 0</span><small>2.00 ms</small><code>$ echo 0 &gt; wake</code></a></li>";
        assert!(page.contains(card), "{page:.20000}");
        assert!(page.contains("<b>2</b><span>Unload</span><small>did not end</small>"));
        assert!(!page.contains("sync cpu0"));
        assert_eq!(data_in(&page)["actions"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn an_empty_run_has_a_page() {
        let page = page(&View::new(Run::default()));
        assert!(page.contains("Per-CPU threads"));
        assert_eq!(data_in(&page)["cpus"], json!([]));
    }
}
