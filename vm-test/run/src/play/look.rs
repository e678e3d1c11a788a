// SPDX-License-Identifier: GPL-2.0

//! Characters and colors. Characters and words have all information that colors have.

use demo_format::ascii;
use demo_format::format::{Kind, State};
use live::Power;
use ratatui::style::{Color, Modifier, Style};

/// The abilities of the user's terminal.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub ascii: bool,
    pub colors: bool,
}

/// A part of a lane, in the order of importance: of several in one column, the last is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    Nothing,
    Online,
    Active,
    Created,
    Parked,
    Offline,
    Changing,
}

impl Part {
    pub fn of_cpu(power: Power) -> Part {
        match power {
            Power::Online => Part::Online,
            Power::GoingOffline | Power::ComingOnline => Part::Changing,
            Power::Offline => Part::Offline,
        }
    }

    pub fn of_thread(state: State) -> Part {
        match state {
            State::None | State::Stopped => Part::Nothing,
            State::Created => Part::Created,
            State::Active => Part::Active,
            State::Parked => Part::Parked,
        }
    }

    /// A word to write into the part of a lane, if there is room.
    pub fn word(self) -> Option<&'static str> {
        match self {
            Part::Offline => Some(" offline "),
            Part::Parked => Some(" parked "),
            _ => None,
        }
    }
}

impl Look {
    /// Text for this terminal.
    pub fn text(self, text: &str) -> String {
        if self.ascii { ascii::of(&text.replace('–', "-")) } else { text.into() }
    }

    fn pick<T>(self, unicode: T, ascii: T) -> T {
        if self.ascii { ascii } else { unicode }
    }

    pub fn part(self, part: Part) -> (char, Style) {
        let (character, color) = match part {
            Part::Nothing => (' ', Color::Reset),
            Part::Online => (self.pick('█', '='), Color::Green),
            Part::Changing => (self.pick('▒', '%'), Color::Yellow),
            Part::Offline => (self.pick('░', '.'), Color::DarkGray),
            Part::Created => (self.pick('┄', '~'), Color::Cyan),
            Part::Active => (self.pick('─', '-'), Color::Blue),
            Part::Parked => (self.pick('░', ':'), Color::Magenta),
        };
        (character, self.color(color))
    }

    pub fn mark(self, kind: Kind) -> (char, Style) {
        let (character, color) = match kind {
            Kind::Create => (self.pick('◇', '+'), Color::Cyan),
            Kind::Setup => (self.pick('◆', '#'), Color::Cyan),
            Kind::Wake => (self.pick('┴', 'i'), Color::Yellow),
            Kind::Run => (self.pick('●', 'o'), Color::LightBlue),
            Kind::Park => (self.pick('▼', 'v'), Color::Magenta),
            Kind::Unpark => (self.pick('▲', '^'), Color::Cyan),
            Kind::CleanupOnline | Kind::CleanupOffline => (self.pick('×', 'x'), Color::White),
        };
        (character, self.color(color).add_modifier(Modifier::BOLD))
    }

    /// A wake that no run has answered yet.
    pub fn pending(self) -> (char, Style) {
        ('!', self.color(Color::Yellow).add_modifier(Modifier::BOLD))
    }

    pub fn selected(self) -> &'static str {
        self.pick("▌", ">")
    }

    pub fn separator(self) -> &'static str {
        self.pick(" · ", " | ")
    }

    pub fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    /// Text that matters less.
    pub fn dim(self) -> Style {
        if self.colors {
            self.color(Color::DarkGray)
        } else {
            Style::new().add_modifier(Modifier::DIM)
        }
    }

    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn plain(self) -> Style {
        Style::new()
    }

    /// Something that is done.
    pub fn good(self) -> Style {
        self.color(Color::Green)
    }

    /// Begins the line of a step that is done.
    pub fn done(self) -> &'static str {
        self.pick("✓ ", "* ")
    }

    /// Begins the line of the next step.
    pub fn todo(self) -> &'static str {
        self.pick("▶ ", "> ")
    }

    pub fn key(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// A fault.
    pub fn fault(self) -> Style {
        self.color(Color::Red).add_modifier(Modifier::BOLD)
    }
}
