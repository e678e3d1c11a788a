# SPDX-License-Identifier: GPL-2.0

# KDIR of the environment or the command line is also the VM's kernel.
KDIR ?= /lib/modules/$(shell uname -r)/build

# Quotes an argument as one word of the shell.
quote = '$(subst ','\'',$(1))'

.PHONY: default modules_install new editor demo play vm gdb test test-long test-matrix torture test-bugs test-thirdparty test-browser test-dkms headers-deb sign bench bench-check lint litmus upstream doc clean distclean update help
.NOTPARALLEL:

default: ## build the demo and the samples against KDIR; M=: a module
ifneq ($(M),)
	@scripts/module
else
	@scripts/check-kdir $(call quote,$(KDIR)) $(foreach v,CC RUSTC BINDGEN,$(if $(filter command override,$(origin $v)),$v=$(call quote,$($v))))
	$(MAKE) -C $(call quote,$(KDIR)) M=$(CURDIR) modules
endif

sign: ## sign the modules that were built: KEY= [CERT=]
	@scripts/sign $(call quote,$(KDIR)) $(call quote,$(KEY)) $(call quote,$(or $(CERT),$(KEY))) $(wildcard *.ko samples/*.ko percpu_workqueue/*.ko)

modules_install: default ## install them (see INSTALL_MOD_PATH of kbuild)
	$(MAKE) -C $(call quote,$(KDIR)) M=$(CURDIR) modules_install

new: ## make the repository of a new module: DIR=
	@scripts/new

editor: ## describe the modules, or those in M=, to rust-analyzer
	@scripts/editor

demo: ## watch per-CPU threads follow CPU hotplug, in a VM
	@scripts/vm demo

play: ## take CPUs offline and online by hand, and watch their threads
	@scripts/vm play

vm: ## open a shell in that VM
	@scripts/vm shell

gdb: ## attach gdb to a VM that runs with GDB=
	@scripts/gdb

test: ## run lint and all tests; T=NAME: tests with NAME in their name
	@$(if $(T)$(M),,scripts/lint && scripts/unit)
	@scripts/vm test

test-long: ## run the tests that take minutes, or need their own boot
ifneq ($(M),)
	@scripts/vm test
	@KERNEL=debug scripts/vm test
else
	@$(if $(T),,scripts/unit long)
	@scripts/vm test --ignored
endif

test-matrix: ## run the tests on each of Debian's kernels, or on VERSIONS=
	@scripts/vm matrix $(VERSIONS)

test-thirdparty: ## run third-party tests, while our modules are busy
	@scripts/vm thirdparty

test-browser: ## check timelines, and a session by hand, in Chromium
	@scripts/browser
	@scripts/browser-live

headers-deb: ## package the Rust metadata that Debian's header packages lack
	@scripts/headers-deb

test-dkms: ## test that package with DKMS, the demo and the module in M=
	@scripts/dkms

torture: ## run all operations at once, for 10 minutes or MINUTES=
	@scripts/vm torture

test-bugs: ## mutation tests: plant known bugs; the named tests must fail
	@scripts/vm bugs

bench: ## count the instructions of wakes, hotplug and registrations
	@scripts/vm bench

bench-check: ## the benchmarks with a goal; fails if one is missed
	@BOOTS=$(or $(BOOTS),2) scripts/vm bench --check

lint: ## rustfmt, clippy, shellcheck, quotes of the code, plain words
	@scripts/lint

litmus: ## check the barriers by the kernel's memory model; needs herd7
	@scripts/litmus

upstream: ## make the series for the kernel; build, boot and lint it
	@scripts/upstream

doc: ## make the documentation, in build/doc
	@scripts/doc

clean: ## remove the build outputs
	@scripts/clean

distclean: ## clean, and remove the cache that all checkouts share
	@scripts/cache remove
	@scripts/clean

update: ## look for a newer kernel on the next run
	@scripts/cache forget

# Other targets are kbuild's: rust-analyzer, nsdeps, a file such as demo/cpu.o.
.DEFAULT:
	@echo "rust_smpboot: '$@' is none of the targets of make help: kbuild gets it" >&2
	@scripts/check-kdir $(call quote,$(KDIR))
	$(MAKE) -C $(call quote,$(KDIR)) M=$(CURDIR) $@

help: ## print this help
	@echo "Targets:"
	@sed -nE 's/^([a-z_-]+):.* ## (.*)/\1 \2/p' Makefile | while read -r t text; do printf '  %-16s %s\n' "$$t" "$$text"; done
	@echo "Variables of the VM's targets:"
	@echo "  KERNEL=cloud     stock: cloud, generic, rt, 16k (arm64); debug checks more"
	@echo "  SUITE=trixie     Debian release: trixie (backports), sid, experimental"
	@echo "  ARCH=amd64       architecture of the VM: amd64, arm64, armhf, loong64"
	@echo "  KERNEL_VERSION=  such as 7.3.4+deb13; default: the newest (see make update)"
	@echo "  CPUS=4           CPUs of the VM: 1 to 128; arm64: to 8, debug: to 16"
	@echo "  PACE=            demo: seconds for each action; default on a terminal: 0.5"
	@echo "  DAT=1            demo: also write a trace.dat, for trace-cmd and kernelshark"
	@echo "  WEB=1            play: in a browser; or WEB=PORT, the port on 127.0.0.1"
	@echo "  MINUTES= SEED=   torture: duration; seed of a run to repeat"
	@echo "  LTP=             test-thirdparty: checkout of the Linux Test Project"
	@echo "  HERD7=           litmus: path of herd7, if it is not in PATH"
	@echo "  TCG=multi        torture: one host thread per CPU, with true races"
	@echo "  BOOTS=7          bench: number of boots (the median counts)"
	@echo "  T=               test: only tests whose name contains this"
	@echo "  M=DIR            default, vm, test, lint, editor: another module"
	@echo "  GDB=1234         vm, play, and test with M=: the port for make gdb"
	@echo "  DIR=             new: the directory to make"
	@echo "  KDIR=DIR         demo, vm, test, torture: the kernel that was built there"
	@echo "  OPTIONS=         with M=: variables for kbuild that the module needs"
	@echo "  FRESH=1          test with M=: a VM for each test"
	@echo "  V=1              show all output of every step"
	@echo "Variables of the plain build:"
	@echo '  KDIR='$(call quote,$(KDIR))
	@echo "  KEY= CERT=       sign: the key, and its certificate if that is another file"
	@echo "  TESTS=1          also build the tests' modules, some of which crash the kernel"
	@echo "  CLIPPY=1 W=e LLVM=1 ARCH=... and all of kbuild's"
	@echo "Environment:"
	@echo "  RUST_SMPBOOT_CACHE   directory of the cache rust_smpboot; default: ~/.cache"
	@echo "  RUST_SMPBOOT_MIRROR  Debian mirror; default: that of the host's apt"
