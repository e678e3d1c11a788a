// SPDX-License-Identifier: GPL-2.0

//! The compiler, called as kbuild calls it.

use anyhow::{Context, Error, Result, ensure};
use serde::Deserialize;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

pub const MODULE: &str = include_str!("../module.rs");
pub const SURROUNDINGS: &str = include_str!("../surroundings.rs");

/// The command that built the demo, applied to other sources.
pub struct Compiler {
    /// The command up to the arguments that name the input and the output.
    command: String,
    source: PathBuf,
    modules: PathBuf,
    /// The result of compiling the crate that all snippets use, after the first request.
    surroundings: OnceLock<Result<(), String>>,
}

#[derive(Deserialize)]
struct Diagnostic {
    level: String,
    rendered: String,
    code: Option<serde_json::Value>,
}

impl Compiler {
    /// `modules` is the directory with kbuild's `.rust_smpboot_demo.o.cmd`.
    pub fn new(source: &Path, modules: &Path) -> Result<Self> {
        let file = modules.join(".rust_smpboot_demo.o.cmd");
        let saved = fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}: build the modules first", file.display()))?;
        let command = saved
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("savedcmd_rust_smpboot_demo.o := "))
            .and_then(|line| line.split(" --out-dir ").next())
            .with_context(|| format!("{} is not what kbuild writes", file.display()))?;

        Ok(Self {
            // kbuild escapes for make.
            command: command.replace("$$", "$").replace("\\#", "#"),
            source: source.canonicalize()?,
            modules: modules.canonicalize()?,
            surroundings: OnceLock::new(),
        })
    }

    /// Compiles a module that may use the crate of `surroundings.rs`. Returns the errors as the
    /// compiler renders them.
    pub fn errors(&self, name: &str, code: &str) -> Result<Vec<String>> {
        let surroundings = self.surroundings.get_or_init(|| {
            let options = "--crate-name=surroundings --emit=metadata=libsurroundings.rmeta";
            let errors =
                self.compile("surroundings", &format!("{SURROUNDINGS}\n{MODULE}"), options);
            match errors.map_err(|e| format!("{e:#}"))?.concat() {
                none if none.is_empty() => Ok(()),
                errors => Err(errors),
            }
        });
        surroundings.clone().map_err(Error::msg).context("the snippets' surroundings")?;
        let library = self.folder("surroundings");
        self.compile(name, code, &format!("--emit=metadata=snippet.rmeta -L {}", library.display()))
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.modules.join("snippets").join(name.replace("::", "-"))
    }

    fn compile(&self, name: &str, code: &str, options: &str) -> Result<Vec<String>> {
        let folder = self.folder(name);
        fs::create_dir_all(&folder)?;
        let file = folder.join("snippet.rs");
        let source = self.source.to_str().context("the checkout's path is not UTF-8")?;
        fs::write(&file, code.replace("../../", &format!("{source}/")))?;

        // Checking suffices: the compiler evaluates the assertions on names and sizes with the
        // initializer of the static.
        let output = Command::new("sh")
            .arg("-c")
            .arg(format!(
                "exec {} --error-format=json --out-dir . {options} snippet.rs",
                self.command.replacen("OBJTREE=", "env OBJTREE=", 1)
            ))
            .current_dir(&folder)
            .env("RUSTC_BOOTSTRAP", "1")
            .env("SMPBOOT_BINDINGS", self.modules.join(".smpboot/bindings_generated.rs"))
            .output()
            .context("cannot run the compiler")?;

        let stderr = String::from_utf8_lossy(&output.stderr);
        let mut errors = Vec::new();
        for line in stderr.lines() {
            let diagnostic: Diagnostic = serde_json::from_str(line)
                .with_context(|| format!("the compiler did not run: {stderr}"))?;
            // "aborting due to" has no code and no place.
            let summary = diagnostic.rendered.starts_with("error: aborting due to");
            if diagnostic.level == "error" && !(diagnostic.code.is_none() && summary) {
                errors.push(diagnostic.rendered);
            }
        }
        ensure!(
            output.status.success() == errors.is_empty(),
            "the compiler ended with {}, and printed:\n{stderr}",
            output.status
        );
        Ok(errors)
    }
}
