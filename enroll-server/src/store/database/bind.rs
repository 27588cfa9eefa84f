//! Values on their way into a statement.

/// A value for a parameter. `None` is NULL, of a type that is known all the same: PostgreSQL asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Value<'a> {
    /// A whole number, or a truth as 0 and 1.
    Integer(Option<i64>),
    /// A text.
    Text(Option<&'a str>),
    /// A byte string.
    Blob(Option<&'a [u8]>),
}

/// What can be bound to a parameter.
pub(in crate::store) trait Bind {
    /// The value to bind.
    fn value(&self) -> Value<'_>;
}

/// The NULL of a type.
pub(in crate::store) trait Null {
    /// It.
    const NULL: Value<'static>;
}

/// A list of parameters, in order.
macro_rules! params {
    () => { &[] as &[&dyn $crate::store::database::Bind] };
    ($($value:expr),+ $(,)?) => { &[$(&$value as &dyn $crate::store::database::Bind),+] };
}
pub(in crate::store) use params;

/// A list of parameters from values that were put together one by one.
pub(in crate::store) fn borrowed(values: &[Box<dyn Bind>]) -> Vec<&dyn Bind> {
    values.iter().map(AsRef::as_ref).collect()
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl Bind for $type {
            fn value(&self) -> Value<'_> {
                Value::Integer(Some(i64::from(*self)))
            }
        }
        impl Null for $type {
            const NULL: Value<'static> = Value::Integer(None);
        }
    )* };
}
integers!(bool, u8, u16, u32, i64);

/// What no column can hold stands there as the largest number that it can.
impl Bind for u64 {
    fn value(&self) -> Value<'_> {
        Value::Integer(Some(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

impl Null for u64 {
    const NULL: Value<'static> = Value::Integer(None);
}

macro_rules! texts {
    ($($type:ty),*) => { $(
        impl Bind for $type {
            fn value(&self) -> Value<'_> {
                Value::Text(Some(self))
            }
        }
        impl Null for $type {
            const NULL: Value<'static> = Value::Text(None);
        }
    )* };
}
texts!(str, String);

impl Bind for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Blob(Some(self))
    }
}

impl Null for [u8] {
    const NULL: Value<'static> = Value::Blob(None);
}

impl Bind for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Blob(Some(self))
    }
}

impl Null for Vec<u8> {
    const NULL: Value<'static> = Value::Blob(None);
}

impl<const N: usize> Bind for [u8; N] {
    fn value(&self) -> Value<'_> {
        Value::Blob(Some(self))
    }
}

impl<const N: usize> Null for [u8; N] {
    const NULL: Value<'static> = Value::Blob(None);
}

impl<T: Bind + ?Sized> Bind for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

impl<T: Null + ?Sized> Null for &T {
    const NULL: Value<'static> = T::NULL;
}

impl<T: Bind + Null> Bind for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(T::NULL, Bind::value)
    }
}

impl<T: Bind + ?Sized> Bind for Box<T> {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}
