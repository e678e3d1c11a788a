// SPDX-License-Identifier: GPL-2.0

//! The user's view, and the requests of keys and clicks.

use super::look::Look;
use demo_format::Nanos;
use live::{Power, State, Status};
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;
use std::collections::VecDeque;
use std::time::Duration;
use tour::{Action, Guide, Machine, Target};

/// Periods of the timers in µs, for `t`: longer ones with more than four CPUs.
const PERIODS: [u32; 5] = [0, 100_000, 20_000, 5_000, 1_000];

/// Lengths of the window in ms, for `+` and `-`.
const WINDOWS: [Nanos; 8] = [100, 250, 1_000, 2_500, 5_000, 10_000, 20_000, 60_000];

/// A request of the view to the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    Act(Action),
    FailNext(u32),
    Save,
    Shell,
    /// End the session.
    End,
    /// The user does not want to wait for the end.
    Leave,
}

/// A text in front of the lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlay {
    Help,
    Explain,
    Report,
    Samples,
}

pub struct View {
    pub look: Look,
    /// The chosen CPU, as an index.
    pub chosen: usize,
    /// The first CPU on the screen, as an index.
    pub top: usize,
    pub overlay: Option<Overlay>,
    /// The chosen sample, as an index.
    pub sample: usize,
    /// Index of [`WINDOWS`].
    window: usize,
    /// The end of the window, if it does not move.
    pub frozen: Option<Nanos>,
    /// Actions that the session may not have run yet, each with the number of all when it has.
    asked: VecDeque<(u64, Action)>,
    /// The tour, if it is shown.
    pub guide: Option<Guide>,
    /// Whether the session was asked to end.
    pub ending: bool,
    /// Where the rows of CPUs are on the screen: the area, the rows of each, the CPUs.
    pub rows: (Rect, u16, usize),
}

impl View {
    pub fn new(look: Look) -> View {
        let window = WINDOWS.iter().position(|ms| *ms == 10_000).unwrap_or(0);
        View {
            look,
            chosen: 0,
            top: 0,
            overlay: None,
            sample: 0,
            window,
            frozen: None,
            asked: VecDeque::new(),
            guide: None,
            ending: false,
            rows: (Rect::ZERO, 1, 0),
        }
    }

    /// The time that is shown.
    pub fn shown(&self, now: Nanos) -> (Nanos, Nanos) {
        let end = self.frozen.unwrap_or(now);
        (end - self.length(), end)
    }

    pub fn length(&self) -> Nanos {
        WINDOWS[self.window] * 1_000_000
    }

    /// The chosen CPU.
    pub fn cpu(&self, state: &State) -> u32 {
        state.cpus.keys().nth(self.chosen).copied().unwrap_or_default()
    }

    pub fn key(&mut self, key: KeyEvent, now: Nanos, state: &State) -> Option<Request> {
        let request = self.pressed(key, now, state);
        self.ask(request, state)
    }

    pub fn mouse(&mut self, mouse: MouseEvent, state: &State) -> Option<Request> {
        let request = self.clicked(mouse, state);
        self.ask(request, state)
    }

    /// Lets the tour look at the state; returns what it does for the user.
    pub fn guided(&mut self, now: Nanos, state: &State) -> Option<Request> {
        if self.ending || state.status != Status::Running {
            return None;
        }
        let is_busy = self.is_busy(state);
        let guide = self.guide.as_mut()?;
        let time = Duration::from_nanos(now.max(0) as u64);
        let action = guide.look(&state.observation(), time, is_busy)?;
        if let Action::Offline(cpu) | Action::Online(cpu) | Action::Wake(Target::Cpu(cpu)) = action
        {
            self.chosen = state.cpus.keys().position(|id| *id == cpu).unwrap_or(self.chosen);
        }
        self.ask(Some(Request::Act(action)), state)
    }

    /// Begins the tour, as one that waits for the user.
    fn begin_tour(&mut self, state: &State) {
        let machine = Machine::clone(&state.machine);
        let mut guide = Guide::new(1, machine, &state.observation(), Duration::ZERO);
        guide.take_over();
        self.guide = Some(guide);
    }

    /// The actions that the session has not run yet.
    fn asked(&mut self, state: &State) -> &VecDeque<(u64, Action)> {
        self.asked.retain(|(number, _)| *number > state.actions);
        &self.asked
    }

    /// Whether there are actions that the session has not run yet.
    pub fn is_busy(&mut self, state: &State) -> bool {
        state.running.is_some() || !self.asked(state).is_empty()
    }

    /// Remembers an action, for keys that are pressed before it is done.
    fn ask(&mut self, request: Option<Request>, state: &State) -> Option<Request> {
        if let Some(Request::Act(action)) = &request {
            let last = self.asked(state).back().map_or(state.actions, |(number, _)| *number);
            self.asked.push_back((last + 1, action.clone()));
        }
        request
    }

    /// Whether the CPU is online, the module loaded, and the period, when all that was asked for is
    /// done.
    fn expected(&self, cpu: u32, state: &State) -> (bool, bool, u32) {
        let is_online = state.cpus.get(&cpu).is_some_and(|cpu| cpu.power == Power::Online);
        let mut expected = (is_online, state.loaded, state.period_us);
        for (_, action) in self.asked.iter().filter(|(number, _)| *number > state.actions) {
            match action {
                Action::Offline(id) if *id == cpu => expected.0 = false,
                Action::Online(id) if *id == cpu => expected.0 = true,
                Action::Load => expected.1 = true,
                Action::Unload => (expected.1, expected.2) = (false, 0),
                Action::Period(us) => expected.2 = *us,
                _ => {}
            }
        }
        expected
    }

    /// Returns the action of a key for this CPU.
    pub fn action(&self, key: char, cpu: u32, state: &State) -> Option<Action> {
        let (online, loaded, period_us) = self.expected(cpu, state);
        match key {
            ' ' if online => Some(Action::Offline(cpu)),
            ' ' => Some(Action::Online(cpu)),
            'w' => Some(Action::Wake(Target::Cpu(cpu))),
            'W' => Some(Action::Wake(Target::All)),
            't' => {
                let share = demo_module::share(state.cpus.len()) as u32;
                let periods = PERIODS.map(|us| us * share);
                let next = periods.iter().position(|us| *us == period_us).map_or(0, |at| at + 1);
                Some(Action::Period(periods[next % periods.len()]))
            }
            'i' if loaded => Some(Action::Unload),
            'i' => Some(Action::Load),
            _ => None,
        }
    }

    /// Returns what loads or unloads the chosen sample.
    pub fn toggle_sample(&self, state: &State) -> Option<Action> {
        let (sample, mut loaded) = *state.samples.get(self.sample)?;
        for (_, action) in self.asked.iter().filter(|(number, _)| *number > state.actions) {
            match action {
                Action::Sample { name, load } if *name == sample.name => loaded = *load,
                _ => {}
            }
        }
        Some(Action::Sample { name: sample.name, load: !loaded })
    }

    fn pressed(&mut self, key: KeyEvent, now: Nanos, state: &State) -> Option<Request> {
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return None;
        }
        if let Status::Ended { .. } = state.status {
            return matches!(key.code, KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter)
                .then_some(Request::Leave);
        }
        let cpu = self.cpu(state);
        let page = self.rows.2.max(1) as isize;
        if let Some(guide) = &mut self.guide {
            match key.code {
                KeyCode::Char('r') if guide.is_by_hand() => {
                    guide.resume();
                    return None;
                }
                KeyCode::Char('n') => {
                    guide.skip(&state.observation());
                    return None;
                }
                KeyCode::Char('T') => {
                    self.guide = None;
                    return None;
                }
                // Any other key takes over.
                _ => guide.take_over(),
            }
        }
        if self.overlay == Some(Overlay::Samples) && !self.ending {
            match key.code {
                KeyCode::Up | KeyCode::Char('k') => {
                    self.sample = self.sample.saturating_sub(1);
                    return None;
                }
                KeyCode::Down | KeyCode::Char('j') => {
                    let last = state.samples.len().saturating_sub(1);
                    self.sample = (self.sample + 1).min(last);
                    return None;
                }
                KeyCode::Enter | KeyCode::Char(' ') => {
                    return self.toggle_sample(state).map(Request::Act);
                }
                // The others do what they do without it: CPUs go offline, threads are woken.
                _ => {}
            }
        }
        match key.code {
            KeyCode::Char('T') => self.begin_tour(state),
            KeyCode::Char('q') if self.ending => return Some(Request::Leave),
            KeyCode::Char('q') => {
                (self.ending, self.overlay, self.frozen) = (true, None, None);
                return Some(Request::End);
            }
            KeyCode::Esc if self.overlay.is_some() => self.overlay = None,
            KeyCode::Esc => self.frozen = None,
            KeyCode::Char('?') | KeyCode::Char('h') | KeyCode::F(1) => {
                self.toggle_overlay(Overlay::Help)
            }
            KeyCode::Char('e') => self.toggle_overlay(Overlay::Explain),
            KeyCode::Char('s') => self.toggle_overlay(Overlay::Samples),
            KeyCode::Char('o') => {
                self.overlay = Some(Overlay::Report);
                return Some(Request::Save);
            }
            KeyCode::Up | KeyCode::Char('k') => self.choose(-1, state),
            KeyCode::Down | KeyCode::Char('j') => self.choose(1, state),
            KeyCode::PageUp => self.choose(-page, state),
            KeyCode::PageDown => self.choose(page, state),
            KeyCode::Home => self.choose(isize::MIN, state),
            KeyCode::End => self.choose(isize::MAX, state),
            KeyCode::Left => self.scroll(-1, now),
            KeyCode::Right => self.scroll(1, now),
            KeyCode::Char('+') | KeyCode::Char('=') => self.window = self.window.saturating_sub(1),
            KeyCode::Char('-') => self.window = (self.window + 1).min(WINDOWS.len() - 1),
            KeyCode::Char('z') => {
                self.frozen = if self.frozen.is_some() { None } else { Some(now) };
            }
            // The rest changes something.
            _ if self.ending => {}
            KeyCode::Char(digit) if digit.is_ascii_digit() => {
                let cpu = digit as u32 - '0' as u32;
                let index = state.cpus.keys().position(|id| *id == cpu)?;
                self.chosen = index;
                return self.action(' ', cpu, state).map(Request::Act);
            }
            KeyCode::Char('$') => return Some(Request::Shell),
            KeyCode::Char('f') => return Some(Request::FailNext(cpu)),
            KeyCode::Char(character) => {
                return self.action(character, cpu, state).map(Request::Act);
            }
            _ => {}
        }
        None
    }

    fn clicked(&mut self, mouse: MouseEvent, state: &State) -> Option<Request> {
        let step = match mouse.kind {
            MouseEventKind::ScrollUp => -1,
            MouseEventKind::ScrollDown => 1,
            MouseEventKind::Down(button) if !self.ending && self.overlay.is_none() => {
                self.guide.iter_mut().for_each(Guide::take_over);
                let (area, height, cpus) = self.rows;
                if !area.contains((mouse.column, mouse.row).into()) {
                    return None;
                }
                let row = usize::from((mouse.row - area.y) / height.max(1));
                let index = self.top + row;
                if row >= cpus || index >= state.cpus.len() {
                    return None;
                }
                self.chosen = index;
                let cpu = self.cpu(state);
                return match button {
                    MouseButton::Left => self.action(' ', cpu, state).map(Request::Act),
                    MouseButton::Right => Some(Request::Act(Action::Wake(Target::Cpu(cpu)))),
                    MouseButton::Middle => None,
                };
            }
            _ => return None,
        };
        self.choose(step, state);
        None
    }

    fn toggle_overlay(&mut self, overlay: Overlay) {
        self.overlay = if self.overlay == Some(overlay) { None } else { Some(overlay) };
    }

    fn choose(&mut self, step: isize, state: &State) {
        let last = state.cpus.len().saturating_sub(1);
        self.chosen = self.chosen.saturating_add_signed(step).min(last);
    }

    /// Moves the frozen window by a quarter of it.
    fn scroll(&mut self, step: Nanos, now: Nanos) {
        let end = self.frozen.unwrap_or(now) + step * self.length() / 4;
        self.frozen = (end < now).then(|| end.max(self.length() / 2));
    }

    /// Shows the chosen CPU, where `fit` CPUs fit on the screen.
    pub fn follow(&mut self, fit: usize, cpus: usize) {
        self.chosen = self.chosen.min(cpus.saturating_sub(1));
        let least = (self.chosen + 1).saturating_sub(fit);
        self.top = self.top.clamp(least, self.chosen).min(cpus.saturating_sub(fit));
    }
}
