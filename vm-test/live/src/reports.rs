// SPDX-License-Identifier: GPL-2.0

//! Writes reports in a thread of its own: that may take seconds, and the session goes on.

use anyhow::Result;
use demo_module::recorder::{Recorded, Taken};
use report::conformance;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::{iter, thread};

/// Directory and name of a report's files: `None` if none are to be written.
pub type Files = Option<(PathBuf, String)>;

/// Something to write.
pub enum Job {
    /// `judge`: the recording is complete, and is to be judged.
    Write { taken: Taken, files: Files, judge: bool },
    /// Marks the last report as that of a session that failed.
    Fail(Vec<String>),
}

/// What has become of a job.
pub struct Done {
    /// The report, if it was written.
    pub report: Result<Option<PathBuf>>,
    /// What is illegal in the recording.
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
            let mut recorded = match taken.clone().parse() {
                Ok(recorded) => recorded,
                Err(e) => {
                    *last = Some((taken.parse_rest(), files));
                    return Done { report: Err(e), illegal: Vec::new() };
                }
            };
            let mut illegal = Vec::new();
            if judge {
                let violations = conformance::violations(&recorded.view);
                illegal.extend(violations.iter().map(ToString::to_string));
            }
            if !illegal.is_empty() {
                recorded.fail(iter::empty());
            }
            let report = write(&recorded, &files);
            *last = Some((recorded, files));
            Done { report, illegal }
        }
        Job::Fail(faults) => {
            let Some((mut recorded, files)) = last.take() else {
                return Done { report: Ok(None), illegal: Vec::new() };
            };
            recorded.view.run.faults.clear();
            recorded.fail(faults.into_iter());
            Done { report: write(&recorded, &files), illegal: Vec::new() }
        }
    }
}

fn write(recorded: &Recorded, files: &Files) -> Result<Option<PathBuf>> {
    let Some((directory, name)) = files else { return Ok(None) };
    recorded.save(directory, name)?;
    Ok(Some(directory.join(name).with_extension("html")))
}
