//! Values of columns. There are three types of columns, and truths as results of expressions.

use std::borrow::Cow;

use bytes::BytesMut;
use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::store::StoreError;
use crate::store::database::bind::Value;
use crate::store::database::row::Cell;

impl Value<'_> {
    /// The type that PostgreSQL is told.
    pub(super) const fn type_of(&self) -> Type {
        match self {
            Self::Integer(_) => Type::INT8,
            Self::Text(_) => Type::TEXT,
            Self::Blob(_) => Type::BYTEA,
        }
    }

    /// A copy that does not borrow.
    pub(super) fn owned(self) -> Owned {
        match self {
            Self::Integer(number) => Owned::Integer(number),
            Self::Text(text) => Owned::Text(text.map(str::to_owned)),
            Self::Blob(bytes) => Owned::Blob(bytes.map(<[u8]>::to_vec)),
        }
    }
}

/// A value that is on its way by itself.
#[derive(Debug)]
pub(super) enum Owned {
    Integer(Option<i64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

type Written = Result<IsNull, Box<dyn core::error::Error + Sync + Send>>;

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Written {
        match self {
            Self::Integer(number) => number.to_sql(ty, out),
            Self::Text(text) => text.map(storable).to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

impl ToSql for Owned {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Written {
        match self {
            Self::Integer(number) => number.to_sql(ty, out),
            Self::Text(text) => text.as_deref().map(storable).to_sql(ty, out),
            Self::Blob(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        <Value<'_> as ToSql>::accepts(ty)
    }

    to_sql_checked!();
}

/// The text as PostgreSQL can hold it: without NUL, which a device may put into what it says of itself, and which must not
/// keep what it did from being recorded.
pub(in crate::store) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}

impl<'a> FromSql<'a> for Cell<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn core::error::Error + Sync + Send>> {
        match *ty {
            Type::INT8 => i64::from_sql(ty, raw).map(Cell::Integer),
            Type::INT4 => i32::from_sql(ty, raw).map(|number| Cell::Integer(number.into())),
            Type::BOOL => bool::from_sql(ty, raw).map(|truth| Cell::Integer(truth.into())),
            Type::BYTEA => <&[u8]>::from_sql(ty, raw).map(Cell::Blob),
            _ => <&str>::from_sql(ty, raw).map(Cell::Text),
        }
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn core::error::Error + Sync + Send>> {
        Ok(Cell::Null)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::INT8 | Type::INT4 | Type::BOOL | Type::BYTEA | Type::TEXT)
    }
}

/// What stands in a column.
pub(in crate::store::database) fn cell<'a>(
    row: &'a Row,
    column: impl RowIndex + core::fmt::Display,
) -> Result<Cell<'a>, StoreError> {
    row.try_get(column).map_err(|_| StoreError::Damaged { field: "column" })
}
