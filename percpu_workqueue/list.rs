// SPDX-License-Identifier: GPL-2.0

//! Lists of pending items: one that needs no lock, where they come in, and one that does.

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

/// Where items come in: any context adds one, or takes all, without a lock.
///
/// As [`include/linux/llist.h`](srctree/include/linux/llist.h), with one state more: it can be closed,
/// in the same step that takes the items. So an item either comes in before, and is found by the caller of
/// [`close`](Self::close), or does not come in.
///
/// # Invariants
///
/// The pointer is null, or [`closed`](Self::closed), or the first of a chain by `links.next` that ends
/// with null. Chain and entries belong to the caller that replaces the pointer.
pub(super) struct Incoming<Q: QueueType>(Atomic<*mut Head<Q>>);

impl<Q: QueueType> Incoming<Q> {
    /// Where no head can be.
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

    /// Adds an item, with a full barrier. Gives it back if this is closed. Any context.
    pub(super) fn push(&self, mut entry: Entry<Q>) -> Result<(), Entry<Q>> {
        let mut first = read_once(&self.0);
        loop {
            if first == Self::closed() {
                return Err(entry);
            }
            entry.links_mut().next = first;
            // INVARIANT: The new first one is followed by the old chain, which is still the same: it
            // can only have been taken and come back, which makes no difference.
            match cmpxchg_ptr(&self.0, first, entry.head_ptr()) {
                Ok(_) => {
                    let _ = entry.into_head();
                    return Ok(());
                }
                Err(now) => first = now,
            }
        }
    }

    /// Takes all.
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

    /// Takes all, like [`take`](Self::take), and lets no more in.
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

    /// Lets items in again.
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

/// Items that were taken from where they came in.
///
/// # Invariants
///
/// The pointer is null, or the first of a chain by `links.next` that ends with null. All in it are entries
/// that belong to this.
pub(super) struct Chain<Q: QueueType>(*mut Head<Q>);

impl<Q: QueueType> Chain<Q> {
    pub(super) fn pop(&mut self) -> Option<Entry<Q>> {
        let head = NonNull::new(self.0)?;
        // INVARIANT: The rest of the chain.
        // SAFETY: It is in the chain, so that it is valid, and its links are ours.
        self.0 = unsafe { (*head.as_ref().links.get()).next };
        // SAFETY: It is `PENDING`, as all in the chain, is ours, and in no list.
        Some(unsafe { Entry::from_head(head) })
    }
}

impl<Q: QueueType> Drop for Chain<Q> {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// The number of the next list that is made. 64 bits do not come to their end.
static NEXT_LIST: Atomic<u64> = Atomic::new(1);

/// Items one after the other, for one user at a time.
///
/// # Invariants
///
/// - `number` is not 0, and no other list's.
/// - `first` and `last` are the ends of a chain, by `links.next` and `links.prev`, of heads whose `list`
///   is `number` and whose entries belong to this list; or both are null, and no head has that `list`.
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

    /// Looks at the first item.
    pub(super) fn first<R>(&self, look: impl FnOnce(&Entry<Q>) -> R) -> Option<R> {
        // SAFETY: The first one is ours.
        unsafe { Self::peek(self.first, look) }
    }

    /// # Safety
    ///
    /// `head` is null or in this list.
    unsafe fn peek<R>(head: *mut Head<Q>, look: impl FnOnce(&Entry<Q>) -> R) -> Option<R> {
        let head = NonNull::new(head)?;
        // SAFETY: It belongs to the list, which lends it; it does not come to be dropped.
        let entry = ManuallyDrop::new(unsafe { Entry::from_head(head) });
        Some(look(&entry))
    }

    /// Appends what has come in, the last item of which is the first of the chain, with one turn for all.
    /// Returns those that are delayed, in the order in which they came.
    pub(super) fn append(&mut self, chain: Chain<Q>, turn: u64) -> Chain<Q> {
        let mut next = ManuallyDrop::new(chain).0;
        let (mut first, mut last) = (null_mut::<Head<Q>>(), null_mut());
        let mut delayed = Chain(null_mut());

        while let Some(head) = NonNull::new(next) {
            let this = head.as_ptr();
            // SAFETY: It is in the chain, so that it is valid, and its links are ours. `first` was in the
            // chain as well, or is null. No references to links are alive.
            unsafe {
                let links = head.as_ref().links.get();
                next = (*links).next;
                if (*links).due.is_some() {
                    // INVARIANT: An entry from the other chain, before those that came later.
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
            // SAFETY: `first` was in the chain, and the last one is in this list, or null. No references to
            // links are alive.
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

    /// Inserts it after all items that are due before, or at the same time.
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

    /// Takes the first items out, one for each of `slots`, to which `put` brings them.
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
            // SAFETY: It is in this list, so that it is valid, and its links are ours. It is `PENDING`, as
            // all in this list, and in none now.
            let entry = unsafe {
                self.first = (*head.as_ref().links.get()).next;
                write_once(&head.as_ref().list, 0);
                Entry::from_head(head)
            };
            put(slot, entry);
        }
        // INVARIANT: The rest of the chain, or nothing.
        match NonNull::new(self.first) {
            // SAFETY: It is in this list. No references to links are alive.
            Some(first) => unsafe { (*first.as_ref().links.get()).prev = null_mut() },
            None => self.last = null_mut(),
        }
    }

    /// Whether this item is in this list.
    pub(super) fn has(&self, head: &Head<Q>) -> bool {
        // Only the list's owner writes its number to a head or away from it. If the number is there, the
        // item is in this list, and stays there.
        read_once(&head.list) == self.number
    }

    /// Takes this item out, if it is in this list.
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
            // `PENDING`, as all in this list, and in none now.
            Entry::from_head(head)
        }
    }
}

impl<Q: QueueType> Drop for List<Q> {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
