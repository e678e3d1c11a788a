// SPDX-License-Identifier: GPL-2.0

//! The results as JUnit's XML, which CI systems read.

use anyhow::Result;
use cli::say;
use host::{Machine, files};
use quick_xml::Writer;
use quick_xml::events::BytesText;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub struct Report {
    /// Nothing is written without a directory for reports.
    file: Option<PathBuf>,
    /// The modules, and the kernel's release.
    suite: String,
    cases: Mutex<Vec<Case>>,
}

struct Case {
    name: String,
    took: Duration,
    failure: Option<String>,
}

impl Report {
    pub fn new(name: &str, machine: &Machine) -> Report {
        let suite = format!("{name}-{}", machine.kernel.release);
        let directory = machine.report.as_ref();
        let file = directory.map(|directory| directory.join(format!("junit-{suite}.xml")));
        Report { file, suite, cases: Mutex::default() }
    }

    pub fn add(&self, name: &str, took: Duration, result: &Result<(), String>) {
        let case = Case { name: name.into(), took, failure: result.clone().err() };
        self.cases.lock().unwrap_or_else(PoisonError::into_inner).push(case);
    }

    pub fn write(&self) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let cases = self.cases.lock().unwrap_or_else(PoisonError::into_inner);
        files::write(file, xml(&self.suite, &cases)?)?;
        say!("JUnit: {}", file.display());
        Ok(())
    }
}

fn xml(suite: &str, cases: &[Case]) -> io::Result<Vec<u8>> {
    let failures = cases.iter().filter(|case| case.failure.is_some()).count().to_string();
    let tests = cases.len().to_string();
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    let element = writer.create_element("testsuite").with_attributes([
        ("name", suite),
        ("tests", &*tests),
        ("failures", &*failures),
    ]);
    element.write_inner_content(|writer| {
        for Case { name, took, failure } in cases {
            let time = format!("{:.3}", took.as_secs_f64());
            let case = writer.create_element("testcase").with_attributes([
                ("classname", suite),
                ("name", &**name),
                ("time", &*time),
            ]);
            let Some(text) = failure else {
                case.write_empty()?;
                continue;
            };
            case.write_inner_content(|writer| {
                let text = printable(text);
                let message = text.lines().next().unwrap_or_default();
                let failure = writer.create_element("failure").with_attribute(("message", message));
                failure.write_text_content(BytesText::new(&text)).map(drop)
            })?;
        }
        Ok(())
    })?;
    Ok(writer.into_inner())
}

/// The text without the characters that XML does not allow.
fn printable(text: &str) -> String {
    let is_allowed = |c: &char| match c {
        '\n' | '\t' => true,
        c => !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}'),
    };
    text.chars().filter(is_allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_its_text() {
        let case = |name: &str, failure: Option<&str>| Case {
            name: name.into(),
            took: Duration::from_millis(1500),
            failure: failure.map(String::from),
        };
        let cases = [case("ok", None), case("not", Some("- a < b\u{7}\u{ffff}\nmore"))];
        assert_eq!(
            String::from_utf8(xml("7.3", &cases).unwrap()).unwrap(),
            r#"<testsuite name="7.3" tests="2" failures="1">
  <testcase classname="7.3" name="ok" time="1.500"/>
  <testcase classname="7.3" name="not" time="1.500">
    <failure message="- a &lt; b">- a &lt; b
more</failure>
  </testcase>
</testsuite>"#
        );
    }
}
