// SPDX-License-Identifier: GPL-2.0

//! What the demo shows: on a terminal a table that stays in its place, elsewhere lines.

use crate::recorder::Recorder;
use anyhow::Result;
use console::Term;
use console::style;
use console::truncate_str;
use protocol::Call;
use report::table::Row;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

/// How often the table is made anew while nothing else happens.
const REFRESH: Duration = Duration::from_millis(200);

pub enum Screen {
    Lines,
    Live(Live),
}

/// The table, the present action below it, and the last of the log below that.
pub struct Live {
    term: Term,
    rows: Vec<Row>,
    action: Vec<String>,
    log: VecDeque<String>,
    /// How many lines are on the terminal.
    drawn: usize,
}

impl Screen {
    pub fn new() -> Result<Screen> {
        let term = Term::stdout();
        if !term.is_term() || std::env::var("TERM").is_ok_and(|term| term == "dumb") {
            return Ok(Screen::Lines);
        }
        // Whoever ends us with Ctrl-C wants a cursor. QEMU ends with us.
        ctrlc::set_handler(|| {
            let _ = Term::stdout().show_cursor();
            std::process::exit(130);
        })?;
        term.hide_cursor()?;
        Ok(Screen::Live(Live {
            term,
            rows: Vec::new(),
            action: Vec::new(),
            log: VecDeque::new(),
            drawn: 0,
        }))
    }

    pub fn is_live(&self) -> bool {
        matches!(self, Screen::Live(_))
    }

    /// What is going to be done, and the commands that one would type for it.
    pub fn action(&mut self, why: &str, commands: &[&str]) -> Result<()> {
        let mut lines = vec![style(format!("# {why}")).cyan().to_string()];
        lines.extend(commands.iter().map(|command| format!("{} {command}", style("~ #").green())));
        match self {
            Screen::Lines => println!("\n{}", lines.join("\n")),
            Screen::Live(live) => {
                live.action = lines;
                live.draw()?;
            }
        }
        Ok(())
    }

    pub fn log(&mut self, line: String) {
        match self {
            Screen::Lines => println!("{line}"),
            Screen::Live(live) => live.log.push_back(line),
        }
    }

    /// A command, and what it printed. The live table shows that anyway.
    pub fn output(&mut self, command: &str, output: &str) {
        if let Screen::Lines = self {
            println!("\n{} {command}\n{output}", style("~ #").green());
        }
    }

    /// The table as it is now; when the module is gone, as it was last.
    pub fn refresh(&mut self, recorder: &mut Recorder<'_>) -> Result<()> {
        if let Screen::Live(live) = self {
            let rows = recorder.table()?;
            if !rows.is_empty() {
                live.rows = rows;
            }
            live.draw()?;
        }
        Ok(())
    }

    /// Gives people some time to look.
    pub fn pause(&mut self, recorder: &mut Recorder<'_>, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            self.refresh(recorder)?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            recorder.vm.call(Call::Pause { us: left.min(REFRESH).as_micros() as u64 })?;
        }
    }
}

impl Live {
    fn draw(&mut self) -> Result<()> {
        let (height, width) = self.term.size();
        let mut lines: Vec<String> = self.rows.iter().map(Row::colored).collect();
        lines.push(String::new());
        lines.extend(self.action.iter().cloned());
        lines.push(String::new());
        // The first line of the terminal and the one of the cursor stay free.
        let room = usize::from(height).saturating_sub(lines.len() + 2).clamp(1, 10);
        while self.log.len() > room {
            self.log.pop_front();
        }
        lines.extend(self.log.iter().cloned());

        let mut text = String::new();
        for line in &lines {
            text += "\x1b[K";
            text += &truncate_str(line, usize::from(width.max(20)) - 1, "…");
            text.push('\n');
        }
        text += "\x1b[J";
        if self.drawn > 0 {
            self.term.move_cursor_up(self.drawn)?;
        }
        self.drawn = lines.len();
        self.term.write_str(&text)?;
        Ok(())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.term.show_cursor();
    }
}
