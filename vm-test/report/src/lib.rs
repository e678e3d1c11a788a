// SPDX-License-Identifier: GPL-2.0

//! One run of the demo module, as a picture and as a trace for other tools.
//!
//! ```text
//! events_binary ─┐                          ┌─ html::page      one file that a browser opens
//! trace         ─┼─ Recording ── Run ── View┤
//! latency_hist  ─┤                          ├─ perfetto        files that trace viewers open
//! summary       ─┘                          └─ conformance::violations
//! ```
//!
//! This crate reads and writes no files: the caller passes the contents of the guest's files and
//! gets theirs. [`ftrace::setup`] and [`ftrace::Marker`] define the caller's writes in the guest.

pub mod bench;
mod columns;
pub mod conformance;
pub mod ftrace;
pub mod html;
mod legend;
pub mod perfetto;
pub mod recording;
pub mod run;
mod story;
pub mod view;

pub use recording::Recording;
pub use run::Run;
pub use view::View;
