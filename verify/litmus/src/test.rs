// SPDX-License-Identifier: GPL-2.0

//! Litmus tests, their mutants, and their results in herd7's output.
//!
//! The comment at the head of a test describes its mutants:
//!
//! ```text
//!  * Mutant: the waker's flag is set with no barrier
//!  *   xchg(pending, 1) -> xchg_relaxed(pending, 1)
//! ```
//!
//! Each line below a mutant's name replaces a text everywhere by another text, or removes it. In
//! these lines `( *x)` stands for `(*x)`, which would begin a comment.

use std::fmt::Write;

/// A test, or a mutant of one.
#[derive(Debug, PartialEq)]
pub struct Test {
    /// The name in herd7's output.
    pub name: String,
    pub text: String,
    /// The mutant's description; `None` for the test itself.
    pub mutant: Option<String>,
}

/// Returns the test in that text, and its mutants, or the error in the text.
pub fn tests(text: &str) -> Result<Vec<Test>, String> {
    let name = text
        .lines()
        .next()
        .and_then(|l| l.strip_prefix("C "))
        .ok_or("the first line is not 'C NAME'")?;
    if !text.contains("\n * Result: Never\n") {
        return Err("'Result: Never' is missing".into());
    }
    let (head, body) = text.split_once("*)").ok_or("the comment at the head is missing")?;
    no_line_is_without_comment(body)?;

    let mut all = vec![Test { name: name.into(), text: text.into(), mutant: None }];
    let mut lines = head.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(what) = line.strip_prefix(" * Mutant: ") else { continue };
        let mut body = body.to_string();
        while let Some(change) = lines.next_if(|l| l.starts_with(" *   ")) {
            let change = change[5..].replace("( *", "(*");
            let (old, new) = change
                .split_once(" ->")
                .ok_or_else(|| format!("mutant '{what}': not 'OLD -> NEW': {change}"))?;
            if !body.contains(old) {
                return Err(format!("mutant '{what}': the test lacks {old}"));
            }
            body = body.replace(old, new.trim());
        }
        let name = format!("{name}+{}", all.len());
        let text = format!("C {name}\n{body}");
        all.push(Test { name, text, mutant: Some(what.into()) });
    }
    if all.len() == 1 {
        return Err("the test has no mutant".into());
    }
    Ok(all)
}

/// Checks that each statement of a process quotes its code, or has a comment.
fn no_line_is_without_comment(body: &str) -> Result<(), String> {
    let mut in_process = false;
    for line in body.lines() {
        // herd7 searches for the end of a process before it removes comments.
        let count = |brace| line.split_once("// ").map_or(0, |(_, c)| c.matches(brace).count());
        if count('{') != count('}') {
            return Err(format!("a single brace in a comment: {}", line.trim()));
        }
        let is_declaration = line.starts_with("\tint ") && !line.contains("(");
        match line {
            _ if line.starts_with('P') => in_process = true,
            "}" => in_process = false,
            "{" | "" => {}
            _ if line.trim().starts_with('}') => {}
            _ if in_process && !is_declaration && !line.contains("// ") => {
                return Err(format!("no quote, and no comment: {}", line.trim()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// herd7's result of one test.
struct Observation {
    is_never: bool,
    is_race: bool,
    executions: u32,
}

fn observation(log: &str, name: &str) -> Option<Observation> {
    let block = log.split("\nTest ").find(|b| b.split_whitespace().next() == Some(name))?;
    let line = block.lines().find_map(|l| l.strip_prefix("Observation "))?;
    let mut words = line.split_whitespace().skip(1);
    let is_never = words.next()? == "Never";
    let executions = words.map_while(|w| w.parse::<u32>().ok()).sum();
    // A test without any execution has no result.
    let is_race = block.lines().any(|l| l == "Flag data-race");
    (executions > 0).then_some(Observation { is_never, is_race, executions })
}

/// Judges herd7's output. Returns a summary, and the errors.
pub fn judge(tests: &[Test], log: &str) -> (String, Vec<String>) {
    let log = format!("\n{log}");
    let (mut summary, mut wrong, mut executions) = (String::new(), vec![], 0);
    for Test { name, mutant, .. } in tests {
        let what = mutant.as_ref().map_or(String::new(), |m| format!(" ({m})"));
        let Some(seen) = observation(&log, name) else {
            wrong.push(format!("{name}{what}: herd7's output lacks it"));
            continue;
        };
        executions += seen.executions;
        match (mutant, seen.is_never && !seen.is_race) {
            (None, false) if seen.is_race => wrong.push(format!("{name}: a data race")),
            (None, false) => wrong.push(format!("{name}: can happen")),
            (Some(_), true) => wrong.push(format!("{name}{what}: the mutant is not caught")),
            _ => {}
        }
    }
    let mutants = tests.iter().filter(|t| t.mutant.is_some()).count();
    let _ = write!(
        summary,
        "{} tests, {mutants} mutants, {executions} executions",
        tests.len() - mutants
    );
    (summary, wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "C x\n\n(*\n * Result: Never\n *\n * Mutant: no barrier\n *   smp_mb(); ->\n *   READ_ONCE( *a) -> 0\n * Mutant: weaker\n *   smp_mb() -> barrier()\n *)\n\n{}\n\nP0(int *a)\n{\n\tint r0;\n\n\tsmp_mb(); // a barrier\n\tr0 = READ_ONCE(*a); // a look\n}\n\nexists (0:r0=0)\n";

    #[test]
    fn mutants_are_made() {
        let all = tests(TEXT).unwrap();
        assert_eq!(all.len(), 3);
        assert_eq!((all[1].name.as_str(), all[1].mutant.as_deref()), ("x+1", Some("no barrier")));
        assert!(
            all[1].text.starts_with("C x+1\n")
                && all[1].text.contains("\t // a barrier\n\tr0 = 0; //")
        );
        assert!(all[2].text.contains("barrier(); //"));
    }

    #[test]
    fn a_bad_test_is_refused() {
        for (old, new, what) in [
            ("smp_mb(); ->", "smp_wmb(); ->", "the test lacks smp_wmb();"),
            (" // a look", "", "no quote"),
            ("// a look", "// a { look", "a single brace"),
            ("Result: Never", "Result: Sometimes", "Result"),
            ("smp_mb(); ->", "smp_mb();", "OLD -> NEW"),
            ("Mutant", "Variant", "no mutant"),
        ] {
            assert!(tests(&TEXT.replace(old, new)).unwrap_err().contains(what), "{what}");
        }
    }

    #[test]
    fn herd7_is_judged() {
        let all = tests(TEXT).unwrap();
        let good = "Test x Allowed\nObservation x Never 0 3\n\nTest x+1 Allowed\nObservation x+1 Sometimes 1 3\n\nTest x+2 Allowed\nFlag data-race\nObservation x+2 Never 0 3\n";
        assert_eq!(judge(&all, good), ("1 tests, 2 mutants, 10 executions".into(), vec![]));
        for (old, new, what) in [
            ("x Never", "x Sometimes", "x: can happen"),
            ("Observation x Never", "Flag data-race\nObservation x Never", "x: a data race"),
            ("Sometimes", "Never", "x+1 (no barrier): the mutant is not caught"),
            ("x+2 Never 0 3", "x+2 Never 0 0", "x+2 (weaker): herd7's output lacks it"),
        ] {
            assert_eq!(judge(&all, &good.replacen(old, new, 1)).1, [what]);
        }
    }
}
