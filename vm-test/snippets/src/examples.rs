// SPDX-License-Identifier: GPL-2.0

//! Finds the examples in the documentation, and builds modules that run them.
//!
//! An example is a function of one module, or a module of its own. Each line has the same number in
//! the generated file as in the documentation.

use anyhow::{Context, Result, bail, ensure};
use std::{
    fmt::Write as _,
    fs,
    io::ErrorKind,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

/// The module with the examples that are functions.
pub const MODULE: &str = "rust_smpboot_examples";

const SOURCE: &str = include_str!("../examples.rs");
/// Examples for the runner's own test, which must report each of them as failed.
const FAILING: (&str, &str) = ("failing_examples.md", include_str!("../failing_examples.md"));

/// The comment in an example that gives the reason why it is not run.
const NOT_RUN: &str = "// Not run: ";

/// Directories without examples of this project: other people's files, and build results.
const OTHERS: &[&str] = &["build", "target", "snippets"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The body of a function that has a `scope`.
    Function,
    /// A `Function` that is not run.
    NoRun,
    /// The root file of a module.
    Module,
}

/// One example, named by its file and the line of its fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub name: String,
    pub line: usize,
    pub kind: Kind,
    /// The example must fail.
    pub fails: bool,
    code: String,
}

impl Example {
    fn new(file: &str, line: usize, no_run: bool, code: String) -> Result<Self> {
        let name = format!("{file}:{line}");
        let kind = match no_run {
            true => Kind::NoRun,
            false if code.contains("scoped_module! {") => Kind::Module,
            false => Kind::Function,
        };
        let reason = code.lines().any(|line| line.starts_with(NOT_RUN));
        ensure!(
            no_run == reason,
            "{name}: an example that is marked `no_run` has a line `{NOT_RUN}REASON`, others have none"
        );
        Ok(Self { name, line, kind, fails: false, code })
    }

    /// Returns the name of the kernel's object, or of the Rust module.
    pub fn module(&self) -> String {
        let name = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        format!("example_{}", name.to_lowercase())
    }

    /// Returns the generated file.
    fn file(&self) -> String {
        let Self { code, line, .. } = self;
        let before = match self.kind {
            Kind::Function | Kind::NoRun => {
                "use super::*; pub(super) fn run(scope: &'static ModuleScope) -> Result {".into()
            }
            Kind::Module if self.name.starts_with("README.md:") => String::new(),
            Kind::Module if code.contains("mod library;") => "#![allow(missing_docs)]".into(),
            Kind::Module => "#![allow(missing_docs)] \
                 #[path = \"ext/rust/kernel/library.rs\"] mod library; use library::smpboot;"
                .into(),
        };
        let after = match self.kind {
            Kind::Function | Kind::NoRun => "let _ = scope;\nOk(())\n}\n",
            Kind::Module => "",
        };
        format!("{}{before}\n{code}{after}", "\n".repeat(line - 1))
    }
}

/// Returns all examples in the checkout, and those that must fail.
pub fn all(source: &Path) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for path in files(source, Path::new(""))? {
        let text = fs::read_to_string(source.join(&path))
            .with_context(|| format!("cannot read {}", path.display()))?;
        examples.extend(extract(&path.to_string_lossy(), &text)?);
    }
    let failing = extract(FAILING.0, FAILING.1)?;
    examples.extend(failing.into_iter().map(|example| Example { fails: true, ..example }));
    Ok(examples)
}

/// Returns the Rust and Markdown files of a directory and of all directories in it, in order.
fn files(source: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let place = source.join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&place).with_context(|| format!("cannot list {}", place.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let (path, name) = (folder.join(&name), name.to_string_lossy());
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !OTHERS.contains(&&*name) {
                files.extend(self::files(source, &path)?);
            }
        } else if name.ends_with(".md") || (name.ends_with(".rs") && is_of_a_module(&path)) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns whether the file is a source of a module: not a program of the host, not bindgen's
/// output, and not a part of the kernel's own tree (`make upstream` runs the examples there).
fn is_of_a_module(path: &Path) -> bool {
    !path.starts_with("upstream")
        && (!path.starts_with("vm-test") || path.starts_with("vm-test/modules"))
        && !path.to_string_lossy().ends_with("_generated.rs")
}

/// Returns the examples of a file.
fn extract(file: &str, text: &str) -> Result<Vec<Example>> {
    const FENCE: &str = "```";
    let is_markdown = file.ends_with(".md");
    let mut examples = Vec::new();
    // The line of the fence, and, for an example, whether it is skipped, and its text.
    let mut block: Option<(usize, Option<(bool, String)>)> = None;

    for (line, text) in (1..).zip(text.lines()) {
        let text = if is_markdown {
            text
        } else {
            let line = text.trim_start();
            let Some(doc) = line.strip_prefix("//!").or(line.strip_prefix("///")) else {
                block = None;
                continue;
            };
            doc.strip_prefix(' ').unwrap_or(doc)
        };
        let info = text.trim_start().strip_prefix(FENCE);
        match (&mut block, info) {
            (None, Some(info)) => {
                let mut words = info.trim().split(',');
                let language = words.next().unwrap_or_default();
                let mut no_run = false;
                let is_rust = match language {
                    "rust" => true,
                    "" => !is_markdown,
                    "no_run" | "ignore" | "should_panic" | "compile_fail" => {
                        words = info.trim().split(',');
                        true
                    }
                    _ => false,
                };
                for word in words {
                    match word {
                        "no_run" => no_run = true,
                        _ => bail!("{file}:{line}: an example cannot be `{word}`, only `no_run`"),
                    }
                }
                block = Some((line, is_rust.then(|| (no_run, String::new()))));
            }
            (Some((begin, content)), Some(_)) => {
                if let Some((no_run, code)) = content.take() {
                    examples.push(Example::new(file, *begin, no_run, code)?);
                }
                block = None;
            }
            (Some((_, Some((_, code)))), None) => {
                // Lines that begin with `# ` are compiled but not shown.
                let text = match text {
                    "#" if !is_markdown => "",
                    _ if is_markdown => text,
                    _ => text.strip_prefix("# ").unwrap_or(text),
                };
                code.push_str(text);
                code.push('\n');
            }
            _ => {}
        }
    }
    Ok(examples)
}

/// Builds the modules of the examples in `folder`, for the kernel that `scripts/kernel` prepared in
/// `kernel`. Returns their files, that of the functions first.
pub fn build(
    examples: &[Example],
    source: &Path,
    kernel: &Path,
    folder: &Path,
) -> Result<Vec<PathBuf>> {
    let parts = folder.join("parts");
    fs::create_dir_all(&parts).with_context(|| format!("cannot make {}", parts.display()))?;
    match symlink(source.canonicalize()?, folder.join("ext")) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        result => result.with_context(|| format!("cannot link in {}", folder.display()))?,
    }

    let (mut root, mut table) = (SOURCE.replace("../../", "ext/"), String::new());
    let mut modules = vec![MODULE.to_owned()];
    for example in examples {
        let module = example.module();
        match example.kind {
            Kind::Module => {
                update(&folder.join(format!("{module}.rs")), &example.file())?;
                modules.push(module);
                continue;
            }
            Kind::Function | Kind::NoRun => {
                update(&parts.join(format!("{module}.rs")), &example.file())?;
            }
        }
        writeln!(root, "#[path = \"parts/{module}.rs\"]\nmod {module};")?;
        if example.kind == Kind::Function {
            let Example { name, fails, .. } = example;
            writeln!(
                table,
                "    Example {{ name: {name:?}, alone: {fails}, run: {module}::run }},"
            )?;
        }
    }
    writeln!(root, "static EXAMPLES: &[Example] = &[\n{table}];")?;
    update(&folder.join(format!("{MODULE}.rs")), &root)?;
    let objects = modules.join(".o ") + ".o";
    update(
        &folder.join("Kbuild"),
        &format!(
            "obj-m := {objects}\ninclude $(src)/ext/rust/smpboot.mk\n\n\
             # For percpu_workqueue/irq.rs.\n\
             rustflags-$(call kernel-has,kernel,SpinLockIrqBackend) += --cfg kernel_has_spin_lock_irq\n"
        ),
    )?;

    let mut make = Command::new("flock");
    make.arg(&parts).arg("make").args(kbuild(kernel)?).args(["-ks", "W=e"]);
    make.arg(format!("M={}", folder.canonicalize()?.display()));
    run(make.arg("modules"))?;

    let modules: Vec<_> = modules.iter().map(|m| folder.join(format!("{m}.ko"))).collect();
    // A kernel that scripts/debug-kernel built has its own key.
    let key = kernel.join("build/certs/signing_key.pem");
    if key.exists() {
        let mut sign = Command::new(source.join("scripts/sign"));
        run(sign.arg(kernel.join("build")).arg(&key).arg(&key).args(&modules))?;
    }
    Ok(modules)
}

/// Returns make's arguments to build modules for a prepared kernel, without `M=` and the targets.
/// They leave out debug info: six sevenths of the files that every VM unpacks.
pub fn kbuild(kernel: &Path) -> Result<Vec<String>> {
    let file = kernel.join("kbuild");
    let flags =
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let jobs = thread::available_parallelism().map_or(1, |n| n.get());
    let mut arguments = vec!["-C".into(), kernel.join("build").display().to_string()];
    arguments.extend(flags.split_whitespace().map(String::from));
    arguments.extend(["KRUSTFLAGS=-Cdebuginfo=0".into(), format!("-j{jobs}")]);
    Ok(arguments)
}

/// Writes the file only if its text changes, so that an unchanged file is not built again.
fn update(file: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(file).is_ok_and(|old| old == text) {
        return Ok(());
    }
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, text: &str) -> Vec<(String, Kind, String)> {
        let examples = extract(file, text).unwrap();
        examples.into_iter().map(|e| (e.name, e.kind, e.code)).collect()
    }

    #[test]
    fn markdown_blocks_of_rust_are_found_as_they_are() {
        let text = "# T\n```rust\n# kept\n  let a;\n```\n```text\n```\n    ```\n    x\n    ```\n\
                    ```rust,no_run\n// Not run: b.\n```\n";
        assert_eq!(
            found("f.md", text),
            [
                ("f.md:2".into(), Kind::Function, "# kept\n  let a;\n".into()),
                ("f.md:11".into(), Kind::NoRun, "// Not run: b.\n".into()),
            ]
        );
    }

    #[test]
    fn code_blocks_are_found_and_text_is_not() {
        let text = "//! ```\n//! let a;\n//! # hidden();\n//! ```\n\
                    //! ```text\n//! not code\n//! ```\n\
                    struct S;\n    /// ```\n    /// scoped_module! {\n    /// ```\n";
        assert_eq!(
            found("f.rs", text),
            [
                ("f.rs:1".into(), Kind::Function, "let a;\nhidden();\n".into()),
                ("f.rs:9".into(), Kind::Module, "scoped_module! {\n".into()),
            ]
        );
    }

    #[test]
    fn an_example_that_is_not_compiled_or_gives_no_reason_is_refused() {
        for text in [
            "/// ```ignore\n/// ```\n",
            "/// ```rust,ignore\n/// ```\n",
            "/// ```no_run\n/// let a;\n/// ```\n",
            "/// ```\n/// // Not run: it is marked otherwise.\n/// ```\n",
        ] {
            extract("f.rs", text).unwrap_err();
        }
    }

    #[test]
    fn the_lines_of_a_generated_file_are_those_of_the_documentation() {
        let text = "//! T\n//!\n//! ```\n//! let a;\n//! ```\n";
        let file = extract("f.rs", text).unwrap()[0].file();
        assert_eq!(file.lines().nth(3), Some("let a;"));
    }

    #[test]
    fn no_file_with_an_example_is_missed() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let examples = all(&source).unwrap();
        for file in [
            "README.md",
            "rust/kernel/cpu/hotplug.rs",
            "rust/kernel/library.rs",
            "rust/kernel/smpboot.rs",
            "rust/kernel/debugfs/number.rs",
            "percpu_workqueue/mod.rs",
            "percpu_workqueue/work.rs",
        ] {
            let found = examples.iter().any(|e| e.name.starts_with(&format!("{file}:")));
            assert!(found, "{file}");
        }
    }
}
