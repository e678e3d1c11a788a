// SPDX-License-Identifier: GPL-2.0

//! What a scope knows of a registration.

use core::{
    cell::Cell,
    marker::PhantomPinned,
    ptr::null, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::Acquire,
        Atomic,
        Relaxed, //
    }, //
};

/// Nothing is registered. The node is in no list.
pub(in super::super) const FREE: u32 = 0;
/// One task owns the node: it makes the registration, or takes it apart.
pub(in super::super) const BUSY: u32 = 1;
/// As [`BUSY`], and C knows the callbacks, but the registration may yet fail.
pub(in super::super) const REGISTERING: u32 = 2;
/// Registered.
pub(in super::super) const REGISTERED: u32 = 3;
/// Ended by the scope. Final. The node is in no list.
pub(in super::super) const REVOKED: u32 = 4;

/// The neighbours of a node in its scope's list.
struct Links {
    older: Cell<*const Links>,
    newer: Cell<*const Links>,
}

impl Links {
    #[inline]
    const fn new() -> Self {
        Self {
            older: Cell::new(null()),
            newer: Cell::new(null()),
        }
    }
}

/// The list entry of one registration, at the begin of the registration's own memory.
///
/// # Invariants
///
/// - `state` is written with the scope's lock held: from [`FREE`] or [`REGISTERED`] to [`BUSY`] by the
///   task that thereby becomes the owner, from [`BUSY`] and [`REGISTERING`] by the owner.
/// - The node is in the scope's list, and valid, in the states [`BUSY`], [`REGISTERING`] and
///   [`REGISTERED`].
/// - `links` are used with the scope's lock held, and so is `abandoned`, except by the owner.
#[repr(C)]
pub(in super::super) struct Node {
    links: Links,
    pub(super) state: Atomic<u32>,
    /// The scope was closing when the node became [`REGISTERED`]: the registration has no owner.
    pub(super) abandoned: Cell<bool>,
    /// Ends the registration, and moves it from [`BUSY`] to [`REVOKED`], or to [`FREE`] if it is
    /// abandoned. Called by the task that closes the scope.
    pub(super) end: unsafe fn(*const Node),
}

// SAFETY: The cells are used with the scope's lock held, or by the one task that owns the node.
unsafe impl Sync for Node {}

impl Node {
    /// Returns a free node.
    ///
    /// `end` may rely on this: it gets the address that [`ModuleScope::claim`](super::ModuleScope::claim) got, and owns the node,
    /// which was registered.
    #[inline]
    pub(in super::super) const fn new(end: unsafe fn(*const Node)) -> Self {
        // INVARIANT: In no list.
        Self {
            links: Links::new(),
            state: Atomic::new(FREE),
            abandoned: Cell::new(false),
            end,
        }
    }

    /// Returns whether the registration has no owner.
    ///
    /// # Safety
    ///
    /// The caller owns the node.
    #[inline]
    pub(in super::super) unsafe fn is_abandoned(&self) -> bool {
        self.abandoned.get()
    }

    /// Returns the state, which may change at any time.
    #[inline]
    pub(in super::super) fn state(&self) -> u32 {
        self.state.load(Acquire)
    }
}

/// The nodes of a scope.
///
/// # Invariants
///
/// From `head`, the links `older` go round all nodes of the scope and back; `newer` is the inverse.
#[pin_data]
pub(super) struct List {
    head: Links,
    pub(super) closed: bool,
    #[pin]
    _pin: PhantomPinned,
}

// SAFETY: The links of `Sync` nodes, which any task may use with the lock held.
unsafe impl Send for List {}

impl List {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(&this in Self {
            head: {
                // SAFETY: The address of a field of memory that is valid.
                let head = unsafe { &raw const (*this.as_ptr()).head };
                // INVARIANT: There are no nodes.
                Links {
                    older: Cell::new(head),
                    newer: Cell::new(head),
                }
            },
            closed: false,
            _pin: PhantomPinned,
        })
    }

    /// # Safety
    ///
    /// `node` is valid, in no list, and stays where it is until `remove`.
    #[inline]
    pub(super) unsafe fn add(&self, node: *const Node) {
        let newest = self.head.older.get();
        let node: *const Links = node.cast();
        // SAFETY: Nodes of the list are valid, by the invariants of `Node`, and so is `node`. The lock
        // is held, as `self` is its content.
        unsafe {
            (*node).older.set(newest);
            (*node).newer.set(&self.head);
            (*newest).newer.set(node);
        }
        self.head.older.set(node);
    }

    /// # Safety
    ///
    /// `node` is in this list.
    #[inline]
    pub(super) unsafe fn remove(&self, node: &Node) {
        let (older, newer) = (node.links.older.get(), node.links.newer.get());
        // SAFETY: As in `add`.
        unsafe {
            (*older).newer.set(newer);
            (*newer).older.set(older);
        }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        core::ptr::eq(self.head.older.get(), &self.head)
    }

    /// Returns the newest node that is registered, or null.
    #[inline]
    pub(super) fn newest_registered(&self) -> *const Node {
        let mut at = self.head.older.get();
        while !core::ptr::eq(at, &self.head) {
            let node: *const Node = at.cast();
            // SAFETY: Nodes of the list are valid, and their links come first; the lock is held.
            let Node { links, state, .. } = unsafe { &*node };
            if state.load(Relaxed) == REGISTERED {
                return node;
            }
            at = links.older.get();
        }
        null()
    }
}
