// SPDX-License-Identifier: GPL-2.0

//! The node that represents a registration in its scope.

use super::{
    super::seam::{
        read_once,
        ESHUTDOWN, //
    },
    ModuleScope, //
};
use core::{
    cell::Cell,
    ptr::{
        null_mut,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::{
            Acquire,
            Release, //
        },
        Atomic, //
    }, //
};

/// Not registered. The node is in no list.
pub(in super::super) const FREE: u32 = 0;
/// Ended by the scope. This state is final. The node is in no list.
pub(in super::super) const REVOKED: u32 = 1;
/// One task owns the node: it makes the registration, or undoes it.
pub(in super::super) const BUSY: u32 = 2;
/// One task owns the node, as in [`BUSY`]. C knows the callbacks, but the registration may still
/// fail.
pub(in super::super) const REGISTERING: u32 = 3;
/// Registered.
pub(in super::super) const REGISTERED: u32 = 4;

/// The list entry of one registration, at the start of the registration's own memory.
///
/// # Invariants
///
/// - `state` is written with the scope's lock held: from [`FREE`] or [`REGISTERED`] to [`BUSY`] by
///   the task that thereby becomes the owner, from [`BUSY`] and [`REGISTERING`] by the owner.
/// - The node is in the scope's list, and valid, in the states [`BUSY`], [`REGISTERING`] and
///   [`REGISTERED`].
/// - `older` is used with the scope's lock held. So is `abandoned`, except by the owner.
/// - `scope` is null, or comes from a `&'static ModuleScope`.
#[repr(C)]
pub(in super::super) struct Node {
    pub(super) older: Cell<Option<NodeRef>>,
    pub(super) scope: Atomic<*mut ModuleScope>,
    pub(super) state: Atomic<u32>,
    /// The registration has no owner: it was dropped, or the scope was closing when it completed.
    pub(super) abandoned: Cell<bool>,
    pub(super) end: unsafe fn(Owned),
}

// SAFETY: The cells are used with the scope's lock held, or by the task that owns the node.
unsafe impl Sync for Node {}

impl Node {
    /// Returns a free node. `end` ends the registration, and moves the node to [`FREE`] or
    /// [`REVOKED`].
    ///
    /// `end` may rely on this: its argument is this node, which was registered.
    #[inline]
    pub(in super::super) const fn new(end: unsafe fn(Owned)) -> Self {
        // INVARIANT: In no list.
        Self {
            older: Cell::new(None),
            scope: Atomic::new(null_mut()),
            state: Atomic::new(FREE),
            abandoned: Cell::new(false),
            end,
        }
    }

    /// Returns the state, which may change at any time.
    #[inline]
    pub(in super::super) fn state(&self) -> u32 {
        self.state.load(Acquire)
    }

    /// Returns the scope that claimed the node last.
    #[inline]
    pub(in super::super) fn scope(&self) -> Option<&'static ModuleScope> {
        // SAFETY: By the type invariants.
        unsafe { read_once(&self.scope).as_ref() }
    }
}

/// A reference to a node.
///
/// # Invariants
///
/// - The address may be used for all of the memory that begins with the node.
/// - The node is valid as long as this or a copy of it is used.
#[derive(Clone, Copy)]
pub(in super::super) struct NodeRef(NonNull<Node>);

// SAFETY: As a `&Node`, which is `Sync`.
unsafe impl Send for NodeRef {}

impl NodeRef {
    /// # Safety
    ///
    /// - `node` may be used for all of the memory that begins with the node.
    /// - The node is valid, and stays where it is, as long as the caller uses the reference, and
    ///   while it is in neither of the states [`FREE`] and [`REVOKED`].
    #[inline(always)]
    pub(in super::super) unsafe fn new(node: NonNull<Node>) -> Self {
        // INVARIANT: By the requirements of this function. In those states neither the scope nor
        // any `Owned` refers to the node.
        Self(node)
    }

    /// Returns the address, which may be used for all of the memory.
    #[inline(always)]
    pub(in super::super) fn as_ptr(self) -> *const Node {
        self.0.as_ptr()
    }

    #[inline(always)]
    pub(super) fn get<'a>(self) -> &'a Node {
        // SAFETY: By the type invariants. Each field that changes has interior mutability.
        unsafe { self.0.as_ref() }
    }
}

/// The ownership of a node. The module cannot end while it exists.
///
/// # Invariants
///
/// The task that has this owns the node, which is in the state [`BUSY`] or [`REGISTERING`].
#[must_use]
pub(in super::super) struct Owned(pub(super) NodeRef);

impl Owned {
    /// Returns the node.
    #[inline(always)]
    pub(in super::super) fn node(&self) -> NodeRef {
        self.0
    }

    /// Records that the registration has no owner.
    #[inline(always)]
    pub(in super::super) fn abandon(&self) {
        self.0.get().abandoned.set(true);
    }

    /// Returns whether the registration has no owner.
    #[inline(always)]
    pub(in super::super) fn is_abandoned(&self) -> bool {
        self.0.get().abandoned.get()
    }
}

/// The steps of a node's owner. Process context.
impl Owned {
    /// Moves the node to another state. Returns whether the scope is closing.
    ///
    /// With [`FREE`], [`REGISTERED`] or [`REVOKED`] the ownership ends.
    #[inline(never)]
    fn settle(node: NodeRef, new: u32) -> bool {
        let Node {
            state, abandoned, ..
        } = node.get();
        let Some(scope) = node.get().scope() else {
            return false;
        };
        let mut list = scope.registrations.list.lock();
        match new {
            // INVARIANT: It leaves the list.
            FREE | REVOKED => list.remove(node),
            // If the scope is closing, it ends the registration.
            _ => abandoned.set(list.closed),
        }
        // Release: a task that sees the state sees all earlier stores of the owner.
        // INVARIANT: The lock is held.
        state.store(new, Release);
        scope.registrations.changed.notify_all();
        list.closed
    }

    /// Moves the node: `BUSY -> REGISTERING`.
    #[inline]
    pub(in super::super) fn open(&self) {
        Self::settle(self.node(), REGISTERING);
    }

    /// Moves the node back: `REGISTERING -> BUSY`.
    #[inline]
    pub(in super::super) fn abort(&self) {
        Self::settle(self.node(), BUSY);
    }

    /// Moves the node to `REGISTERED`. Returns `ESHUTDOWN` if the scope is closing. The scope then
    /// ends the registration, which has no owner.
    #[inline]
    pub(in super::super) fn publish(self) -> Result {
        if Self::settle(self.node(), REGISTERED) {
            return Err(ESHUTDOWN);
        }
        Ok(())
    }

    /// Frees the node: `BUSY -> FREE`.
    #[inline]
    pub(in super::super) fn free(self) {
        Self::settle(self.node(), FREE);
    }

    /// Revokes the node: `BUSY -> REVOKED`. For a registration that its scope ends and that its
    /// owner has leaked.
    #[inline]
    pub(in super::super) fn revoke(self) {
        Self::settle(self.node(), REVOKED);
    }
}

/// The nodes of a scope.
///
/// # Invariants
///
/// From `newest`, the links `older` lead through all nodes of the scope.
pub(super) struct List {
    pub(super) newest: Option<NodeRef>,
    pub(super) closed: bool,
}

impl List {
    /// Adds a node that is in no list.
    #[inline]
    pub(super) fn add(&mut self, node: NodeRef) {
        node.get().older.set(self.newest.replace(node));
    }

    /// Removes a node.
    #[inline]
    pub(super) fn remove(&mut self, node: NodeRef) {
        let mut link = Cell::from_mut(&mut self.newest);
        while let Some(at) = link.get() {
            let older = &at.get().older;
            if at.0 == node.0 {
                link.set(older.get());
                break;
            }
            link = older;
        }
    }
}
