// SPDX-License-Identifier: GPL-2.0

// The module for code that declares none: a snippet, or the library as a crate.

struct Surroundings;

impl ScopedModule for Surroundings {
    fn init(
        _module: &'static ThisModule,
        _scope: &'static ModuleScope,
    ) -> impl PinInit<Self, Error> {
        Ok(Self)
    }
}

scoped_module! {
    type: Surroundings,
    name: "surroundings",
    authors: ["The rust_smpboot developers"],
    description: "The surroundings of a snippet",
    license: "GPL",
}
