// SPDX-License-Identifier: GPL-2.0

//! Boots kernels in VMs, makes calls in their guests, and judges the results.
//!
//! - [`machine`]: the kernel and the hardware to boot, and QEMU's command line for them
//! - [`Vm`]: one machine from its boot to its end
//! - [`guest`]: calls to the guest: files, CPUs, modules, tasks, the kernel log
//! - [`verdict`]: whether a test passed: own result, splats, taint, leaks, leftovers
//! - [`accel`]: chooses between KVM and TCG
//!
//! Nothing here prints. A user interface can observe [`Event`]s.
//!
//! `scripts/kernel` prints the directory of a prepared kernel, for [`machine::Kernel::read`].
//! `cargo build -p guest` makes the agent, and `scripts/module` the modules. QEMU is in the root
//! file system of the project: `scripts/enter COMMAND` runs a program there.
//! `vm-test/examples/boot` is a program of its own that uses this library, and `scripts/example`
//! builds and runs it.
//!
//! ```no_run
//! use host::machine::{Arch, Kernel, initramfs};
//! use host::verdict::{Judge, Leaves};
//! use host::{Config, Machine, Vm};
//! # fn main() -> anyhow::Result<()> {
//! let initramfs = initramfs::build(&initramfs::Contents {
//!     agent: "target/x86_64-unknown-linux-gnu/debug/guest".into(),
//!     busybox: "/bin/busybox".into(),
//!     modules: vec!["mine.ko".into()],
//!     files: Vec::new(),
//!     distribution: None,
//! })?;
//! let machine = Machine::new(Arch::Amd64, Kernel::read("kernel".as_ref())?, initramfs)?;
//! let vm = Vm::boot(&machine, &Config::smp(2))?;
//! let mut judge = Judge::default();
//! let faults = judge.run(&vm, "offline", Leaves::Clean, |vm| {
//!     vm.insmod("mine", "")?;
//!     vm.cpu(1).offline()?;
//!     vm.cpu(1).online()?;
//!     vm.rmmod("mine")
//! });
//! assert!(faults.is_empty(), "{}", judge.report(&vm, &faults));
//! vm.shut_down()
//! # }
//! ```

#![warn(missing_docs)]
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod accel;
pub mod clock;
pub mod errors;
pub mod files;
pub mod guest;
pub mod kernel_log;
pub mod machine;
pub mod verdict;
pub mod vm;

pub use machine::{Config, Event, Machine, Observer};
pub use vm::Vm;
pub use wire;
