// SPDX-License-Identifier: GPL-2.0

//! Values that own registrations, and are dropped because the registration of the value itself
//! lacks memory.
//!
//! A write to `rust_smpboot_holes/threads`, `state` or `tree` makes such a registration, and drops
//! it.

use crate::{
    cpuhp_state,
    debugfs::{
        Attribute,
        Tree, //
    },
    smpboot::{
        cpuhp,
        ModuleScope,
        Registration, //
    }, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

struct Inner;

idle_thread!(Inner, c"hole_inner");

/// A value whose drop takes the scope's lock.
struct Owner {
    _inner: Registration<Inner>,
}

impl Owner {
    fn new(scope: &'static ModuleScope) -> Result<Self> {
        Ok(Self {
            _inner: Registration::new(scope, Inner)?,
        })
    }
}

idle_thread!(Owner, c"hole_owner");

#[vtable]
impl cpuhp::Callbacks for Owner {
    const NAME: &'static CStr = c"rust_smpboot/hole:owner";
}

cpuhp_state!(Owner);

struct Threads;
struct State;
struct Files;

trait Make: 'static {
    fn make(scope: &'static ModuleScope) -> Result;
}

impl Make for Threads {
    fn make(scope: &'static ModuleScope) -> Result {
        Registration::new(scope, Owner::new(scope)?).map(drop)
    }
}

impl Make for State {
    fn make(scope: &'static ModuleScope) -> Result {
        cpuhp::Registration::new(scope, cpuhp::Invoke::Yes, Owner::new(scope)?).map(drop)
    }
}

impl Make for Files {
    fn make(scope: &'static ModuleScope) -> Result {
        let owner = Owner::new(scope)?;
        Tree::new(scope, c"rust_smpboot_holes_tree", owner, |_, _| {}).map(drop)
    }
}

struct File<M>(PhantomData<M>);

#[vtable]
impl<M: Make> Attribute for File<M> {
    type Data = &'static ModuleScope;

    fn store(scope: &&'static ModuleScope, _input: &CStr) -> Result {
        M::make(scope)
    }
}

pub(crate) struct Held {
    _files: Tree<&'static ModuleScope>,
}

pub(crate) fn begin(scope: &'static ModuleScope) -> Result<Held> {
    let files = Tree::new(scope, c"rust_smpboot_holes", scope, |scope, dir| {
        dir.file::<File<Threads>>(c"threads", scope);
        dir.file::<File<State>>(c"state", scope);
        dir.file::<File<Files>>(c"tree", scope);
    })?;
    Ok(Held { _files: files })
}
