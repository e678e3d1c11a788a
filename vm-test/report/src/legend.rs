// SPDX-License-Identifier: GPL-2.0

//! The marks, colors and lanes of the picture, and their explanations.

use crate::html::escape;
use demo_format::format::Kind;
use serde::Serialize;
use std::fmt::Write;

/// The mark of a kind of event: a path around 0, filled or stroked, in a color of `lanes.css`.
#[derive(Serialize)]
pub(crate) struct Mark {
    name: &'static str,
    lane: &'static str,
    color: &'static str,
    path: &'static str,
    /// The width of the stroke; 0 to fill.
    stroke: f32,
    #[serde(skip)]
    about: &'static str,
}

impl Mark {
    fn of(kind: Kind) -> Self {
        let (lane, color, path, stroke, about) = match kind {
            Kind::Wake => (
                "wakes",
                "wake",
                "M-.75-4h1.5v8h-1.5z",
                0.0,
                "The module asks the thread to run. The arrow leads to the run that answers it.",
            ),
            Kind::Run => (
                "runs",
                "run",
                "M3 0A3 3 0 1 1-3 0 3 3 0 1 1 3 0z",
                0.0,
                "The thread handles all wakes so far.",
            ),
            Kind::Setup => (
                "callbacks",
                "setup",
                "M0-5.5 5.5 0 0 5.5-5.5 0z",
                0.0,
                "The new thread runs on its CPU for the first time.",
            ),
            Kind::Park => (
                "callbacks",
                "park",
                "M-5.5-4.5h11L0 5.5z",
                0.0,
                "The thread stops on its CPU, which is going offline, and waits.",
            ),
            Kind::Unpark => (
                "callbacks",
                "unpark",
                "M-5.5 4.5h11L0-5.5z",
                0.0,
                "The same thread continues: its CPU is online again.",
            ),
            Kind::CleanupOnline | Kind::CleanupOffline => (
                "callbacks",
                "cleanup",
                "M-4.5-4.5l9 9M4.5-4.5l-9 9",
                2.5,
                match kind {
                    Kind::CleanupOnline => "The thread exits, on its CPU, when the module unloads.",
                    _ => "The thread exits while its CPU is offline.",
                },
            ),
            // Any other callback too.
            Kind::Create => (
                "callbacks",
                "create",
                "M4.5 0A4.5 4.5 0 1 1-4.5 0 4.5 4.5 0 1 1 4.5 0z",
                2.0,
                "The kernel has created the thread, parked.",
            ),
        };
        Self { name: kind.name(), lane, color, path, stroke, about }
    }

    fn block(name: &'static str, color: &'static str, about: &'static str) -> Self {
        Self { name, lane: "", color, path: "M-8-5h16v10h-16z", stroke: 0.0, about }
    }
}

/// Returns the marks of all kinds.
pub(crate) fn marks() -> Vec<Mark> {
    Kind::ALL.iter().map(|kind| Mark::of(*kind)).collect()
}

/// A lane of each CPU.
pub(crate) const LANES: [(&str, &str); 6] = [
    ("CPU", "Whether the CPU is online, or on its way there or back."),
    ("wakes", "Wakes of the thread by the module, with an arrow to the run that answers each."),
    ("callbacks", "Calls of the module's functions by the thread: run, park, unpark and others."),
    ("thread", "The state of the thread; dark while it is on CPU."),
    (
        "sched",
        "Events of the scheduler about the thread: short marks for wakes, long for switches.",
    ),
    ("cpuhp", "Steps of the kernel's CPU hotplug. Steps on the CPU itself are below their cause."),
];

const KERNEL: [&str; 2] = ["sched", "cpuhp"];

/// Returns the lanes of a picture.
pub(crate) fn lanes(traced: bool) -> impl Iterator<Item = (&'static str, &'static str)> {
    LANES.into_iter().filter(move |(name, _)| traced || !KERNEL.contains(name))
}

/// Returns the legend, as HTML: each entry explains itself when it is pointed at or has the focus.
pub(crate) fn legend(traced: bool) -> String {
    let mut marks = vec![
        Mark::block("online", "online", "The CPU runs tasks."),
        Mark::block("going offline", "going_offline", "The kernel takes the CPU offline."),
        Mark::block("offline", "offline", "The CPU runs nothing. Its thread is parked."),
        Mark::block("coming online", "coming_online", "The kernel brings the CPU online."),
    ];
    marks.extend(self::marks());
    marks.extend([
        Mark::block("thread active", "active", "The thread is set up: it sleeps or runs."),
        Mark::block("thread parked", "parked", "The thread waits for its CPU. Wakes stay pending."),
    ]);
    if traced {
        marks.extend([
            Mark::block("on CPU", "running", "The scheduler has given the CPU to the thread."),
            Mark::block("hotplug step", "step", "A function of the kernel's CPU hotplug."),
            Mark::block(
                "smpboot step",
                "step-smpboot",
                "The hotplug step of smpboot: creates, parks or unparks the CPU's threads.",
            ),
            Mark::block("failed step", "step-failed", "A hotplug step that returned an error."),
        ]);
    }
    let mut html = String::new();
    for (n, mark) in marks.iter().enumerate() {
        let Mark { name, color, path, stroke, about, .. } = mark;
        let paint = match *stroke {
            0.0 => format!("fill:var(--{color})"),
            stroke => format!("fill:none;stroke:var(--{color});stroke-width:{stroke}"),
        };
        let hatch = match *color {
            "offline" | "parked" | "step-failed" => {
                "<path class=\"hatch\" d=\"M-8 5l10-10M-2 5l10-10\"/>"
            }
            _ => "",
        };
        let shape = format!(
            "<svg viewBox=\"-8 -6 16 12\" aria-hidden=\"true\"><path d=\"{path}\" style=\"{paint}\"/>{hatch}</svg>"
        );
        entry(&mut html, &format!("mark{n}"), &shape, name, about);
    }
    for (name, about) in lanes(traced) {
        entry(&mut html, &format!("lane-{name}"), "", &format!("lane: {name}"), about);
    }
    html
}

fn entry(html: &mut String, id: &str, shape: &str, name: &str, about: &str) {
    let (name, about) = (escape(name), escape(about));
    let _ = writeln!(
        html,
        "<span class=\"entry\"><button type=\"button\" aria-describedby=\"{id}\">{shape}{name}</button>\
         <span class=\"about-entry\" role=\"tooltip\" id=\"{id}\">{about}</span></span>"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_each_lane_is_explained() {
        let traced = legend(true);
        for kind in Kind::ALL {
            assert!(traced.contains(&format!("</svg>{}</button>", kind.name())), "{kind:?}");
        }
        for (name, about) in LANES {
            assert!(traced.contains(&format!("lane: {name}</button>")), "{name}");
            assert!(traced.contains(&escape(about)), "{about}");
        }
        let ids = |html: &str| html.matches(" id=\"").count();
        assert_eq!(ids(&traced), traced.matches("aria-describedby").count());
        assert!(!legend(false).contains("sched") && !legend(false).contains("step"));
    }
}
