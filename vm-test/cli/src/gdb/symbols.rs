// SPDX-License-Identifier: GPL-2.0

//! An ELF file with the kernel's symbols, for gdb: those of a stock kernel are in the guest only.

use host::machine::Arch;

/// A function or a variable of the kernel.
#[derive(Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    pub address: u64,
    pub name: &'a str,
}

/// The kernel's own symbols in the text of `/proc/kallsyms`. Those of modules, per-CPU ones and
/// constants are elsewhere in memory.
pub fn of_kernel(kallsyms: &str) -> Vec<Symbol<'_>> {
    let all: Vec<Symbol<'_>> = kallsyms.lines().filter_map(symbol).collect();
    let address = |name| all.iter().find(|symbol| symbol.name == name).map(|s| s.address);
    let (start, end) = (address("_text").unwrap_or(0), address("_end").unwrap_or(u64::MAX));
    all.into_iter().filter(|symbol| (start.max(1)..=end).contains(&symbol.address)).collect()
}

/// A line is `ADDRESS TYPE NAME`; for a module's symbol, `[MODULE]` follows.
fn symbol(line: &str) -> Option<Symbol<'_>> {
    let mut words = line.split_whitespace();
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let name = words.nth(1)?;
    words.next().is_none().then_some(Symbol { address, name })
}

const HEADER: u64 = 64;
const SECTION: u64 = 64;
const SYMBOL: u64 = 24;

/// Types of sections.
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const NOBITS: u32 = 8;

/// The names of the sections, and where each begins.
const NAMES: &[u8] = b"\0.text\0.symtab\0.strtab\0";
const NAME_TEXT: u32 = 1;
const NAME_SYMTAB: u32 = 7;
const NAME_STRTAB: u32 = 15;

/// The file. Its only section in memory has no contents: gdb reads the guest's memory.
pub fn elf(arch: Arch, symbols: &[Symbol<'_>]) -> Vec<u8> {
    let start = symbols.iter().map(|symbol| symbol.address).min().unwrap_or(0);
    let end = symbols.iter().map(|symbol| symbol.address + 1).max().unwrap_or(0);

    let mut strings = NAMES.to_vec();
    let mut table = vec![0; SYMBOL as usize];
    for symbol in symbols {
        table.extend((strings.len() as u32).to_le_bytes());
        // A function, in the first section. The binding does not matter to gdb.
        table.extend([0x12, 0]);
        table.extend(1u16.to_le_bytes());
        table.extend(symbol.address.to_le_bytes());
        table.extend(0u64.to_le_bytes());
        strings.extend(symbol.name.as_bytes());
        strings.push(0);
    }
    let table_at = HEADER + 4 * SECTION;
    let strings_at = table_at + table.len() as u64;

    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(2u16.to_le_bytes()); // an executable
    file.extend(arch.elf_machine().to_le_bytes());
    file.extend(1u32.to_le_bytes());
    // Neither entry nor program headers; section headers follow this header.
    [0, 0, HEADER].iter().for_each(|word| file.extend(word.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    let sizes = [HEADER as u16, 0, 0, SECTION as u16, 4, 3];
    sizes.iter().for_each(|size| file.extend(size.to_le_bytes()));

    let mut section = |name: u32, kind: u32, flags: u64, address, at, size: u64, link: u32| {
        file.extend(name.to_le_bytes());
        file.extend(kind.to_le_bytes());
        [flags, address, at, size].iter().for_each(|word: &u64| file.extend(word.to_le_bytes()));
        file.extend(link.to_le_bytes());
        // In a table of symbols: one is local, the first.
        let (info, entry) = if kind == SYMTAB { (1u32, SYMBOL) } else { (0, 0) };
        file.extend(info.to_le_bytes());
        [1, entry].iter().for_each(|word| file.extend(word.to_le_bytes()));
    };
    section(0, 0, 0, 0, 0, 0, 0);
    section(NAME_TEXT, NOBITS, 6, start, HEADER, end - start, 0); // allocated, executable
    section(NAME_SYMTAB, SYMTAB, 0, 0, table_at, table.len() as u64, 3);
    section(NAME_STRTAB, STRTAB, 0, 0, strings_at, strings.len() as u64, 0);
    file.extend(table);
    file.extend(strings);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    const KALLSYMS: &str = "0000000000001000 A pcpu_hot\nffffffff81000000 T _text\n\
                            ffffffff81000010 t do_init_module\nffffffff82000000 d modules\n\
                            ffffffff83000000 B _end\nffffffff84000000 b past\n\
                            ffffffffa0000000 t init\t[demo]\nnonsense\n";

    #[test]
    fn symbols_of_the_kernel_are_those_of_its_image() {
        let names: Vec<&str> = of_kernel(KALLSYMS).iter().map(|symbol| symbol.name).collect();
        assert_eq!(names, ["_text", "do_init_module", "modules", "_end"]);
    }

    #[test]
    fn hidden_addresses_are_no_symbols() {
        assert_eq!(of_kernel("0000000000000000 T _text\n0000000000000000 T _end\n"), []);
    }

    #[test]
    fn the_file_is_read_by_readelf() {
        let path = std::env::temp_dir().join(format!("symbols-{}", std::process::id()));
        std::fs::write(&path, elf(Arch::Amd64, &of_kernel(KALLSYMS))).unwrap();
        let read = std::process::Command::new("readelf").arg("-hSsW").arg(&path).output().unwrap();
        std::fs::remove_file(&path).unwrap();
        let text = String::from_utf8_lossy(&read.stdout);
        assert!(read.status.success() && read.stderr.is_empty(), "{read:?}");
        for part in [
            "Advanced Micro Devices X86-64",
            ".text             NOBITS          ffffffff81000000",
            "ffffffff81000010     0 FUNC    GLOBAL DEFAULT    1 do_init_module",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
