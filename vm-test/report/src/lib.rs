// SPDX-License-Identifier: GPL-2.0

//! One run of the demo module, as a picture and as a trace for other tools.
//!
//! ```text
//! events_binary ─┐                          ┌─ html::page      one file that a browser opens
//! trace         ─┼─ Recording ── Run ── View┤
//! latency_hist  ─┤                          ├─ perfetto::json  one file that Perfetto opens
//! summary       ─┘                          └─ conformance::violations
//! ```
//!
//! Nothing here reads or writes a file: the caller hands in what the guest's files gave, and gets text back. What the
//! caller has to do in the guest is in [`ftrace::setup`] and [`ftrace::Marker`].

pub mod bench;
mod columns;
pub mod conformance;
pub mod ftrace;
pub mod html;
pub mod perfetto;
pub mod recording;
pub mod run;
pub mod view;

pub use recording::Recording;
pub use run::Run;
pub use view::View;
