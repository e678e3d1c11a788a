// SPDX-License-Identifier: GPL-2.0

//! The examples in the documentation.

use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// One example, named by its file and line.
pub struct Example {
    pub name: String,
    pub code: String,
}

impl Example {
    /// The example as a function, whose name tells where it comes from if it does not compile.
    pub fn as_function(&self) -> String {
        let name = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
        format!(
            "pub fn example_{name}(scope: &'static ModuleScope) -> Result {{\n{}\n\
             let _ = scope;\nOk(())\n}}\n",
            self.code
        )
    }
}

/// Folders whose code is not the kernel's, or is not source.
const OTHERS: &[&str] = &["vm-test", "build", "target"];

/// All examples of the checkout, wherever they are.
pub fn all(source: &Path) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for file in sources(source, Path::new(""))? {
        let text = fs::read_to_string(source.join(&file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        extract(&file.to_string_lossy(), &text, &mut examples);
    }
    Ok(examples)
}

/// The Rust files of a folder and of all folders in it, in order.
fn sources(source: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let place = source.join(folder);
    let mut files = Vec::new();
    for entry in fs::read_dir(&place).with_context(|| format!("cannot list {}", place.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let (path, name) = (folder.join(&name), name.to_string_lossy());
        if entry.file_type()?.is_dir() {
            if !name.starts_with('.') && !OTHERS.contains(&&*name) {
                files.extend(sources(source, &path)?);
            }
        } else if name.ends_with(".rs") && !name.ends_with("_generated.rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The Rust blocks of the Markdown files, character for character.
pub fn markdown(source: &Path) -> Result<Vec<Example>> {
    let mut examples = Vec::new();
    for folder in ["", "doc", "vm-test"] {
        for entry in fs::read_dir(source.join(folder))? {
            let name = entry?.file_name();
            let file = Path::new(folder).join(&name);
            if file.extension().is_some_and(|e| e == "md") {
                let text = fs::read_to_string(source.join(&file))
                    .with_context(|| format!("cannot read {}", file.display()))?;
                extract_markdown(&file.to_string_lossy(), &text, &mut examples);
            }
        }
    }
    Ok(examples)
}

fn extract_markdown(file: &str, text: &str, examples: &mut Vec<Example>) {
    const FENCE: &str = "```";
    // The block that is being read, if any; `None` inside if it is not Rust.
    let mut block: Option<Option<Example>> = None;

    for (number, line) in text.lines().enumerate() {
        let info = line.trim_start().strip_prefix(FENCE);
        match (&mut block, info) {
            (None, Some(info)) => {
                block = Some(info.starts_with("rust").then(|| Example {
                    name: format!("{file}:{}", number + 1),
                    code: String::new(),
                }));
            }
            (Some(_), Some("")) => examples.extend(block.take().flatten()),
            (Some(Some(example)), _) => {
                example.code.push_str(line);
                example.code.push('\n');
            }
            _ => {}
        }
    }
}

/// Finds the code blocks of doc comments that are marked as Rust or not at all.
fn extract(file: &str, text: &str, examples: &mut Vec<Example>) {
    /// The lines of the block that is being read, and whether it is wanted.
    enum Block {
        Outside,
        Wanted(Example),
        Other,
    }
    let mut block = Block::Outside;

    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let Some(doc) = line.strip_prefix("//!").or(line.strip_prefix("///")) else {
            block = Block::Outside;
            continue;
        };
        let doc = doc.strip_prefix(' ').unwrap_or(doc);

        block = match (doc.strip_prefix("```"), block) {
            (Some("" | "rust"), Block::Outside) => Block::Wanted(Example {
                name: format!("{file}:{}", number + 1),
                code: String::new(),
            }),
            (Some(_), Block::Outside) => Block::Other,
            (Some(_), Block::Wanted(example)) => {
                examples.push(example);
                Block::Outside
            }
            (Some(_), Block::Other) => Block::Outside,
            (None, Block::Wanted(mut example)) => {
                // Lines that begin with `# ` are compiled but not shown.
                let code = if doc == "#" { "" } else { doc.strip_prefix("# ").unwrap_or(doc) };
                example.code.push_str(code);
                example.code.push('\n');
                Block::Wanted(example)
            }
            (None, block) => block,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_blocks_of_rust_are_found_as_they_are() {
        let text = "# T\n```rust\n# kept\n  let a;\n```\n```text\n```\n    ```\n    x\n    ```\n\
                    ```rust,ignore\nlet b;\n```\n";
        let mut examples = Vec::new();
        extract_markdown("f.md", text, &mut examples);

        let found: Vec<_> = examples.iter().map(|e| (e.name.as_str(), e.code.as_str())).collect();
        assert_eq!(found, [("f.md:2", "# kept\n  let a;\n"), ("f.md:11", "let b;\n")]);
    }

    #[test]
    fn code_blocks_are_found_and_text_is_not() {
        let text = "//! ```\n//! let a;\n//! # hidden();\n//! ```\n\
                    //! ```text\n//! not code\n//! ```\n\
                    struct S;\n    /// ```\n    /// let b;\n    /// ```\n";
        let mut examples = Vec::new();
        extract("f.rs", text, &mut examples);

        let found: Vec<_> = examples.iter().map(|e| (e.name.as_str(), e.code.as_str())).collect();
        assert_eq!(found, [("f.rs:1", "let a;\nhidden();\n"), ("f.rs:9", "let b;\n")]);
    }

    #[test]
    fn no_file_with_an_example_is_missed() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let examples = all(&source).unwrap();
        for file in [
            "rust/kernel/debugfs/number.rs",
            "samples/percpu_workqueue/mod.rs",
            "samples/percpu_workqueue/work.rs",
        ] {
            let found = examples.iter().any(|e| e.name.starts_with(&format!("{file}:")));
            assert!(found, "{file}");
        }
    }
}
