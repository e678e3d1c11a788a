// SPDX-License-Identifier: GPL-2.0

//! What must not be in a kernel log.
//!
//! Two rules: a line that matches the table is a splat wherever it comes from, and so is every
//! record that the kernel logs as a warning or worse and that is not expected.

use crate::console::without_stamp;
use protocol::Record;

/// The level of `pr_warn()`.
const WARNING: u8 = 4;

struct Pattern {
    kind: &'static str,
    place: Place,
    text: &'static str,
}

enum Place {
    Start,
    Anywhere,
}

const fn start(kind: &'static str, text: &'static str) -> Pattern {
    Pattern { kind, place: Place::Start, text }
}

const fn anywhere(kind: &'static str, text: &'static str) -> Pattern {
    Pattern { kind, place: Place::Anywhere, text }
}

/// The first match names the splat, so the narrow ones come first.
const SPLATS: &[Pattern] = &[
    start("panic", "Kernel panic - not syncing"),
    anywhere("Rust panic", "rust_kernel: panicked"),
    anywhere("KASAN", "BUG: KASAN: "),
    anywhere("KFENCE", "BUG: KFENCE: "),
    anywhere("KCSAN", "BUG: KCSAN: "),
    anywhere("KMSAN", "BUG: KMSAN: "),
    anywhere("UBSAN", "UBSAN: "),
    anywhere("CFI", "CFI failure at"),
    anywhere("scheduling while atomic", "BUG: scheduling while atomic"),
    anywhere("sleep in atomic", "BUG: sleeping function called"),
    anywhere("soft lockup", "BUG: soft lockup"),
    anywhere("hard lockup", "hard LOCKUP"),
    anywhere("workqueue lockup", "BUG: workqueue lockup"),
    start("hung task", "INFO: task "),
    anywhere("RCU stall", "self-detected stall"),
    anywhere("RCU stall", "detected stalls"),
    anywhere("RCU stall", "detected expedited stalls"),
    anywhere("RCU stall", "kthread starved for"),
    anywhere("lockdep", "possible circular locking dependency"),
    anywhere("lockdep", "possible recursive locking"),
    anywhere("lockdep", "possible irq lock inversion"),
    anywhere("lockdep", "lock order detected"),
    anywhere("lockdep", "inconsistent lock state"),
    anywhere("lockdep", "bad unlock balance"),
    anywhere("lockdep", "held lock freed"),
    anywhere("lockdep", "Invalid wait context"),
    anywhere("lockdep", "suspicious RCU usage"),
    anywhere("lockdep", "trying to register non-static key"),
    anywhere("lockdep", "lock held when returning to user space"),
    anywhere("lockdep", "DEBUG_LOCKS_WARN_ON"),
    anywhere("ODEBUG", "ODEBUG: "),
    anywhere("kmemleak", "new suspected memory leaks"),
    anywhere("BUG", "kernel BUG at"),
    anywhere("BUG", "BUG: "),
    start("WARNING", "WARNING: "),
    anywhere("WARNING", "------------[ cut here ]------------"),
    anywhere("oops", "Oops: "),
    start("oops", "Internal error: "),
    start("oops", "Unable to handle kernel"),
    start("oops", "general protection fault"),
    start("oops", "divide error"),
    start("oops", "invalid opcode"),
    start("oops", "int3:"),
    anywhere("oops", "double fault"),
    anywhere("corruption", "list_add corruption"),
    anywhere("corruption", "list_del corruption"),
    anywhere("corruption", "Bad page state"),
    anywhere("corruption", "kernel stack overflow"),
    start("corruption", "refcount_t: "),
    anywhere("no memory", "page allocation failure"),
    anywhere("no memory", "vmalloc error: size "),
    anywhere("no memory", "Out of memory: "),
    // Whatever the table does not know by name comes with a trace.
    start("trace", "Call Trace:"),
    start("trace", "Call trace:"),
];

/// The kind of what is no splat but for its level.
pub const UNEXPECTED: &str = "unexpected warning";

struct Expected {
    text: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    why: &'static str,
}

const EXPECTED: &[Expected] = &[
    Expected { text: "loading out-of-tree module taints kernel.", why: "it is one" },
    Expected {
        text: "module verification failed: signature and/or required key missing",
        why: "nobody signs a module that was built for a test; the stock kernel takes it all the same",
    },
    Expected {
        text: "APIC: Stale IRR: ",
        why: "an interrupt was sent to a CPU on its way down: x86 says so when the CPU is back",
    },
    Expected {
        text: "NOHZ tick-stop error: local softirq work is pending, handler #",
        why: "a FIFO thread that injects idle time keeps ksoftirqd off the CPU; with the kernel's own \
              idle injection it is the same",
    },
    Expected {
        text: "sched: DL replenish lagged too much",
        why: "the fair server, which is to get 50 ms of each second, did not for more than one: the CPU \
              injected idle time, and is a slow one",
    },
    Expected {
        text: "select_fallback_rq: ",
        why: "how many of `no longer affine to cpu` were left out, if it was more than ten in five seconds",
    },
    Expected {
        text: "onoff: ",
        why: "how a line of the kernel's torture modules goes on, if another CPU had something to say in \
              the middle of it",
    },
    Expected { text: " stnmie: ", why: "the end of that line, of scftorture" },
    Expected { text: "gpwraps: ", why: "the end of that line, of rcutorture" },
];

/// Why a line of the console is a splat, if it is one.
pub fn in_line(line: &str) -> Option<&'static str> {
    let text = without_stamp(line);
    let matches = |pattern: &&Pattern| match pattern.place {
        Place::Start => text.starts_with(pattern.text),
        Place::Anywhere => text.contains(pattern.text),
    };
    SPLATS.iter().find(matches).map(|pattern| pattern.kind)
}

/// Whether a breakpoint was hit where there is none: with a thread for each CPU, TCG may run the first
/// byte of an instruction that the kernel is patching after the kernel has replaced it. The dump of the code
/// shows what is in memory: the byte in brackets is where the CPU would go on, the one before it what it ran.
pub fn is_of_emulator<'a>(mut lines: impl Iterator<Item = &'a str>) -> bool {
    const INT3: &str = "cc";
    if !lines.any(|line| without_stamp(line).starts_with("Oops: int3")) {
        return false;
    }
    let code = lines.find_map(|line| without_stamp(line).strip_prefix("Code: "));
    let bytes = code.unwrap_or_default().split(' ').collect::<Vec<_>>();
    let next = bytes.iter().position(|byte| byte.starts_with('<'));
    next.is_some_and(|next| next > 0 && bytes[next - 1] != INT3)
}

/// Why a record of the kernel log is a splat, if it is one.
pub fn in_record(record: &Record) -> Option<&'static str> {
    in_line(&record.text).or_else(|| {
        let expected = EXPECTED.iter().any(|e| record.text.contains(e.text));
        (record.level <= WARNING && !expected).then_some(UNEXPECTED)
    })
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
        (
            "ODEBUG",
            "[ 9.3] ODEBUG: free active (active state 0) object: 00 object type: timer_list",
        ),
        (
            "kmemleak",
            "[   33.0] kmemleak: 82 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
        ),
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
        ("corruption", "[    9.3] refcount_t: underflow; use-after-free."),
        ("no memory", "[    9.3] insmod: page allocation failure: order:0, mode:0xcc0"),
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

    fn record(level: u8, text: &str) -> Record {
        Record { seq: 0, time_us: 0, level, user: false, text: text.into() }
    }

    #[test]
    fn a_warning_without_a_trace_counts_too() {
        let text = "rust_smpboot_demo: something odd";
        assert_eq!(in_record(&record(4, text)), Some("unexpected warning"));
        assert_eq!(in_record(&record(3, text)), Some("unexpected warning"));
        assert_eq!(in_record(&record(6, text)), None);
    }

    #[test]
    fn the_taint_of_loading_is_expected() {
        let out_of_tree = "rust_smpboot_demo: loading out-of-tree module taints kernel.";
        let unsigned = "rust_smpboot_demo: module verification failed: signature and/or required \
                        key missing - tainting kernel";
        assert_eq!(in_record(&record(4, out_of_tree)), None);
        assert_eq!(in_record(&record(5, unsigned)), None);
    }

    #[test]
    fn a_breakpoint_that_is_not_there_is_the_emulators() {
        let log = |code: &str| {
            let log = format!(
                "[    7.1] rust_smpboot_demo: cpu1: park\n[    7.2] Oops: int3: 0000 [#1] SMP\n\
                 [    7.2] RIP: 0010:x+0x1/0x2\n[    7.2] Code: {code}\n"
            );
            is_of_emulator(log.lines())
        };
        assert!(log("0f 1f 44 00 e8 <11> 22 33"));
        assert!(!log("0f 1f 44 00 cc <11> 22 33"));
        assert!(!log("<11> 22 33"));
        assert!(!is_of_emulator("[    7.2] Oops: 0000 [#1] SMP\nCode: 90 <00> 1".lines()));
    }
}
