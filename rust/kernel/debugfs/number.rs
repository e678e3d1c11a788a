// SPDX-License-Identifier: GPL-2.0

//! Files with one number.

use super::Attribute;
use kernel::{
    bindings,
    error::to_result,
    fmt,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// A read-only counter: a decimal number and a newline.
#[vtable]
impl Attribute for Atomic<u64> {
    type Data = Self;

    #[inline]
    fn show(data: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", data.load(Relaxed))
    }
}

/// A writable number from `MIN` to `MAX`.
///
/// Reading the file gives the decimal number and a newline. Writing stores the result of
/// [`parse`](Self::parse), and has no effect if that fails. Loads and stores are relaxed atomics:
/// do not use a file to publish other data.
///
/// # Examples
///
/// ```
/// use debugfs::{Number, Tree};
/// use kernel::sync::atomic::{Atomic, Relaxed};
///
/// let files = Tree::new(scope, c"example", Atomic::<u64>::new(10), |percent, dir| {
///     dir.file::<Number<0, 100>>(c"percent", percent);
/// })?;
/// assert_eq!(files.load(Relaxed), 10);
///
/// assert_eq!(Number::<0, 100>::parse(c"0x10\n"), Ok(16));
/// assert_eq!(Number::<0, 100>::parse(c"101"), Err(ERANGE));
/// assert_eq!(Number::<0, 100>::parse(c" 1"), Err(EINVAL));
/// ```
pub struct Number<const MIN: u64 = 0, const MAX: u64 = { u64::MAX }>;

impl<const MIN: u64, const MAX: u64> Number<MIN, MAX> {
    /// Parses a number as C's `kstrtou64()` does in base 0: an optional `+`; digits, hexadecimal
    /// after `0x`, octal after `0`, decimal otherwise; an optional newline. Any context.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the input has another form, for example if it is empty, or has a space, a minus
    ///   sign or a second line.
    /// - `ERANGE`: the number is less than `MIN` or more than `MAX`.
    #[inline]
    pub fn parse(input: &CStr) -> Result<u64> {
        const { assert!(MIN <= MAX) };

        let mut number = 0;
        // SAFETY: The string ends with a NUL; the number is valid for writing.
        to_result(unsafe { bindings::kstrtoull(input.as_char_ptr(), 0, &mut number) })?;
        if !(MIN..=MAX).contains(&number) {
            return Err(ERANGE);
        }
        Ok(number)
    }
}

#[vtable]
impl<const MIN: u64, const MAX: u64> Attribute for Number<MIN, MAX> {
    type Data = Atomic<u64>;

    #[inline]
    fn show(number: &Atomic<u64>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", number.load(Relaxed))
    }

    #[inline]
    fn store(number: &Atomic<u64>, input: &CStr) -> Result {
        number.store(Self::parse(input)?, Relaxed);
        Ok(())
    }
}
