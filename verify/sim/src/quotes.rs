// SPDX-License-Identifier: GPL-2.0

//! Checks that the simulated C functions are still those of a kernel's source.

use std::collections::HashMap;
use std::path::Path;

const SOURCES: [(&str, &str); 5] = [
    ("cpu.rs", include_str!("../kernel/src/c/cpu.rs")),
    ("kthread.rs", include_str!("../kernel/src/c/kthread.rs")),
    ("sched.rs", include_str!("../kernel/src/c/sched.rs")),
    ("smpboot.rs", include_str!("../kernel/src/c/smpboot.rs")),
    ("wait.rs", include_str!("../kernel/src/c/wait.rs")),
];

/// Finds the quotes of each function, in order.
pub fn check(arguments: &[String]) -> bool {
    let [source] = arguments else {
        eprintln!("usage: sim quotes KERNEL-SOURCE");
        return false;
    };
    let (mut quotes, mut bad) = (0, 0);
    // The place where the search in a function continues.
    let mut ends: HashMap<(&str, &str), usize> = HashMap::new();
    for (name, text) in SOURCES {
        let mut function = None;
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if let Some(place) = line.strip_prefix("// C: ") {
                function = place.split_once(' ');
            }
            let Some(quote) = line.strip_prefix("//: ") else {
                continue;
            };
            quotes += 1;
            let (file, c) = function.expect("a quote follows a line `C:`");
            let found = body(&Path::new(source).join(file), c).and_then(|body| {
                let from = ends.get(&(file, c)).copied().unwrap_or(0);
                let at = body[from..].find(&squeeze(quote))?;
                Some(from + at)
            });
            match found {
                Some(at) => {
                    ends.insert((file, c), at);
                }
                None => {
                    bad += 1;
                    eprintln!(
                        "c/{name}:{}: not in {c}() of {file}, or not in this order: {quote}",
                        number + 1
                    );
                }
            }
        }
    }
    println!("sim: {quotes} quotes of the kernel's source, {bad} bad");
    bad == 0
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the text of a function, a macro or a table, with single spaces.
fn body(file: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let names = |line: &str| {
        let rest = line.strip_prefix("#define ").unwrap_or(line);
        !line.starts_with([' ', '\t', '*', '/']) && !line.trim_end().ends_with(';') && {
            let at = rest.find(name);
            at.is_some_and(|at| {
                let before = rest[..at].chars().next_back();
                let after = rest[at + name.len()..].chars().next();
                !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                    && matches!(after, Some('(' | '['))
            })
        }
    };
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.iter().position(|line| names(line))?;
    let is_last = |line: &&str| match lines[from].starts_with("#define") {
        true => !line.ends_with('\\'),
        false => line.starts_with('}'),
    };
    let to = from + lines[from..].iter().position(is_last)?;
    Some(squeeze(&lines[from..=to].join("\n").replace('\\', " ")))
}
