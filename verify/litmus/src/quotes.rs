// SPDX-License-Identifier: GPL-2.0

//! Checks quotes of the code: `// FILE FUNCTION: TEXT`, or `// FILE TYPE::FUNCTION: TEXT`.

use crate::source::{code_of, functions};
use std::{collections::HashMap, fs, path::Path};

/// A quote, and its place.
#[derive(Debug, PartialEq)]
pub struct Quote {
    pub line: usize,
    /// Quotes of one block are in the order of the code. A process of a litmus test is a block.
    pub block: usize,
    pub file: String,
    pub function: String,
    pub text: String,
}

/// Returns the quotes of `text`. A line that begins with `P` and a digit begins a block, as does an
/// empty line.
pub fn quotes(text: &str) -> Vec<Quote> {
    let mut block = 0;
    let mut found = vec![];
    for (i, line) in text.lines().enumerate() {
        if line.is_empty() || line.starts_with(|c: char| !c.is_whitespace()) {
            block = i + 1;
        }
        if let Some((file, function, text)) = line.split_once("// ").and_then(|(_, c)| quote(c)) {
            found.push(Quote { line: i + 1, block, file, function, text });
        }
    }
    found
}

/// Parses the comment of a quote.
fn quote(comment: &str) -> Option<(String, String, String)> {
    let (file, rest) = comment.trim().split_once(' ')?;
    let (function, text) = rest.split_once(": ")?;
    let is_name = function.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
    let is_source = [".rs", ".c", ".h"].iter().any(|s| file.ends_with(s)) && file.contains('/');
    (is_source && is_name).then(|| (file.into(), function.into(), text.trim().into()))
}

/// The quoted files: those of the kernel (`linux/...`), and those of the checkout.
pub struct Sources<'a> {
    checkout: &'a Path,
    kernel: &'a Path,
    code: HashMap<String, Option<String>>,
}

impl<'a> Sources<'a> {
    pub fn new(checkout: &'a Path, kernel: &'a Path) -> Self {
        Self { checkout, kernel, code: HashMap::new() }
    }

    fn code(&mut self, file: &str) -> Option<&str> {
        let path = match file.strip_prefix("linux/") {
            Some(file) => self.kernel.join(file),
            None => self.checkout.join(file),
        };
        self.code
            .entry(file.into())
            .or_insert_with(|| Some(code_of(&fs::read_to_string(path).ok()?)))
            .as_deref()
    }

    /// Returns the line and the error of each quote that the code lacks.
    pub fn check(&mut self, quotes: &[Quote]) -> Vec<(usize, String)> {
        let mut wrong = vec![];
        for (i, quote) in quotes.iter().enumerate() {
            let Quote { block, file, function, text, .. } = quote;
            let Some(code) = self.code(file) else {
                wrong.push((quote.line, format!("{file} does not exist")));
                continue;
            };
            let bodies = functions(code, function, file.ends_with(".rs"));
            if bodies.is_empty() {
                wrong.push((quote.line, format!("{file} has no function {function}")));
                continue;
            }
            // The earlier quotes of the same block and function.
            let before: Vec<_> = quotes[..i]
                .iter()
                .filter(|q| (&q.block, &q.file, &q.function) == (block, file, function))
                .map(|q| q.text.as_str())
                .collect();
            let has = |texts: &[&str]| bodies.iter().any(|b| in_order(&code[b.clone()], texts));
            let with_this = [&before[..], &[text]].concat();
            if !has(&[text]) {
                wrong.push((quote.line, format!("{file}: {function} lacks this code: {text}")));
            } else if has(&before) && !has(&with_this) {
                wrong.push((
                    quote.line,
                    format!(
                        "{file}: in {function}, this does not follow the previous quote: {text}"
                    ),
                ));
            }
        }
        wrong
    }
}

/// Returns whether `code` has the `texts` in this order, with any white space.
fn in_order(code: &str, texts: &[&str]) -> bool {
    let squeeze = |s: &str| s.split_whitespace().collect::<String>();
    let code = squeeze(code);
    let mut at = 0;
    texts.iter().all(|text| {
        let text = squeeze(text);
        match code[at..].find(&text) {
            Some(i) => {
                at += i + text.len();
                true
            }
            None => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "
impl Core {
    fn wake(&self) {
        // self.late.xchg(true, Full);
        self.pending.set();
        self.early_wake
            .xchg(true, Full);
        self.pending.set();
    }
}
";

    fn check(name: &str, code: &str, text: &str) -> Vec<(usize, String)> {
        let dir = std::env::temp_dir().join(format!("litmus-{}-{name}", std::process::id()));
        fs::create_dir_all(dir.join("rust")).unwrap();
        fs::write(dir.join("rust/wake.rs"), code).unwrap();
        let wrong = Sources::new(&dir, &dir.join("none")).check(&quotes(text));
        fs::remove_dir_all(&dir).unwrap();
        wrong
    }

    #[test]
    fn what_is_there_is_found() {
        let text = "P0(int *x)\n\tx = 1; // rust/wake.rs wake: self.early_wake.xchg(true, Full);\n\t// no quote: this\n";
        assert_eq!(check("found", CODE, text), []);
    }

    #[test]
    fn what_is_not_there_is_reported_with_its_line() {
        for (name, text, what) in [
            ("weaker", "\n// rust/wake.rs wake: xchg(true, Relaxed)", "lacks this code"),
            ("comment", "\n// rust/wake.rs wake: self.late.xchg(true, Full);", "lacks this code"),
            ("function", "\n// rust/wake.rs sleep: self.pending.set();", "has no function"),
            ("file", "\n// rust/sleep.rs wake: self.pending.set();", "does not exist"),
            ("kernel", "\n// linux/kernel/a.c f: g();", "does not exist"),
        ] {
            let wrong = check(name, CODE, text);
            assert!(matches!(&wrong[..], [(2, w)] if w.contains(what)), "{wrong:?}");
        }
    }

    #[test]
    fn the_order_counts_within_a_block() {
        let swapped = "P0()\n\t// rust/wake.rs wake: xchg(true, Full);\n\t// rust/wake.rs wake: self.pending.set();\n\t// rust/wake.rs wake: xchg(true, Full);";
        let wrong = check("order", CODE, swapped);
        assert!(matches!(&wrong[..], [(4, w)] if w.contains("does not follow")), "{wrong:?}");
        let two = swapped.replace(
            "\t// rust/wake.rs wake: self.pending",
            "P1()\n\t// rust/wake.rs wake: self.pending",
        );
        assert_eq!(check("blocks", CODE, &two), []);
    }
}
