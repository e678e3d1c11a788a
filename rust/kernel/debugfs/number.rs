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

/// A number that is printed by C.
///
/// On 32-bit architectures the kernel's `core` panics when it prints an `u64` above 999: that
/// divides, and there the kernel has no division of 64-bit integers.
///
/// # Examples
///
/// ```
/// use debugfs::Decimal;
///
/// let text = kernel::str::CString::try_from_fmt(fmt!(
///     "{} {:6}{:<6}{:04}",
///     Decimal(u64::MAX),
///     Decimal(1234),
///     Decimal(1234),
///     Decimal(0),
/// ))?;
/// assert_eq!(text.to_bytes(), b"18446744073709551615   12341234  0000");
/// ```
#[derive(Clone, Copy)]
pub struct Decimal(pub u64);

/// Bytes of the longest number, and a NUL.
const DIGITS: usize = 21;

impl Decimal {
    /// Returns the number of digits.
    pub(super) fn width(self) -> usize {
        self.digits(&mut [0; DIGITS]).len()
    }

    fn digits(self, buffer: &mut [u8; DIGITS]) -> &str {
        let format = c"%llu".as_char_ptr();
        // SAFETY:
        // - The buffer is valid for writing `DIGITS` bytes.
        // - The format ends with a NUL, and takes one `unsigned long long`, which an `u64` is.
        let length = unsafe { bindings::snprintf(buffer.as_mut_ptr(), DIGITS, format, self.0) };
        let digits = buffer.get(..length as usize).unwrap_or_default();
        core::str::from_utf8(digits).unwrap_or_default()
    }
}

impl core::fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad_integral(true, "", self.digits(&mut [0; DIGITS]))
    }
}

// For `fmt!` and `pr_info!`. `write!` uses the one above.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        core::fmt::Display::fmt(self, f)
    }
}

/// A read-only counter: a decimal number and a newline.
#[vtable]
impl Attribute for Atomic<u64> {
    type Data = Self;

    #[inline]
    fn show(data: &Self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", Decimal(data.load(Relaxed)))
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
        writeln!(f, "{}", Decimal(number.load(Relaxed)))
    }

    #[inline]
    fn store(number: &Atomic<u64>, input: &CStr) -> Result {
        number.store(Self::parse(input)?, Relaxed);
        Ok(())
    }
}
