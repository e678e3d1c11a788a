// SPDX-License-Identifier: GPL-2.0

//! The output of the demo: on a terminal a table that is updated in place, elsewhere lines.

use anyhow::Result;
use cli::{output, say, terminal};
use console::{Term, colors_enabled, style, truncate_str};
use demo_format::table::{self, Row};
use demo_module::recorder::Recorder;
use host::clock;
use std::collections::VecDeque;
use std::time::Duration;
use wire::Call;

/// Time between two updates of the table.
const REFRESH: Duration = Duration::from_millis(200);

/// Number of log lines that are kept: more than terminals have.
const LOG: usize = 500;

pub enum Screen {
    Lines,
    Live(Live),
}

/// The table, the present action below it, and the end of the log below that.
pub struct Live {
    term: Term,
    rows: Vec<Row>,
    action: Vec<String>,
    log: VecDeque<String>,
    /// Number of lines on the terminal.
    drawn: usize,
}

impl Screen {
    pub fn new() -> Screen {
        let term = Term::stdout();
        if !term.is_term() || terminal::is_dumb() {
            return Screen::Lines;
        }
        terminal::hide_cursor();
        Screen::Live(Live {
            term,
            rows: Vec::new(),
            action: Vec::new(),
            log: VecDeque::new(),
            drawn: 0,
        })
    }

    pub fn is_live(&self) -> bool {
        matches!(self, Screen::Live(_))
    }

    /// Shows the next action, and the commands to type for it.
    pub fn action(&mut self, why: &str, commands: &[&str]) {
        let mut lines = vec![style(format!("# {why}")).cyan().to_string()];
        lines.extend(commands.iter().map(|command| format!("{} {command}", style("~ #").green())));
        match self {
            Screen::Lines => say!("\n{}", lines.join("\n")),
            Screen::Live(live) => {
                live.action = lines;
                live.draw();
            }
        }
    }

    pub fn log(&mut self, line: String) {
        match self {
            Screen::Lines => say!("{line}"),
            Screen::Live(live) => {
                live.log.push_back(line);
                live.log.drain(..live.log.len().saturating_sub(LOG));
            }
        }
    }

    /// Shows a command and its output; on a terminal the live table has the same.
    pub fn output(&mut self, command: &str, output: &str) {
        if let Screen::Lines = self {
            say!("\n{} {command}\n{output}", style("~ #").green());
        }
    }

    /// Updates the table; without the module it stays as it was.
    pub fn refresh(&mut self, recorder: &mut Recorder<'_>) -> Result<()> {
        if let Screen::Live(live) = self {
            let rows = recorder.table(live.size().1)?;
            if !rows.is_empty() {
                live.rows = rows;
            }
            live.draw();
        }
        Ok(())
    }

    /// Updates the table for this time, so that the user can read it.
    pub fn pause(&mut self, recorder: &mut Recorder<'_>, time: Duration) -> Result<()> {
        let vm = recorder.vm();
        vm.outside_test_limit(|| {
            let end = clock::now() + time;
            loop {
                self.refresh(recorder)?;
                let left = end.saturating_sub(clock::now());
                if left.is_zero() {
                    return Ok(());
                }
                vm.call(Call::Pause { us: left.min(REFRESH).as_micros() as u64 })?;
            }
        })
    }
}

impl Live {
    /// Rows and columns to draw on. The first line, the cursor's line and the last column are free.
    fn size(&self) -> (usize, usize) {
        let (height, width) = self.term.size();
        (usize::from(height.max(6)) - 2, usize::from(width.max(20)) - 1)
    }

    fn draw(&mut self) {
        if terminal::take_resumed() {
            // The shell has written below the table.
            self.drawn = 0;
        }
        if !terminal::is_foreground() {
            return;
        }
        let (height, width) = self.size();
        let lines = layout(&self.rows, &self.action, &self.log, height);
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\x1b[{}A", self.drawn);
        }
        for line in &lines {
            text += "\x1b[K";
            text += &truncate_str(line, width, "…");
            text.push('\n');
        }
        text += "\x1b[J";
        self.drawn = lines.len();
        output::write(output::shown(text).as_bytes());
    }
}

/// At most `height` lines: the action, then the table, then the end of the log, at least one line.
fn layout(rows: &[Row], action: &[String], log: &VecDeque<String>, height: usize) -> Vec<String> {
    let room = height.saturating_sub(action.len() + 3); // two empty lines and a line of the log
    let mut lines: Vec<String> = table::fitting(rows, room)
        .iter()
        .map(|row| row.shown(colors_enabled()))
        .chain([String::new()])
        .chain(action.iter().cloned())
        .chain([String::new()])
        .collect();
    let room = height.saturating_sub(lines.len());
    lines.extend(log.iter().skip(log.len().saturating_sub(room)).cloned());
    lines.truncate(height);
    lines
}

impl Drop for Live {
    fn drop(&mut self) {
        terminal::restore();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use demo_format::table::RowKind;

    fn drawn(cpus: usize, height: usize) -> Vec<String> {
        let row = |i| Row { text: format!("cpu{i}"), kind: RowKind::Online };
        let mut rows = vec![Row { text: "head".into(), kind: RowKind::Head }];
        rows.extend((0..cpus).map(row));
        let action = ["# why".to_string(), "~ # what".to_string()];
        let log = (0..100).map(|i| format!("log {i}")).collect();
        layout(&rows, &action, &log, height)
    }

    #[test]
    fn no_drawing_is_higher_than_the_terminal() {
        for (cpus, height) in [(4, 22), (24, 22), (255, 22), (4, 4), (4, 58)] {
            let lines = drawn(cpus, height);
            assert_eq!(lines.len(), height, "{cpus} CPUs: {lines:?}");
        }
    }

    #[test]
    fn cpus_that_do_not_fit_are_counted() {
        let lines = drawn(24, 22);
        assert!(lines.contains(&"9 more CPUs do not fit into this terminal".into()), "{lines:?}");
        assert!(lines.contains(&"# why".into()) && lines.contains(&"log 99".into()), "{lines:?}");
    }

    #[test]
    fn the_log_fills_the_rest_of_a_large_terminal() {
        let lines = drawn(4, 58);
        let log = lines.iter().filter(|line| line.starts_with("log ")).count();
        assert_eq!(log, 58 - 5 - 4, "{lines:?}");
    }
}
