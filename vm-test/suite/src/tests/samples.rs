// SPDX-License-Identifier: GPL-2.0

//! What tests of several modules ask: of which class a thread is, what the log says.

use anyhow::{Context, Result, bail};
use host::guest::DEFAULT_LIMIT;
use host::{Vm, clock};

/// How a task competes for its CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// The priority as a FIFO task; 0: it is a normal one.
    pub fifo: u32,
    pub nice: i32,
}

/// The class of the thread of this name, which is there or comes to be, and is set up or will be.
pub fn class(vm: &Vm, comm: &str) -> Result<Class> {
    let pids = vm.tasks(|other| other == comm)?;
    let [pid] = pids[..] else { bail!("{} threads are called {comm}", pids.len()) };
    let stat = vm.read(&format!("/proc/{pid}/stat"))?;
    parse(&stat).with_context(|| format!("stat of {comm}: {stat}"))
}

/// Fields 19, 40 and 41 of stat, counted from behind the name, which is field 2.
fn parse(stat: &str) -> Option<Class> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<i32>().ok();
    let fifo = match field(41)? {
        0 => 0,
        1 => field(40)?.try_into().ok()?,
        _ => return None,
    };
    // FIFO tasks keep a nice value that means nothing.
    Some(Class { fifo, nice: if fifo == 0 { field(19)? } else { 0 } })
}

/// The lines of the test's kernel log that begin with this; waits for so many.
pub fn logged(vm: &Vm, beginning: &str, times: usize) -> Result<Vec<String>> {
    let start = clock::now();
    let limit = vm.limit(DEFAULT_LIMIT);
    loop {
        vm.kmsg()?;
        let records = vm.records();
        let lines = records.iter().filter(|record| record.text.starts_with(beginning));
        let lines: Vec<String> = lines.map(|record| record.text.clone()).collect();
        if lines.len() == times {
            return Ok(lines);
        }
        if lines.len() > times || clock::now() - start > limit {
            bail!("the log has {} lines, not {times}, that begin \"{beginning}\"", lines.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "12 (a) b) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 13 -7 1 0 5 0 0 \
                        18446744073709551615 0 0 0 0 0 0 0 2147483647 0 1 0 0 17 1 0 0 0 0 0";

    #[test]
    fn a_normal_task_has_a_nice_value() {
        assert_eq!(parse(STAT), Some(Class { fifo: 0, nice: -7 }));
    }

    #[test]
    fn a_fifo_task_has_a_priority() {
        let stat = STAT.replace("17 1 0 0", "17 1 50 1");
        assert_eq!(parse(&stat), Some(Class { fifo: 50, nice: 0 }));
    }
}
