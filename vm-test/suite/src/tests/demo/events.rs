// SPDX-License-Identifier: GPL-2.0

//! The demo's event log, latencies and periodic wakes.

use anyhow::{Context, Result, bail, ensure};
use cli::note;
use demo_format::events::{self, Events};
use demo_format::format;
use demo_module::{Counts, DIRECTORY, Demo, EVENTS_BINARY, MODULE, PERIOD, WAKE, file};
use host::errors::refused;
use host::guest::calls::{offline, online, write};
use host::guest::{DEFAULT_LIMIT, MAX_READ, Task, text};
use host::{Config, Vm};
use nix::errno::Errno::{self, EAGAIN, EFAULT, EINVAL, ERANGE};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use suite_macros::vm_test;
use wire::{Access, Answer, Call, Exit, FIRST_HANDLE, TaskEnd, Until, Value};

/// The number of events that a CPU's ring holds.
const RING: usize = format::RING as usize;

const BUSYBOX: &str = "/bin/busybox";

const EVENTS: &str = format::EVENTS.path;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Event {
    cpu: u32,
    number: u64,
    name: String,
    /// Number of lost events, if the event reports that.
    lost: u64,
}

/// Reads all present events.
fn drain(vm: &Vm) -> Result<Vec<Event>> {
    let handle = vm.open(EVENTS, Access::Read)?;
    parse(&handle.read()?)
}

fn parse(text: &str) -> Result<Vec<Event>> {
    text.lines().map(|line| event(line).with_context(|| format!("line {line:?}"))).collect()
}

fn event(line: &str) -> Result<Event> {
    let words: Vec<&str> = line.split(' ').collect();
    let [time, cpu, number, name, rest @ ..] = words.as_slice() else { bail!("too few words") };
    ensure!(*time == "-" || time.parse::<f64>().is_ok(), "no time");
    let lost = match (*name, rest) {
        ("lost", [count]) => count.parse()?,
        (_, []) => 0,
        _ => bail!("too many words"),
    };
    Ok(Event {
        cpu: cpu.strip_prefix("cpu").context("no CPU")?.parse()?,
        number: number.parse()?,
        name: name.to_string(),
        lost,
    })
}

/// The names of each CPU's events; fails unless they are numbered without gaps.
fn by_cpu(events: &[Event]) -> Result<BTreeMap<u32, Vec<String>>> {
    let mut next = BTreeMap::new();
    let mut names: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for event in events {
        let next = next.entry(event.cpu).or_insert(0);
        ensure!(event.number == *next, "expected number {next}, got {event:?}");
        *next += event.lost.max(1);
        names.entry(event.cpu).or_default().push(event.name.clone());
    }
    Ok(names)
}

/// The log has each callback, wake and run once, in order and numbered without gaps.
#[vm_test]
fn tell_the_life_of_each_thread(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    demo.wake(&cpu.to_string())?;
    demo.wait_for([(cpu, "run", 1)].into_iter())?;
    vm.cpu(cpu).offline()?;
    demo.wake(&cpu.to_string())?;
    vm.cpu(cpu).online()?;
    demo.wait_for([(cpu, "run", 2)].into_iter())?;

    let names = by_cpu(&drain(vm)?)?;
    for (other, names) in &names {
        if *other != cpu {
            assert_eq!(names, &["create", "setup"], "CPU {other}");
        }
    }
    assert_eq!(names[&cpu], ["create", "setup", "wake", "run", "park", "wake", "unpark", "run"]);
    demo.unload()
}

/// Both files hold the same events, in the documented layouts.
///
/// Decodes the documented layout without `demo/format.rs` on purpose: records that are written and
/// read by the same faulty code would agree.
#[vm_test]
fn binary_is_the_same_as_text(vm: &Vm) -> Result<()> {
    const KINDS: [&str; 9] = [
        "lost",
        "create",
        "setup",
        "park",
        "unpark",
        "cleanup(online)",
        "cleanup(offline)",
        "wake",
        "run",
    ];
    let demo = Demo::load(vm)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    demo.wake("all")?;
    vm.batch(vec![offline(cpu), online(cpu)])?;
    demo.wait_for([(cpu, "unpark", 1)].into_iter())?;
    vm.wait_for(&file(0, "run"), Until::AtLeast(1))?;

    let text = vm.open(EVENTS, Access::Read)?.read()?;
    let handle = vm.open(EVENTS_BINARY, Access::Read)?;
    let bytes = handle.read_bytes()?;
    assert_eq!(bytes.len() % 24, 0);
    let long = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap());
    let word = |b: &[u8]| u32::from_le_bytes(b.try_into().unwrap());
    let lines: Vec<String> = bytes
        .chunks(24)
        .map(|r| {
            let time = long(&r[0..8]);
            let kind = KINDS[word(&r[20..24]) as usize];
            let (seconds, nanoseconds) = (time / 1_000_000_000, time % 1_000_000_000);
            format!("{seconds}.{nanoseconds:09} cpu{} {} {kind}", word(&r[16..20]), long(&r[8..16]))
        })
        .collect();
    assert_eq!(lines, text.lines().collect::<Vec<_>>());
    drop(handle);
    demo.unload()
}

/// Takes the answer to the last call of a process that makes several.
fn last_answer(process: Task<'_>) -> Result<Answer> {
    match process.answer(DEFAULT_LIMIT)? {
        Value::Batch(answers) => answers.into_iter().last().context("no calls"),
        other => bail!("no batch: {other:?}"),
    }
}

/// Starts a process that reads all present events, and sleeps in its second read(2) of the file.
fn sleeping_reader(vm: &Vm) -> Result<Task<'_>> {
    let read = || Call::ReadHandle { handle: FIRST_HANDLE, max: 1 << 20 };
    let open = Call::Open { path: EVENTS.into(), access: Access::Read };
    let reader = vm.spawn(Call::Batch { calls: vec![open, read(), read()] })?;
    let sleeps = Until::Contains("State:\tS".into());
    vm.wait_for(&format!("/proc/{}/status", reader.pid), sleeps)?;
    Ok(reader)
}

/// A read without new events sleeps until there is one, and can be killed.
#[vm_test]
fn reader_waits_for_the_next(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let reader = sleeping_reader(vm)?;
    demo.wake("0")?;
    let bytes = last_answer(reader)?.map_err(Errno::from_raw)?;
    let first = parse(&text(bytes)?)?.into_iter().next();
    assert_eq!(first.map(|e| (e.cpu, e.name)), Some((0, "wake".into())));

    let reader = sleeping_reader(vm)?;
    assert_eq!(reader.kill(DEFAULT_LIMIT)?, TaskEnd::Died(Exit::Signal(Signal::SIGKILL as i32)));
    demo.unload()
}

/// A read of 16 MiB ends with the events recorded before it began, even while new ones are
/// recorded.
#[vm_test]
fn a_read_ends(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let cpus = vm.cpus("online")?;
    let open = |path: &str, access| Call::Open { path: path.into(), access };
    let forever = |call| Call::Repeat { times: u32::MAX, calls: vec![call], limit_ms: 600_000 };
    let wake = Call::WriteHandle { handle: FIRST_HANDLE, data: b"all".into() };
    let writer = Call::Batch { calls: vec![open(WAKE, Access::Write), forever(wake)] };
    let writers =
        cpus.iter().map(|_| vm.spawn(writer.clone())).collect::<Result<Vec<Task<'_>>>>()?;
    demo.wait_for(cpus.iter().map(|cpu| (*cpu, "wake", RING as u64)))?;

    // The lowest priority makes the reader slower than the writers.
    let yields = ["sh", "-c", "/bin/busybox renice 19 -p $PPID"].map(String::from);
    let argv = [&[BUSYBOX.to_string()], &yields[..]].concat();
    let yields = Call::Run { argv, limit_ms: vm.ms(DEFAULT_LIMIT) };
    let read = Call::ReadHandle { handle: FIRST_HANDLE, max: 16 << 20 };
    let open = open(EVENTS_BINARY, Access::Read);
    let calls = vec![yields.clone(), open.clone(), read.clone()];
    let reader = vm.spawn(Call::Batch { calls })?;
    let Ok(Value::Bytes(bytes)) = last_answer(reader)? else { bail!("the read failed") };
    let records = bytes.len() / 24;
    // All events in the rings, and for each ring a record of its lost events.
    ensure!(records <= cpus.len() * (RING + 1), "one read returned {records} records");

    let reader = vm.spawn(Call::Batch { calls: vec![yields, open, forever(read)] })?;
    assert_eq!(reader.kill(DEFAULT_LIMIT)?, TaskEnd::Died(Exit::Signal(Signal::SIGKILL as i32)));
    for writer in writers {
        writer.kill(DEFAULT_LIMIT)?;
    }
    demo.all_sleep()?;
    demo.unload()
}

/// SIGKILL ends a read between two events; the next read of the open file gets the second.
#[vm_test]
fn a_signal_ends_a_read(vm: &Vm) -> Result<()> {
    const TRIES: u32 = 60;
    let demo = Demo::load(vm)?;
    vm.write(PERIOD, "1000")?;
    let cpus = vm.cpus("online")?;
    demo.wait_for(cpus.iter().map(|cpu| (*cpu, "run", RING as u64)))?;
    demo.stop_timers()?;

    // Searches for a delay after which the signal arrives during the read.
    let mut delay_us = 20_000;
    for _ in 0..TRIES {
        let recorded = demo.counts(0)?.total();
        let script = format!(
            "exec 3<{EVENTS}
             {BUSYBOX} dd bs=16M count=1 <&3 >/dev/null 2>&1 & reader=$!
             {BUSYBOX} usleep {delay_us}; kill -9 $reader; wait $reader 2>/dev/null
             echo 0 >{WAKE}; {BUSYBOX} head -n 1 <&3"
        );
        let output = vm.run(&[BUSYBOX, "sh", "-c", &script])?;
        let next = event(output.lines().last().context("no event")?)?;
        if next.lost > 0 {
            delay_us += delay_us / 2;
        } else if next.cpu == 0 && next.number >= recorded {
            delay_us -= delay_us / 3;
        } else {
            return demo.unload();
        }
    }
    bail!("the signal ended none of {TRIES} reads")
}

/// A read whose buffer faults returns what was copied, and the next read returns the rest.
#[vm_test]
fn a_fault_loses_nothing(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    demo.wake("all")?;
    demo.wait_for(vm.cpus("online")?.into_iter().map(|cpu| (cpu, "run", 1)))?;
    demo.all_sleep()?;

    type IsWhole = fn(&[u8]) -> bool;
    let streams: [(_, IsWhole); 2] =
        [(EVENTS_BINARY, |bytes| bytes.len() % 24 == 0), (EVENTS, |bytes| bytes.ends_with(b"\n"))];
    for (path, is_whole) in streams {
        let all = vm.open(path, Access::Read)?.read_bytes()?;
        let file = vm.open(path, Access::Read)?;
        assert_eq!(refused(file.read_faulting(10))?, EFAULT, "{path}");
        let first = file.read_faulting(100)?;
        assert!(!first.is_empty() && first.len() <= 100 && is_whole(&first), "{path}: {first:?}");
        assert_eq!([first, file.read_bytes()?].concat(), all, "{path}");
    }
    // The other files have no records: a read returns any number of bytes.
    let files = vm.list(&file(0, ""))?.into_iter().map(|name| file(0, &name));
    for path in files.chain(["summary", "period_us"].map(|name| format!("{DIRECTORY}/{name}"))) {
        let all = vm.open(&path, Access::Read)?.read_bytes()?;
        let file = vm.open(&path, Access::Read)?;
        assert_eq!(refused(file.read_faulting(0))?, EFAULT, "{path}");
        let first = file.read_faulting(1)?;
        assert_eq!(first.len(), 1, "{path}");
        assert_eq!([first, file.read_bytes()?].concat(), all, "{path}");
    }
    demo.unload()
}

/// Two reads of one open file wait and get one event each; SIGKILL or O_NONBLOCK ends the second's
/// wait.
#[vm_test]
fn reads_of_one_file_take_turns(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let sleeps = |reader: &str| {
        format!("until {BUSYBOX} grep -q 'State:.S' /proc/${reader}/status; do :; done")
    };
    let (first, second) = (sleeps("first"), sleeps("second"));
    // The buffer has room for one event, so the first leaves one to the second.
    let read = format!("{BUSYBOX} dd bs=40 count=1 <&3");
    let script = format!(
        "exec 3<{EVENTS} 2>/dev/null; {BUSYBOX} dd bs=1M count=1 <&3 >/dev/null 2>&1
         {read} >/tmp/first 2>&1 & first=$!; {first}
         {read} >/tmp/second 2>&1 & second=$!; {second}
         kill -9 $second; wait $second; echo killed $?
         {read} >/tmp/second 2>&1 & second=$!; {second}
         echo 0 >{WAKE}; wait $first $second
         {BUSYBOX} grep -hE 'cpu0|dd:' /tmp/first /tmp/second"
    );
    let output = vm.run(&[BUSYBOX, "sh", "-c", &script])?;
    let (killed, events) = output.split_once('\n').context("too few lines")?;
    assert_eq!(killed, format!("killed {}", 128 + Signal::SIGKILL as i32), "{output}");
    let mut names: Vec<String> = parse(events)?.into_iter().map(|event| event.name).collect();
    names.sort();
    assert_eq!(names, ["run", "wake"], "{output}");

    let read = Call::ReadHandle { handle: FIRST_HANDLE, max: 1 << 20 };
    let beside = Call::ReadBeside { handle: FIRST_HANDLE, max: 1 << 20 };
    let open = Call::Open { path: EVENTS.into(), access: Access::Read };
    let reader = vm.spawn(Call::Batch { calls: vec![open, read, beside] })?;
    assert_eq!(last_answer(reader)?, Err(EAGAIN as i32));
    demo.unload()
}

/// The columns of the summary of 16 CPUs line up, also while a CPU is offline.
#[vm_test(machine = Config::smp(16))]
fn summary_stays_aligned(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    aligned(&demo.summary()?)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    vm.cpu(cpu).offline()?;
    demo.wake("all")?;
    // A KUnit suite of the demo checks this, too, with wider numbers than a run has.
    aligned(&demo.summary()?)?;
    vm.cpu(cpu).online()?;
    demo.wait_for([(cpu, "run", 1)].into_iter())?;
    aligned(&demo.summary()?)?;
    demo.unload()
}

/// All words of a column begin at the same place, or all end there.
fn aligned(table: &str) -> Result<()> {
    let place = |line: &str, word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
    let words = |line: &str| -> Vec<(usize, usize)> {
        let begins = line.split_whitespace().map(|word| (place(line, word), word.len()));
        begins.map(|(begin, length)| (begin, begin + length)).collect()
    };
    let rows: Vec<_> = table.lines().map(words).collect();
    let head = rows.first().context("an empty table")?;
    for row in &rows {
        ensure!(row.len() == head.len(), "a row has {} words:\n{table}", row.len());
    }
    for column in 0..head.len() {
        let same = |edge: fn(&(usize, usize)) -> usize| {
            rows.iter().all(|row| edge(&row[column]) == edge(&head[column]))
        };
        ensure!(same(|word| word.0) || same(|word| word.1), "column {column} shifts:\n{table}");
    }
    Ok(())
}

/// Two readers get the same events; overwritten events are counted exactly.
#[vm_test]
fn every_reader_gets_all(vm: &Vm) -> Result<()> {
    const TIMES: u32 = 3000;
    let demo = Demo::load(vm)?;
    let [first, second] = [vm.open(EVENTS, Access::Read)?, vm.open(EVENTS, Access::Read)?];
    vm.repeat(TIMES, vec![write(&format!("{DIRECTORY}/wake"), "0")], Duration::from_secs(20))?;
    vm.wait_for(&file(0, "state"), Until::Is("sleeping".into()))?;

    let mut all = Vec::new();
    for handle in [first, second] {
        let events = parse(&handle.read()?)?;
        let mine: Vec<Event> = events.into_iter().filter(|e| e.cpu == 0).collect();
        by_cpu(&mine)?;
        let lost: u64 = mine.iter().map(|e| e.lost).sum();
        let read = mine.iter().filter(|e| e.lost == 0).count() as u64;
        assert!(lost > 0, "the ring cannot have held {TIMES} wakes");
        let counts = demo.counts(0)?;
        assert_eq!(lost + read, counts.create + counts.setup + counts.wake + counts.run);
        all.push(mine);
    }
    // The second reader read later: one more event may have overwritten one.
    let first = all[1].iter().find(|e| e.lost == 0).map_or(0, |e| e.number);
    let last = all[0].last().map_or(0, |e| e.number);
    for events in &mut all {
        events.retain(|e| e.lost == 0 && (first..=last).contains(&e.number));
    }
    assert!(!all[0].is_empty());
    assert_eq!(all[0], all[1]);
    demo.unload()
}

/// Each of a million events, recorded while two CPUs go offline and online, is read or counted as
/// lost.
#[vm_test(long)]
fn a_million(vm: &Vm) -> Result<()> {
    const EVENTS: u64 = 1_000_000;
    let demo = Demo::load(vm)?;
    let cpus = vm.hotpluggable()?;
    let mut tasks = Vec::new();
    for cpu in &cpus[..2] {
        let calls = vec![offline(*cpu), online(*cpu)];
        tasks.push(vm.spawn(Call::Repeat { times: u32::MAX, calls, limit_ms: 600_000 })?);
    }
    vm.write(PERIOD, "100")?;
    let log = vm.open(EVENTS_BINARY, Access::ReadNow)?;
    let mut bytes = Vec::new();
    let total = |bytes: &[u8]| Ok::<_, anyhow::Error>(events::totals(&events::parse(bytes)?));
    let mut least = EVENTS as usize * 24 / 2;
    loop {
        bytes.extend(log.read_now()?);
        // Parsing all bytes each time would take longer than recording the events.
        if bytes.len() >= least {
            let (read, lost) = total(&bytes)?;
            if read + lost >= EVENTS {
                break;
            }
            least = bytes.len() + (EVENTS - read - lost) as usize * 24 / 2;
        }
    }
    vm.write(PERIOD, "0")?;
    for task in tasks {
        task.kill(Duration::from_secs(30))?;
    }
    for cpu in &cpus[..2] {
        vm.cpu(*cpu).online()?;
    }
    demo.all_sleep()?;
    demo_module::drain(&log, &mut bytes)?;
    drop(log);

    // Fails if a CPU's numbers have a gap or decrease.
    let (read, lost) = total(&bytes)?;
    let counts = demo.all_counts()?;
    let counted = counts.values().map(Counts::total);
    assert_eq!(read + lost, counted.sum::<u64>());
    let parks: u64 = counts.values().map(|c| c.park).sum();
    assert!(parks > 100, "only {parks} parks");
    note!("vm-test: {read} events read, {lost} lost, {parks} parks");
    demo.unload()
}

/// While a reader waits, rmmod fails with EAGAIN.
#[vm_test]
fn open_file_keeps_the_module(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let handle = vm.open(EVENTS, Access::Read)?;
    let reader = sleeping_reader(vm)?;
    assert_eq!(refused(vm.rmmod(MODULE))?, EAGAIN);
    demo.wake("0")?;
    reader.wait(DEFAULT_LIMIT)?;
    assert_eq!(refused(vm.rmmod(MODULE))?, EAGAIN);
    drop(handle);
    demo.unload()
}

/// The timer of a CPU stops while the CPU is offline; period 0 stops all timers.
#[vm_test]
fn periodic_wakes_follow_the_cpu(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let cpu = *vm.hotpluggable()?.last().unwrap();
    let runs_on = |cpu: u32| -> Result<()> {
        let runs = demo.counts(cpu)?.run;
        demo.wait_for([(cpu, "run", runs + 5)].into_iter())
    };

    vm.write(PERIOD, "2000\n")?;
    for cpu in vm.cpus("online")? {
        runs_on(cpu)?;
    }

    vm.cpu(cpu).offline()?;
    let parked = demo.counts(cpu)?;
    runs_on(0)?;
    assert_eq!(demo.counts(cpu)?, parked, "the timer of an offline CPU still fires");

    vm.cpu(cpu).online()?;
    runs_on(cpu)?;

    vm.write(PERIOD, "0\n")?;
    let online = vm.cpus("online")?;
    // Each thread stops its own timer in its next run: that wake was the last.
    let quiet =
        || -> Result<Vec<u64>> { online.iter().map(|cpu| Ok(demo.counts(*cpu)?.wake)).collect() };
    for cpu in &online {
        vm.wait_for(&file(*cpu, "state"), Until::Is("sleeping".into()))?;
    }
    let before = quiet()?;
    vm.call(Call::Pause { us: 20_000 })?;
    assert_eq!(quiet()?, before, "a timer still fires with period 0");
    demo.unload()
}

/// The buckets add up to the runs; writing 0 empties them; any other input is refused.
#[vm_test]
fn latency_histogram_counts_runs(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let path = file(0, "latency_hist");
    for n in 1..=20 {
        demo.wake("0")?;
        demo.wait_for([(0, "run", n)].into_iter())?;
    }
    vm.wait_for(&file(0, "state"), Until::Is("sleeping".into()))?;

    let text = vm.read(&path)?;
    let mut sum = 0;
    for line in text.lines() {
        let (range, count) = line.rsplit_once(' ').context("no count")?;
        let range = range.trim_matches(|c| "[)".contains(c));
        let (from, to) = range.split_once(", ").context("no range")?;
        let (from, to): (u64, u64) = (from.parse()?, to.parse()?);
        assert_eq!(to, (from * 2).max(1), "{line}");
        sum += count.parse::<u64>()?;
    }
    assert_eq!(sum, 20);

    for (input, errno) in
        [("1", ERANGE), ("", EINVAL), ("x", EINVAL), ("00x", EINVAL), ("-0", EINVAL)]
    {
        assert_eq!(refused(vm.write(&path, input))?, errno, "{input:?}");
    }
    assert_eq!(vm.read(&path)?, text);
    vm.write(&path, "0\n")?;
    assert_eq!(vm.read(&path)?, "");
    demo.unload()
}

/// A wake that stayed pending while its CPU was offline is not in the latencies.
#[vm_test]
fn pending_wakes_are_no_latency(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let cpu = *vm.hotpluggable()?.first().context("no CPU can go offline")?;
    let latencies = || -> Result<(String, String)> {
        Ok((vm.read(&file(cpu, "latency_hist"))?, vm.read(&file(cpu, "latency_max_ns"))?))
    };
    demo.wake(&cpu.to_string())?;
    demo.wait_for([(cpu, "run", 1)].into_iter())?;
    demo.all_sleep()?;
    let before = latencies()?;
    assert!(!before.0.is_empty());

    vm.cpu(cpu).offline()?;
    demo.wake(&cpu.to_string())?;
    vm.cpu(cpu).online()?;
    demo.wait_for([(cpu, "run", 2)].into_iter())?;
    demo.all_sleep()?;
    assert_eq!(latencies()?, before);
    // The next latency is measured.
    demo.wake(&cpu.to_string())?;
    demo.wait_for([(cpu, "run", 3)].into_iter())?;
    demo.all_sleep()?;
    assert_ne!(latencies()?.0, before.0);
    demo.unload()
}

/// A drain returns the recorded events and ends, however fast more are recorded.
#[vm_test]
fn a_drain_ends_while_events_come(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    // Faster than an emulator can read.
    vm.write(PERIOD, "100")?;
    let log = vm.open(EVENTS_BINARY, Access::ReadNow)?;
    let mut read = Events::default();
    for _ in 0..5 {
        let mut bytes = Vec::new();
        demo_module::drain(&log, &mut bytes)?;
        let most = events::capacity(vm.config().cpus) + MAX_READ as usize;
        ensure!(bytes.len() <= most, "{} bytes read, the rings hold {most}", bytes.len());
        read.add(&bytes)?;
    }
    assert!(events::totals(&read.into_cpus()).0 > 0);
    drop(log);
    demo.stop_timers()?;
    demo.unload()
}

/// Malformed periods and periods out of range are refused, and change nothing.
#[vm_test]
fn bad_periods(vm: &Vm) -> Result<()> {
    let demo = Demo::load(vm)?;
    let before = demo.all_counts()?;
    let digits = "9".repeat(4096);
    let malformed = ["", "\n", "x", "-1", "1000x", " 1000", "1000 ", "0x", "08", "1000\n\n"];
    let out_of_range = ["1", "99", "60000001", "18446744073709551616", &digits];
    let malformed = malformed.map(|period| (period, EINVAL));
    for (period, errno) in malformed.into_iter().chain(out_of_range.map(|period| (period, ERANGE)))
    {
        assert_eq!(refused(vm.write(PERIOD, period))?, errno, "{period:.40}");
        assert_eq!(vm.read(PERIOD)?, "0");
        assert_eq!(demo.all_counts()?, before, "{period:.40} had an effect");
    }
    // The formats of kstrtou64().
    for (period, number) in
        [("+60000000", "60000000"), ("0x1C9C380\n", "30000000"), ("0165160600", "30728576")]
    {
        vm.write(PERIOD, period)?;
        assert_eq!(vm.read(PERIOD)?, number, "{period:?}");
    }
    demo.stop_timers()?;
    demo.unload()
}
