# SPDX-License-Identifier: GPL-2.0

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: default modules_install demo vm test test-long test-matrix torture test-bugs test-thirdparty test-browser sign bench bench-check lint doc clean distclean update help
.NOTPARALLEL:

default: ## build the demo and the samples against KDIR, as any out-of-tree modules
	@scripts/check-kdir "$(KDIR)" $(foreach v,CC RUSTC BINDGEN,$(if $(filter command override,$(origin $v)),$v="$($v)"))
	$(MAKE) -C "$(KDIR)" M=$(CURDIR) modules

sign: ## sign what was built, for kernels that load nothing else: KEY= [CERT=]
	@scripts/sign "$(KDIR)" "$(KEY)" "$(or $(CERT),$(KEY))" $(wildcard *.ko samples/*.ko)

modules_install: default ## install them (see INSTALL_MOD_PATH of kbuild)
	$(MAKE) -C "$(KDIR)" M=$(CURDIR) modules_install

demo: ## watch per-CPU threads follow CPU hotplug, in a VM with a stock kernel
	@scripts/vm demo

vm: ## a shell in that VM
	@scripts/vm shell

test: ## lint, and all tests; with T=NAME just the tests whose name contains it
	@$(if $(T),,scripts/lint && scripts/unit)
	@scripts/vm test

test-long: ## the tests that take minutes, or a boot of their own
	@$(if $(T),,scripts/sim test schedules=1000000)
	@scripts/vm test --ignored

test-matrix: ## the tests on every kernel, of each series that Debian has, or of VERSIONS=
	@scripts/matrix $(VERSIONS)

test-thirdparty: ## other people's tests, from the kernel's source, while our modules are busy
	@scripts/thirdparty

test-browser: ## check in Chromium that the pictures of runs are drawn, and do what they are asked
	@scripts/browser

torture: ## everything at once, for 10 minutes or MINUTES=
	@scripts/vm torture

test-bugs: ## plant bugs in copies of the module: the tests must catch each
	@scripts/bugs

bench: ## count the instructions that wakes, hotplug and registrations cost, in that VM
	@scripts/vm bench

bench-check: ## the same for what has a goal; fails if one is missed
	@BOOTS=$(or $(BOOTS),2) scripts/vm bench --check

lint: ## rustfmt, clippy, shellcheck
	@scripts/lint

doc: ## the documentation, in build/doc
	@scripts/doc

clean: ## remove what was built here
	@scripts/clean

distclean: ## and what was prepared for all checkouts: root file system, kernels, crates
	@scripts/cache remove
	@scripts/clean

update: ## forget which kernel is the newest: the next run asks the archive
	@scripts/cache forget

help: ## this
	@echo "Targets:"
	@sed -nE 's/^([a-z_-]+):.* ## (.*)/\1 \2/p' Makefile | while read -r t text; do printf '  %-16s %s\n' "$$t" "$$text"; done
	@echo "Variables of the VM's targets:"
	@echo "  KERNEL=cloud     stock kernel: cloud, generic, rt; or debug: one that checks everything"
	@echo "  ARCH=amd64       of the VM: amd64, arm64"
	@echo "  KERNEL_VERSION=  as 7.3.4+deb13; default: the newest when first asked, until 'make update'"
	@echo "  CPUS=4           CPUs of the VM: 1 to 128; arm64: to 8, debug: to 16"
	@echo "  PACE=            demo: seconds to look at each action; default: 0.5 on a terminal, else 0"
	@echo "  DAT=1            demo: write a trace.dat, too, for trace-cmd and kernelshark"
	@echo "  MINUTES= SEED=   torture: how long; the choices of an earlier run"
	@echo "  LTP=             test-thirdparty: a checkout of the Linux Test Project, or where it is installed, for its cpuhotplug tests"
	@echo "  TCG=multi        torture: each CPU a thread of the host, with true races"
	@echo "  BOOTS=7          bench: boots whose median counts"
	@echo "  T=               test: only what contains this"
	@echo "  V=1              show all output of every step"
	@echo "Variables of the plain build:"
	@echo "  KDIR=$(KDIR)"
	@echo "  KEY= CERT=       sign: the key, and its certificate where that is another file"
	@echo "  TESTS=1          also build the test and benchmark modules, some of which crash the kernel"
	@echo "  CLIPPY=1 W=e LLVM=1 ARCH=... and all of kbuild's"
	@echo "Environment:"
	@echo "  RUST_SMPBOOT_CACHE    the cache is the directory rust_smpboot in this one; default: ~/.cache"
	@echo "  RUST_SMPBOOT_MIRROR   Debian mirror; default: that of the host's apt"
