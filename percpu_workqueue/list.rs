// SPDX-License-Identifier: GPL-2.0

//! Lists of pending items: [`Incoming`] needs no lock, [`List`] does.

use super::{
    atomic::{
        cmpxchg_ptr,
        read_once,
        write_once, //
    },
    work::{
        is_later,
        Entry,
        Head, //
    },
    QueueType, //
};
use core::{
    mem::ManuallyDrop,
    ptr::{
        null_mut,
        without_provenance_mut,
        NonNull, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Relaxed, //
    }, //
};

/// The list of new items: any context adds one, or takes all, without a lock.
///
/// Like [`include/linux/llist.h`](srctree/include/linux/llist.h), with one more state: it can be
/// closed, in the same step that takes the items. So an item either enters before that, and the
/// caller of [`close`](Self::close) finds it, or does not enter.
///
/// # Invariants
///
/// The pointer is null, or [`closed`](Self::closed), or the first of a chain by `links.next` that
/// ends with null. Chain and entries belong to the caller that replaces the pointer.
pub(super) struct Incoming<Q: QueueType>(Atomic<*mut Head<Q>>);

impl<Q: QueueType> Incoming<Q> {
    /// An address at which there is no head.
    fn closed() -> *mut Head<Q> {
        without_provenance_mut(1)
    }

    pub(super) fn new(open: bool) -> Self {
        // INVARIANT: Null or closed.
        Self(Atomic::new(if open { null_mut() } else { Self::closed() }))
    }

    pub(super) fn is_open(&self) -> bool {
        read_once(&self.0) != Self::closed()
    }

    /// Adds an item, with a full barrier. Returns it as the error if this is closed. Any context.
    pub(super) fn push(&self, mut entry: Entry<Q>) -> Result<(), Entry<Q>> {
        let mut first = read_once(&self.0);
        loop {
            if first == Self::closed() {
                return Err(entry);
            }
            entry.links_mut().next = first;
            // INVARIANT: The new first entry is followed by the present chain. Its first entry may
            // have been taken and added again since it was read, which makes no difference.
            match cmpxchg_ptr(&self.0, first, entry.head_ptr()) {
                Ok(_) => {
                    let _ = entry.into_head();
                    return Ok(());
                }
                Err(now) => first = now,
            }
        }
    }

    /// Takes all items.
    pub(super) fn take(&self) -> Chain<Q> {
        let mut first = read_once(&self.0);
        while !first.is_null() && first != Self::closed() {
            // INVARIANT: Null.
            match self.0.cmpxchg(first, null_mut(), Acquire) {
                // INVARIANT: Replaced just now.
                Ok(_) => return Chain(first),
                Err(now) => first = now,
            }
        }
        Chain(null_mut())
    }

    /// Takes all items, like [`take`](Self::take), and closes the list in the same step.
    pub(super) fn close(&self) -> Chain<Q> {
        // INVARIANT: Closed.
        let first = self.0.xchg(Self::closed(), Full);
        // INVARIANT: Replaced just now, or empty.
        Chain(if first == Self::closed() {
            null_mut()
        } else {
            first
        })
    }

    /// Opens the list again.
    pub(super) fn open(&self) {
        // INVARIANT: Null.
        let _ = self.0.cmpxchg(Self::closed(), null_mut(), Full);
    }
}

impl<Q: QueueType> Drop for Incoming<Q> {
    fn drop(&mut self) {
        drop(self.close());
    }
}

/// Items that were taken from [`Incoming`].
///
/// # Invariants
///
/// The pointer is null, or the first of a chain by `links.next` that ends with null. The chain has
/// entries only, which belong to this.
pub(super) struct Chain<Q: QueueType>(*mut Head<Q>);

impl<Q: QueueType> Chain<Q> {
    pub(super) fn pop(&mut self) -> Option<Entry<Q>> {
        let head = NonNull::new(self.0)?;
        // INVARIANT: The rest of the chain.
        // SAFETY: It is in the chain, so that it is valid, and its links are ours.
        self.0 = unsafe { (*head.as_ref().links.get()).next };
        // SAFETY: It is `PENDING`, as all in the chain are, is ours, and is in no list.
        Some(unsafe { Entry::from_head(head) })
    }
}

impl<Q: QueueType> Drop for Chain<Q> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// The number of the next list. 64 bits do not wrap.
static NEXT_LIST: Atomic<u64> = Atomic::new(1);

/// A list of items, for one user at a time.
///
/// # Invariants
///
/// - `number` is not 0, and no other list has it.
/// - `first` and `last` are the ends of a chain, by `links.next` and `links.prev`. Its heads have
///   `number` as their `list`, and their entries belong to this list. Or both are null, and no head
///   has that `list`.
pub(super) struct List<Q: QueueType> {
    number: u64,
    first: *mut Head<Q>,
    last: *mut Head<Q>,
}

// SAFETY: A list owns entries, which are `Send`.
unsafe impl<Q: QueueType> Send for List<Q> {}

impl<Q: QueueType> List<Q> {
    pub(super) fn new() -> Self {
        // INVARIANT: Empty, with a number that no other list has.
        Self {
            number: NEXT_LIST.fetch_add(1, Relaxed),
            first: null_mut(),
            last: null_mut(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_null()
    }

    /// Calls `look` with the first item.
    pub(super) fn first<R>(&self, look: impl FnOnce(&Entry<Q>) -> R) -> Option<R> {
        // SAFETY: The first one is ours.
        unsafe { Self::peek(self.first, look) }
    }

    /// # Safety
    ///
    /// `head` is null or in this list.
    unsafe fn peek<R>(head: *mut Head<Q>, look: impl FnOnce(&Entry<Q>) -> R) -> Option<R> {
        let head = NonNull::new(head)?;
        // SAFETY: It belongs to the list, which lends it; it is never dropped here.
        let entry = ManuallyDrop::new(unsafe { Entry::from_head(head) });
        Some(look(&entry))
    }

    /// Appends the items of a chain that has the newest item first, with one turn for all. Returns
    /// the delayed ones, in the order in which they were queued.
    pub(super) fn append(&mut self, chain: Chain<Q>, turn: u64) -> Chain<Q> {
        let mut next = ManuallyDrop::new(chain).0;
        let (mut first, mut last) = (null_mut::<Head<Q>>(), null_mut());
        let mut delayed = Chain(null_mut());

        while let Some(head) = NonNull::new(next) {
            let this = head.as_ptr();
            // SAFETY: It is in the chain, so that it is valid, and its links are ours. `first` was
            // in the chain as well, or is null. No references to links are alive.
            unsafe {
                let links = head.as_ref().links.get();
                next = (*links).next;
                if (*links).due.is_some() {
                    // INVARIANT: An entry from the other chain, in front of newer ones.
                    (*links).next = delayed.0;
                    delayed.0 = this;
                    continue;
                }
                write_once(&head.as_ref().list, self.number);
                (*links).turn = turn;
                (*links).next = first;
                match first.is_null() {
                    true => last = this,
                    false => (*(*first).links.get()).prev = this,
                }
            }
            first = this;
        }
        if !first.is_null() {
            // INVARIANT: The chain linked above is appended to the last one.
            // SAFETY: `first` was in the chain, and the last one is in this list, or null. No
            // references to links are alive.
            unsafe {
                (*(*first).links.get()).prev = self.last;
                match self.last.is_null() {
                    true => self.first = first,
                    false => (*(*self.last).links.get()).next = first,
                }
            }
            self.last = last;
        }
        delayed
    }

    pub(super) fn push_back(&mut self, entry: Entry<Q>) {
        let last = self.last;
        // SAFETY: The last one is in this list, or null.
        unsafe { self.insert_after(last, entry) };
    }

    pub(super) fn push_front(&mut self, entry: Entry<Q>) {
        // SAFETY: Null stands for the place before the first.
        unsafe { self.insert_after(null_mut(), entry) };
    }

    /// Inserts an item after all items that are due before it or at the same time.
    pub(super) fn insert_by_due(&mut self, entry: Entry<Q>) {
        let comes_first = |other: &Entry<Q>| match (entry.due(), other.due()) {
            (Some(due), Some(other)) => is_later(other, due),
            _ => false,
        };
        let mut after = self.last;
        // SAFETY: `after` moves from the last to the first, all of which are in this list.
        unsafe {
            while Self::peek(after, comes_first) == Some(true) {
                after = (*(*after).links.get()).prev;
            }
            self.insert_after(after, entry);
        }
    }

    /// # Safety
    ///
    /// `after` is in this list, or null for the place before the first.
    unsafe fn insert_after(&mut self, after: *mut Head<Q>, entry: Entry<Q>) {
        write_once(&entry.head().list, self.number);
        let this = entry.into_head().as_ptr();
        // SAFETY: `this` was an entry, and is this list's now; so are its neighbours, by the
        // requirements of this function and the type invariant. No references to links are alive.
        unsafe {
            let next = match after.is_null() {
                true => core::mem::replace(&mut self.first, this),
                false => core::mem::replace(&mut (*(*after).links.get()).next, this),
            };
            match next.is_null() {
                true => self.last = this,
                false => (*(*next).links.get()).prev = this,
            }
            let links = (*this).links.get();
            (*links).prev = after;
            (*links).next = next;
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry<Q>> {
        let first = NonNull::new(self.first)?;
        // SAFETY: It is in this list.
        Some(unsafe { self.unlink(first) })
    }

    /// Removes the first items, one for each of `slots`, and calls `put` for each.
    #[inline(always)]
    pub(super) fn pop_into<S>(
        &mut self,
        slots: impl IntoIterator<Item = S>,
        mut put: impl FnMut(S, Entry<Q>),
    ) {
        for slot in slots {
            let Some(head) = NonNull::new(self.first) else {
                break;
            };
            // SAFETY: It is in this list, so that it is valid, and its links are ours. It is
            // `PENDING`, as all in this list are, and in no list now.
            let entry = unsafe {
                self.first = (*head.as_ref().links.get()).next;
                write_once(&head.as_ref().list, 0);
                Entry::from_head(head)
            };
            put(slot, entry);
        }
        // INVARIANT: The rest of the chain, or null.
        match NonNull::new(self.first) {
            // SAFETY: It is in this list. No references to links are alive.
            Some(first) => unsafe { (*first.as_ref().links.get()).prev = null_mut() },
            None => self.last = null_mut(),
        }
    }

    /// Returns whether this item is in this list.
    pub(super) fn has(&self, head: &Head<Q>) -> bool {
        // Only the list's owner writes its number to a head or away from it. If the number is
        // there, the item is in this list, and stays there.
        read_once(&head.list) == self.number
    }

    /// Removes this item, if it is in this list.
    pub(super) fn remove(&mut self, head: &Head<Q>) -> Option<Entry<Q>> {
        if !self.has(head) {
            return None;
        }
        // SAFETY: It is in this list, so that its links are ours to read, and `this` is not null.
        Some(unsafe { self.unlink(NonNull::new_unchecked((*head.links.get()).this)) })
    }

    /// # Safety
    ///
    /// `head` is in this list.
    #[inline(always)]
    unsafe fn unlink(&mut self, head: NonNull<Head<Q>>) -> Entry<Q> {
        // SAFETY: It is in this list, and so are its neighbours. No references to links are alive.
        unsafe {
            let links = head.as_ref().links.get();
            let (prev, next) = ((*links).prev, (*links).next);
            match prev.is_null() {
                true => self.first = next,
                false => (*(*prev).links.get()).next = next,
            }
            match next.is_null() {
                true => self.last = prev,
                false => (*(*next).links.get()).prev = prev,
            }
            write_once(&head.as_ref().list, 0);
            // `PENDING`, as all in this list are, and in no list now.
            Entry::from_head(head)
        }
    }
}

impl<Q: QueueType> Drop for List<Q> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
