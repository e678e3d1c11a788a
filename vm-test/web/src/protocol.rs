// SPDX-License-Identifier: GPL-2.0

//! The messages between server and page, as JSON.
//!
//! The page gets the whole state first (`full`), then only what has changed since its last message:
//! names with new values, and the new items of each history. A page that is slow skips states, and
//! misses no item.

use crate::session::Session;
use demo_format::Nanos;
use live::{Cpu, Span, State};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::sync::Arc;
use tour::{Action, Target};

/// Number of lines of the log that the page shows.
const LOG: usize = 200;

/// A message of the page.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    Load,
    Unload,
    /// Without a CPU: of all.
    Wake {
        cpu: Option<u32>,
    },
    Offline {
        cpu: u32,
    },
    Online {
        cpu: u32,
    },
    Period {
        us: u32,
    },
    /// The next hotplug operation of this CPU is to fail.
    FailNext {
        cpu: u32,
    },
    /// Begins the tour, at a lesson.
    Tour {
        lesson: usize,
    },
    /// Does the present step for the user.
    TourDo,
    /// Continues with the next step.
    TourNext,
    TourEnd,
    /// Ends the session.
    End,
}

impl Request {
    /// Reads a message. An action is for a CPU of this state.
    pub fn read(text: &str, state: &State) -> Result<Request, String> {
        let request: Request = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let cpu = match request {
            Request::Wake { cpu } => cpu,
            Request::Offline { cpu } | Request::Online { cpu } | Request::FailNext { cpu } => {
                Some(cpu)
            }
            _ => None,
        };
        match cpu {
            Some(cpu) if !state.cpus.contains_key(&cpu) => Err(format!("no CPU {cpu}")),
            _ => Ok(request),
        }
    }

    /// Requests this of the session.
    pub fn pass_on(&self, session: &dyn Session) {
        session.act(match *self {
            Request::Load => Action::Load,
            Request::Unload => Action::Unload,
            Request::Wake { cpu: Some(cpu) } => Action::Wake(Target::Cpu(cpu)),
            Request::Wake { cpu: None } => Action::Wake(Target::All),
            Request::Offline { cpu } => Action::Offline(cpu),
            Request::Online { cpu } => Action::Online(cpu),
            Request::Period { us } => Action::Period(us),
            Request::FailNext { cpu } => return session.fail_next(cpu),
            Request::End => return session.end(),
            // Of the tour: see `Tour::request`.
            Request::Tour { .. } | Request::TourDo | Request::TourNext | Request::TourEnd => return,
        });
    }
}

/// The content of a page.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    pub state: Arc<State>,
    pub tour: Value,
}

/// Returns the message with the whole state.
pub fn full(shown: &Shown) -> Value {
    let state = &shown.state;
    let mut message = names(shown);
    message.insert("full".into(), true.into());
    add_cpus(&mut message, None, state);
    message.into()
}

/// Returns the message with everything that is new since `before`.
pub fn update(before: &Shown, shown: &Shown) -> Value {
    let state = &shown.state;
    let mut message = changed(&names(before), names(shown));
    message.insert("now".into(), state.now.into());
    add_cpus(&mut message, Some(&before.state), state);
    message.into()
}

fn names(shown: &Shown) -> Map<String, Value> {
    let Shown { state, tour } = shown;
    let log = state.log.iter().skip(state.log.len().saturating_sub(LOG)).collect::<Vec<_>>();
    object(json!({
        "now": state.now,
        "status": state.status,
        "loaded": state.loaded,
        "period_us": state.period_us,
        "running": state.running.as_ref().map(Action::command),
        "last_took": state.last_took,
        "sentence": state.sentence,
        "log": log,
        "events": state.events,
        "lost": state.lost,
        "tour": tour,
        "reports": state.reports.iter().filter_map(|path| path.file_name()?.to_str()).collect::<Vec<_>>(),
    }))
}

fn cpu_names(cpu: &Cpu) -> Map<String, Value> {
    object(json!({
        "hotpluggable": cpu.hotpluggable,
        "power": cpu.power,
        "thread": cpu.thread,
        "pid": cpu.pid,
        "wakes": cpu.counts.wake,
        "runs": cpu.counts.run,
        "parks": cpu.counts.park,
        "pending": cpu.pending,
        "latency": cpu.latency,
    }))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Returns the names whose values differ.
fn changed(before: &Map<String, Value>, mut names: Map<String, Value>) -> Map<String, Value> {
    names.retain(|name, value| before.get(name) != Some(value));
    names
}

/// Adds `cpus`: for each CPU of which something is new.
fn add_cpus(message: &mut Map<String, Value>, before: Option<&State>, state: &State) {
    let mut cpus = Map::new();
    for (id, cpu) in &state.cpus {
        let old = before.and_then(|before| before.cpus.get(id));
        let mut names = match old {
            Some(old) => changed(&cpu_names(old), cpu_names(cpu)),
            None => cpu_names(cpu),
        };
        history(&mut names, "powers", old.map(|old| &old.powers), &cpu.powers, span);
        history(&mut names, "states", old.map(|old| &old.lives), &cpu.lives, span);
        history(&mut names, "marks", old.map(|old| &old.marks), &cpu.marks, |mark| {
            json!([mark.time, mark.kind])
        });
        if !names.is_empty() {
            cpus.insert(id.to_string(), names.into());
        }
    }
    if !cpus.is_empty() {
        message.insert("cpus".into(), cpus.into());
    }
}

fn span<T: Serialize>(span: &Span<T>) -> Value {
    json!([span.from as Nanos, span.state])
}

/// Adds the items of a history that are not in the `old` one. `all`: they replace the page's.
fn history<T: PartialEq>(
    names: &mut Map<String, Value>,
    name: &str,
    old: Option<&VecDeque<T>>,
    new: &VecDeque<T>,
    item: impl Fn(&T) -> Value,
) {
    let last = old.and_then(VecDeque::back);
    let kept = match last {
        Some(last) => new.iter().rposition(|item| item == last).map(|index| index + 1),
        None => Some(0),
    };
    let first = kept.unwrap_or(0);
    if first < new.len() || kept.is_none() {
        let items = new.iter().skip(first).map(item).collect::<Vec<_>>();
        names.insert(
            name.into(),
            json!({ "all": last.is_none() || kept.is_none(), "items": items }),
        );
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::session::fake::Fake;
    use demo_format::format::{self, Kind};
    use live::{Entry, Mark, Power};

    /// A state with this many CPUs, loaded at time 10.
    pub(crate) fn state(cpus: u32) -> State {
        let cpu = |id| {
            let cpu = Cpu {
                hotpluggable: id > 0,
                thread: "sleeping".into(),
                pid: 100 + id as i32,
                powers: [Span { from: 0, state: Power::Online }].into(),
                lives: [Span { from: 10, state: format::State::Active }].into(),
                marks: [Mark { time: 10, kind: Kind::Setup }].into(),
                ..Cpu::default()
            };
            (id, cpu)
        };
        State { now: 20, loaded: true, cpus: (0..cpus).map(cpu).collect(), ..State::default() }
    }

    fn shown(state: &State) -> Shown {
        Shown { state: Arc::new(state.clone()), tour: Value::Null }
    }

    #[test]
    fn the_first_message_has_the_whole_state() {
        let message = full(&shown(&state(2)));
        assert_eq!(message["full"], true);
        assert_eq!(message["now"], 20);
        assert_eq!(message["status"], "Running");
        let cpu = &message["cpus"]["1"];
        assert_eq!(cpu["power"], "online");
        assert_eq!(cpu["hotpluggable"], true);
        assert_eq!(cpu["powers"], json!({ "all": true, "items": [[0, "online"]] }));
        assert_eq!(cpu["states"], json!({ "all": true, "items": [[10, "active"]] }));
        assert_eq!(cpu["marks"], json!({ "all": true, "items": [[10, "setup"]] }));
    }

    #[test]
    fn later_messages_have_only_what_is_new() {
        let before = state(3);
        let mut after = before.clone();
        after.now = 30;
        after.sentence = "CPU 1 is offline.".into();
        after.log.push_back(Entry::Command("echo 0 > online".into()));
        let cpu = after.cpus.get_mut(&1).unwrap();
        cpu.power = Power::Offline;
        cpu.powers.push_back(Span { from: 25, state: Power::Offline });
        cpu.marks
            .extend([(21, Kind::Wake), (22, Kind::Run)].map(|(time, kind)| Mark { time, kind }));
        assert_eq!(
            update(&shown(&before), &shown(&after)),
            json!({
                "now": 30,
                "sentence": "CPU 1 is offline.",
                "log": [{ "Command": "echo 0 > online" }],
                "cpus": { "1": {
                    "power": "offline",
                    "powers": { "all": false, "items": [[25, "offline"]] },
                    "marks": { "all": false, "items": [[21, "wake"], [22, "run"]] },
                } },
            })
        );
        assert_eq!(update(&shown(&after), &shown(&after)), json!({ "now": 30 }));
    }

    #[test]
    fn a_page_that_skips_states_misses_no_item() {
        let before = state(1);
        let mut after = before.clone();
        let marks = |cpu: &mut State| cpu.cpus.remove(&0).unwrap().marks;
        for time in 30..60 {
            let cpu = after.cpus.get_mut(&0).unwrap();
            cpu.marks.push_back(Mark { time, kind: Kind::Wake });
            // The session forgets old items.
            if cpu.marks.len() > 25 {
                cpu.marks.pop_front();
            }
        }
        let message = update(&shown(&before), &shown(&after));
        // The last item of the page is forgotten: it gets all.
        assert_eq!(message["cpus"]["0"]["marks"]["all"], true);
        assert_eq!(message["cpus"]["0"]["marks"]["items"].as_array().unwrap().len(), 25);
        let half = after.clone();
        after.cpus.get_mut(&0).unwrap().marks.drain(..10);
        after.cpus.get_mut(&0).unwrap().marks.push_back(Mark { time: 60, kind: Kind::Run });
        let message = update(&shown(&half), &shown(&after));
        assert_eq!(message["cpus"]["0"]["marks"], json!({ "all": false, "items": [[60, "run"]] }));
        assert_eq!(marks(&mut after).len(), 16);
    }

    #[test]
    fn an_emptied_history_is_new() {
        let before = state(1);
        let mut after = before.clone();
        after.cpus.get_mut(&0).unwrap().marks.clear();
        let message = update(&shown(&before), &shown(&after));
        assert_eq!(message["cpus"]["0"]["marks"], json!({ "all": true, "items": [] }));
    }

    #[test]
    fn requests_are_passed_on_for_cpus_that_exist() {
        let read = |text: &str| Request::read(text, &state(2));
        for (text, wanted) in [
            (r#"{"do":"load"}"#, "insmod rust_smpboot_demo.ko"),
            (r#"{"do":"unload"}"#, "rmmod rust_smpboot_demo"),
            (r#"{"do":"wake"}"#, "echo all > /sys/kernel/debug/rust_smpboot_demo/wake"),
            (r#"{"do":"wake","cpu":1}"#, "echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake"),
            (r#"{"do":"offline","cpu":1}"#, "echo 0 > /sys/devices/system/cpu/cpu1/online"),
            (r#"{"do":"online","cpu":0}"#, "echo 1 > /sys/devices/system/cpu/cpu0/online"),
            (
                r#"{"do":"period","us":5000}"#,
                "echo 5000 > /sys/kernel/debug/rust_smpboot_demo/period_us",
            ),
            (r#"{"do":"fail-next","cpu":1}"#, "fail-next 1"),
            (r#"{"do":"end"}"#, "end"),
        ] {
            let session = Fake::new(2);
            read(text).unwrap().pass_on(&*session);
            assert_eq!(session.requests(), [wanted], "{text}");
        }
        for text in [
            "",
            "[]",
            "null",
            r#"{"do":"format"}"#,
            r#"{"do":"wake","cpu":-1}"#,
            r#"{"do":"wake","cpu":2}"#,
            r#"{"do":"offline"}"#,
            r#"{"do":"offline","cpu":4294967296}"#,
            r#"{"do":"period","us":1,"path":"/etc/passwd"}"#,
            r#"{"do":"load"} {"do":"load"}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
