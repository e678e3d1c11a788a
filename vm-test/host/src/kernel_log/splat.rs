// SPDX-License-Identifier: GPL-2.0

//! Finds splats in a kernel log.
//!
//! A splat begins with a line that matches the table, or with an unexpected record that the kernel
//! logs as a warning or worse. All lines of a report are one splat.

use super::without_stamp;
use wire::Record;

/// The level of `pr_warn()`.
const WARNING: u8 = 4;

struct Pattern {
    kind: &'static str,
    place: Place,
    text: &'static str,
    end: End,
}

enum Place {
    Start,
    Anywhere,
}

/// Where a splat ends. A dump that follows directly belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With its first line.
    Line,
    /// With the first stack trace.
    Trace,
    /// With the next [`is_ruler`].
    Ruler,
    /// With a line that contains this.
    At(&'static str),
    /// The line belongs to the splat before it. Alone it begins one with a trace.
    Part,
}
use End::*;

const END_TRACE: End = At("---[ end trace ");

const fn start(kind: &'static str, text: &'static str, end: End) -> Pattern {
    Pattern { kind, place: Place::Start, text, end }
}

const fn anywhere(kind: &'static str, text: &'static str, end: End) -> Pattern {
    Pattern { kind, place: Place::Anywhere, text, end }
}

/// Texts of the kernel's source. The first line of the table found in a report names it, so
/// specific ones stand before general ones.
const SPLATS: &[Pattern] = &[
    anywhere("Rust panic", "rust_kernel: panicked", END_TRACE),
    anywhere("KASAN", "BUG: KASAN: ", Ruler),
    start("KASAN", "KASAN: ", Part),
    anywhere("KFENCE", "BUG: KFENCE: ", Ruler),
    anywhere("KCSAN", "BUG: KCSAN: ", Ruler),
    anywhere("KMSAN", "BUG: KMSAN: ", Ruler),
    anywhere("UBSAN", "UBSAN: ", At("---[ end trace ]---")),
    anywhere("CFI", "CFI failure at", END_TRACE),
    anywhere("scheduling while atomic", "BUG: scheduling while atomic", Trace),
    anywhere("sleep in atomic", "BUG: sleeping function called", Trace),
    anywhere("soft lockup", "BUG: soft lockup", Trace),
    anywhere("hard lockup", "hard LOCKUP", Trace),
    anywhere("workqueue lockup", "BUG: workqueue lockup", Line),
    anywhere("hung task", " blocked on a", Part),
    start("hung task", "INFO: task ", Trace),
    anywhere("RCU stall", "self-detected stall", Trace),
    anywhere("RCU stall", "detected stalls", Trace),
    anywhere("RCU stall", "detected expedited stalls", Trace),
    anywhere("RCU stall", "detected stall, but suppressed", Line),
    anywhere("RCU stall", "kthread starved for", Part),
    anywhere("RCU stall", "kthread timer wakeup didn't happen", Part),
    anywhere("CSD lockup", "non-responsive CSD lock", Trace),
    anywhere("lockdep", "possible circular locking dependency", Trace),
    anywhere("lockdep", "possible recursive locking", Trace),
    anywhere("lockdep", "possible irq lock inversion", Trace),
    anywhere("lockdep", "lock order detected", Trace),
    anywhere("lockdep", "inconsistent lock state", Trace),
    anywhere("lockdep", "bad unlock balance", Trace),
    anywhere("lockdep", "bad contention detected", Trace),
    anywhere("lockdep", "held lock freed", Trace),
    anywhere("lockdep", "Nested lock was not taken", Trace),
    anywhere("lockdep", "chain_key collision", Trace),
    anywhere("lockdep", "bad path found in chain graph", Line),
    anywhere("lockdep", "still has locks held", Trace),
    anywhere("lockdep", "Invalid wait context", Trace),
    anywhere("lockdep", "suspicious RCU usage", Trace),
    anywhere("lockdep", "trying to register non-static key", Trace),
    anywhere("lockdep", "lock held when returning to user space", Line),
    anywhere("lockdep", "DEBUG_LOCKS_WARN_ON", END_TRACE),
    // Lockdep turns itself off, with a line that is no warning.
    anywhere("lockdep", "turning off the locking correctness validator", Trace),
    anywhere("ODEBUG", "ODEBUG: Out of memory", Line),
    anywhere("ODEBUG", "ODEBUG: object ", END_TRACE),
    anywhere("ODEBUG", "ODEBUG: ", END_TRACE),
    anywhere("kmemleak", "new suspected memory leaks", Line),
    anywhere("kmemleak", "Kernel memory leak detector disabled", Line),
    anywhere("corruption", "list_add corruption", END_TRACE),
    anywhere("corruption", "list_add double add", END_TRACE),
    anywhere("corruption", "list_del corruption", END_TRACE),
    anywhere("corruption", "Bad page state", Trace),
    anywhere("corruption", "Bad page map", Trace),
    anywhere("corruption", "kernel stack overflow", END_TRACE),
    anywhere("corruption", "stack guard page was hit", END_TRACE),
    anywhere("corruption", "Thread overran stack", Part),
    anywhere("corruption", "Kernel memory exposure attempt detected", END_TRACE),
    anywhere("corruption", "Kernel memory overwrite attempt detected", END_TRACE),
    anywhere("corruption", "pagealloc: memory corruption", Trace),
    anywhere("corruption", "pagealloc: single bit error", Trace),
    anywhere("corruption", "percpu_ref underflow", Line),
    start("corruption", "refcount_t: ", END_TRACE),
    start("SLUB", "BUG ", Trace),
    anywhere("BUG", "kernel BUG at", END_TRACE),
    anywhere("BUG", "BUG: kernel NULL pointer dereference", END_TRACE),
    anywhere("BUG", "BUG: unable to handle page fault", END_TRACE),
    anywhere("BUG", "BUG: Bad rss-counter state", Line),
    anywhere("BUG", "BUG: non-zero pgtables_bytes", Line),
    anywhere("BUG", "BUG: ", Trace),
    start("WARNING", "WARNING: ", Trace),
    anywhere("WARNING", CUT_HERE, END_TRACE),
    anywhere("WARNING", "sent to offline CPU", Line),
    anywhere("WARNING", ", exited with ", Line),
    anywhere("WARNING", ": nobody cared", Trace),
    start("oops", "Unable to handle kernel", END_TRACE),
    anywhere("oops", "Oops: ", END_TRACE),
    start("oops", "Internal error: ", END_TRACE),
    start("oops", "general protection fault", END_TRACE),
    start("oops", "divide error", END_TRACE),
    start("oops", "invalid opcode", END_TRACE),
    start("oops", "int3:", END_TRACE),
    start("oops", "Insufficient stack space to handle exception", END_TRACE),
    start("oops", "SError Interrupt on CPU", END_TRACE),
    anywhere("oops", "Corrupted page table at address", END_TRACE),
    anywhere("oops", "double fault", END_TRACE),
    anywhere("oops", "Fixing recursive fault", Line),
    start("panic", "Kernel panic - not syncing", At("---[ end Kernel panic - not syncing")),
    anywhere("no memory", "page allocation failure", Trace),
    anywhere("no memory", "page allocation stall", Trace),
    anywhere("no memory", "invoked oom-killer", At("Killed process ")),
    anywhere("no memory", "Out of memory", Line),
    anywhere("no memory", "out of memory: Killed process", Line),
    anywhere("no memory", "vmalloc error: size ", Trace),
    start("no memory", "percpu: allocation failed", Trace),
    start("no memory", "SLUB: Unable to allocate memory", Line),
    anywhere("no memory", "Failed to create a worker thread: -ENOMEM", Line),
    start("no memory", "workqueue: allocation failed while", Line),
    start("no memory", "kmemleak: Cannot allocate", Line),
    start("no memory", "execmem: unable to allocate memory", Line),
    start("no memory", "debugfs: out of free ", Line),
    // These print ENOMEM as a number.
    anywhere("no memory", "kobject_add error: -12", Line),
    anywhere("no memory", "(error: -12 parent: ", Line),
    start("no memory", "kobject: can not set name properly!", Line),
    start("no memory", "kunit module: error filtering suites: -12", Line),
    // The number of suppressed reports of "page allocation failure" or "vmalloc error".
    start("no memory", "warn_alloc: ", Line),
    // A report that the table does not name has a trace.
    start("trace", "Call Trace:", Trace),
    start("trace", "Call trace:", Trace),
];

const CUT_HERE: &str = "------------[ cut here ]------------";

/// The kind of a line that is a splat only because of its level.
const UNEXPECTED: &str = "unexpected warning";

/// Beginnings of lines that only follow others: registers, stack traces, memory, tasks.
const DUMP: &[&str] = &[
    " ",
    "\t",
    "CPU: ",
    "Tainted: ",
    "Hardware name: ",
    "Workqueue: ",
    "Stopper: ",
    "RIP: ",
    "Code: ",
    "RSP: ",
    "RAX: ",
    "RDX: ",
    "RBP: ",
    "R10: ",
    "R13: ",
    "FS: ",
    "CS: ",
    "CR2: ",
    "DR0: ",
    "DR3: ",
    "PKRU: ",
    "pstate: ",
    "pc : ",
    "lr : ",
    "sp : ",
    "x2",
    "x1",
    "x8 : ",
    "x5 : ",
    "Modules linked in:",
    "Unloaded tainted modules:",
    "irq event stamp: ",
    "hardirqs last ",
    "softirqs last ",
    "INFO: lockdep is turned off",
    "Disabling lock debugging",
    "note: ",
    "---[ end ",
    "SMP: stopping secondary CPUs",
    "Kernel Offset: ",
    "CPU features: ",
    "Memory Limit: ",
    "Rebooting in ",
    "rcu: ",
    "Sending NMI from CPU ",
    "NMI backtrace for cpu ",
    "task:",
    "Showing ",
    "workqueue ",
    "pool ",
    "FIX ",
    "Mem-Info:",
    "active_anon:",
    "Node ",
    // After "Node 0"; without NUMA it is missing.
    "DMA free:",
    "DMA: ",
    "DMA32 free:",
    "DMA32: ",
    "Normal free:",
    "Normal: ",
    "Movable free:",
    "Movable: ",
    "lowmem_reserve[]: ",
    "Free swap ",
    "Total swap ",
    "Memory cgroup ",
];

fn is_dump(text: &str) -> bool {
    let pages = || text.starts_with(|c: char| c.is_ascii_digit()) && text.contains(" pages");
    DUMP.iter().any(|start| text.starts_with(start)) || pages()
}

/// The first and the last line of a sanitizer's report; lockdep begins with one, too.
fn is_ruler(text: &str) -> bool {
    text.len() >= 20 && text.bytes().all(|byte| byte == b'=')
}

/// The index in the table.
fn find(text: &str) -> Option<usize> {
    SPLATS.iter().position(|pattern| match pattern.place {
        Place::Start => text.starts_with(pattern.text),
        Place::Anywhere => text.contains(pattern.text),
    })
}

/// One report in a kernel log, from its first to its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splat {
    /// The kinds of all its lines; the first one names it.
    kinds: Vec<&'static str>,
    /// The line that describes it best.
    pub line: String,
    /// Number of lines.
    pub lines: usize,
    /// Index of `line` in the table; beyond its end if it is a splat only because of its level.
    rank: usize,
}

impl Splat {
    /// Its name in the table.
    pub fn kind(&self) -> &'static str {
        self.kinds[0]
    }

    /// Whether one of its lines is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kinds.contains(&kind)
    }

    /// Whether it is a splat only because of its level.
    pub fn is_unexpected(&self) -> bool {
        self.kind() == UNEXPECTED
    }

    fn new(text: &str, found: Option<usize>) -> Splat {
        let kind = found.map_or(UNEXPECTED, |found| SPLATS[found].kind);
        let rank = found.unwrap_or(SPLATS.len());
        Splat { kinds: vec![kind], line: text.into(), lines: 1, rank }
    }

    fn add(&mut self, text: &str, found: Option<usize>) {
        self.lines += 1;
        let Some(rank) = found else { return };
        let kind = SPLATS[rank].kind;
        // A warning names the cause, the head of its trace does not.
        let says_more = self.is_unexpected() && kind == TRACE && !is_dump(&self.line);
        if rank < self.rank && !says_more {
            (self.rank, self.line) = (rank, text.into());
            self.kinds.retain(|known| *known != kind);
            self.kinds.insert(0, kind);
        } else if !self.is(kind) {
            self.kinds.push(kind);
        }
    }
}

const TRACE: &str = "trace";

#[derive(Default)]
enum State {
    /// Outside of all splats.
    #[default]
    Outside,
    /// In the last splat.
    Inside(End),
    /// In its trace, after which it ends.
    InTrace,
    /// Directly after the last splat.
    After,
    /// This number of lines after the last splat. They are no warnings, and may be another CPU's,
    /// in the middle of the splat.
    Interrupted(usize),
}

/// Limit of another CPU's lines in the middle of a splat.
const INTERRUPTION: usize = 10;

/// Combines the lines of a log to splats.
#[derive(Default)]
pub struct Scanner {
    splats: Vec<Splat>,
    state: State,
}

impl Scanner {
    /// Adds a record.
    pub fn record(&mut self, record: &Record) {
        let expected = EXPECTED.iter().any(|part| record.text.contains(part));
        self.text(&record.text, record.level <= WARNING && !expected);
    }

    /// Adds a line of the console, which has no level.
    pub fn line(&mut self, line: &str) {
        self.text(without_stamp(line), false);
    }

    /// The splats, in order.
    pub fn finish(self) -> Vec<Splat> {
        self.splats
    }

    fn text(&mut self, text: &str, unexpected: bool) {
        if text.trim().is_empty() {
            return;
        }
        let found = find(text);
        self.state = match (&self.state, found) {
            (State::Inside(At(end)), _) => {
                let (end, ended) = (*end, text.contains(end));
                self.add(text, found);
                if ended { State::After } else { State::Inside(At(end)) }
            }
            (State::Inside(Ruler), _) if is_ruler(text) => {
                self.add(text, None);
                State::After
            }
            (State::Inside(Ruler), found) if found.is_none_or(is_detail) => {
                self.add(text, found);
                State::Inside(Ruler)
            }
            (State::Inside(_), found) if found.is_none_or(is_detail) && !is_ruler(text) => {
                self.add(text, found);
                let trace = found.is_some_and(|found| SPLATS[found].kind == TRACE);
                if trace { State::InTrace } else { State::Inside(Trace) }
            }
            (State::InTrace, None) if is_dump(text) => {
                self.add(text, None);
                State::InTrace
            }
            (State::InTrace | State::After, Some(found)) if is_detail(found) => {
                self.add(text, Some(found));
                State::InTrace
            }
            // The kernel panics because of it.
            (State::InTrace | State::After, Some(found)) if SPLATS[found].kind == "panic" => {
                self.add(text, Some(found));
                State::Inside(SPLATS[found].end)
            }
            (State::After, None) if is_dump(text) => {
                self.add(text, None);
                State::After
            }
            (_, None) if is_ruler(text) => State::Outside,
            (State::Interrupted(_), None) if unexpected && is_dump(text) => {
                self.add(text, None);
                State::InTrace
            }
            (_, None) if unexpected => {
                self.splats.push(Splat::new(text, None));
                State::After
            }
            (State::InTrace | State::After, None) => State::Interrupted(1),
            (State::Interrupted(lines), None) if *lines < INTERRUPTION => {
                State::Interrupted(lines + 1)
            }
            (_, None) => State::Outside,
            (_, Some(found)) => {
                // The kernel may print a line about corrupt memory first.
                let mut splat = Splat::new(text, Some(found));
                if let (State::After, Some(last)) = (&self.state, self.splats.last()) {
                    if last.is_unexpected() && last.line.starts_with(' ') {
                        splat.lines += last.lines;
                        self.splats.pop();
                    }
                }
                self.splats.push(splat);
                match SPLATS[found].end {
                    Line => State::After,
                    Part => State::Inside(Trace),
                    _ if SPLATS[found].kind == TRACE => State::InTrace,
                    end => State::Inside(end),
                }
            }
        };
    }

    fn add(&mut self, text: &str, found: Option<usize>) {
        if let Some(last) = self.splats.last_mut() {
            last.add(text, found);
        }
    }
}

/// Whether a line of the table belongs to the report around it.
fn is_detail(found: usize) -> bool {
    SPLATS[found].kind == TRACE || SPLATS[found].end == Part
}

/// Parts of warnings that are no splats.
const EXPECTED: &[&str] = &[
    // The modules under test are out of tree.
    "loading out-of-tree module taints kernel.",
    // Modules built for a test are not signed; the stock kernel loads them nevertheless.
    "module verification failed: signature and/or required key missing",
    // An interrupt was sent to a CPU on its way down: x86 reports that when the CPU is online
    // again.
    "APIC: Stale IRR: ",
    // QEMU's Cortex-A15 has no firmware: armhf warns when a CPU is online for the first time.
    "Spectre v2: firmware did not set auxiliary control register IBE bit",
    // A FIFO thread that injects idle time keeps ksoftirqd off the CPU, as does the kernel's own
    // idle injection.
    "NOHZ tick-stop error: local softirq work is pending, handler #",
    // The fair server, entitled to 50 ms per second, waited for more than one: a slow CPU injected
    // idle time.
    "sched: DL replenish lagged too much",
    // The number of suppressed `no longer affine to cpu`, if there were more than ten in five
    // seconds.
    "select_fallback_rq: ",
    // The VM has no disk for the image of a hibernation: the last lesson of the tour.
    "PM: Cannot find swap device",
    "PM: Cannot get swap writer",
    // The rest of a line of the kernel's torture modules that another CPU's line has interrupted.
    "onoff: ",
    // The end of that line in scftorture.
    " stnmie: ",
    // The end of that line in rcutorture.
    "gpwraps: ",
];

/// The kind of splat that a line of the console begins or belongs to.
pub fn in_line(line: &str) -> Option<&'static str> {
    find(without_stamp(line)).map(|found| SPLATS[found].kind)
}

/// Whether the emulator hit a breakpoint where memory has none. With one thread per CPU, TCG may
/// execute the first byte of an instruction that the kernel patches after the kernel has replaced
/// it. In the dump of the code the byte in brackets is the next one to execute, and the one before
/// it was executed.
pub fn is_emulator_fault<'a>(mut lines: impl Iterator<Item = &'a str>) -> bool {
    const INT3: &str = "cc";
    if !lines.any(|line| without_stamp(line).starts_with("Oops: int3")) {
        return false;
    }
    let code = lines.find_map(|line| without_stamp(line).strip_prefix("Code: "));
    let bytes = code.unwrap_or_default().split(' ').collect::<Vec<_>>();
    let next = bytes.iter().position(|byte| byte.starts_with('<'));
    next.is_some_and(|next| next > 0 && bytes[next - 1] != INT3)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line of each kind, as kernels print them.
    const SAMPLES: &[(&str, &str)] = &[
        ("panic", "[   12.1] Kernel panic - not syncing: sysrq triggered crash"),
        ("Rust panic", "[   12.1] rust_kernel: panicked at samples/x.rs:3:5:"),
        ("KASAN", "[    9.3] BUG: KASAN: slab-use-after-free in rust_demo_run+0x1a/0x40 [demo]"),
        ("KFENCE", "[    9.3] BUG: KFENCE: use-after-free read in rust_demo_run+0x1a/0x40 [demo]"),
        ("KCSAN", "[    9.3] BUG: KCSAN: data-race in wake / run"),
        ("UBSAN", "[    9.3] UBSAN: array-index-out-of-bounds in kernel/smpboot.c:92:12"),
        ("CFI", "[    9.3] CFI failure at smpboot_thread_fn+0x1 (target: run+0x0 [demo])"),
        ("scheduling while atomic", "[    9.3] BUG: scheduling while atomic: rust_demo/1/40/0x2"),
        (
            "sleep in atomic",
            "[ 9.3] BUG: sleeping function called from invalid context at kernel/locking/mutex.c:1",
        ),
        ("soft lockup", "[   60.2] watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [sh:40]"),
        ("hard lockup", "[   60.2] watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1"),
        ("workqueue lockup", "[   60.2] BUG: workqueue lockup - pool cpus=1 stuck for 31s!"),
        ("hung task", "[  130.1] INFO: task insmod:41 blocked for more than 10 seconds."),
        ("RCU stall", "[   60.2] rcu: INFO: rcu_preempt self-detected stall on CPU"),
        ("RCU stall", "[   60.2] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:"),
        ("RCU stall", "[   1.2] rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: {"),
        ("lockdep", "[    9.3] WARNING: possible circular locking dependency detected"),
        ("lockdep", "[    9.3] WARNING: possible recursive locking detected"),
        ("lockdep", "[    9.3] WARNING: inconsistent lock state"),
        ("lockdep", "[    9.3] WARNING: HARDIRQ-safe -> HARDIRQ-unsafe lock order detected"),
        ("lockdep", "[    9.3] [ BUG: Invalid wait context ]"),
        ("lockdep", "[    9.3] WARNING: suspicious RCU usage"),
        ("lockdep", "[    9.3] INFO: trying to register non-static key."),
        ("lockdep", "[    9.3] WARNING: Nested lock was not taken"),
        ("lockdep", "[    9.3] WARNING: chain_key collision"),
        ("lockdep", "[    9.3] WARNING: bad contention detected!"),
        ("lockdep", "[    9.3] WARNING: bad unlock balance detected!"),
        ("lockdep", "[    9.3] WARNING: held lock freed!"),
        ("lockdep", "[    9.3] WARNING: sh/40 still has locks held!"),
        ("lockdep", "[    9.3] WARNING: lock held when returning to user space!"),
        ("lockdep", "[    9.3] WARNING: possible irq lock inversion dependency detected"),
        ("lockdep", "[    9.3] turning off the locking correctness validator."),
        (
            "ODEBUG",
            "[ 9.3] ODEBUG: free active (active state 0) object: 00 object type: timer_list",
        ),
        (
            "kmemleak",
            "[   33.0] kmemleak: 82 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        ),
        ("kmemleak", "[   33.0] kmemleak: Kernel memory leak detector disabled"),
        ("BUG", "[    9.3] BUG: spinlock bad magic on CPU#0, sh/40"),
        ("BUG", "[    9.3] BUG: MAX_LOCKDEP_ENTRIES too low!"),
        ("BUG", "[    9.3] BUG: workqueue leaked atomic, lock or RCU: kworker/0:1[9]"),
        ("BUG", "[    9.3] BUG: unable to handle page fault for address: ffffffffc0201000"),
        ("BUG", "[    9.3] BUG: Bad rss-counter state mm:1 type:MM_FILEPAGES val:1 Comm:sh Pid:40"),
        ("WARNING", "[    9.3] IPI callback x+0x0/0x1 sent to offline CPU"),
        (
            "WARNING",
            "[    9.3] huh, entered softirq 3 X 1 with preempt_count 0100, exited with 0101?",
        ),
        ("WARNING", "[    9.3] irq 4: nobody cared (try booting with the \"irqpoll\" option)"),
        (
            "RCU stall",
            "[ 9.3] rcu: rcu_preempt kthread starved for 5250 jiffies! g1 f0x2 x(5) ->state=R",
        ),
        (
            "RCU stall",
            "[ 9.3] rcu: INFO: rcu_sched detected stall, but suppressed full report due to a",
        ),
        ("hung task", "[ 9.3] INFO: task a:1 is blocked on a mutex likely owned by task b:2."),
        ("BUG", "[    9.3] kernel BUG at kernel/smpboot.c:144!"),
        ("BUG", "[    9.3] BUG: kernel NULL pointer dereference, address: 0000000000000008"),
        ("BUG", "[    9.3] BUG: using smp_processor_id() in preemptible [00000000] code: sh/40"),
        (
            "WARNING",
            "[    9.3] WARNING: kernel/smpboot.c:205 at smpboot_create_threads, CPU#0: sh/40",
        ),
        ("WARNING", "[    9.3] WARNING: CPU: 0 PID: 40 at kernel/cpu.c:1 cpu_up+0x1/0x2"),
        ("WARNING", "[    9.3] ------------[ cut here ]------------"),
        ("oops", "[    9.3] Oops: Oops: 0002 [#1] SMP NOPTI"),
        ("oops", "[    9.3] Internal error: Oops: 0000000096000004 [#1]  SMP"),
        ("oops", "[    9.3] Unable to handle kernel paging request at virtual address dead"),
        (
            "oops",
            "[    9.3][   T40] general protection fault, probably for non-canonical address 0x1",
        ),
        ("corruption", "[    9.3] list_del corruption. prev->next should be 1, but was 2."),
        ("corruption", "[    9.3] list_add double add: new=1, prev=1, next=2."),
        ("corruption", "[    9.3] BUG: Bad page state in process sh  pfn:05a1c"),
        ("corruption", "[    9.3] BUG: Bad page map in process sh  pte:1 pmd:2"),
        ("corruption", "[    9.3] BUG: TASK stack guard page was hit at 1 (stack is 2..3)"),
        ("corruption", "[    9.3] Thread overran stack, or stack corrupted"),
        (
            "corruption",
            "[    9.3] usercopy: Kernel memory exposure attempt detected from SLUB object",
        ),
        ("corruption", "[    9.3] pagealloc: single bit error"),
        ("SLUB", "[    9.3] BUG kmalloc-64 (Not tainted): Poison overwritten"),
        (
            "CSD lockup",
            "[   9.3] smp: csd: Detected non-responsive CSD lock (#1) on CPU#0, waiting",
        ),
        ("corruption", "[    9.3] refcount_t: underflow; use-after-free."),
        ("oops", "[    9.3] Corrupted page table at address 7ffff000"),
        ("oops", "[    9.3] traps: PANIC: double fault, error_code: 0x0"),
        ("oops", "[    9.3] Insufficient stack space to handle exception!"),
        ("oops", "[    9.3] SError Interrupt on CPU1, code 0xbe000000 -- SError"),
        ("oops", "[    9.3] Fixing recursive fault but reboot is needed!"),
        ("no memory", "[    9.3] insmod: page allocation failure: order:0, mode:0xcc0"),
        ("no memory", "[    9.3] sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0"),
        ("no memory", "[    9.3] Memory cgroup out of memory: Killed process 40 (sh)"),
        (
            "no memory",
            "[    9.3] percpu: allocation failed, size=8 align=8 atomic=0, no space left",
        ),
        ("no memory", "[    9.3] SLUB: Unable to allocate memory on CPU 1 (of node 0) on node -1"),
        ("no memory", "[    9.3] workqueue: Failed to create a worker thread: -ENOMEM"),
        (
            "no memory",
            "[    9.3] workqueue: allocation failed while updating CPU pod affinity of \"events\"",
        ),
        ("no memory", "[    9.3] kmemleak: Cannot allocate a scan area, scanning the full object"),
        ("no memory", "[    9.3] warn_alloc: 2 callbacks suppressed"),
        ("no memory", "[    9.3] execmem: unable to allocate memory"),
        ("no memory", "[    9.3] debugfs: out of free dentries, can not create file 'wake'"),
        ("no memory", "[    9.3] kobject: kobject_create_and_add: kobject_add error: -12"),
        (
            "no memory",
            "[    9.3] kobject: kobject_add_internal failed for holders (error: -12 parent: x)",
        ),
        ("no memory", "[    9.3] kobject: can not set name properly!"),
        ("no memory", "[    9.3] kunit module: error filtering suites: -12"),
        ("trace", "[    9.3] Call Trace:"),
    ];

    #[test]
    fn each_sample_is_flagged_by_its_name() {
        for (kind, line) in SAMPLES {
            assert_eq!(in_line(line), Some(*kind), "{line}");
        }
    }

    #[test]
    fn each_kind_of_the_table_has_a_sample() {
        for pattern in SPLATS {
            let sampled = SAMPLES.iter().any(|(kind, _)| *kind == pattern.kind);
            assert!(sampled || pattern.kind == "KMSAN", "no sample for {}", pattern.kind);
        }
    }

    #[test]
    fn a_healthy_log_is_not_flagged() {
        for line in [
            "[    0.000000] Linux version 7.3.4+deb13-cloud-amd64",
            "[    0.000000] Command line: console=ttyS0 panic=-1 oops=panic nokaslr",
            "[    0.100000] Spectre V2 : WARNING: mitigations are off",
            "[    0.201000] rcu: Hierarchical RCU implementation.",
            "[    0.3] rcu: \tRCU CPU stall warnings timeout set to 21 (rcu_cpu_stall_timeout).",
            "[    0.3] kfence: initialized - using 2097152 bytes for 255 objects",
            "[    5.140900] smpboot: CPU 1 is now offline",
            "[    5.2] smpboot: Booting Node 0 Processor 1 APIC 0x1",
            "[    5.3] rust_smpboot_demo: cpu1: cleanup(offline)",
            "[    5.4] debugfs: Directory 'x' with parent 'y' already present!",
            "[    5.5] vm-test: begin input::the_parser_never_BUGs",
        ] {
            assert_eq!(in_line(line), None, "{line}");
        }
    }

    /// The splats of a log whose lines all have this level.
    fn splats(level: u8, log: &str) -> Vec<(&'static str, String, usize)> {
        let mut scanner = Scanner::default();
        for line in log.lines() {
            let text = without_stamp(line).to_owned();
            scanner.record(&Record { seq: 0, time_us: 0, level, user: false, text });
        }
        let splats = scanner.finish().into_iter();
        splats.map(|splat| (splat.kind(), splat.line, splat.lines)).collect()
    }

    fn kinds(level: u8, log: &str) -> Vec<&'static str> {
        splats(level, log).into_iter().map(|(kind, ..)| kind).collect()
    }

    #[test]
    fn a_warning_without_a_trace_counts_too() {
        let text = "rust_smpboot_demo: something odd";
        assert_eq!(kinds(4, text), ["unexpected warning"]);
        assert_eq!(kinds(3, text), ["unexpected warning"]);
        assert_eq!(kinds(6, text), [""; 0]);
        // Two unrelated records.
        assert_eq!(kinds(4, "a: odd\nb: odd"), ["unexpected warning"; 2]);
    }

    #[test]
    fn the_taint_of_loading_is_expected() {
        let out_of_tree = "rust_smpboot_demo: loading out-of-tree module taints kernel.";
        let unsigned = "rust_smpboot_demo: module verification failed: signature and/or required \
                        key missing - tainting kernel";
        assert_eq!(kinds(4, out_of_tree), [""; 0]);
        assert_eq!(kinds(5, unsigned), [""; 0]);
    }

    #[test]
    fn a_hibernation_without_a_disk_is_expected() {
        assert_eq!(kinds(3, "PM: Cannot find swap device, try swapon -a"), [""; 0]);
        assert_eq!(kinds(3, "PM: Cannot get swap writer"), [""; 0]);
    }

    /// Logs of kernels, and the line of each splat in them.
    const LOGS: &[(&str, &[(&str, &str)])] = &[
        (
            include_str!("../../logs/warning.log"),
            &[
                (
                    "WARNING",
                    "WARNING: provoke.c:12 at p_init+0xd8/0xff0 [provoke], CPU#1: insmod/103",
                ),
                (
                    "WARNING",
                    "WARNING: provoke.c:13 at p_init+0x75/0xff0 [provoke], CPU#1: insmod/104",
                ),
                ("corruption", "refcount_t: addition on 0; use-after-free."),
            ],
        ),
        (
            include_str!("../../logs/oops.log"),
            &[("BUG", "BUG: kernel NULL pointer dereference, address: 0000000000000008")],
        ),
        (
            include_str!("../../logs/bug.log"),
            &[(
                "corruption",
                "list_del corruption, ffffc900004a7ba0->next is LIST_POISON1 (dead000000000100)",
            )],
        ),
        (
            include_str!("../../logs/panic.log"),
            &[("panic", "Kernel panic - not syncing: provoked")],
        ),
        (
            include_str!("../../logs/arm64-oops.log"),
            &[(
                "oops",
                "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
            )],
        ),
        (
            include_str!("../../logs/kasan.log"),
            &[(
                "KASAN",
                "BUG: KASAN: slab-use-after-free in _RNvCsbie10W5dz2E_19rust_smpboot_faulty14use_after_free+0x121/0x170 [rust_smpboot_faulty]",
            )],
        ),
        (
            include_str!("../../logs/lockdep.log"),
            &[("lockdep", "WARNING: possible circular locking dependency detected")],
        ),
        (
            include_str!("../../logs/sleep-in-atomic.log"),
            &[
                (
                    "sleep in atomic",
                    "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:623",
                ),
                ("lockdep", "[ BUG: Invalid wait context ]"),
            ],
        ),
        (
            include_str!("../../logs/odebug.log"),
            &[(
                "ODEBUG",
                "ODEBUG: free active (active state 0) object: (____ptrval____) object type: hrtimer hint: _RNvCsbie10W5dz2E_19rust_smpboot_faulty5never+0x0/0x10 [rust_smpboot_faulty]",
            )],
        ),
        (
            include_str!("../../logs/stalls.log"),
            &[
                ("RCU stall", "rcu: INFO: rcu_preempt self-detected stall on CPU"),
                ("soft lockup", "watchdog: BUG: soft lockup - CPU#1 stuck for 48s! [insmod:110]"),
            ],
        ),
        (
            include_str!("../../logs/rcu-stall.log"),
            &[("RCU stall", "rcu: INFO: rcu_preempt self-detected stall on CPU")],
        ),
        (
            include_str!("../../logs/hung-task.log"),
            &[
                ("hung task", "INFO: task insmod:109 blocked for more than 10 seconds."),
                ("hung task", "INFO: task insmod:109 blocked for more than 10 seconds."),
            ],
        ),
        (
            include_str!("../../logs/no-memory.log"),
            &[(
                "no memory",
                "insmod: page allocation failure: order:10, mode:0x820(GFP_ATOMIC), nodemask=(null),cpuset=/,mems_allowed=0",
            )],
        ),
        (
            include_str!("../../logs/no-memory-one-node.log"),
            &[(
                "no memory",
                "kthreadd: vmalloc error: size 32768, align 0x8000, vm_struct allocation failed, mode:0xdc0(GFP_KERNEL|__GFP_ZERO), nodemask=(null)",
            )],
        ),
        (
            include_str!("../../logs/rust-panic.log"),
            &[("Rust panic", "rust_kernel: panicked at samples/x.rs:3:5:")],
        ),
        (include_str!("../../logs/dump-stack.log"), &[("trace", "Call Trace:")]),
        (
            include_str!("../../logs/warning-and-trace.log"),
            &[("unexpected warning", "provoke: a plain warning")],
        ),
    ];

    #[test]
    fn a_splat_is_one_fault_however_many_lines_it_has() {
        for (log, wanted) in LOGS {
            let wanted: Vec<_> =
                wanted.iter().map(|(kind, line)| (*kind, line.to_string())).collect();
            // Most of its lines are warnings, or worse.
            let found: Vec<_> =
                splats(4, log).into_iter().map(|(kind, line, _)| (kind, line)).collect();
            assert_eq!(found, wanted);
            let lines: usize = splats(4, log).iter().map(|(.., lines)| lines).sum();
            let all = log.lines().filter(|line| !without_stamp(line).trim().is_empty()).count();
            let rulers =
                usize::from(log.lines().next().is_some_and(|l| is_ruler(without_stamp(l))));
            assert!(all - lines <= 1 + rulers, "{lines} of {all} lines of {wanted:?}");
        }
    }

    #[test]
    fn a_console_without_levels_has_the_same_splats() {
        for (log, wanted) in LOGS.iter().filter(|(_, wanted)| wanted[0].0 != UNEXPECTED) {
            let mut scanner = Scanner::default();
            log.lines().for_each(|line| scanner.line(line));
            let found: Vec<_> =
                scanner.finish().into_iter().map(|splat| (splat.kind(), splat.line)).collect();
            let wanted: Vec<_> =
                wanted.iter().map(|(kind, line)| (*kind, line.to_string())).collect();
            assert_eq!(found, wanted);
        }
    }

    #[test]
    fn what_follows_a_splat_is_a_fault_of_its_own() {
        for (log, wanted) in LOGS.iter().filter(|(_, wanted)| wanted[0].0 != "panic") {
            let more = format!("{log}\n[  99.0] rust_smpboot_demo: something odd\n");
            assert_eq!(kinds(4, &more).len(), wanted.len() + 1, "{wanted:?}");
            // Every pair, in both orders. Only a trace without a head counts as a part of the splat
            // before it.
            let with_head =
                |(_, wanted): &&(&str, &[(&str, &str)])| !["panic", TRACE].contains(&wanted[0].0);
            for (other, others) in LOGS.iter().filter(with_head) {
                let both = format!("{log}\n{other}");
                assert_eq!(
                    kinds(4, &both).len(),
                    wanted.len() + others.len(),
                    "{wanted:?} {others:?}"
                );
            }
        }
    }

    /// Number of splats in a log where other CPUs add `lines` lines after line `at`.
    fn interrupted(log: &str, at: usize, lines: usize) -> usize {
        let mut scanner = Scanner::default();
        let mut record = |level, text: &str| {
            let text = without_stamp(text).to_owned();
            scanner.record(&Record { seq: 0, time_us: 0, level, user: false, text });
        };
        for (i, line) in log.lines().enumerate() {
            record(4, line);
            for _ in (0..lines).filter(|_| i == at) {
                record(6, "rust_smpboot_demo: cpu1: setup");
            }
        }
        scanner.finish().len()
    }

    #[test]
    fn a_line_of_another_cpu_does_not_end_a_splat() {
        let log = include_str!("../../logs/no-memory-one-node.log");
        let all = log.lines().count();
        for at in 0..all {
            for lines in [1, 3, INTERRUPTION] {
                assert_eq!(interrupted(log, at, lines), 1, "{lines} after line {at}");
            }
        }
        // More lines than that separate two splats.
        assert_eq!(interrupted(log, all / 2, INTERRUPTION + 1), 2);
        assert_eq!(kinds(4, &format!("{log}\nx: odd")).len(), 2);
    }

    #[test]
    fn a_panic_because_of_a_splat_is_a_part_of_it() {
        let log = format!(
            "{}[   10.472563] Kernel panic - not syncing: Fatal exception\n\
             [   10.494488] Kernel Offset: disabled\n\
             [   10.494500] ---[ end Kernel panic - not syncing: Fatal exception ]---\n",
            include_str!("../../logs/oops.log")
        );
        assert_eq!(kinds(0, &log), ["BUG"]);
    }

    #[test]
    fn a_splat_whose_end_is_missing_hides_no_other() {
        let cut = "BUG: KASAN: slab-use-after-free in x+0x1/0x2\n";
        assert_eq!(
            kinds(6, &format!("{cut}WARNING: possible recursive locking detected")),
            ["KASAN", "lockdep"]
        );
    }

    #[test]
    fn a_breakpoint_that_is_not_there_is_the_emulators() {
        let log = |code: &str| {
            let log = format!(
                "[    7.1] rust_smpboot_demo: cpu1: park\n[    7.2] Oops: int3: 0000 [#1] SMP\n\
                 [    7.2] RIP: 0010:x+0x1/0x2\n[    7.2] Code: {code}\n"
            );
            is_emulator_fault(log.lines())
        };
        assert!(log("0f 1f 44 00 e8 <11> 22 33"));
        assert!(!log("0f 1f 44 00 cc <11> 22 33"));
        assert!(!log("<11> 22 33"));
        assert!(!is_emulator_fault("[    7.2] Oops: 0000 [#1] SMP\nCode: 90 <00> 1".lines()));
    }
}
