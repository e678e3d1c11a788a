// SPDX-License-Identifier: GPL-2.0

//! Records a run: the demo module's events, and the kernel's trace.

use crate::trace_dat::{self, Raw, TRACING};
use crate::{EVENTS_BINARY, WAKE, ensure_legal, file, tables};
use anyhow::{Context, Result};
use demo_format::events::Events;
use demo_format::format::SUMMARY;
use demo_format::table::{self, Row};
use host::guest::Handle;
use host::guest::calls::write;
use host::{Vm, files};
use report::ftrace::{self, Marker, Trace};
use report::recording::Epoch;
use report::run::{About, Action, Fault, Run};
use report::{Recording, View, conformance, html, perfetto};
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::{fs, io};
use wire::{Access, Until};

/// A recording in progress.
pub struct Recorder<'a> {
    vm: &'a Vm,
    /// `events_binary`, while the module is loaded.
    events: Option<Handle<'a>>,
    /// The events that were read from it.
    read: Events,
    /// Whether the file was opened again: its first records are known.
    again: bool,
    /// Whether the kernel is traced.
    traced: bool,
    recording: Recording,
}

impl<'a> Recorder<'a> {
    /// Starts to record, before the module is loaded.
    pub fn start(vm: &'a Vm, about: About) -> Result<Recorder<'a>> {
        let traced = vm.has("tracefs");
        if traced {
            let on = [("tracing_on".into(), "1".into())].into_iter();
            let files = on.chain(ftrace::setup());
            vm.batch(
                files.map(|(file, text)| write(&format!("{TRACING}/{file}"), text)).collect(),
            )?;
        }
        let mut recorder = Recorder::untraced(vm, about)?;
        recorder.traced = traced;
        Ok(recorder)
    }

    /// Starts to record the module's events only: of a module that was loaded before.
    pub fn untraced(vm: &'a Vm, about: About) -> Result<Recorder<'a>> {
        let (possible, online) = (vm.cpus("possible")?, vm.cpus("online")?);
        let offline = possible.into_iter().filter(|cpu| !online.contains(cpu)).collect();
        let recording = Recording { about, offline, ..Recording::default() };
        Ok(Recorder {
            vm,
            events: None,
            read: Events::default(),
            again: false,
            traced: false,
            recording,
        })
    }

    /// Makes a trace that loses its begin usable: keeps the module's time 0. Call it after
    /// [`loaded`](Self::loaded).
    pub fn keep_epoch(&mut self) -> Result<()> {
        if self.traced {
            self.drain()?;
            let trace = Trace::parse(&self.vm.read_bytes(&format!("{TRACING}/trace"))?)?;
            let cpus: Vec<_> = self.read.cpus().cloned().collect();
            self.recording.epoch = Some(Epoch::find(&trace, &cpus)?);
        }
        Ok(())
    }

    /// Opens the module's file, if it is not open. The events that were read before are skipped.
    pub fn open(&mut self) -> Result<()> {
        if self.events.is_none() {
            self.again = self.read.cpus().next().is_some();
            self.events = Some(self.vm.open(EVENTS_BINARY, Access::ReadNow)?);
        }
        Ok(())
    }

    /// Closes the module's file: others can unload the module.
    pub fn close(&mut self) -> Result<()> {
        self.drain()?;
        self.events = None;
        Ok(())
    }

    /// The events so far.
    pub fn events(&self) -> &Events {
        &self.read
    }

    /// Forgets the oldest events of each CPU but this number.
    pub fn forget(&mut self, keep: usize) {
        self.read.forget(keep);
    }

    /// Adds an action that the kernel's trace does not have.
    pub fn add_action(&mut self, action: Action) {
        self.recording.actions.push(action);
    }

    /// Wakes the thread of `cpu` to relate the clock of the trace to that of the module. Call it
    /// when the module is loaded, before the first wake.
    pub fn loaded(&mut self, cpu: u32) -> Result<()> {
        self.open()?;
        self.action(&Marker::sync(cpu), &[], || {
            self.vm.write(WAKE, cpu.to_string())?;
            self.vm.wait_for(&file(cpu, "run"), Until::AtLeast(1))?;
            self.vm.wait_for(&file(cpu, "state"), Until::Is("sleeping".into()))
        })
    }

    /// The VM of the run.
    pub fn vm(&self) -> &'a Vm {
        self.vm
    }

    /// Runs an action, and marks its beginning and end for the picture: `label` is a sentence,
    /// `commands` are what a user types to do the same.
    pub fn action<T>(
        &self,
        label: &str,
        commands: &[&str],
        act: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        self.begin(label, commands)?;
        let done = act()?;
        self.end(label)?;
        Ok(done)
    }

    /// Marks the beginning of an action.
    pub fn begin(&self, label: &str, commands: &[&str]) -> Result<()> {
        self.mark(Marker::begin(label, commands))
    }

    /// Marks the end of an action.
    pub fn end(&self, label: &str) -> Result<()> {
        self.mark(Marker::End(label.into()))
    }

    fn mark(&self, marker: Marker) -> Result<()> {
        if !self.traced {
            return Ok(());
        }
        self.vm.write(&format!("{TRACING}/trace_marker"), marker.to_string())
    }

    /// Reads the events so far, so that the rings do not overflow.
    pub fn drain(&mut self) -> Result<()> {
        let Some(events) = &self.events else { return Ok(()) };
        let mut bytes = Vec::new();
        crate::drain(events, &mut bytes)?;
        match std::mem::take(&mut self.again) {
            true => self.read.add_unknown(&bytes),
            false => self.read.add(&bytes),
        }
    }

    /// The present table of the threads; empty if the module is not loaded.
    pub fn table(&mut self, width: usize) -> Result<Vec<Row>> {
        if !self.vm.exists(SUMMARY.path)? {
            return Ok(Vec::new());
        }
        self.drain()?;
        let (summary, latencies) = tables(self.vm)?;
        table::rows(&summary, &latencies, &self.read, width)
    }

    /// Closes the module's file, which would prevent its unload, after a last read.
    pub fn unloading(&mut self) -> Result<()> {
        self.close()?;
        (self.recording.summary, self.recording.latency_hist) = tables(self.vm)?;
        Ok(())
    }

    /// Ends the recording. `dat`: also make a `trace.dat`, which takes a second. The caller checks
    /// the result: [`Recorded::check`].
    pub fn finish(&self, dat: bool) -> Result<Recorded> {
        self.stop()?;
        let mut recorded = self.so_far()?;
        if self.traced && dat {
            recorded.raw = Some(Raw::take(self.vm, &recorded.view.run)?);
        }
        Ok(recorded)
    }

    /// Stops the kernel's trace.
    pub fn stop(&self) -> Result<()> {
        if self.traced {
            self.vm.write(&format!("{TRACING}/tracing_on"), "0")?;
            self.vm.write(&format!("{TRACING}/events/enable"), "0")?;
        }
        Ok(())
    }

    /// The recording so far, not judged.
    pub fn so_far(&self) -> Result<Recorded> {
        self.take()?.parse()
    }

    /// Does without the kernel's trace, which does not fit the events: some were not read.
    pub fn forget_trace(&mut self) -> Result<()> {
        self.stop()?;
        self.traced = false;
        Ok(())
    }

    /// Reads what the recording has so far. Of a guest that does not respond it lacks the trace.
    pub fn take(&self) -> Result<Taken> {
        let mut recording = self.recording.clone();
        recording.events_binary = self.read.to_bytes();
        if self.traced && self.vm.no_answer().is_none() && self.vm.is_running() {
            recording.trace = Some(self.vm.read_bytes(&format!("{TRACING}/trace"))?);
            recording.actions.clear(); // the trace has them
        }
        Ok(Taken(recording))
    }

    /// Ends the recording of a run that failed, with what can still be read.
    pub fn rescue(mut self) -> Recorded {
        // A guest that does not respond refuses these calls at once.
        let _ = self.close();
        if let Ok((summary, latencies)) = tables(self.vm) {
            (self.recording.summary, self.recording.latency_hist) = (summary, latencies);
        }
        let _ = self.stop();
        self.rest().parse_rest()
    }

    /// Takes the parts that [`take`](Self::take) can still read of a run that failed.
    pub fn rest(&self) -> Taken {
        self.take().unwrap_or_else(|_| {
            let events_binary = self.read.to_bytes();
            Taken(Recording { events_binary, ..self.recording.clone() })
        })
    }
}

/// A recording that is not parsed yet. Needs no guest any more.
#[derive(Clone)]
pub struct Taken(Recording);

impl Taken {
    pub fn parse(self) -> Result<Recorded> {
        let trace = self.0.trace.clone();
        Ok(Recorded { view: View::new(self.0.run()?), trace, raw: None })
    }

    /// Parses like [`parse`](Self::parse), for a run that failed. Without a trace that fits them,
    /// the module's events are still of use.
    pub fn parse_rest(self) -> Recorded {
        let untraced = Recording { trace: None, ..self.0.clone() };
        self.parse().unwrap_or_else(|_| {
            let about = untraced.about.clone();
            let run = untraced.run().unwrap_or(Run { about, ..Run::default() });
            Recorded { view: View::new(run), trace: None, raw: None }
        })
    }
}

/// A complete recording.
pub struct Recorded {
    pub view: View,
    /// The kernel's trace as text.
    trace: Option<Vec<u8>>,
    raw: Option<Raw>,
}

impl Recorded {
    /// Fails if a thread's life cycle is illegal, or contradicts the kernel's trace.
    pub fn check(&self) -> Result<()> {
        ensure_legal(conformance::violations(&self.view))
    }

    /// Marks the run as failed, with its faults as text. Each violation is a fault too, shown at
    /// its place.
    pub fn fail(&mut self, faults: impl Iterator<Item = String>) {
        let violations: Vec<Fault> =
            conformance::violations(&self.view).into_iter().map(Fault::from).collect();
        let faults = faults.map(|text| Fault { text, at: None });
        self.view.run.faults = faults.chain(violations).collect();
    }

    /// Writes the files of [`Saved`].
    pub fn save(&self, directory: &Path, name: &str) -> Result<Saved> {
        let (trace, dat) = (self.trace.is_some(), self.raw.is_some());
        let saved = Saved { base: directory.join(name), trace, dat };
        let pictures = [
            ("html", html::page(&self.view).into_bytes()),
            ("pftrace.gz", perfetto::trace(&self.view)),
            ("json", perfetto::json(&self.view).into_bytes()),
        ];
        let trace = self.trace.clone().map(|trace| ("trace", trace));
        for (extension, bytes) in pictures.into_iter().chain(trace) {
            files::write(&saved.base.with_extension(extension), bytes)?;
        }
        if let Some(raw) = &self.raw {
            raw.restore(&saved.base.with_extension("dat"))?;
        }
        Ok(saved)
    }
}

/// Removes the files of an earlier run: they would be mistaken for those of a run that fails.
pub fn remove_saved(directory: &Path, name: &str) -> Result<()> {
    for extension in ["html", "pftrace.gz", "json", "trace", "dat", "txt"] {
        let path = directory.join(name).with_extension(extension);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(e).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The files of a run. Its text for the user names each.
pub struct Saved {
    base: PathBuf,
    trace: bool,
    dat: bool,
}

impl Saved {
    /// The file for a browser.
    pub fn page(&self) -> PathBuf {
        self.base.with_extension("html")
    }

    /// The trace.dat as trace-cmd prints it.
    pub fn trace_cmd_report(&self) -> Result<String> {
        trace_dat::report(&self.base.with_extension("dat"))
    }
}

impl Display for Saved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let base = self.base.display();
        writeln!(f, "{base}.html        timeline: open in a browser")?;
        writeln!(
            f,
            "{base}.pftrace.gz  the same with the scheduler's tracks, for ui.perfetto.dev"
        )?;
        write!(f, "{base}.json        for other readers of Chrome's trace format")?;
        if self.trace {
            write!(f, "\n{base}.trace       the kernel's own trace, as text")?;
        }
        match self.dat {
            true => write!(f, "\n{base}.dat         the same for trace-cmd and KernelShark"),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demo_format::events::{Cpu, Event};
    use demo_format::format::Kind;

    #[test]
    fn a_failed_run_keeps_its_faults() {
        let event = |time, number, kind| Event { time, number, kind };
        let events = vec![event(1, 0, Kind::Create), event(2, 1, Kind::Park)];
        let run = Run { cpus: vec![Cpu { events, ..Cpu::new(3) }], ..Run::default() };
        let mut recorded = Recorded { view: View::new(run), trace: None, raw: None };
        assert!(recorded.check().is_err());
        for faults in [vec![], vec!["timed out".to_owned()]] {
            recorded.fail(faults.into_iter());
        }
        assert_eq!(recorded.view.run.faults.len(), 2);
        let faults = &recorded.view.run.faults;
        assert_eq!(faults[0], Fault { text: "timed out".into(), at: None });
        assert_eq!(faults[1].at, Some((3, 2)));
        let page = html::page(&recorded.view);
        assert!(
            page.contains("<li>timed out</li>") && page.contains(">cpu3: event 1 at 2 ns, park: ")
        );
    }

    #[test]
    fn a_run_that_failed_does_without_a_trace_that_does_not_fit() {
        let recording = Recording {
            about: About { title: "A crash".into(), ..About::default() },
            trace: Some(b"no trace".to_vec()),
            ..Recording::default()
        };
        let taken = Taken(recording);
        assert!(taken.clone().parse().is_err());
        let recorded = taken.parse_rest();
        assert_eq!(recorded.view.run.about.title, "A crash");
        assert!(recorded.trace.is_none());
    }

    #[test]
    fn only_files_of_an_earlier_run_are_removed() {
        let directory = std::env::temp_dir().join(format!("vm-test-saved-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        for file in ["demo.html", "demo.json", "demo.trace", "demo.dat", "test.html", "demo.rs"] {
            fs::write(directory.join(file), "").unwrap();
        }
        remove_saved(&directory, "demo").unwrap();
        let mut left: Vec<_> =
            fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["demo.rs", "test.html"]);
        remove_saved(&directory, "demo").unwrap();
        fs::remove_dir_all(&directory).unwrap();
        remove_saved(&directory, "demo").unwrap();
    }
}
