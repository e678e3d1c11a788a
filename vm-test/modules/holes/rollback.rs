// SPDX-License-Identifier: GPL-2.0

//! A startup that fails once, when a CPU-down is rolled back.

use crate::{
    cpuhp_state,
    smpboot::{
        cpuhp,
        Context,
        ModuleScope, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

struct State {
    has_failed: Atomic<bool>,
}

#[vtable]
impl cpuhp::Callbacks for State {
    const NAME: &'static CStr = c"rust_smpboot/hole:rollback";

    fn startup(&self, cx: &Context<'_>) -> Result {
        let result = if self.has_failed.xchg(true, Relaxed) {
            Ok(())
        } else {
            Err(EIO)
        };
        pr_info!("startup of CPU {}: {result:?}\n", cx.cpu().as_u32());
        result
    }

    fn teardown(&self, cx: &Context<'_>) {
        pr_info!("teardown of CPU {}\n", cx.cpu().as_u32());
    }
}

cpuhp_state!(State);

pub(crate) struct Held {
    _state: cpuhp::Registration<State>,
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<Held> {
    let state = State {
        has_failed: Atomic::new(false),
    };
    Ok(Held {
        _state: cpuhp::Registration::new(scope, cpuhp::Invoke::No, state)?,
    })
}
