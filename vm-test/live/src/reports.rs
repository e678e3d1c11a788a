// SPDX-License-Identifier: GPL-2.0

//! Writes reports in a thread of its own: that may take seconds, and the session goes on.

use anyhow::Result;
use demo_module::recorder::Taken;
use report::conformance;
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

/// A recording to write.
pub struct Job {
    pub taken: Taken,
    /// Directory and name of the files: `None` if none are to be written.
    pub files: Option<(PathBuf, String)>,
    /// Whether the recording is complete, and is to be judged.
    pub judge: bool,
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
            for job in received {
                if sender.send(run(job)).is_err() {
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

fn run(job: Job) -> Done {
    let recorded = match job.taken.parse() {
        Ok(recorded) => recorded,
        Err(e) => return Done { report: Err(e), illegal: Vec::new() },
    };
    let illegal = match job.judge {
        true => conformance::violations(&recorded.view).iter().map(ToString::to_string).collect(),
        false => Vec::new(),
    };
    let write = |(directory, name): (PathBuf, String)| {
        recorded.save(&directory, &name)?;
        Ok(directory.join(name).with_extension("html"))
    };
    Done { report: job.files.map(write).transpose(), illegal }
}
