// SPDX-License-Identifier: GPL-2.0

//! The keys of `scoped_module!` and of the kernel's `module!`.

use crate::{PRELUDE, compiler::Compiler};
use anyhow::{Result, bail, ensure};

/// The lists of keys, each with a name. Both macros accept a list if and only if its name begins
/// with `accepted`.
pub const ALL: [(&str, &str); 10] = [
    (
        "accepted_all_keys",
        r#"type: M, name: "m", authors: ["A", "B",], description: "d", license: "GPL", alias: ["x"],
        firmware: ["f", "g"], imports_ns: ["N"], params: { p: u32 { default: 1, description: "p", } },"#,
    ),
    ("accepted_required_keys", r#"type: M, name: "m", license: "GPL","#),
    ("accepted_path", r#"type: crate::M, name: "m", license: "GPL","#),
    // The items of a macro are visible to the code in its arguments.
    (
        "accepted_name_of_the_macros",
        r#"type: <[M; CLAIMED] as Element>::Type, name: "m", license: "GPL","#,
    ),
    ("no_comma_at_the_end", r#"type: M, name: "m", license: "GPL""#),
    ("type_alone", "type: M"),
    ("type_not_first", r#"name: "m", type: M, license: "GPL","#),
    ("other_order", r#"type: M, license: "GPL", name: "m","#),
    ("key_twice", r#"type: M, name: "m", name: "m", license: "GPL","#),
    ("unknown_key", r#"type: M, name: "m", license: "GPL", version: "1","#),
];

/// The items that the keys name.
const ITEMS: &str = "pub struct M;

pub const CLAIMED: usize = 1;

pub trait Element {
    type Type;
}

impl<T, const LEN: usize> Element for [T; LEN] {
    type Type = T;
}
";
/// The declared module, and its macro.
const PLAIN: &str = "impl kernel::Module for M {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
module!";
const SCOPED: &str = "impl ScopedModule for M {
    fn init(_: &'static ThisModule, _: &'static ModuleScope) -> impl PinInit<Self, Error> {
        Ok(Self)
    }
}
scoped_module!";

/// Fails unless both macros accept `keys`, or both reject them.
pub fn same(compiler: &Compiler, name: &str, keys: &str) -> Result<()> {
    let errors = |suffix: &str, declaration: &str| {
        let code = format!("{PRELUDE}\n{ITEMS}\n{declaration} {{ {keys} }}\n");
        compiler.errors(&format!("{name}-{suffix}"), &code)
    };
    let (plain, scoped) = (errors("plain", PLAIN)?, errors("scoped", SCOPED)?);

    match (plain.is_empty(), scoped.is_empty()) {
        (true, false) => bail!("only module! accepts it:\n{}", scoped.concat()),
        (false, true) => bail!("only scoped_module! accepts it:\n{}", plain.concat()),
        _ => {}
    }
    ensure!(
        plain.is_empty() == name.starts_with("module_keys::accepted"),
        "both macros: {}",
        if plain.is_empty() { "accepted".to_owned() } else { plain.concat() },
    );
    Ok(())
}
