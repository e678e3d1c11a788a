// SPDX-License-Identifier: GPL-2.0

//! Parts of sentences, and lines.

/// Names CPUs: `CPU 1`, `CPUs 1 and 3`, `CPUs 1 to 63`.
pub fn cpus(cpus: &[u32]) -> String {
    let is_range = cpus.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    match cpus {
        [] => "no CPU".into(),
        [cpu] => format!("CPU {cpu}"),
        [first, .., last] if is_range && cpus.len() > 2 => format!("CPUs {first} to {last}"),
        [most @ .., last] => {
            let most: Vec<String> = most.iter().map(u32::to_string).collect();
            format!("CPUs {} and {last}", most.join(", "))
        }
    }
}

/// A number with its noun: `1 wake`, `3 wakes`.
pub fn times(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Breaks a text into lines of at most `width` characters, at spaces.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line += word;
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_named_as_a_list_or_as_a_range() {
        assert_eq!(cpus(&[]), "no CPU");
        assert_eq!(cpus(&[1]), "CPU 1");
        assert_eq!(cpus(&[1, 2]), "CPUs 1 and 2");
        assert_eq!(cpus(&[1, 2, 3]), "CPUs 1 to 3");
        assert_eq!(cpus(&[1, 3, 4]), "CPUs 1, 3 and 4");
    }

    #[test]
    fn lines_are_broken_at_spaces() {
        assert_eq!(wrap("a bb ccc dddd", 6), ["a bb", "ccc", "dddd"]);
        assert_eq!(wrap("a\n\nb", 6), ["a", "", "b"]);
        assert_eq!(wrap("/a/long/path x", 6), ["/a/long/path", "x"]);
    }
}
