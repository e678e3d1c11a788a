// SPDX-License-Identifier: GPL-2.0

//! `tour`: the lessons, beside the shell. It shows a step, and gives the prompt back. The shell's
//! next prompt looks at what the learner did, by whatever means.

use crate::chrt;
use crate::top;
use demo_format::ascii;
use demo_format::files;
use demo_format::format::{Kind, MODULE, PERIOD, SUMMARY};
use std::fs::{self, File};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{env, process, thread};
use tour::{LESSONS, Machine, Observation, Page, Player, Said, Thread};
use wire::frame;

/// The agent under this name is this program.
pub const NAME: &str = "tour";

/// The place in the tour. The prompt of the shell looks whether it exists.
const PLACE: &str = "/tmp/tour";

/// Columns of the text; fewer on a narrower terminal.
const WIDTH: usize = 80;

/// Bound of the time for threads to run after a command. They usually have run before this program
/// has started.
const SETTLES: Duration = Duration::from_secs(2);

const USAGE: &str = "\
usage: tour        show the present step; the first time, begin with lesson 1
       tour N      go to lesson N
       tour skip   go to the next step
       tour next   go to the next lesson
       tour list   list the lessons
       tour end    end the tour";

pub fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match Tour::run(&words) {
        Ok(text) => {
            print!("{text}");
            Ok(())
        }
        Err(e) => {
            eprintln!("{NAME}: {e:#}");
            process::exit(1);
        }
    }
}

struct Tour {
    machine: Machine,
    now: Observation,
    style: Style,
}

impl Tour {
    fn run(words: &[&str]) -> anyhow::Result<String> {
        let mut tour = Tour { machine: machine()?, now: observe()?, style: Style::new() };
        let mut player = match Path::new(PLACE).exists() {
            true => Some(frame::receive::<Player>(&mut File::open(PLACE)?)?),
            false => None,
        };
        let text = match (words, player.as_mut()) {
            (["list"], player) => return Ok(tour.list(player.as_deref())),
            (["end"], _) => {
                if player.is_some() {
                    fs::remove_file(PLACE)?;
                }
                return Ok("The tour has ended. `tour` begins again.\n".into());
            }
            // The prompt.
            (["look"], Some(player)) => tour.look(player)?,
            (["look"], None) => return Ok(String::new()),
            ([], Some(player)) => {
                let said = tour.look(player)?;
                match said.is_empty() {
                    true => tour.page(player, true),
                    false => said,
                }
            }
            (["skip"], Some(player)) => {
                let said = player.skip(&tour.machine, &tour.now);
                tour.said(&said) + &tour.page(player, false)
            }
            (["next"], Some(player)) => {
                let next = player.page(&tour.machine, &tour.now).map_or(1, |page| page.lesson + 1);
                tour.go(player, next)
            }
            ([], None) | (["skip" | "next"], None) => return tour.start(1),
            ([word], player) => {
                let lesson = word.parse().ok().filter(|n| (1..=LESSONS.len()).contains(n));
                match (lesson, player) {
                    (None, _) => anyhow::bail!("no lesson '{word}'\n{USAGE}"),
                    (Some(lesson), None) => return tour.start(lesson),
                    (Some(lesson), Some(player)) => tour.go(player, lesson),
                }
            }
            _ => anyhow::bail!("too many words\n{USAGE}"),
        };
        if let Some(player) = player {
            tour.save(&player)?;
        }
        Ok(tour.style.shown(text))
    }

    fn start(&mut self, lesson: usize) -> anyhow::Result<String> {
        let (player, said) = Player::new(lesson, &self.machine, &self.now);
        self.save(&player)?;
        let text = self.said(&said) + &self.page(&player, true);
        Ok(self.style.shown(text))
    }

    fn go(&self, player: &mut Player, lesson: usize) -> String {
        let said = player.go(lesson, &self.machine, &self.now);
        self.said(&said) + &self.page(player, true)
    }

    fn save(&self, player: &Player) -> anyhow::Result<()> {
        // Another shell may read it at any time.
        let new = format!("{PLACE}.{}", process::id());
        frame::send(&mut File::create(&new)?, player)?;
        Ok(fs::rename(new, PLACE)?)
    }

    /// Looks at what the learner did. Waits until the threads have run for it.
    fn look(&mut self, player: &mut Player) -> anyhow::Result<String> {
        let before = player.page(&self.machine, &self.now).map(|page| page.lesson);
        let start = Instant::now();
        let mut said = Vec::new();
        loop {
            said.extend(player.observe(&self.machine, &self.now));
            let wait = match self.now.period_us {
                0 if self.now.is_settled() => Duration::ZERO,
                0 => SETTLES,
                us => SETTLES.min(8 * Duration::from_micros(us.into())),
            };
            if !said.is_empty() || start.elapsed() >= wait {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            self.now = observe()?;
        }
        if said.is_empty() {
            return Ok(String::new());
        }
        let after = player.page(&self.machine, &self.now).map(|page| page.lesson);
        Ok(self.said(&said) + &self.page(player, before != after))
    }

    fn said(&self, said: &[Said]) -> String {
        let mut text = String::new();
        for said in said {
            let (mark, line) = match said {
                Said::Done(line) => ("Done: ", line.clone()),
                Said::Hint(line) => ("Not yet: ", line.clone()),
                Said::Ended(lesson) => ("", format!("Lesson {lesson} is done.")),
                Said::Skipped(lesson, why) => ("", format!("Lesson {lesson} is skipped: {why}.")),
            };
            for line in tour::wrap(&format!("{mark}{line}"), self.style.width) {
                text += &self.style.bold_start(&line, mark.trim_end());
                text.push('\n');
            }
        }
        text
    }

    /// The present step; `all`: with the text of its lesson.
    fn page(&self, player: &Player, all: bool) -> String {
        match player.page(&self.machine, &self.now) {
            Some(page) => lines(&page, all, self.style).join("\n") + "\n\n",
            None => format!(
                "\n{} of {} lessons are done. `tour N` repeats one, `tour end` ends the tour.\n\n",
                player.done().count(),
                LESSONS.len()
            ),
        }
    }

    fn list(&self, player: Option<&Player>) -> String {
        let done: Vec<usize> = player.map(|player| player.done().collect()).unwrap_or_default();
        let present = player.and_then(|player| player.page(&self.machine, &self.now));
        let mut text = String::new();
        for (number, lesson) in (1..).zip(&LESSONS) {
            let remark = match lesson.needs.lacks(&self.machine) {
                _ if done.contains(&number) => " (done)",
                _ if present.as_ref().is_some_and(|page| page.lesson == number) => " (present)",
                Some(_) => " (not on this machine)",
                None => "",
            };
            text += &format!("{number:2}  {}{remark}\n", lesson.title);
        }
        text
    }
}

fn lines(page: &Page, all: bool, style: Style) -> Vec<String> {
    let mut lines = vec![String::new()];
    if all {
        let title = format!("Lesson {} of {}: {}", page.lesson, LESSONS.len(), page.title);
        lines.push(style.bold_start(&title, &title));
        lines.extend(tour::wrap(page.text, style.width));
        lines.push(String::new());
    }
    let step = match page.step {
        0 => "First".into(),
        step => format!("Step {step} of {}", page.steps),
    };
    lines.extend(
        tour::wrap(&format!("{step}: {}", page.task.what), style.width)
            .iter()
            .map(|line| style.bold_start(line, &step)),
    );
    lines.extend(page.task.commands.iter().map(|command| format!("  {command}")));
    lines
}

#[derive(Clone, Copy)]
struct Style {
    colors: bool,
    ascii: bool,
    width: usize,
}

impl Style {
    fn new() -> Style {
        let colors = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Style {
            colors: colors && is_terminal,
            width: if is_terminal { WIDTH.min(top::size(&out).1) } else { WIDTH },
            ascii: env::var_os("RUST_SMPBOOT_ASCII").is_some(),
        }
    }

    fn bold_start(self, line: &str, start: &str) -> String {
        match line.strip_prefix(start) {
            Some(rest) if self.colors && !start.is_empty() => format!("\x1b[1m{start}\x1b[m{rest}"),
            _ => line.into(),
        }
    }

    fn shown(self, text: String) -> String {
        if self.ascii { text.lines().map(|line| ascii::of(line) + "\n").collect() } else { text }
    }
}

const CPUS: &str = "/sys/devices/system/cpu";

fn machine() -> io::Result<Machine> {
    let present = cpu_list("present")?;
    let has_switch = |cpu: &u32| Path::new(&format!("{CPUS}/cpu{cpu}/online")).exists();
    let hotpluggable = present.iter().copied().filter(has_switch).collect();
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let states = text(&format!("{CPUS}/hotplug/states"));
    Ok(Machine::new(present, hotpluggable, &states, &text("/sys/power/state")))
}

/// Reads a file of a CPU list, such as `0-3,7`.
fn cpu_list(name: &str) -> io::Result<Vec<u32>> {
    let text = fs::read_to_string(format!("{CPUS}/{name}"))?;
    let mut cpus = Vec::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        cpus.extend(number::<u32>(first)?..=number(last)?);
    }
    Ok(cpus)
}

fn number<T: FromStr>(text: &str) -> io::Result<T> {
    text.trim().parse().map_err(|_| io::Error::other(format!("'{text}' is not a number")))
}

/// The present state. Without the module the threads are empty.
fn observe() -> anyhow::Result<Observation> {
    let online = cpu_list("online")?;
    let mut now = Observation::default();
    for cpu in cpu_list("present")? {
        now.cpus.insert(cpu, Thread { online: online.contains(&cpu), ..Thread::default() });
    }
    let Ok(summary) = fs::read_to_string(SUMMARY.path) else {
        return Ok(now);
    };
    now.loaded = true;
    now.period_us = number(&fs::read_to_string(PERIOD.path)?)?;
    now.open_files = number(&fs::read_to_string(format!("/sys/module/{MODULE}/refcnt"))?)?;
    for (cpu, read) in files::threads(&summary)? {
        // A possible CPU that is not present cannot be brought online.
        let Some(thread) = now.cpus.get_mut(&cpu) else { continue };
        (thread.state, thread.pid, thread.counts) = (read.state, read.pid, read.counts);
    }

    // The last events: a wake without a run after it is pending.
    let events = top::events(cpu_list("possible")?.len() as u32)?;
    for (cpu, thread) in &mut now.cpus {
        let events = events.cpu(*cpu).map(|cpu| cpu.events.as_slice()).unwrap_or_default();
        let last = events.iter().rev().find(|event| matches!(event.kind, Kind::Wake | Kind::Run));
        thread.pending = last.is_some_and(|event| event.kind == Kind::Wake);
        if thread.pid > 0 {
            thread.fifo = chrt::fifo(thread.pid).unwrap_or_default();
        }
    }
    Ok(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All pages of a machine.
    fn pages(cpus: u32) -> Vec<String> {
        let states = "147: smpboot/threads:online\n186: workqueue:online\n";
        let possible: Vec<u32> = (0..cpus).collect();
        let machine = Machine::new(possible.clone(), (1..cpus).collect(), states, "disk");
        let mut now = Observation { loaded: true, ..Observation::default() };
        now.cpus.extend(
            possible
                .iter()
                .map(|cpu| (*cpu, Thread { online: *cpu == 0, pid: 30_000, ..Thread::default() })),
        );
        let style = Style { colors: false, ascii: true, width: WIDTH };
        let (mut player, _) = Player::new(1, &machine, &now);
        let mut all = Vec::new();
        while let Some(page) = player.page(&machine, &now) {
            all.push(style.shown(lines(&page, true, style).join("\n")));
            player.skip(&machine, &now);
        }
        all
    }

    #[test]
    fn pages_fit_a_terminal_of_24_rows_and_80_columns() {
        for cpus in [1, 2, 4, 64] {
            for page in pages(cpus) {
                assert!(page.lines().count() <= 16, "{page}");
                assert!(page.lines().all(|line| line.len() <= WIDTH), "{page}");
                assert!(page.is_ascii(), "{page}");
            }
        }
    }
}
