//! Values on their way out of a row.

use crate::store::StoreError;

/// A row that a query found.
pub(in crate::store) enum Row<'a> {
    /// Of SQLite.
    Sqlite(&'a rusqlite::Row<'a>),
    /// Of PostgreSQL.
    Postgres(&'a tokio_postgres::Row),
}

/// What stands in one column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Cell<'a> {
    /// Nothing.
    Null,
    /// A whole number; a truth is 0 or 1.
    Integer(i64),
    /// A text.
    Text(&'a str),
    /// A byte string.
    Blob(&'a [u8]),
}

/// A column, by its name or its place from 0.
pub(in crate::store) trait Column:
    rusqlite::RowIndex + tokio_postgres::row::RowIndex + core::fmt::Display
{
}

impl Column for &str {}
impl Column for usize {}

/// A type that a column is read as.
pub(in crate::store) trait Get: Sized {
    /// The value; `None` where the cell holds something else.
    fn from_cell(cell: Cell<'_>) -> Option<Self>;
}

impl Row<'_> {
    /// The value of a column.
    ///
    /// # Errors
    /// Where there is no such column, or it holds something else.
    pub(in crate::store) fn get<C: Column, T: Get>(&self, column: C) -> Result<T, StoreError> {
        T::from_cell(self.cell(column)?).ok_or(StoreError::Damaged { field: "column" })
    }

    /// What stands in a column, whatever it is.
    pub(in crate::store) fn cell<C: Column>(&self, column: C) -> Result<Cell<'_>, StoreError> {
        match self {
            Self::Sqlite(row) => super::sqlite::cell(row, column),
            Self::Postgres(row) => super::postgres::cell(row, column),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Get for $type {
            fn from_cell(cell: Cell<'_>) -> Option<Self> {
                match cell {
                    Cell::Integer(value) => Self::try_from(value).ok(),
                    _ => None,
                }
            }
        }
    )* };
}
integers!(u8, u16, u32, i64);

impl Get for bool {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Integer(0) => Some(false),
            Cell::Integer(1) => Some(true),
            _ => None,
        }
    }
}

impl Get for String {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Text(text) => Some(text.to_owned()),
            _ => None,
        }
    }
}

impl Get for Vec<u8> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

impl<const N: usize> Get for [u8; N] {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Blob(bytes) => bytes.try_into().ok(),
            _ => None,
        }
    }
}

impl<T: Get> Get for Option<T> {
    fn from_cell(cell: Cell<'_>) -> Option<Self> {
        match cell {
            Cell::Null => Some(None),
            cell => T::from_cell(cell).map(Some),
        }
    }
}
