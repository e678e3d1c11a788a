// SPDX-License-Identifier: GPL-2.0

//! The run in Perfetto's own format: a protobuf message `Trace`, compressed by gzip.
//!
//! The numbers are those of the fields in `protos/perfetto/trace/perfetto_trace.proto` of
//! Perfetto's repository. Beside our tracks, the trace has the kernel's scheduler events, from
//! which Perfetto draws its own tracks. These have the resolution of the kernel's trace, a
//! microsecond.

use super::protobuf::Message;
use super::{Event, FlowEnd, Group, Phase, groups, kernel, shift};
use crate::view::View;
use demo_format::Nanos;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, Value};
use std::io::Write;

/// Returns the contents of the file.
pub fn trace(view: &View) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::default());
    encoder
        .write_all(&protobuf(view))
        .and_then(|()| encoder.finish())
        .expect("a write to memory does not fail")
}

fn protobuf(view: &View) -> Vec<u8> {
    let mut out = Out { trace: Message::default(), shift: shift(view), tracks: 0 };
    out.machine(view);
    for bundle in kernel::bundles(&view.run.trace, out.shift) {
        out.packet(Message::default().message(packet::FTRACE_EVENTS, bundle));
    }
    let root = out.track(None, 0, "rust_smpboot", parent().text(track::DESCRIPTION, &about(view)));
    for (rank, group) in (0..).zip(groups(view)) {
        out.group((root, rank), &group);
    }
    out.trace.bytes()
}

/// Returns the text that Perfetto shows about our tracks.
fn about(view: &View) -> String {
    let about = &view.run.about;
    format!(
        "{}. Linux {} on {} CPUs ({}, {}), {}. The module's events are aligned to the kernel's \
         within {} ns.",
        about.title,
        about.release,
        about.cpus,
        about.arch,
        about.accelerator,
        about.date,
        view.run.clock_error
    )
}

struct Out {
    trace: Message,
    shift: Nanos,
    /// Number of the last track.
    tracks: i64,
}

impl Out {
    fn packet(&mut self, packet: Message) {
        self.trace = std::mem::take(&mut self.trace).message(1, packet.int(packet::SEQUENCE, 1));
    }

    /// Describes the kernel, whose version gives a thread's states their meaning, and our threads.
    fn machine(&mut self, view: &View) {
        let about = &view.run.about;
        let names =
            Message::default().text(1, "Linux").text(3, &about.release).text(4, &about.arch);
        let system = Message::default().message(1, names);
        self.packet(Message::default().message(packet::SYSTEM_INFO, system));

        const KTHREADD: i64 = 2;
        let mut tree = Message::default();
        for (pid, name) in kernel::threads(&view.run.trace) {
            tree = tree.message(1, Message::default().int(1, pid).int(2, KTHREADD).text(3, name));
        }
        self.packet(Message::default().message(packet::PROCESS_TREE, tree));
    }

    /// Describes a track, and returns its number.
    fn track(&mut self, parent: Option<i64>, rank: i64, name: &str, more: Message) -> i64 {
        self.tracks += 1;
        let mut track = more.int(track::UUID, self.tracks).text(track::NAME, name);
        if let Some(parent) = parent {
            track = track.int(track::PARENT, parent).int(track::RANK, rank);
        }
        self.packet(Message::default().message(packet::TRACK_DESCRIPTOR, track));
        self.tracks
    }

    fn group(&mut self, (root, rank): (i64, i64), group: &Group) {
        let parent = self.track(Some(root), rank, &group.name(), parent());
        for (rank, track) in (0..).zip(&group.tracks) {
            let uuid = self.track(Some(parent), rank, track.name, Message::default());
            track.events.iter().for_each(|event| self.track_event(uuid, event));
        }
        if group.latency.is_empty() {
            return;
        }
        let counter = Message::default().message(track::COUNTER, Message::default().text(6, "µs"));
        let rank = group.tracks.len() as i64;
        let uuid = self.track(Some(parent), rank, "latency", counter);
        for (time, us) in &group.latency {
            let event = Message::default().int(event::TYPE, 4).double(event::COUNTER_VALUE, *us);
            self.event(*time, event.int(event::TRACK, uuid));
        }
    }

    fn track_event(&mut self, track: i64, event: &Event) {
        let number = match event.phase {
            Phase::Begin => 1,
            Phase::End => 2,
            Phase::Instant => 3,
        };
        let mut message = Message::default().int(event::TYPE, number).int(event::TRACK, track);
        // Those of the begin count.
        if event.phase != Phase::End {
            message = annotations(message.text(event::NAME, &event.name), &event.args);
        }
        for (end, id) in &event.flows {
            let field = match end {
                FlowEnd::From => event::FLOW,
                FlowEnd::To => event::TERMINATING_FLOW,
            };
            message = message.fixed64(field, *id);
        }
        self.event(event.time, message);
    }

    fn event(&mut self, time: Nanos, event: Message) {
        let packet = Message::default().int(packet::TIMESTAMP, time.saturating_add(self.shift));
        self.packet(packet.message(packet::TRACK_EVENT, event));
    }
}

/// A track that has others below it, which have ranks.
fn parent() -> Message {
    const EXPLICIT: i64 = 3;
    Message::default().int(track::CHILD_ORDERING, EXPLICIT)
}

fn annotations(event: Message, args: &Map<String, Value>) -> Message {
    args.iter().fold(event, |event, (name, value)| {
        let annotation = Message::default().text(10, name);
        let annotation = match value {
            Value::Null => return event,
            Value::Bool(value) => annotation.int(2, (*value).into()),
            Value::Number(value) if value.is_i64() => {
                annotation.int(4, value.as_i64().unwrap_or_default())
            }
            Value::String(value) => annotation.text(6, value),
            other => annotation.text(6, &other.to_string()),
        };
        event.message(event::ANNOTATION, annotation)
    })
}

/// Fields of `TracePacket`.
mod packet {
    pub const FTRACE_EVENTS: u32 = 1;
    pub const PROCESS_TREE: u32 = 2;
    pub const TIMESTAMP: u32 = 8;
    pub const SEQUENCE: u32 = 10;
    pub const TRACK_EVENT: u32 = 11;
    pub const SYSTEM_INFO: u32 = 45;
    pub const TRACK_DESCRIPTOR: u32 = 60;
}

/// Fields of `TrackDescriptor`.
mod track {
    pub const UUID: u32 = 1;
    pub const NAME: u32 = 2;
    pub const PARENT: u32 = 5;
    pub const COUNTER: u32 = 8;
    pub const CHILD_ORDERING: u32 = 11;
    pub const RANK: u32 = 12;
    pub const DESCRIPTION: u32 = 14;
}

/// Fields of `TrackEvent`.
mod event {
    pub const ANNOTATION: u32 = 4;
    pub const TYPE: u32 = 9;
    pub const TRACK: u32 = 11;
    pub const NAME: u32 = 23;
    pub const COUNTER_VALUE: u32 = 44;
    pub const FLOW: u32 = 47;
    pub const TERMINATING_FLOW: u32 = 48;
}
