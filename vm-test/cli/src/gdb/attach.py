"""Attaches gdb to the VM, and keeps the symbols of the modules that are loaded in the guest.

The command `symbols` reads the guest's list of modules again.
"""

import os
import struct

import gdb
import gdb.unwinder

BYTES_OF_POINTER = 8
NOWHERE = 2**64 - 2**20


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def pointer(address):
    return int.from_bytes(read(address, BYTES_OF_POINTER), "little")


def string(address):
    text = b""
    while not text.endswith(b"\0"):
        text += read(address + len(text), 1)
    return text[:-1].decode(errors="replace")


def offset(struct, field):
    for member in gdb.lookup_type("struct " + struct).fields():
        if member.name == field:
            return member.bitpos // 8
    raise gdb.error(f"struct {struct} has no {field}")


class Layout:
    """Offsets in the kernel's structures: the debug info of a module has them, too."""

    def __init__(self):
        self.name = offset("module", "name")
        self.list = offset("module", "list")
        self.sections = offset("module", "sect_attrs")
        # The first member of struct module_sect_attrs is a struct attribute_group.
        self.attributes = offset("attribute_group", "bin_attrs")
        self.section_name = offset("bin_attribute", "attr") + offset("attribute", "name")
        self.section_address = offset("bin_attribute", "private")


def layout():
    try:
        for file in FILES.values():
            gdb.execute(f"symbol-file {file}", to_string=True)
            try:
                return Layout()
            except gdb.error:
                pass  # without debug info
    finally:
        gdb.execute("symbol-file", to_string=True)
    return None


class Module:
    def __init__(self, address):
        self.name = string(address + LAYOUT.name)
        self.sections = {}
        group = pointer(address + LAYOUT.sections)
        # None during the first part of the load.
        attribute = pointer(group + LAYOUT.attributes) if group else 0
        while attribute and (section := pointer(attribute)):
            name = string(pointer(section + LAYOUT.section_name))
            self.sections[name] = pointer(section + LAYOUT.section_address)
            attribute += BYTES_OF_POINTER


def modules():
    entry = pointer(ADDRESSES["modules"])
    while entry != ADDRESSES["modules"]:
        yield Module(entry - LAYOUT.list)
        entry = pointer(entry)


# Name and sections of each module whose symbols gdb has.
loaded = {}


def forget(name):
    sections = loaded.pop(name, None)
    if sections:
        gdb.execute(f"remove-symbol-file -a {min(sections.values()):#x}", to_string=True)


def load(module):
    file = FILES.get(module.name)
    if not file or not module.sections or loaded.get(module.name) == module.sections:
        return
    forget(module.name)
    # The guest has no such section. gdb would put it to 0, and take null pointers for its symbols.
    sections = {".modinfo": NOWHERE} | module.sections
    places = " ".join(f"-s {name} {at:#x}" for name, at in sections.items())
    gdb.execute(f"add-symbol-file {file} {places}", to_string=True)
    loaded[module.name] = module.sections
    gdb.write(f"symbols of {module.name}\n")


def load_all():
    present = list(modules())
    for name in set(loaded) - {module.name for module in present}:
        forget(name)
    for module in present:
        load(module)


def first_argument():
    frame = gdb.newest_frame()
    register = "x0" if "aarch64" in frame.architecture().name() else "rdi"
    return int(frame.read_register(register)) % 2**64


class AtLoad(gdb.Breakpoint):
    """Before the module's init function."""

    def stop(self):
        load(Module(first_argument()))
        return False


class AtUnload(gdb.Breakpoint):
    """After the module's exit function."""

    def stop(self):
        forget(Module(first_argument()).name)
        return False


class Frame:
    """The identity of a frame. gdb expects callers at higher addresses.

    The stack of an interrupt may be above that of the thread, whose frames are moved up then.
    """

    UP = 2**45

    def __init__(self, frame, sp):
        self.sp = sp
        if frame.level() > 0 and sp < int(gdb.newest_frame().read_register("sp")) % 2**64:
            self.sp += self.UP


class Orc(gdb.unwinder.Unwinder):
    """Unwinds functions of an x86 kernel without debug info, by its ORC tables.

    They are in the guest's memory; arch/x86/include/asm/orc_types.h describes them.
    """

    REGISTERS = dict(enumerate("rax rdx rsp rbp rdi r10 r13 - rsp rbp".split(), 1))
    SP, BP, PREVIOUS_SP, SP_INDIRECT, BP_INDIRECT = 3, 4, 8, 9, 10
    END_OF_STACK, CALL, REGS, REGS_PARTIAL = 1, 2, 3, 4
    # struct pt_regs
    SAVED = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi - rip - - rsp".split()

    def __init__(self):
        super().__init__("orc")
        self.start = ADDRESSES["__start_orc_unwind_ip"]
        self.count = (ADDRESSES["__stop_orc_unwind_ip"] - self.start) // 4

    def is_known(self):
        """Whether the tables have this format: a function begins with its return address."""
        return self.entry(ADDRESSES["do_init_module"]) == (8, 0, self.SP | self.CALL << 8)

    def address(self, i):
        at = self.start + 4 * i
        return at + int.from_bytes(read(at, 4), "little", signed=True)

    def entry(self, pc):
        first, last = 0, self.count - 1
        while first < last:
            middle = (first + last + 1) // 2
            first, last = (middle, last) if self.address(middle) <= pc else (first, middle - 1)
        return struct.unpack("<hhH", read(ADDRESSES["__start_orc_unwind"] + 6 * first, 6))

    def __call__(self, frame):
        try:
            return self.unwind(frame)
        except gdb.error:
            return None

    def unwind(self, frame):
        def register(name):
            return int(frame.read_register(name)) % 2**64

        pc = register("rip")
        if not ADDRESSES["_text"] <= pc < ADDRESSES["_end"]:
            return None
        # A return address may be behind the end of its function.
        sp_offset, bp_offset, word = self.entry(pc - (frame.level() > 0))
        sp_from, bp_from, kind = word & 15, word >> 4 & 15, word >> 8 & 7
        if kind == self.END_OF_STACK:
            # Without a caller.
            return frame.create_unwind_info(Frame(frame, register("rsp") + 1))
        if sp_from not in self.REGISTERS or sp_from == self.PREVIOUS_SP:
            return None
        sp = register(self.REGISTERS[sp_from])
        if sp_from == self.SP_INDIRECT:
            sp = pointer(sp) + sp_offset
        else:
            sp += sp_offset
            sp = pointer(sp) if sp_from == self.BP_INDIRECT else sp
        # Two frames may have the same stack pointer: that of an interrupt, and its handler's.
        info = frame.create_unwind_info(Frame(frame, sp + (kind != self.CALL)))

        def saved(name, value):
            info.add_saved_register(name, gdb.Value(value))

        if kind == self.REGS:
            for i, name in enumerate(self.SAVED):
                if name != "-":
                    saved(name, pointer(sp + 8 * i))
            return info
        if kind == self.REGS_PARTIAL:
            saved("rip", pointer(sp))
            saved("rsp", pointer(sp + 24))
        elif kind == self.CALL:
            saved("rip", pointer(sp - 8))
            saved("rsp", sp)
        else:
            return None
        if bp_from == self.PREVIOUS_SP:
            saved("rbp", pointer(sp + bp_offset))
        elif bp_from == self.BP:
            saved("rbp", pointer(register("rbp") + bp_offset))
        else:
            saved("rbp", register("rbp"))
        return info


class FrameRecords(gdb.unwinder.Unwinder):
    """Unwinds callers among the functions of an arm64 kernel: each has a frame record.

    A record of zeros is that of an exception: arch/arm64/include/asm/stacktrace/frame.h.
    """

    PT_REGS = 2
    # struct pt_regs, up to its record
    SAVED = [f"x{i}" for i in range(31)] + ["sp", "pc"]
    SIZE = 296

    def __init__(self):
        super().__init__("frame records")

    def __call__(self, frame):
        pc, record = (int(frame.read_register(name)) % 2**64 for name in ("pc", "x29"))
        if frame.level() == 0 or not ADDRESSES["_text"] <= pc < ADDRESSES["_end"]:
            return None
        try:
            caller, address, kind = (pointer(record + 8 * i) for i in range(3))
            saved = {}
            if address:
                saved = {"pc": address, "x29": caller, "sp": record + 16}
            elif kind == self.PT_REGS:
                at = record - self.SIZE
                saved = {name: pointer(at + 8 * i) for i, name in enumerate(self.SAVED)}
        except gdb.error:
            return None
        info = frame.create_unwind_info(Frame(frame, record + 16))
        for name, value in saved.items():
            info.add_saved_register(name, gdb.Value(value))
        return info


class Symbols(gdb.Command):
    """Reads the guest's list of modules again, and their symbols."""

    def __init__(self):
        super().__init__("symbols", gdb.COMMAND_FILES)

    def invoke(self, argument, from_tty):
        load_all()


FILES = {
    file.removesuffix(".ko").replace("-", "_"): f"{DIRECTORY}/modules/{file}"
    for file in sorted(os.listdir(f"{DIRECTORY}/modules"))
}
gdb.execute("set confirm off")
gdb.execute("set pagination off")
gdb.execute("set breakpoint pending on")
LAYOUT = layout()
gdb.execute(f"file {KERNEL}", to_string=True)
gdb.execute(f"target remote 127.0.0.1:{PORT}")
if "__start_orc_unwind_ip" in ADDRESSES and (orc := Orc()).is_known():
    gdb.unwinder.register_unwinder(None, orc)
if "aarch64" in gdb.selected_frame().architecture().name():
    gdb.unwinder.register_unwinder(None, FrameRecords())
if LAYOUT is None:
    gdb.write("No module has debug info: gdb cannot find their symbols.\n")
elif "modules" not in ADDRESSES:
    gdb.write("The kernel lacks CONFIG_KALLSYMS_ALL: gdb cannot find the symbols of modules.\n")
else:
    load_all()
    Symbols()
    for function, breakpoint in (("do_init_module", AtLoad), ("free_module", AtUnload)):
        if function in ADDRESSES:
            breakpoint(f"*{ADDRESSES[function]:#x}", internal=True)
