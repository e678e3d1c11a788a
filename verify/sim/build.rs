// SPDX-License-Identifier: GPL-2.0

//! Takes the project's files unchanged, or from a copy with a planted bug: `SIM_SOURCE=DIRECTORY`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-env-changed=SIM_SOURCE");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::env::var_os("SIM_SOURCE").map_or_else(|| here.join("../.."), PathBuf::from);
    let source = source.canonicalize().unwrap();
    let library = source.join("rust/kernel");
    let queue = source.join("percpu_workqueue");
    for folder in [&library, &queue] {
        println!("cargo:rerun-if-changed={}", folder.display());
    }

    // The library's root, without the modules that have no races to find; the files that it names
    // are beside it.
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("modules");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out).unwrap();
    let root = fs::read_to_string(library.join("library.rs")).unwrap();
    let root = root.replace("pub mod debugfs;\n", "").replace("pub mod rcu;\n", "");
    let fresh = here.join("src/fresh.rs");
    let fresh = format!("#[path = {fresh:?}]\npub mod fresh;\n");
    fs::write(out.join("library.rs"), format!("{root}{fresh}")).unwrap();
    for entry in fs::read_dir(&library).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "library.rs" {
            symlink(entry.path(), out.join(entry.file_name())).unwrap();
        }
    }
    let modules = format!(
        "#[path = {:?}]\nmod library;\n#[path = {:?}]\npub mod percpu_workqueue;\n",
        out.join("library.rs"),
        queue.join("mod.rs"),
    );
    fs::write(out.join("modules.rs"), modules).unwrap();

    // The simulated kernel crate has all bindings of <linux/smpboot.h> that the library uses.
    fs::write(out.join("bindings_generated.rs"), "").unwrap();
    let bindings = out.join("bindings_generated.rs");
    println!("cargo:rustc-env=SMPBOOT_BINDINGS={}", bindings.display());

    // Not x86: there, some atomic operations are instructions, which shuttle cannot see.
    for cfg in ["CONFIG_SMP", "CONFIG_ARM64", "kernel_has_spin_lock_irq"] {
        println!("cargo:rustc-cfg={cfg}");
    }
    for cfg in [
        "CONFIG_SMP",
        "CONFIG_ARM",
        "CONFIG_ARM64",
        "CONFIG_LOONGARCH",
        "CONFIG_X86_64",
        "CONFIG_PREEMPT_RT",
        "kernel_has_raw_init",
        "kernel_has_spin_lock_irq",
    ] {
        println!("cargo:rustc-check-cfg=cfg({cfg})");
    }
}
