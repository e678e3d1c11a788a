// SPDX-License-Identifier: GPL-2.0

//! The actions of a user on the CPUs and on the threads of the demo module, their explanations, and
//! the lessons of the tour.
//!
//! The terminal view, the web view, `make demo` and the guest's `tour` have the same [`Action`]s,
//! commands and sentences from here. This crate reads and writes no files.
//!
//! A [`Lesson`] has steps. A step has a [`Task`] for the learner, and a condition on what is
//! observed: any way to do it counts. A [`Player`] follows the learner through the lessons;
//! a [`Guide`] also acts, at the pace of a reader.

mod action;
mod explain;
mod guide;
mod lesson;
mod lessons;
mod machine;
mod observation;
mod player;
mod sample;
mod task;
mod words;

pub use action::{Action, Target};
pub use explain::explain;
pub use guide::Guide;
pub use lesson::{Hint, Lesson, Look, Step};
pub use lessons::LESSONS;
pub use machine::Machine;
pub use observation::{Observation, Thread, fifo};
pub use player::{Page, Player, Said};
pub use sample::{SAMPLES, Sample};
pub use task::{Task, of as task_of, story};
pub use words::{cpus, times, wrap};
