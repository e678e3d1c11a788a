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
use core::ptr::{
    null_mut,
    without_provenance_mut,
    NonNull, //
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

/// Where items come in: anybody adds one, somebody takes all, without a lock.
///
/// As [`include/linux/llist.h`](srctree/include/linux/llist.h), with one state more: it can be closed,
/// in the same step that takes what is in it. So an item either comes in before, and is found by whoever
/// closes, or does not come in.
///
/// # Invariants
///
/// The pointer is null, or [`closed`](Self::closed), or the first of a chain by `links.next` that ends
/// with null. Chain and entries belong to whoever replaces the pointer.
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

    /// Takes all, and gives them to `each` in the order in which they came.
    pub(super) fn take(&self, each: impl FnMut(Entry<Q>)) {
        let mut first = read_once(&self.0);
        while !first.is_null() && first != Self::closed() {
            // INVARIANT: Null.
            match self.0.cmpxchg(first, null_mut(), Acquire) {
                // SAFETY: Replaced just now.
                Ok(_) => return unsafe { Self::in_order(first, each) },
                Err(now) => first = now,
            }
        }
    }

    /// Takes all, like [`take`](Self::take), and lets no more in.
    pub(super) fn close(&self, each: impl FnMut(Entry<Q>)) {
        // INVARIANT: Closed.
        let first = self.0.xchg(Self::closed(), Full);
        if first != Self::closed() {
            // SAFETY: Replaced just now.
            unsafe { Self::in_order(first, each) };
        }
    }

    /// Lets items in again.
    pub(super) fn open(&self) {
        // INVARIANT: Null.
        let _ = self.0.cmpxchg(Self::closed(), null_mut(), Full);
    }

    /// # Safety
    ///
    /// `chain` is null or the first of a chain that belongs to the caller.
    unsafe fn in_order(mut chain: *mut Head<Q>, mut each: impl FnMut(Entry<Q>)) {
        // The last one came first: turn it round.
        let mut first = null_mut();
        while let Some(head) = NonNull::new(chain) {
            // SAFETY: The chain is ours, and all in it are valid.
            unsafe {
                let links = head.as_ref().links.get();
                chain = (*links).next;
                (*links).next = first;
            }
            first = head.as_ptr();
        }
        while let Some(head) = NonNull::new(first) {
            // SAFETY: As above; read before `each` gets the entry.
            first = unsafe { (*head.as_ref().links.get()).next };
            // SAFETY: `PENDING`, as all in the chain, which is ours, and in no list.
            each(unsafe { Entry::from_head(head) });
        }
    }
}

impl<Q: QueueType> Drop for Incoming<Q> {
    fn drop(&mut self) {
        self.close(drop);
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
        // INVARIANT: Empty, with a number that nobody has.
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
        let entry = core::mem::ManuallyDrop::new(unsafe { Entry::from_head(head) });
        Some(look(&entry))
    }

    pub(super) fn push_back(&mut self, entry: Entry<Q>) {
        let last = self.last;
        // SAFETY: The last one is in this list, or null.
        unsafe { self.insert_after(last, entry) };
    }

    /// Puts it behind all that are due before, or at the same time.
    pub(super) fn insert_by_due(&mut self, entry: Entry<Q>) {
        let comes_first = |other: &Entry<Q>| match (entry.due(), other.due()) {
            (Some(due), Some(other)) => is_later(other, due),
            _ => false,
        };
        let mut after = self.last;
        // SAFETY: `after` goes from the last to the first, all of which are in this list.
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

    /// Takes this item out, if it is in this list.
    pub(super) fn remove(&mut self, head: &Head<Q>) -> Option<Entry<Q>> {
        // Only who has the list writes its number to a head or away from it: if it is there, it is in
        // this list, and stays there.
        if read_once(&head.list) != self.number {
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
