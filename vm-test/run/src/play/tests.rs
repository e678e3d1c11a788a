// SPDX-License-Identifier: GPL-2.0

//! The screen as text, for sizes, numbers of CPUs and terminals.

use super::look::Look;
use super::screen::draw;
use super::view::{Overlay, Request, View};
use ::tour::{Action, Guide, Machine, SAMPLES, Target};
use demo_format::Nanos;
use demo_format::format::{Counts, Kind, State as Life};
use expect_test::{Expect, expect};
use live::{Cpu, Entry, Latency, Mark, Power, Span, State, Status};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{
    KeyCode, KeyEvent, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use std::sync::Arc;
use std::time::Duration;

const S: Nanos = 1_000_000_000;
/// The time of all drawings.
const NOW: Nanos = 20 * S;

const UNICODE: Look = Look { ascii: false, colors: true };

/// A CPU that is online, with a thread that was woken a few times.
fn online(id: u32) -> Cpu {
    let shift = Nanos::from(id % 5) * S / 5;
    let mark = |time: Nanos, kind| Mark { time: time + shift, kind };
    Cpu {
        hotpluggable: id != 0,
        power: Power::Online,
        thread: "sleeping".into(),
        pid: 115 + id as i32,
        counts: Counts { wake: 3, run: 2, ..Counts::SET_UP },
        latency: Some(Latency { p50: 87_100, p99: 1_240_000, max: 4_260_000 }),
        bars: "▁ ▃▇▅▁".into(),
        powers: [Span { from: 0, state: Power::Online }].into(),
        lives: [Span { from: 11 * S, state: Life::Active }].into(),
        marks: [
            mark(11 * S, Kind::Create),
            mark(11 * S + S / 10, Kind::Setup),
            mark(13 * S, Kind::Wake),
            mark(13 * S + S / 7, Kind::Run),
            mark(15 * S, Kind::Run),
        ]
        .into(),
        ..Cpu::default()
    }
}

/// A CPU that went offline two seconds ago, and whose thread was woken since.
fn pending(id: u32) -> Cpu {
    let mut cpu = online(id);
    cpu.power = Power::Offline;
    cpu.thread = "parked".into();
    cpu.pending = true;
    cpu.counts.park = 1;
    let (begin, end) = (16 * S, 16 * S + S / 4);
    cpu.powers.extend([
        Span { from: begin, state: Power::GoingOffline },
        Span { from: end, state: Power::Offline },
    ]);
    cpu.lives.push_back(Span { from: begin + S / 8, state: Life::Parked });
    cpu.marks.extend([
        Mark { time: begin + S / 8, kind: Kind::Park },
        Mark { time: 19 * S, kind: Kind::Wake },
    ]);
    cpu
}

fn state(cpus: u32) -> State {
    let cpu = |id| (id, if id == 1 { pending(id) } else { online(id) });
    State {
        now: NOW,
        loaded: true,
        cpus: (0..cpus).map(cpu).collect(),
        last_took: 13_600_000,
        sentence: "CPU 1 is offline: the wake stays pending until the thread is unparked.".into(),
        events: 31,
        log: [
            Entry::Command("insmod rust_smpboot_demo.ko".into()),
            Entry::Kernel("[    4.852975] rust_smpboot_demo: cpu0: create".into()),
            Entry::Command("echo 0 > /sys/devices/system/cpu/cpu1/online".into()),
            Entry::Kernel("[    4.969725] rust_smpboot_demo: cpu1: park".into()),
            Entry::Command("echo 0 > /sys/devices/system/cpu/cpu0/online".into()),
            Entry::Error("ENOENT (No such file or directory)".into()),
            Entry::Command("echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake".into()),
        ]
        .into(),
        ..State::default()
    }
}

/// All samples are in the guest, and the second one is loaded.
fn with_samples(state: State) -> State {
    let samples = SAMPLES.iter().enumerate().map(|(n, sample)| (sample, n == 1));
    State { samples: samples.collect(), ..state }
}

fn screen(view: &mut View, state: &State, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, view, state, NOW)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| {
        let cells = (0..width).map(|x| buffer[(x, y)].symbol());
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    (0..height).map(row).collect()
}

fn shows(look: Look, cpus: u32, (width, height): (u16, u16), expected: Expect) {
    let mut view = View::new(look);
    view.chosen = 1.min(cpus as usize - 1);
    expected.assert_eq(&screen(&mut view, &state(cpus), width, height));
}

fn key(code: KeyCode) -> KeyEvent {
    KeyEvent::new(code, KeyModifiers::NONE)
}

#[test]
fn an_offline_cpu_with_a_pending_wake_is_shown_on_80x24() {
    shows(
        UNICODE,
        4,
        (80, 24),
        expect![[r#"
             rust_smpboot  3/4 CPUs online · no timers · 31 events · command 13.6 ms
                                       -10.0 s                                           now
               0 online                █████████████████████████████████████████████████████
                 sleeping                   ◇─────────┴●─────────●──────────────────────────

            ▌  1 offline               ███████████████████████████████▒▒▒░░░░░ offline ░░░░░
            ▌    wake pending               ─◇─────────┴●─────────●────▼░░░░░ parked ░!░░░░░

               2 online                █████████████████████████████████████████████████████
                 sleeping                   ──◇──────────●─────────●────────────────────────

               3 online                █████████████████████████████████████████████████████
                 sleeping                   ───◇◆─────────●─────────●───────────────────────

             CPU 1 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 116 · wake 3, run 2, park 1
            CPU 1 is offline: the wake stays pending until the thread is unparked.

             [    4.852975] rust_smpboot_demo: cpu0: create
             ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
             [    4.969725] rust_smpboot_demo: cpu1: park
             ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
                 ENOENT (No such file or directory)
             ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
            space on/off w wake t timers i module f fail e explain z freeze ? help q quit
        "#]],
    );
}

#[test]
fn a_wide_screen_has_latencies_and_bars() {
    shows(
        UNICODE,
        4,
        (120, 40),
        expect![[r#"
             rust_smpboot  3/4 CPUs online · no timers · 31 events · command 13.6 ms
                                                                         -10.0 s                                                 now
               0 online              p50 87.1 µs  p99 1.24 ms            ███████████████████████████████████████████████████████████
                 sleeping            max 4.26 ms  ▁ ▃▇▅▁                      ◇◆──────────┴●──────────●─────────────────────────────

            ▌  1 offline             p50 87.1 µs  p99 1.24 ms            ███████████████████████████████████▒▒░░░░░░ offline ░░░░░░░
            ▌    wake pending        max 4.26 ms  ▁ ▃▇▅▁                      ──◇──────────┴●──────────●─────▼░░░░░░ parked ░░!░░░░░

               2 online              p50 87.1 µs  p99 1.24 ms            ███████████████████████████████████████████████████████████
                 sleeping            max 4.26 ms  ▁ ▃▇▅▁                      ───◇───────────●──────────●───────────────────────────

               3 online              p50 87.1 µs  p99 1.24 ms            ███████████████████████████████████████████████████████████
                 sleeping            max 4.26 ms  ▁ ▃▇▅▁                      ────◇◆──────────┴●──────────●─────────────────────────

             CPU 1 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 116 · wake 3, run 2, park 1
            CPU 1 is offline: the wake stays pending until the thread is unparked.

             ~ # insmod rust_smpboot_demo.ko
             [    4.852975] rust_smpboot_demo: cpu0: create
             ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
             [    4.969725] rust_smpboot_demo: cpu1: park
             ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
                 ENOENT (No such file or directory)
             ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake















            space on/off w wake t timers i module f fail e explain z freeze ? help q quit
        "#]],
    );
}

#[test]
fn a_single_cpu_is_shown() {
    shows(
        UNICODE,
        1,
        (80, 24),
        expect![[r#"
             rust_smpboot  1/1 CPUs online · no timers · 31 events · command 13.6 ms
                                       -10.0 s                                           now
            ▌  0 online                █████████████████████████████████████████████████████
            ▌    sleeping                   ◇─────────┴●─────────●──────────────────────────

             CPU 0 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 115 · wake 3, run 2, park 0
            CPU 1 is offline: the wake stays pending until the thread is unparked.

             ~ # insmod rust_smpboot_demo.ko
             [    4.852975] rust_smpboot_demo: cpu0: create
             ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
             [    4.969725] rust_smpboot_demo: cpu1: park
             ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
                 ENOENT (No such file or directory)
             ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake








            space on/off w wake t timers i module f fail e explain z freeze ? help q quit
        "#]],
    );
}

#[test]
fn many_cpus_have_one_row_each() {
    shows(
        UNICODE,
        16,
        (80, 24),
        expect![[r#"
             rust_smpboot  15/16 CPUs online · no timers · 31 events · command 13.6 ms
             CPUs 0 to 13 of 16        -10.0 s                                           now
               0 online    sleeping    █████◇─────────┴●─────────●──────────────────────────
            ▌  1 offline   pending     █████─◇─────────┴●─────────●───▒▼▒░░░░ offline !░░░░░
               2 online    sleeping    █████──◇──────────●─────────●────────────────────────
               3 online    sleeping    █████───◇◆─────────●─────────●───────────────────────
               4 online    sleeping    █████────◇◆─────────●─────────●──────────────────────
               5 online    sleeping    █████◇─────────┴●─────────●──────────────────────────
               6 online    sleeping    █████─◇─────────┴●─────────●─────────────────────────
               7 online    sleeping    █████──◇──────────●─────────●────────────────────────
               8 online    sleeping    █████───◇◆─────────●─────────●───────────────────────
               9 online    sleeping    █████────◇◆─────────●─────────●──────────────────────
              10 online    sleeping    █████◇─────────┴●─────────●──────────────────────────
              11 online    sleeping    █████─◇─────────┴●─────────●─────────────────────────
              12 online    sleeping    █████──◇──────────●─────────●────────────────────────
              13 online    sleeping    █████───◇◆─────────●─────────●───────────────────────
             CPU 1 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 116 · wake 3, run 2, park 1
            CPU 1 is offline: the wake stays pending until the thread is unparked.

             [    4.969725] rust_smpboot_demo: cpu1: park
             ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
                 ENOENT (No such file or directory)
             ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
            space on/off w wake t timers i module f fail e explain z freeze ? help q quit
        "#]],
    );
}

#[test]
fn a_large_screen_has_room_for_64_cpus() {
    let text = screen(&mut View::new(UNICODE), &state(64), 200, 60);
    let rows = |word| text.lines().filter(|line| line.contains(word)).count();
    assert_eq!(rows("sleeping"), 49, "{text}");
    assert_eq!(text.lines().map(|line| line.chars().count()).max(), Some(200));
    assert!(text.contains(" CPUs 0 to 49 of 64"), "{text}");
}

#[test]
fn ascii_terminals_get_ascii() {
    let look = Look { ascii: true, colors: true };
    shows(
        look,
        4,
        (80, 24),
        expect![[r#"
             rust_smpboot  3/4 CPUs online | no timers | 31 events | command 13.6 ms
                                       -10.0 s                                           now
               0 online                =====================================================
                 sleeping                   +---------io---------o--------------------------

            >  1 offline               ===============================%%%..... offline .....
            >    wake pending               -+---------io---------o----v::::: parked :!:::::

               2 online                =====================================================
                 sleeping                   --+----------o---------o------------------------

               3 online                =====================================================
                 sleeping                   ---+#---------o---------o-----------------------

             CPU 1 | p50 87.1 us, p99 1.24 ms, max 4.26 ms | PID 116 | wake 3, run 2, park 1
            CPU 1 is offline: the wake stays pending until the thread is unparked.

             [    4.852975] rust_smpboot_demo: cpu0: create
             ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
             [    4.969725] rust_smpboot_demo: cpu1: park
             ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
                 ENOENT (No such file or directory)
             ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
            space on/off w wake t timers i module f fail e explain z freeze ? help q quit
        "#]],
    );
    for overlay in [Overlay::Help, Overlay::Explain, Overlay::Report, Overlay::Samples] {
        for size in [(80, 24), (200, 60)] {
            let mut view = View::new(look);
            view.overlay = Some(overlay);
            let text = screen(&mut view, &with_samples(state(64)), size.0, size.1);
            assert!(text.is_ascii(), "{text}");
        }
    }
}

/// Color is never the only sign: the text is the same without colors.
#[test]
fn without_colors_the_text_is_the_same() {
    for cpus in [1, 4, 16] {
        let plain = Look { ascii: false, colors: false };
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| draw(frame, &mut View::new(plain), &state(cpus), NOW)).unwrap();
        let cells = terminal.backend().buffer().content().iter();
        use ratatui::style::Color::Reset;
        assert!(cells.clone().all(|cell| (cell.fg, cell.bg) == (Reset, Reset)));
        let [colored, plain] =
            [UNICODE, plain].map(|look| screen(&mut View::new(look), &state(cpus), 80, 24));
        assert_eq!(colored, plain);
    }
}

#[test]
fn help_has_each_key_and_its_command() {
    let mut view = View::new(UNICODE);
    view.chosen = 1;
    view.overlay = Some(Overlay::Help);
    expect![[r#"
         rust_smpboot  3/4 CPUs online · no timers · 31 events · command 13.6 ms
         ╭─ Keys ─────────────────────────────────────────────────────────────────────╮
         │   space   bring this CPU online                                            │
         │           echo 1 > /sys/devices/system/cpu/cpu1/online                     │
         │   0-9     the same for CPU 0 to 9; a click too                             │
         │   w       wake this thread; a right click too                              │
         │           echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake                │
         │   W       wake all threads                                                 │
         │           echo all > /sys/kernel/debug/rust_smpboot_demo/wake              │
         │   t       next period of the timers                                        │
         │           echo 100000 > /sys/kernel/debug/rust_smpboot_demo/period_us      │
         │   i       unload the module                                                │
         │           rmmod rust_smpboot_demo                                          │
         │   f       let the next offline or online fail                              │
         │           echo STATE > /sys/devices/system/cpu/cpu1/hotplug/fail           │
         │   $       a shell in the guest                                             │
         │   up down choose a CPU; also j, k, page up, page down, wheel               │
         │   z       freeze; left, right: scroll; + -: zoom                           │
         │   e o s T explain this CPU; write the report now; samples; the tour        │
         │   q       end the session: verdict and report                              │
         │   ◇ create  ◆ setup  ┴ wake  ● run  ▼ park  ▲ unpark  × cleanup  ! pending │
         ╰─ Esc back ─────────────────────────────────────────────────────────────────╯
         ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
        space on/off w wake t timers i module f fail e explain z freeze ? help q quit
    "#]]
    .assert_eq(&screen(&mut view, &state(4), 80, 24));
}

#[test]
fn a_cpu_is_explained() {
    let mut view = View::new(UNICODE);
    view.chosen = 1;
    view.overlay = Some(Overlay::Explain);
    expect![[r#"
         rust_smpboot  3/4 CPUs online · no timers · 31 events · command 13.6 ms
                                   -10.0 s                                           now
           0 online                █████████████████████████████████████████████████████
             sleeping                   ◇─────────┴●─────────●──────────────────────────

        ▌  1 offline               ███████████████████████████████▒▒▒░░░░░ offline ░░░░░
         ╭─ CPU 1 ────────────────────────────────────────────────────────────────────╮
         │   none → created → active ⇄ [parked] → stopped                             │
         │                                                                            │
         │ CPU 1 is offline. Online again (space), the kernel unparks its thread.     │
         │ Its thread, PID 116, is parked: it exists, with its state, and runs        │
         │ nothing.                                                                   │
         │ It was woken since: the wake is pending, and run() is called after the     │
         │ unpark.                                                                    │
         │ So far: setup 1, wake 3, run 2, park 1, unpark 0, cleanup 0.               │
         │ There are fewer runs than wakes: one run answers all wakes before it.      │
         │ From a wake to its run: p50 87.1 µs, p99 1.24 ms, max 4.26 ms.             │
         ╰─ Esc back ─────────────────────────────────────────────────────────────────╯
         ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
         [    4.969725] rust_smpboot_demo: cpu1: park
         ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
             ENOENT (No such file or directory)
         ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
        space on/off w wake t timers i module f fail e explain z freeze ? help q quit
    "#]]
    .assert_eq(&screen(&mut view, &state(4), 80, 24));
}

/// The sentence on the last action and the newest lines of the log stay visible.
#[test]
fn the_samples_are_listed() {
    let mut view = View::new(UNICODE);
    view.overlay = Some(Overlay::Samples);
    let mut state = with_samples(state(4));
    state.sentence = "insmod rust_cpuhp.ko failed: EBUSY (Device or resource busy).".into();
    expect![[r#"
         rust_smpboot  3/4 CPUs online · no timers · 31 events · command 13.6 ms
                                   -10.0 s                                           now
        ▌  0 online                █████████████████████████████████████████████████████
        ▌    sleeping                   ◇─────────┴●─────────●──────────────────────────

         ╭─ Samples ──────────────────────────────────────────────────────────────────╮
         │ ▌rust_ksoftirqd               interrupts leave work to a thread            │
         │  rust_rcuc             loaded park moves a queue to another CPU            │
         │  rust_cpu_stop                self-parking threads                         │
         │  rust_cpuhp                   state that only its thread changes           │
         │  rust_idle_inject             FIFO threads that a timer wakes              │
         │  rust_percpu_workqueue        queues whose items wait, move or are refused │
         │   ~ # insmod rust_ksoftirqd.ko                                             │
         ╰─ space load or unload   0-9 CPU on, off   Esc back ────────────────────────╯
         CPU 0 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 115 · wake 3, run 2, park 0
        insmod rust_cpuhp.ko failed: EBUSY (Device or resource busy).

         [    4.852975] rust_smpboot_demo: cpu0: create
         ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
         [    4.969725] rust_smpboot_demo: cpu1: park
         ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
             ENOENT (No such file or directory)
         ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
        space on/off w wake t timers i module f fail e explain z freeze ? help q quit
    "#]]
    .assert_eq(&screen(&mut view, &state, 80, 24));
}

#[test]
fn keys_load_and_unload_samples() {
    let (state, mut view) = (with_samples(state(4)), View::new(UNICODE));
    let mut press = |code| view.key(key(code), NOW, &state);
    let act = |name, load| Some(Request::Act(Action::Sample { name, load }));
    assert_eq!(press(KeyCode::Char('s')), None);
    assert_eq!(press(KeyCode::Up), None);
    assert_eq!(press(KeyCode::Enter), act("rust_ksoftirqd", true));
    // Again, before the session has done it.
    assert_eq!(press(KeyCode::Char(' ')), act("rust_ksoftirqd", false));
    assert_eq!(press(KeyCode::Down), None);
    assert_eq!(press(KeyCode::Char(' ')), act("rust_rcuc", false));
    // CPUs go offline and online during this.
    assert_eq!(press(KeyCode::Char('2')), Some(Request::Act(Action::Offline(2))));
    for _ in 0..9 {
        assert_eq!(press(KeyCode::Char('j')), None);
    }
    assert_eq!(press(KeyCode::Enter), act("rust_percpu_workqueue", true));
    assert_eq!(press(KeyCode::Char('s')), None);
    assert_eq!(press(KeyCode::Char(' ')), Some(Request::Act(Action::Online(2))));
}

#[test]
fn a_frozen_window_scrolls_back() {
    let (state, mut view) = (state(2), View::new(UNICODE));
    for code in [KeyCode::Char('z'), KeyCode::Left, KeyCode::Char('+')] {
        assert_eq!(view.key(key(code), NOW, &state), None);
    }
    expect![[r#"
         rust_smpboot  1/2 CPUs online · no timers · 31 events · command 13.6 ms
                                   -7.50 s                               frozen, -2.50 s
        ▌  0 online                █████████████████████████████████████████████████████
        ▌    sleeping              ─────┴●───────────────────●──────────────────────────
           1 offline               █████████████████████████████████████▒▒▒░░ offline ░░
             wake pending          ───────┴●───────────────────●─────────▼░░ parked ░░░░
         CPU 0 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 115 · wake 3, run 2, park 0
        CPU 1 is offline: the wake stays pending until the thread is unparked.

         [    4.969725] rust_smpboot_demo: cpu1: park
         ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
             ENOENT (No such file or directory)
         ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
        space on/off w wake t timers i module f fail e explain z freeze ? help q quit
    "#]]
    .assert_eq(&screen(&mut view, &state, 80, 14));
    // To the right of the present it moves again.
    for _ in 0..3 {
        view.key(key(KeyCode::Right), NOW, &state);
    }
    assert_eq!(view.frozen, None);
}

#[test]
fn the_end_has_the_verdict() {
    let mut state = state(4);
    state.status = Status::Ended { ok: true, lines: vec!["31 events, all lives conform.".into()] };
    state.reports = vec!["/x/build/report/play.html".into()];
    expect![[r#"
         rust_smpboot  3/4 CPUs online · no timers · 31 events · command 13.6 ms
                                   -10.0 s                                           now
        ▌  0 online                █████████████████████████████████████████████████████
        ▌    sleeping                   ◇─────────┴●─────────●──────────────────────────

           1 offline               ███████████████████████████████▒▒▒░░░░░ offline ░░░░░
             wake pending               ─◇─────────┴●─────────●────▼░░░░░ parked ░!░░░░░

           2 online                █████████████████████████████████████████████████████
             sleeping                   ──◇──────────●─────────●────────────────────────
         ╭─ The session has ended ────────────────────────────────────────────────────╮
         │ 31 events, all lives conform.                                              │
         │ Report: /x/build/report/play.html                                          │
         ╰─ q quit ───────────────────────────────────────────────────────────────────╯
         CPU 0 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 115 · wake 3, run 2, park 0
        CPU 1 is offline: the wake stays pending until the thread is unparked.

         [    4.852975] rust_smpboot_demo: cpu0: create
         ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
         [    4.969725] rust_smpboot_demo: cpu1: park
         ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
             ENOENT (No such file or directory)
         ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
         q quit
    "#]]
    .assert_eq(&screen(&mut View::new(UNICODE), &state, 80, 24));
    let lines = vec!["The guest hung: silent for 30.0 s during 'insmod x'.".into()];
    state.status = Status::Ended { ok: false, lines };
    let text = screen(&mut View::new(UNICODE), &state, 80, 24);
    assert!(text.contains("FAILED") && text.contains("The guest hung"), "{text}");
}

#[test]
fn a_small_terminal_is_told_so() {
    let text = screen(&mut View::new(UNICODE), &state(4), 40, 8);
    assert!(text.contains("This terminal has 40x8 characters."), "{text}");
    for (width, height) in [(1, 1), (60, 12), (61, 13), (300, 100)] {
        for cpus in [1, 2, 4, 16, 64, 128] {
            let overlays = [Overlay::Help, Overlay::Explain, Overlay::Samples].map(Some);
            for overlay in [None].into_iter().chain(overlays) {
                let mut view = View::new(UNICODE);
                view.overlay = overlay;
                screen(&mut view, &with_samples(state(cpus)), width, height);
            }
        }
    }
}

/// The tour of two CPUs, with the pace of a test.
fn toured(state: &mut State) -> View {
    let mut view = View::new(UNICODE);
    let machine = Machine::new(vec![0, 1], vec![1], "", "");
    state.machine = Arc::new(machine.clone());
    view.guide = Some(Guide::new(1, machine, &state.observation(), Duration::ZERO));
    view
}

#[test]
fn the_tour_has_its_page_below_the_lanes() {
    let mut state = state(2);
    state.cpus.insert(1, online(1));
    for cpu in state.cpus.values_mut() {
        (cpu.counts.run, cpu.pending) = (3, false);
    }
    let mut view = toured(&mut state);
    expect![[r#"
         rust_smpboot  2/2 CPUs online · no timers · 31 events · command 13.6 ms
                                   -10.0 s                                           now
        ▌  0 online                █████████████████████████████████████████████████████
        ▌    sleeping                   ◇─────────┴●─────────●──────────────────────────

           1 online                █████████████████████████████████████████████████████
             sleeping                   ─◇─────────┴●─────────●─────────────────────────

         CPU 0 · p50 87.1 µs, p99 1.24 ms, max 4.26 ms · PID 115 · wake 3, run 3, park 0
         Lesson 1 of 10: Park is a part of offline  step 1 of 3
         Some work belongs to one CPU, and has a kernel thread on each CPU. The kernel
         parks such a thread before its CPU stops: the thread keeps its state, and does
         not run.
         ▶ Wake the thread of CPU 1: it runs
           ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake
         ~ # insmod rust_smpboot_demo.ko
         [    4.852975] rust_smpboot_demo: cpu0: create
         ~ # echo 0 > /sys/devices/system/cpu/cpu1/online
         [    4.969725] rust_smpboot_demo: cpu1: park
         ~ # echo 0 > /sys/devices/system/cpu/cpu0/online
             ENOENT (No such file or directory)
         ~ # echo 1 > /sys/kernel/debug/rust_smpboot_demo/wake

         The tour runs. Any key takes over; n next step; T no tour; q quit
    "#]]
    .assert_eq(&screen(&mut view, &state, 80, 24));
}

#[test]
fn the_tour_acts_until_a_key_takes_over() {
    let mut state = state(2);
    state.cpus.insert(1, online(1));
    let mut view = toured(&mut state);
    let wake = Some(Request::Act(Action::Wake(Target::Cpu(1))));
    assert_eq!(view.guided(NOW, &state), wake);
    assert_eq!(view.chosen, 1);
    // Not while the action runs.
    assert_eq!(view.guided(NOW + S, &state), None);
    let text = screen(&mut view, &state, 80, 24);
    assert!(text.contains("Any key takes over"), "{text}");

    assert_eq!(view.key(key(KeyCode::Char('k')), NOW, &state), None);
    state.actions += 1;
    state.cpus.get_mut(&1).unwrap().counts.wake += 1;
    assert_eq!(view.guided(NOW + 2 * S, &state), None);
    let text = screen(&mut view, &state, 80, 24);
    assert!(text.contains("r run T no tour"), "{text}");
    // It continues from there.
    assert_eq!(view.key(key(KeyCode::Char('r')), NOW, &state), None);
    assert!(view.guided(NOW + 3 * S, &state).is_some());
    view.key(key(KeyCode::Char('T')), NOW, &state);
    assert!(view.guide.is_none());
}

/// A short offline is seen, however long the window is.
#[test]
fn short_states_and_rare_marks_are_shown() {
    let mut state = state(2);
    let cpu = state.cpus.get_mut(&0).unwrap();
    let at = 18 * S;
    cpu.powers.extend([
        Span { from: at, state: Power::GoingOffline },
        Span { from: at + 1000, state: Power::Online },
    ]);
    let runs = (0..50).map(|n| Mark { time: at + n * 1000, kind: Kind::Run });
    cpu.marks.extend(runs);
    cpu.marks.push_back(Mark { time: at, kind: Kind::Park });
    let text = screen(&mut View::new(UNICODE), &state, 80, 24);
    let row = |n: usize| text.lines().nth(n).unwrap_or_default().to_owned();
    assert_eq!(row(2).matches('▒').count(), 1, "{text}");
    assert_eq!(row(3).matches('▼').count(), 1, "{text}");
}

#[test]
fn keys_ask_for_actions() {
    let (state, mut view) = (state(12), View::new(UNICODE));
    let mut press = |code| view.key(key(code), NOW, &state);
    let act = |action| Some(Request::Act(action));
    assert_eq!(press(KeyCode::Char(' ')), act(Action::Offline(0)));
    assert_eq!(press(KeyCode::Char('1')), act(Action::Online(1)));
    assert_eq!(press(KeyCode::Down), None);
    assert_eq!(press(KeyCode::Char('w')), act(Action::Wake(Target::Cpu(2))));
    assert_eq!(press(KeyCode::Char('W')), act(Action::Wake(Target::All)));
    assert_eq!(press(KeyCode::Char('t')), act(Action::Period(300_000)));
    assert_eq!(press(KeyCode::Char('i')), act(Action::Unload));
    // Again, before the session has done any of it.
    assert_eq!(press(KeyCode::Char('i')), act(Action::Load));
    assert_eq!(press(KeyCode::Char('1')), act(Action::Offline(1)));
    assert_eq!(press(KeyCode::Char('t')), act(Action::Period(300_000)));
    assert_eq!(press(KeyCode::Char('t')), act(Action::Period(60_000)));
    assert_eq!(press(KeyCode::Down), None);
    assert_eq!(press(KeyCode::Char('f')), Some(Request::FailNext(2)));
    assert_eq!(press(KeyCode::Char('o')), Some(Request::Save));
    assert_eq!(press(KeyCode::Char('$')), Some(Request::Shell));
    assert_eq!(press(KeyCode::End), None);
    assert_eq!(press(KeyCode::Char('w')), act(Action::Wake(Target::Cpu(11))));
    assert_eq!(press(KeyCode::Char('q')), Some(Request::End));
    // It ends: nothing is changed any more.
    assert_eq!(press(KeyCode::Char('w')), None);
    assert_eq!(press(KeyCode::Char(' ')), None);
    assert_eq!(press(KeyCode::Char('q')), Some(Request::Leave));
}

#[test]
fn escape_closes_what_is_open() {
    let (state, mut view) = (state(4), View::new(UNICODE));
    for open in ['?', 'e', 's', 'o'] {
        view.key(key(KeyCode::Char(open)), NOW, &state);
        assert!(view.overlay.is_some());
        assert_eq!(view.key(key(KeyCode::Esc), NOW, &state), None);
        assert_eq!(view.overlay, None);
    }
    let end = view.key(key(KeyCode::Esc), NOW, &state);
    assert_eq!(end, None, "Esc does not end the session");
}

#[test]
fn clicks_toggle_and_wake() {
    let (state, mut view) = (state(16), View::new(UNICODE));
    view.chosen = 15;
    let text = screen(&mut view, &state, 80, 24);
    let row = text.lines().position(|line| line.starts_with("  12 ")).unwrap() as u16;
    let mut click = |kind, row| {
        let event = MouseEvent { kind, column: 30, row, modifiers: KeyModifiers::NONE };
        view.mouse(event, &state)
    };
    let down = MouseEventKind::Down;
    let act = |action| Some(Request::Act(action));
    assert_eq!(click(down(MouseButton::Left), row), act(Action::Offline(12)));
    let wake = act(Action::Wake(Target::Cpu(13)));
    assert_eq!(click(down(MouseButton::Right), row + 1), wake);
    assert_eq!(click(down(MouseButton::Left), 0), None);
    assert_eq!(click(down(MouseButton::Left), 23), None);
    assert_eq!(click(MouseEventKind::ScrollUp, 5), None);
    assert_eq!(view.chosen, 12);
}
