# SPDX-License-Identifier: GPL-2.0
#
# Include this in each Kbuild with modules that use the library:
#
#	include $(src)/PATH/rust/smpboot.mk

# Computed before any other include.
smpboot-dir := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

# kernel-has CRATE,NAME: y if that crate of the kernel mentions NAME. Metadata has names as plain
# text. The kernel's version is no substitute: stable releases backport changes.
kernel-has = $(if $(shell grep -sl $(2) $(objtree)/rust/lib$(1).rmeta),y)

# For kernel/seam.rs.
rustflags-$(call kernel-has,pin_init,raw_try_init) += --cfg kernel_has_raw_init

# `bindgen` over <linux/smpboot.h>: the kernel crate's own bindings do not cover it. The kernel
# crate provides the other types (see kernel/bindings.rs), so that `task_struct` is the same type
# everywhere.
smpboot-bindings := $(obj)/.smpboot/bindings_generated.rs

# `bindgen_c_flags` of rust/Makefile is not available here, and libclang does not understand all of
# GCC's options. So pass only the options that affect the layout of types. This and kernel/seam.rs
# reject architectures for which nothing builds.
smpboot-target-x86       := x86_64-linux-gnu
smpboot-target-arm64     := aarch64-linux-gnu
smpboot-target-arm       := arm-linux-gnueabi
smpboot-target-loongarch := loongarch64-linux-gnusf
smpboot-target = $(or $(smpboot-target-$(SRCARCH)),$(error rust_smpboot supports x86-64, arm64, arm and loongarch, not ARCH=$(SRCARCH)))

smpboot-c-flags = $(NOSTDINC_FLAGS) $(LINUXINCLUDE) -include $(srctree)/include/linux/compiler_types.h \
	$(KBUILD_CPPFLAGS) $(filter -D% -m64,$(KBUILD_CFLAGS)) \
	$(if $(CONFIG_LOONGARCH),-isystem $(shell $(CC) -print-file-name=include)) \
	-std=gnu11 -fms-extensions -fshort-wchar -funsigned-char -fno-builtin -w \
	--target=$(smpboot-target) -D__BINDGEN__ -DMODULE

quiet_cmd_smpboot_bindgen = BINDGEN $(quiet_modtag) $@
      cmd_smpboot_bindgen = mkdir -p $(@D); \
	$(BINDGEN) $< --rust-target 1.85 --use-core --ctypes-prefix ::kernel::ffi \
	--no-layout-tests --no-debug '.*' --no-doc-comments --enable-function-attribute-detection \
	--with-derive-custom-struct '.*=MaybeZeroable' --no-recursive-allowlist \
	--allowlist-type smp_hotplug_thread --allowlist-function 'smpboot_(un)?register_percpu_thread' \
	-o $@ -- $(smpboot-c-flags) -Wp,-MMD,$(depfile)

$(smpboot-bindings): $(smpboot-dir)/bindings_helper.h FORCE
	$(call if_changed_dep,smpboot_bindgen)

targets += $(smpboot-bindings:$(obj)/%=%)
clean-files += .smpboot

# `include!` reads it through this variable: with `MO=` a path relative to the source is wrong.
export SMPBOOT_BINDINGS := $(abspath $(smpboot-bindings))

# The outputs of each Rust file in this directory and up to two levels below: `obj-m` may be set
# after this include, and does not list the parts of a composite module.
smpboot-users := $(patsubst $(src)/%.rs,$(obj)/%,$(wildcard $(src)/*.rs $(src)/*/*.rs $(src)/*/*/*.rs))
$(foreach e,o rsi s ll,$(addsuffix .$e,$(smpboot-users))): $(smpboot-bindings)
