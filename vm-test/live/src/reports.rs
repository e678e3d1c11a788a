// SPDX-License-Identifier: GPL-2.0

//! Writes reports in a thread of its own: that may take seconds, and the session continues.

use anyhow::Result;
use demo_module::recorder::{Recorded, Taken};
use report::conformance;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

pub enum Job {
    /// Writes a recording.
    Write {
        taken: Taken,
        /// Directory and name of the files: `None` if none are to be written.
        files: Option<Files>,
        /// Whether the recording is complete, and is to be judged.
        judge: bool,
    },
    /// Marks the last report as that of a failed session, with its faults.
    Fail(Vec<String>),
}

/// Directory and name.
type Files = (PathBuf, String);

/// The result of a job.
pub struct Done {
    /// The report, if it was written.
    pub report: Result<Option<PathBuf>>,
    /// Violations in the recording.
    pub illegal: Vec<String>,
}

pub struct Reports {
    jobs: Sender<Job>,
    done: Receiver<Done>,
    /// Number of jobs that are not done.
    waiting: usize,
}

impl Reports {
    pub fn new() -> Reports {
        let (jobs, received) = mpsc::channel();
        let (sender, done) = mpsc::channel();
        thread::spawn(move || {
            let mut last = None;
            for job in received {
                if sender.send(run(job, &mut last)).is_err() {
                    return;
                }
            }
        });
        Reports { jobs, done, waiting: 0 }
    }

    pub fn add(&mut self, job: Job) {
        self.waiting += usize::from(self.jobs.send(job).is_ok());
    }

    /// Whether a report is being written.
    pub fn are_waiting(&self) -> bool {
        self.waiting > 0
    }

    /// Returns a job that is done. `wait`: waits for the next one.
    pub fn next(&mut self, wait: bool) -> Option<Done> {
        if self.waiting == 0 {
            return None;
        }
        let done = if wait { self.done.recv().ok() } else { self.done.try_recv().ok() };
        self.waiting -= usize::from(done.is_some());
        done
    }
}

fn run(job: Job, last: &mut Option<(Recorded, Files)>) -> Done {
    match job {
        Job::Write { taken, files, judge } => {
            let mut recorded = match taken.parse() {
                Ok(recorded) => recorded,
                Err(e) => return Done { report: Err(e), illegal: Vec::new() },
            };
            let illegal: Vec<String> = match judge {
                true => conformance::violations(&recorded.view)
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                false => Vec::new(),
            };
            if !illegal.is_empty() {
                recorded.fail(std::iter::empty());
            }
            let report = files.as_ref().map(|files| write(&recorded, files)).transpose();
            *last = files.map(|files| (recorded, files));
            Done { report, illegal }
        }
        Job::Fail(faults) => {
            let report = last.as_mut().map(|(recorded, files)| {
                recorded.fail(faults.into_iter());
                write(recorded, files)
            });
            Done { report: report.transpose(), illegal: Vec::new() }
        }
    }
}

fn write(recorded: &Recorded, (directory, name): &Files) -> Result<PathBuf> {
    recorded.save(directory, name)?;
    Ok(directory.join(name).with_extension("html"))
}
