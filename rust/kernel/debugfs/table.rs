// SPDX-License-Identifier: GPL-2.0

//! Tables for users: each column is as wide as its widest value.

use super::Decimal;
use kernel::{
    fmt,
    prelude::*, //
};

/// A value in a table.
#[derive(Clone, Copy)]
pub enum Cell {
    /// Aligned to the left.
    Text(&'static str),
    /// Aligned to the right.
    Number(u64),
}

impl Cell {
    #[inline]
    fn width(self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Number(number) => Decimal(number).width(),
        }
    }
}

impl From<&'static str> for Cell {
    #[inline]
    fn from(text: &'static str) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    #[inline]
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// A table with `COLUMNS` columns.
///
/// It stores its rows until all are complete: the widest value of a column decides its width, and
/// reading a counter a second time could give a wider value.
///
/// # Examples
///
/// ```
/// use debugfs::Table;
///
/// let mut table = Table::new(["cpu", "state", "runs"]);
/// table.push([0u64.into(), "parked".into(), u64::MAX.into()])?;
/// table.push([255u64.into(), "up".into(), 7u64.into()])?;
///
/// let text = kernel::str::CString::try_from_fmt(fmt!("{table}"))?;
/// let width = "255 parked 18446744073709551615".len();
/// assert!(text.to_str()?.lines().all(|line| line.len() == width));
/// ```
pub struct Table<const COLUMNS: usize> {
    names: [&'static str; COLUMNS],
    rows: KVec<[Cell; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// Returns a table with a header and no rows.
    pub fn new(names: [&'static str; COLUMNS]) -> Self {
        Self {
            names,
            rows: KVec::new(),
        }
    }

    /// Appends a row. Process context. Returns `ENOMEM`.
    pub fn push(&mut self, row: [Cell; COLUMNS]) -> Result {
        Ok(self.rows.push(row, GFP_KERNEL)?)
    }
}

impl<const COLUMNS: usize> fmt::Display for Table<COLUMNS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = self.names.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.width().max(*width);
            }
        }

        let right = |column: usize| {
            let cell = self.rows.first().and_then(|row| row.get(column));
            matches!(cell, Some(Cell::Number(_)))
        };
        for (column, (name, width)) in self.names.iter().zip(widths).enumerate() {
            let space = if column == 0 { "" } else { " " };
            if right(column) {
                write!(f, "{space}{name:>width$}")?;
            } else {
                write!(f, "{space}{name:<width$}")?;
            }
        }
        writeln!(f)?;
        for row in &self.rows {
            for (column, (cell, width)) in row.iter().zip(widths).enumerate() {
                let space = if column == 0 { "" } else { " " };
                match cell {
                    Cell::Text(text) => write!(f, "{space}{text:<width$}")?,
                    Cell::Number(number) => write!(f, "{space}{:>width$}", Decimal(*number))?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
