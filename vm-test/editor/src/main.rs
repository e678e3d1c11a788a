// SPDX-License-Identifier: GPL-2.0

//! Writes a `rust-project.json` for modules that kbuild has built: see scripts/editor.
//!
//! The kernel's `make rust-analyzer` describes the kernel as its own compiler has built it. An
//! editor has another compiler, which cannot load the procedural macros of that one, and the
//! generated description lacks what a module's Kbuild adds.

mod command;
mod options;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use command::Command;
use options::{Options, Version};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Parser)]
#[command(about = "Describes modules and the kernel's crates to rust-analyzer")]
struct Cli {
    /// The kernel's build directory
    #[arg(long, value_name = "DIR")]
    kernel: PathBuf,
    /// Where the modules were built
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    /// The modules' sources
    #[arg(long, value_name = "DIR")]
    source: PathBuf,
    /// The editor's rustc: its version, such as 1.85.1
    #[arg(long, value_name = "VERSION")]
    rustc: Version,
    /// The sysroot of that rustc
    #[arg(long, value_name = "DIR")]
    sysroot: String,
    /// The standard library's sources, of the compiler that built the kernel
    #[arg(long, value_name = "DIR")]
    library: String,
    /// Directory for the macros and for the files that describe how to build them
    #[arg(long, value_name = "DIR")]
    macros: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let of_kernel = kernel(&cli.kernel)?;
    let options = Options::read(&cli.kernel)?;
    fs::create_dir_all(&cli.macros)?;
    fs::write(cli.macros.join("rustc_cfg"), options.arguments_for(cli.rustc))?;
    let host: Vec<&Command> = of_kernel.iter().filter(|command| is_of_host(command)).collect();
    let commands: String =
        in_order(&host).iter().map(|command| compilation(command, &cli.macros)).collect();
    fs::write(cli.macros.join("commands"), commands)?;

    let modules = modules(&cli.modules, &cli.source)?;
    ensure!(!modules.is_empty(), "no module of {} is written in Rust", cli.source.display());
    let project = project(&cli, &of_kernel, &modules, options.of_kernel());
    let text = serde_json::to_string_pretty(&project)? + "\n";
    fs::write(&cli.out, text).with_context(|| cli.out.display().to_string())
}

/// The kernel's crates, without `core`: rust-analyzer reads the standard library's sources.
fn kernel(build: &Path) -> Result<Vec<Command>> {
    let mut found = Vec::new();
    for directory in ["rust/host", "rust"] {
        let directory = build.join(directory);
        // Older kernels have no such directory.
        if directory.is_dir() {
            found.extend(in_directory(&directory, build)?);
        }
    }
    found.retain(|command| command.name != "core");
    ensure!(
        found.iter().any(|command| command.name == "kernel"),
        "{} has no Rust metadata",
        build.display()
    );
    Ok(found)
}

/// The crates whose commands are in this directory, by file name.
fn in_directory(directory: &Path, relative_to: &Path) -> Result<Vec<Command>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let name = entry?.file_name();
        let name = name.to_string_lossy();
        if [".o.cmd", ".so.cmd", ".rlib.cmd"].iter().any(|end| name.ends_with(end)) {
            files.push(directory.join(&*name));
        }
    }
    files.sort();
    let commands = files.iter().map(|file| Command::read(file, relative_to));
    Ok(commands.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The crates of the modules below this directory of kbuild's outputs.
fn modules(built: &Path, source: &Path) -> Result<Vec<Command>> {
    let mut found = in_directory(built, source)?;
    for entry in fs::read_dir(built)? {
        let entry = entry?;
        // Does not follow kbuild's links to the sources.
        if entry.file_type()?.is_dir() {
            found.extend(modules(&entry.path(), source)?);
        }
    }
    found.sort_by(|a, b| a.root.cmp(&b.root));
    found.dedup_by(|a, b| a.root == b.root);
    Ok(found)
}

/// Whether the compiler itself loads this crate: a procedural macro, or a library for those.
fn is_of_host(command: &Command) -> bool {
    command.crate_type == "proc-macro"
        || ["proc_macro2", "quote", "syn"].contains(&command.name.as_str())
}

/// Each crate after those that it depends on.
fn in_order<'a>(commands: &[&'a Command]) -> Vec<&'a Command> {
    let mut left = commands.to_vec();
    let mut ordered: Vec<&Command> = Vec::new();
    while !left.is_empty() {
        let needs =
            |command: &&Command| left.iter().any(|other| command.externs.contains(&other.name));
        let (later, now): (Vec<&Command>, Vec<&Command>) = left.iter().copied().partition(needs);
        // A ring cannot be built at all.
        if now.is_empty() {
            break;
        }
        ordered.extend(now);
        left = later;
    }
    ordered
}

/// Arguments of rustc for a crate of the host, each in a line; an empty line ends them.
fn compilation(command: &Command, out: &Path) -> String {
    let out = out.display();
    let mut arguments = vec![
        format!("--edition={}", command.edition),
        format!("--crate-name={}", command.name),
        format!("--crate-type={}", command.crate_type),
        format!("--out-dir={out}"),
        format!("-L{out}"),
        "--emit=link".into(),
        "--cap-lints=allow".into(),
        format!("@{out}/rustc_cfg"),
    ];
    arguments.extend(command.cfg.iter().map(|cfg| format!("--cfg={cfg}")));
    arguments.extend(command.externs.iter().map(|name| format!("--extern={name}")));
    arguments.push(command.root.display().to_string());
    arguments.join("\n") + "\n\n"
}

/// Marks the file as ours: scripts/editor replaces no other.
const MARK: &str = "written by scripts/editor of rust_smpboot";

fn project(cli: &Cli, of_kernel: &[Command], modules: &[Command], options: Vec<&str>) -> Json {
    let numbers: BTreeMap<&str, usize> =
        of_kernel.iter().enumerate().map(|(i, command)| (command.name.as_str(), i)).collect();
    let described = |command: &Command| {
        let deps: Vec<Json> = command
            .externs
            .iter()
            .filter_map(|name| Some(json!({ "name": name, "crate": numbers.get(name.as_str())? })))
            .collect();
        let own = command.cfg.iter().map(String::as_str);
        let cfg: Vec<&str> = own.chain(options.iter().copied()).collect();
        let env: BTreeMap<&String, &String> =
            command.env.iter().map(|(name, value)| (name, value)).collect();
        json!({
            "display_name": command.name,
            "root_module": command.root,
            "edition": command.edition,
            "deps": deps,
            "cfg": cfg,
            "env": env,
            "is_workspace_member": false,
        })
    };

    let mut crates: Vec<Json> = of_kernel
        .iter()
        .map(|command| {
            let mut described = described(command);
            if command.crate_type == "proc-macro" {
                let file = cli.macros.join(format!("lib{}.so", command.name));
                described["is_proc_macro"] = true.into();
                described["proc_macro_dylib_path"] = json!(file);
            }
            if command.root.ends_with(format!("{}/lib.rs", command.name)) {
                // `bindings`, `uapi` and `kernel` include generated files.
                described["source"] = json!({
                    "include_dirs": [command.root.parent(), cli.kernel.join("rust")],
                    "exclude_dirs": [],
                });
            }
            described
        })
        .collect();

    // The modules may share files, so they have one set of directories.
    let generated = |file: &&PathBuf| file.starts_with(&cli.modules);
    let mut directories: Vec<PathBuf> = vec![cli.source.clone()];
    let files = modules.iter().flat_map(|command| &command.files);
    directories.extend(files.filter(generated).filter_map(|file| Some(file.parent()?.into())));
    directories.sort();
    directories.dedup();
    let excluded = [".git", "build", "target"].map(|name| cli.source.join(name));
    crates.extend(modules.iter().map(|command| {
        let mut described = described(command);
        described["is_workspace_member"] = true.into();
        described["source"] = json!({ "include_dirs": directories, "exclude_dirs": excluded });
        if let Some(bindings) = command.files.iter().find(|file| file.ends_with(BINDINGS)) {
            described["env"]["SMPBOOT_BINDINGS"] = json!(bindings);
        }
        described
    }));
    json!({
        "comment": MARK,
        "sysroot": cli.sysroot,
        "sysroot_src": cli.library,
        "crates": crates,
    })
}

/// The library's generated file: its smpboot.mk exports the path.
const BINDINGS: &str = ".smpboot/bindings_generated.rs";
