// SPDX-License-Identifier: GPL-2.0

//! Finds the code and the functions in Rust and C source.

use std::ops::Range;

/// Returns the text with spaces in place of comments. Strings and characters stay.
pub fn code_of(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = end_of_token(bytes, at);
        if bytes[at..].starts_with(b"//") || bytes[at..].starts_with(b"/*") {
            code[at..end].iter_mut().filter(|b| **b != b'\n').for_each(|b| *b = b' ');
        }
        at = end;
    }
    // Comments are whole characters, so the rest is UTF-8.
    String::from_utf8(code).expect("comments are blanked as a whole")
}

/// Returns the end of the comment, string, character or single byte that begins at `at`.
fn end_of_token(text: &[u8], at: usize) -> usize {
    let find = |from: usize, what: &[u8]| {
        text[from..].windows(what.len()).position(|w| w == what).map_or(text.len(), |i| from + i)
    };
    match &text[at..] {
        [b'/', b'/', ..] => find(at, b"\n"),
        [b'/', b'*', ..] => (find(at + 2, b"*/") + 2).min(text.len()),
        [b'"', ..] => {
            let mut end = at + 1;
            while end < text.len() && text[end] != b'"' {
                end += if text[end] == b'\\' { 2 } else { 1 };
            }
            (end + 1).min(text.len())
        }
        // A character, not the lifetime `'a`.
        [b'\'', b'\\', _, ..] => (find(at + 3, b"'") + 1).min(text.len()),
        [b'\'', _, b'\'', ..] => at + 3,
        _ => at + 1,
    }
}

/// Returns the bodies of the functions of that name in `code`, which [`code_of`] returned. C's
/// macros count. `Type::name` means the functions in an `impl` of the type.
pub fn functions(code: &str, name: &str, is_rust: bool) -> Vec<Range<usize>> {
    let Some((of, name)) = name.rsplit_once("::") else {
        return functions_anywhere(code, name, is_rust);
    };
    let impls = impls(code, of);
    let mut found = functions_anywhere(code, name, is_rust);
    found.retain(|f| impls.iter().any(|i| i.contains(&f.start)));
    found
}

/// Returns the blocks `impl .. Type .. { .. }`, or `impl .. for Type .. { .. }`.
fn impls(code: &str, of: &str) -> Vec<Range<usize>> {
    let bytes = code.as_bytes();
    let mut found = vec![];
    for (at, _) in code.match_indices("impl") {
        let begin = code[..at].rfind('\n').map_or(0, |i| i + 1);
        let is_item = matches!(&code[begin..at], "" | "unsafe ");
        let Some(open) = first_of(bytes, at, b"{;").filter(|&i| is_item && bytes[i] == b'{') else {
            continue;
        };
        let header = &code[at + 4..open];
        let header = header.split_once(" for ").map_or(header, |(_, to)| to);
        if header.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == of) {
            found.push(open..closing(bytes, open));
        }
    }
    found
}

fn functions_anywhere(code: &str, name: &str, is_rust: bool) -> Vec<Range<usize>> {
    let bytes = code.as_bytes();
    let mut found = vec![];
    for (at, _) in code.match_indices(name) {
        let end = at + name.len();
        if is_word(bytes.get(end)) || at > 0 && is_word(bytes.get(at - 1)) {
            continue;
        }
        let before = code[..at].trim_end();
        if is_rust {
            if before.ends_with("fn") && !is_word(before.as_bytes().iter().rev().nth(2)) {
                let mut open = first_of(bytes, end, b"{;([");
                while let Some(i) = open.filter(|&i| b"([".contains(&bytes[i])) {
                    open = first_of(bytes, closing(bytes, i), b"{;([");
                }
                // A declaration of a trait ends before any brace opens.
                if let Some(open) = open.filter(|&i| bytes[i] == b'{') {
                    found.push(open..closing(bytes, open));
                }
            }
        } else if before.ends_with("#define") {
            found.push(end..end_of_define(code, end));
        } else if bytes.get(end) == Some(&b'(') {
            let after = closing(bytes, end);
            let open = after + code[after..].len() - code[after..].trim_start().len();
            if bytes.get(open) == Some(&b'{') {
                found.push(open..closing(bytes, open));
            }
        }
    }
    found
}

fn is_word(byte: Option<&u8>) -> bool {
    byte.is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

fn end_of_define(code: &str, from: usize) -> usize {
    let mut end = from;
    for line in code[from..].split_inclusive('\n') {
        end += line.len();
        if !line.trim_end().ends_with('\\') {
            break;
        }
    }
    end
}

/// Returns the first place of one of `wanted`, outside of strings.
fn first_of(code: &[u8], from: usize, wanted: &[u8]) -> Option<usize> {
    let mut at = from;
    while at < code.len() {
        if wanted.contains(&code[at]) {
            return Some(at);
        }
        at = end_of_token(code, at);
    }
    None
}

/// Returns the place after the bracket that closes the bracket at `open`.
fn closing(code: &[u8], open: usize) -> usize {
    let mut depth = 0;
    let mut at = open;
    while let Some(i) = first_of(code, at, b"(){}[]") {
        depth += if b"({[".contains(&code[i]) { 1 } else { -1 };
        at = i + 1;
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bodies(text: &str, name: &str, is_rust: bool) -> Vec<String> {
        let code = code_of(text);
        functions(&code, name, is_rust).into_iter().map(|r| code[r].to_string()).collect()
    }

    #[test]
    fn comments_are_no_code() {
        assert_eq!(code_of("a // b\nc /* d */ e"), "a     \nc         e");
        assert_eq!(code_of("\"// no\" '\"' // é \""), "\"// no\" '\"'        ");
        assert_eq!(code_of("&'a str // x"), "&'a str     ");
    }

    #[test]
    fn rust_functions_are_found() {
        let text = "trait T { fn run(&self); }\nfn rerun() {}\nimpl X {\n fn run(&self) -> [u8; 3] { if x { \"}\" } }\n}\n";
        assert_eq!(bodies(text, "run", true), ["{ if x { \"}\" } }"]);
        assert_eq!(bodies(text, "rerun", true), ["{}"]);
        assert_eq!(
            bodies("fn run<T>(a: T) -> u8 { { '{' } }\nfn run() { b }", "run", true),
            ["{ { '{' } }", "{ b }"]
        );
    }

    #[test]
    fn methods_of_a_type_are_found() {
        let text = "impl A {\n fn f() { a }\n}\nimpl<T: A> X for B<T> {\n fn f(x: impl A) { b }\n}\nunsafe impl C {\n fn f() { c }\n}\n";
        assert_eq!(bodies(text, "A::f", true), ["{ a }"]);
        assert_eq!(bodies(text, "B::f", true), ["{ b }"]);
        assert_eq!(bodies(text, "C::f", true), ["{ c }"]);
        assert_eq!(bodies(text, "X::f", true), Vec::<String>::new());
        assert_eq!(bodies(text, "f", true).len(), 3);
    }

    #[test]
    fn c_functions_and_macros_are_found() {
        let text = "int f(int a);\nint f(int a)\n{\n\tif (a) { g(); }\n}\n#define g(x) \\\n\tdo { f(x); } \\\n\twhile (0)\nint h;";
        assert_eq!(bodies(text, "f", false), ["{\n\tif (a) { g(); }\n}"]);
        assert_eq!(bodies(text, "g", false), ["(x) \\\n\tdo { f(x); } \\\n\twhile (0)\n"]);
    }
}
