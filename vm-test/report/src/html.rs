// SPDX-License-Identifier: GPL-2.0

//! The run as a picture: one HTML file that needs nothing else.

use crate::latency::Latencies;
use crate::model::Run;
use crate::spark::{Histogram, time};
use crate::view::{CpuView, View};
use serde_json::{Value, json};
use std::fmt::Write;

pub(crate) const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = include_str!("html/page.js");

/// Nothing is loaded from anywhere, and the browser is told so.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'";

/// The text of the file.
pub fn page(run: &Run) -> String {
    let about = &run.about;
    let title = escape(if about.title.is_empty() { "Per-CPU threads" } else { &about.title });
    let release =
        if about.release.is_empty() { String::new() } else { format!("Linux {}", about.release) };
    let cpus = match about.cpus {
        0 => String::new(),
        1 => "1 CPU".to_owned(),
        count => format!("{count} CPUs"),
    };
    let mut spans = String::new();
    for text in [&release, &about.arch, &cpus, &about.accelerator, &about.date] {
        if !text.is_empty() {
            let _ = write!(spans, "<span>{}</span>", escape(text));
        }
    }
    let (notes, legend) = (notes(run), legend(run));
    let (histograms, counters) = (histograms(run), counters(run));
    let data = data(run);

    format!(
        "<!DOCTYPE html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">
<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">
<title>{title}</title>
<style>
{STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p class=\"about\">{spans}</p>
<div class=\"bar\" id=\"actions\"></div>
<div id=\"chart\" tabindex=\"0\" role=\"img\" aria-label=\"Timeline of each CPU and its thread\">
<canvas id=\"timeline\"></canvas><div id=\"hair\" hidden></div></div>
<div id=\"tip\" role=\"tooltip\" hidden></div>
{legend}
<div class=\"bar\"><button id=\"in\">zoom in</button><button id=\"out\">zoom out</button><button id=\"all\">all of it</button>
<span class=\"dim\">drag to move, <kbd>Shift</kbd> drag to select, <kbd>Ctrl</kbd> wheel or <kbd>+</kbd> <kbd>−</kbd> to zoom,
<kbd>←</kbd> <kbd>→</kbd> to move, <kbd>0</kbd> for all, <kbd>n</kbd> <kbd>p</kbd> for the next and previous action;
double-click a step to fill the view with it</span></div>
<p class=\"dim\" id=\"thinned\"></p>
{notes}<noscript><p>The timeline needs JavaScript; what follows does not.</p></noscript>
{histograms}{counters}<script type=\"application/json\" id=\"run\">{data}</script>
<script>
{SCRIPT}</script>
</body>
</html>
"
    )
}

/// For text, and for attributes in double quotes.
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

/// What of the run the script needs.
fn data(run: &Run) -> String {
    let view = View::new(run);
    let mut names = Index::default();
    let mut tasks = Index::default();
    let cpus: Vec<Value> =
        view.cpus.iter().map(|cpu| data_of(run, cpu, &mut names, &mut tasks)).collect();
    let actions: Vec<Value> =
        run.actions.iter().map(|a| json!([a.label, a.begin, a.end])).collect();
    let data = json!({
        "begin": view.begin,
        "end": view.end,
        "traced": !run.trace.events.is_empty(),
        "actions": actions,
        "cpus": cpus,
        "names": names.0,
        "tasks": tasks.0,
    });
    // No end tag and no comment in it may end the element.
    data.to_string().replace('<', "\\u003c")
}

fn data_of(run: &Run, cpu: &CpuView, names: &mut Index, tasks: &mut Index) -> Value {
    let sched = cpu.sched.iter().filter_map(|index| run.trace.events.get(*index));
    json!({
        "id": cpu.id,
        "power": cpu.power.iter().map(|s| json!([s.begin, s.end, s.what])).collect::<Vec<_>>(),
        "life": cpu.life.iter().map(|s| json!([s.begin, s.end, s.what])).collect::<Vec<_>>(),
        "events": cpu.events.iter().map(|e| json!([e.time, e.kind as u32, e.number])).collect::<Vec<_>>(),
        "joins": cpu.joins.iter().map(|j| json!([j.wake, j.run, j.first, j.pending])).collect::<Vec<_>>(),
        "running": cpu.running.iter().map(|s| json!([s.begin, s.end, s.what])).collect::<Vec<_>>(),
        "steps": cpu
            .steps
            .iter()
            .map(|s| json!([s.begin, s.end, s.depth, s.number, s.target, s.function, s.ret]))
            .collect::<Vec<_>>(),
        "sched": sched
            .map(|e| json!([e.time, names.of(&e.name), e.text, e.cpu, tasks.of(&e.task)]))
            .collect::<Vec<_>>(),
    })
}

/// Words that come often, by number.
#[derive(Default)]
struct Index(Vec<String>);

impl Index {
    fn of(&mut self, word: &str) -> usize {
        match self.0.iter().position(|known| known == word) {
            Some(index) => index,
            None => {
                self.0.push(word.to_owned());
                self.0.len() - 1
            }
        }
    }
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
            "Times count from when the module was loaded. The kernel prints those of its own events (sched, cpuhp) to \
             the microsecond; against the module's they may be off by {}.",
            time(run.clock_error.unsigned_abs())
        )),
    }
    let mut html = String::new();
    for note in notes {
        let _ = writeln!(html, "<p class=\"dim\">{}</p>", escape(&note));
    }
    html
}

fn legend(run: &Run) -> String {
    let block = |css: &str| {
        format!("<rect width=\"16\" height=\"10\" y=\"1\" rx=\"1.5\" style=\"fill:var(--{css})\"/>")
    };
    let line = |css: &str| {
        format!("<rect x=\"7\" width=\"2\" height=\"10\" y=\"1\" style=\"fill:var(--{css})\"/>")
    };
    let path = |css: &str, d: &str| format!("<path d=\"{d}\" style=\"fill:var(--{css})\"/>");
    let stroke = |css: &str, d: &str| {
        format!("<path d=\"{d}\" style=\"fill:none;stroke:var(--{css});stroke-width:2.2\"/>")
    };
    let mut entries = vec![
        (block("online"), "online"),
        (block("leaving"), "going"),
        (block("offline"), "offline"),
        (block("coming"), "coming"),
        (line("wake"), "wake"),
        (path("run", "M8 3a3 3 0 1 0 .01 0z"), "run"),
        (stroke("create", "M8 2a4 4 0 1 0 .01 0z"), "create"),
        (path("setup", "M8 .5 13.5 6 8 11.5 2.5 6z"), "setup"),
        (path("park", "M2.5 1.5h11L8 11.5z"), "park"),
        (path("unpark", "M2.5 10.5h11L8 .5z"), "unpark"),
        (stroke("cleanup", "M4 2l8 8M12 2l-8 8"), "cleanup"),
        (block("active"), "thread active"),
        (block("parked"), "thread parked"),
    ];
    if !run.trace.events.is_empty() {
        entries.push((block("running"), "has the CPU (sched_switch)"));
        entries.push((line("sched"), "sched event"));
        entries.push((block("step"), "hotplug step"));
        entries.push((block("step-smpboot"), "step that parks, unparks threads"));
    }
    let mut html = "<div class=\"legend\">".to_owned();
    for (shape, name) in entries {
        let _ = write!(html, "<span><svg viewBox=\"0 0 16 12\">{shape}</svg>{name}</span>");
    }
    html + "</div>"
}

/// The slowest wake of a CPU, of the counters.
fn max_of(run: &Run, id: u32) -> Option<u64> {
    let column = |name: &str| run.counters.columns.iter().position(|column| column == name);
    let (cpu, max) = (column("cpu")?, column("max_ns")?);
    let row = run
        .counters
        .rows
        .iter()
        .find(|row| row.get(cpu).is_some_and(|word| *word == id.to_string()))?;
    row.get(max)?.parse().ok().filter(|max| *max > 0)
}

fn histograms(run: &Run) -> String {
    let of_cpus: Vec<(u32, Latencies)> = run
        .cpus
        .iter()
        .map(|cpu| (cpu.id, Latencies::of(cpu, &cpu.latencies, max_of(run, cpu.id))))
        .collect();
    let mut all = Histogram::default();
    of_cpus.iter().for_each(|(_, latencies)| all.add(&latencies.histogram));
    if all.total() == 0 {
        return String::new();
    }
    let range = all.range();
    let mut html = "<h2>From wake to run</h2>\n<div class=\"cards\" id=\"latencies\">\n".to_owned();
    for (id, latencies) in &of_cpus {
        html += &histogram(*id, latencies, range.clone());
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
        let from = time(Histogram::from(bucket));
        let label = match Histogram::to(bucket) {
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
        // As many labels as there is room for.
        let every = (52.0 / bar).ceil() as usize;
        if (bucket - range.start) % every == 0 && x < WIDTH - 40.0 {
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"{}\">{from}</text>", BASE + 13.0);
        }
    }
    let place = |value: u64| {
        let bucket = (value.max(1) as f64).log2() + 1.0;
        ((bucket - range.start as f64) * bar).clamp(0.0, WIDTH - 1.0)
    };
    // Names that would overlap go to the outer sides of their lines.
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
            "<span class=\"dim\" title=\"Runs that answered a wake which was pending while the CPU was offline: \
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
    use crate::model::{self, About, Action, Cpu, Kind, Lost, Table};

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
            actions: vec![Action { label: EVIL.into(), begin: 0, end: Some(9) }],
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
    fn names_do_not_get_out_of_their_place() {
        let page = page(&run());
        assert!(!page.contains("alert('x')</script>"));
        assert_eq!(page.matches("<script").count(), 2);
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(&#39;x&#39;)"));
        let data = data_in(&page);
        assert_eq!(data["actions"][0][0], EVIL);
        assert_eq!(data["cpus"][0]["sched"][0][2], EVIL);
        assert_eq!(data["tasks"][0], EVIL);
    }

    #[test]
    fn the_page_needs_nothing_else() {
        let page = page(&run());
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn the_page_says_what_is_missing() {
        let mut run = run();
        run.trace.lost = 7;
        let with_trace = page(&run);
        assert!(with_trace.contains("3 events of cpu0 were overwritten"));
        assert!(with_trace.contains("7 events of the kernel&#39;s trace were overwritten"));
        run.trace = Default::default();
        assert!(page(&run).contains("The kernel was not traced"));
    }

    #[test]
    fn latencies_and_counters_are_there_without_the_script() {
        let page = page(&run());
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
            .map(|((time, kind), number)| model::Event { time: *time, number, kind: *kind })
            .collect();
        cpu.lost.clear();
        let exact = page(&run);
        assert!(exact.contains("<span>1 runs</span><span>p50 86.0 µs</span>"), "{exact}");
        assert!(exact.contains("<span>max 86.0 µs</span>") && exact.contains(">1 pending</span>"));
        assert!(!exact.contains("estimated from buckets"));

        run.cpus[0].lost.push(Lost { first: 8, count: 1 });
        let estimated = page(&run);
        assert!(estimated.contains("<span>p50 ~1.60 µs</span>"));
        assert!(estimated.contains("estimated from buckets"));
    }

    #[test]
    fn nothing_is_a_page_too() {
        let page = page(&Run::default());
        assert!(page.contains("Per-CPU threads"));
        assert_eq!(data_in(&page)["cpus"], json!([]));
    }
}
