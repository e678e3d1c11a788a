// SPDX-License-Identifier: GPL-2.0

//! Lines of `modules.dep` for modules under test, as depmod writes them.

use std::collections::BTreeMap;

/// The list of modules and their dependencies, for modprobe.
pub(super) const LIST: &str = "modules.dep";

/// The directory of the modules under test, below `/lib/modules/RELEASE`.
pub(super) const EXTRA: &str = "extra";

/// All lines: those of the distribution's modules, `known`, which name all direct and indirect
/// dependencies, and those for modules under test: files' names and contents. A module under test
/// replaces that of the distribution with its name.
pub(super) fn lines(known: &str, modules: &[(String, Vec<u8>)]) -> String {
    let direct: BTreeMap<String, (String, Vec<String>)> = modules
        .iter()
        .map(|(file, contents)| (module_name(file), (format!("{EXTRA}/{file}"), depends(contents))))
        .collect();
    let mut needs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut lines = String::new();
    for line in known.lines() {
        let Some((path, needed)) = line.split_once(':') else { continue };
        let name = module_name(path);
        if direct.contains_key(&name) {
            continue;
        }
        let needed = needed.split_whitespace().map(|path| match direct.get(&module_name(path)) {
            Some((path, _)) => path.as_str(),
            None => path,
        });
        let needed: Vec<&str> = needed.collect();
        lines += &format!("{path}: {}\n", needed.join(" "));
        let paths = [path].into_iter().chain(needed);
        needs.insert(name, paths.map(String::from).collect());
    }
    for (path, needed) in direct.values() {
        let mut all = Vec::new();
        needed.iter().for_each(|name| add(name, &direct, &needs, &mut all));
        lines += &format!("{path}: {}\n", all.join(" "));
    }
    lines
}

/// Adds the paths of a module and of what it needs: modprobe loads the last path first.
fn add(
    name: &str,
    direct: &BTreeMap<String, (String, Vec<String>)>,
    needs: &BTreeMap<String, Vec<String>>,
    all: &mut Vec<String>,
) {
    let mut put = |path: &String| {
        // A later place is loaded earlier.
        all.retain(|known| known != path);
        all.push(path.clone());
    };
    match (direct.get(name), needs.get(name)) {
        (Some((path, needed)), _) => {
            put(path);
            needed.iter().for_each(|name| add(name, direct, needs, all));
        }
        (None, Some(paths)) => paths.iter().for_each(put),
        (None, None) => {} // built into the kernel
    }
}

/// `drivers/snd-x.ko.xz` -> `snd_x`
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// Names in the `depends` of a module's .modinfo.
fn depends(contents: &[u8]) -> Vec<String> {
    let value = contents.split(|byte| *byte == 0).find_map(|s| s.strip_prefix(b"depends="));
    let value = String::from_utf8_lossy(value.unwrap_or_default());
    value.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_needs_those_of_the_distribution_and_of_its_folder() {
        let known = "kernel/b.ko.xz: kernel/c-d.ko.xz\nkernel/c-d.ko.xz:\n";
        let module = |name: &str, depends: &str| {
            (name.to_string(), format!("\x7fELF\0license=GPL\0depends={depends}\0x").into_bytes())
        };
        let modules = [module("top.ko", "mid-dle,b"), module("mid-dle.ko", "b,builtin")];
        assert_eq!(
            lines(known, &modules),
            "kernel/b.ko.xz: kernel/c-d.ko.xz\n\
             kernel/c-d.ko.xz: \n\
             extra/mid-dle.ko: kernel/b.ko.xz kernel/c-d.ko.xz\n\
             extra/top.ko: extra/mid-dle.ko kernel/b.ko.xz kernel/c-d.ko.xz\n"
        );
        assert_eq!(lines("", &[module("six.ko", "")]), "extra/six.ko: \n");
        // One that the distribution has, too.
        assert_eq!(
            lines(known, &[module("c_d.ko", "")]),
            "kernel/b.ko.xz: extra/c_d.ko\n\
             extra/c_d.ko: \n"
        );
    }
}
