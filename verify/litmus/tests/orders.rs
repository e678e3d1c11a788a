// SPDX-License-Identifier: GPL-2.0

//! Tests that a weaker ordering in the library or the work queue breaks the quote of a litmus test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SOURCES: [&str; 2] = ["rust/kernel", "percpu_workqueue"];

/// The orderings to weaken, and the weaker text.
const WEAKER: [(&str, &str); 5] = [
    (", Full)", ", Relaxed)"),
    (", Release)", ", Relaxed)"),
    ("Acquire)", "Relaxed)"),
    ("smp_mb();", "barrier();"),
    ("synchronize_rcu();", "barrier();"),
];

/// A copy of the quoted files of this checkout.
struct Checkout(PathBuf);

impl Checkout {
    fn new(name: &str) -> Self {
        let to = std::env::temp_dir().join(format!("litmus-{name}-{}", std::process::id()));
        for folder in ["rust", "samples", "percpu_workqueue", "demo", "verify/litmus"] {
            copy(&top().join(folder), &to.join(folder));
        }
        Self(to)
    }

    /// Returns the lines that `litmus quotes` prints about the checkout's own files.
    fn wrong(&self) -> Vec<String> {
        let files = files(&self.0.join("verify/litmus"), "litmus");
        let files = files.iter().map(|f| f.strip_prefix(&self.0).unwrap());
        let output = Command::new(env!("CARGO_BIN_EXE_litmus"))
            .args(["quotes".as_ref(), self.0.as_path(), Path::new("/nonexistent")])
            .args(files)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        // The quotes of the kernel, whose source is not given, are skipped.
        let is_ours = |l: &&str| l.starts_with("verify/") && !l.contains("linux/");
        said.lines().filter(is_ours).map(str::to_string).collect()
    }
}

impl Drop for Checkout {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    for path in files(from, "rs").into_iter().chain(files(from, "litmus")) {
        let to = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, to).unwrap();
    }
}

#[test]
fn a_weaker_early_wake_is_told_by_the_line_of_its_test() {
    let checkout = Checkout::new("early");
    assert_eq!(checkout.wrong(), Vec::<String>::new());

    let path = checkout.0.join("rust/kernel/smpboot/wake.rs");
    let text = fs::read_to_string(&path).unwrap();
    let weaker = text.replace("rcu_users.xchg(true, Full)", "rcu_users.xchg(true, Relaxed)");
    assert!(text != weaker, "wake.rs no longer has this line");
    fs::write(&path, weaker).unwrap();

    let test = fs::read_to_string(checkout.0.join("verify/litmus/early-wake.litmus")).unwrap();
    let line = test.lines().position(|l| l.contains("rcu_users.xchg(true, Full)")).unwrap() + 1;
    let wrong = checkout.wrong();
    let expected = format!("verify/litmus/early-wake.litmus:{line}: ");
    assert!(wrong.iter().any(|w| w.starts_with(&expected)), "{wrong:#?}");
}

#[test]
fn each_ordering_is_quoted() {
    let checkout = Checkout::new("each");
    let mut weakened = 0;
    let mut missed = vec![];
    let sources = SOURCES.iter().flat_map(|s| files(&checkout.0.join(s), "rs"));
    // The exerciser tests the work queue, and has no handshake of its own.
    for path in sources.filter(|path| !path.iter().any(|part| part == "exerciser")) {
        let text = fs::read_to_string(&path).unwrap();
        for (order, weaker) in WEAKER {
            for (at, _) in text.match_indices(order) {
                let line = text[..at].lines().count();
                let begin = text[..at].rfind('\n').map_or(0, |i| i + 1);
                if text[begin..at].contains("//") {
                    continue;
                }
                weakened += 1;
                fs::write(&path, format!("{}{weaker}{}", &text[..at], &text[at + order.len()..]))
                    .unwrap();
                if checkout.wrong().is_empty() {
                    let path = path.strip_prefix(&checkout.0).unwrap();
                    missed.push(format!("{}:{line}: {order}", path.display()));
                }
            }
        }
        fs::write(&path, text).unwrap();
    }
    assert!(weakened >= 20, "found only {weakened} orderings");
    assert!(missed.is_empty(), "no litmus test quotes these:\n{}", missed.join("\n"));
}
