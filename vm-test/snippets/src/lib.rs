// SPDX-License-Identifier: GPL-2.0

//! Tests that need only the compiler, with the command that built the demo.
//!
//! - Each file of `compile-fail/` must fail to compile. Its lines `//~ ERROR text` name the
//!   expected errors. Any other error is a failure, so that a snippet cannot fail for another
//!   reason. ` .. ` joins the parts of one error: its text and its source line.
//! - With a line `//~ IN THE LIBRARY'S CRATE` the snippet and the library are one crate, as in
//!   every module. Code that only the orphan rule or `pub(crate)` forbids must then fail for
//!   another reason.
//! - `scoped_module!` must accept what the kernel's `module!` accepts, and nothing else.

mod compiler;
pub mod examples;
mod module_keys;

pub use examples::kbuild;

use anyhow::{Context, Result, bail, ensure};
use compiler::{Compiler, MODULE, SURROUNDINGS};
use libtest_mimic::{Failed, Trial};
use std::{fs, path::Path, sync::Arc};

const PRELUDE: &str = include_str!("../prelude.rs");
const ERROR: &str = "//~ ERROR ";
const ONE_CRATE: &str = "//~ IN THE LIBRARY'S CRATE";

/// Returns all tests. `source` is the checkout, `modules` the directory of its built modules.
pub fn trials(source: &Path, modules: &Path) -> Result<Vec<Trial>> {
    let compiler = Arc::new(Compiler::new(source, modules)?);
    let mut trials = Vec::new();

    let folder = source.join("vm-test/snippets/compile-fail");
    let mut files = fs::read_dir(&folder)
        .and_then(|entries| entries.map(|e| Ok(e?.path())).collect::<Result<Vec<_>, _>>())
        .with_context(|| format!("cannot list {}", folder.display()))?;
    files.sort();
    for file in files {
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let compiler = compiler.clone();
        let snippet = fs::read_to_string(&file)?;
        trials.push(trial(format!("compile_fail::{name}"), move |name| {
            must_fail(&compiler, name, &snippet)
        }));
    }

    for (name, keys) in module_keys::ALL {
        let compiler = compiler.clone();
        trials.push(trial(format!("module_keys::{name}"), move |name| {
            module_keys::same(&compiler, name, keys)
        }));
    }

    Ok(trials)
}

fn trial(name: String, test: impl FnOnce(&str) -> Result<()> + Send + 'static) -> Trial {
    let id = name.clone();
    Trial::test(name, move || test(&id).map_err(|e| Failed::from(format!("{e:#}"))))
}

fn must_fail(compiler: &Compiler, name: &str, snippet: &str) -> Result<()> {
    let expected: Vec<&str> = snippet.lines().filter_map(|line| line.strip_prefix(ERROR)).collect();
    ensure!(!expected.is_empty(), "the snippet names no error: `{ERROR}...`");

    // A `//!` comment may stand only at the top of a file.
    let body = snippet.replace("//!", "//");
    let prelude = match snippet.lines().any(|line| line == ONE_CRATE) {
        true => prelude_in_one_crate()?,
        false => PRELUDE.into(),
    };
    let module = if snippet.contains("scoped_module!") { "" } else { MODULE };
    let errors = compiler.errors(name, &format!("{prelude}\n{body}\n{module}"))?;

    let says = |error: &str, text: &str| text.split(" .. ").all(|part| error.contains(part));
    let mut missing = expected.clone();
    missing.retain(|text| !errors.iter().any(|e| says(e, text)));
    if !missing.is_empty() {
        let missing = missing.join("`, `");
        match errors.is_empty() {
            true => bail!("the snippet compiles, without the expected error `{missing}`"),
            false => bail!("no error has `{missing}`; the errors:\n{}", errors.concat()),
        }
    }
    match errors.iter().find(|e| !expected.iter().any(|text| says(e, text))) {
        Some(other) => bail!("unexpected error:\n{other}"),
        None => Ok(()),
    }
}

/// Returns the prelude with the library as modules instead of a crate.
fn prelude_in_one_crate() -> Result<String> {
    let (library, _) = SURROUNDINGS.split_once("use smpboot::").context("surroundings.rs")?;
    let (_, imports) = PRELUDE.split_once("use kernel::prelude::*;").context("prelude.rs")?;
    Ok(format!("{library}{imports}"))
}
