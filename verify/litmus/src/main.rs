// SPDX-License-Identifier: GPL-2.0

//! Checks quotes for `make lint`, and prepares and judges herd7's runs for `make litmus`.
//!
//! - `litmus quotes CHECKOUT KERNEL FILE...`: searches the code for each quote in the files.
//! - `litmus write DIRECTORY FILE...`: writes the litmus tests and their mutants to DIRECTORY, for
//!   herd7.
//! - `litmus judge LOG FILE...`: judges herd7's output for these files.

mod quotes;
mod source;
mod test;

use std::{fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match &args[..] {
        ["quotes", checkout, kernel, files @ ..] => {
            check_quotes(Path::new(checkout), Path::new(kernel), files)
        }
        ["write", folder, files @ ..] => write(Path::new(folder), files),
        ["judge", log, files @ ..] => judge(Path::new(log), files),
        _ => Err("usage: litmus quotes|write|judge ...".into()),
    };
    match result {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))
}

fn check_quotes(checkout: &Path, kernel: &Path, files: &[&str]) -> Result<String, String> {
    let mut sources = quotes::Sources::new(checkout, kernel);
    let (mut wrong, mut count) = (vec![], 0);
    for file in files {
        let quotes = quotes::quotes(&read(&checkout.join(file))?);
        count += quotes.len();
        if quotes.is_empty() {
            wrong.push(format!("{file}: no quote"));
        }
        wrong.extend(
            sources.check(&quotes).into_iter().map(|(line, why)| format!("{file}:{line}: {why}")),
        );
    }
    match wrong.is_empty() {
        true => Ok(format!("{count} quotes in {} files", files.len())),
        false => Err(format!(
            "{}\nIf the code has changed, first check that the test still proves it; otherwise correct the quote.",
            wrong.join("\n")
        )),
    }
}

fn tests(files: &[&str]) -> Result<Vec<test::Test>, String> {
    let mut all = vec![];
    for file in files {
        let tests = test::tests(&read(Path::new(file))?).map_err(|e| format!("{file}: {e}"))?;
        if Path::new(file).file_stem().is_none_or(|s| *s != *tests[0].name) {
            return Err(format!("{file}: the test's name is {}, not the file's", tests[0].name));
        }
        all.extend(tests);
    }
    Ok(all)
}

fn write(folder: &Path, files: &[&str]) -> Result<String, String> {
    let all = tests(files)?;
    for test in &all {
        let path = folder.join(format!("{}.litmus", test.name));
        fs::write(&path, &test.text)
            .map_err(|e| format!("cannot write {}: {e}", path.display()))?;
    }
    Ok(format!("{} files", all.len()))
}

fn judge(log: &Path, files: &[&str]) -> Result<String, String> {
    let (summary, wrong) = test::judge(&tests(files)?, &read(log)?);
    match wrong.is_empty() {
        true => Ok(summary),
        false => {
            Err(format!("{}\n{summary}: {} have the wrong result", wrong.join("\n"), wrong.len()))
        }
    }
}
