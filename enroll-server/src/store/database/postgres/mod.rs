//! PostgreSQL, over tokio-postgres.
//!
//! A session belongs to one thread and drives its own connection. Statements whose result nobody needs are sent without
//! waiting for an answer, so that a change costs the network fewer turns; the first of them that fails is found by the
//! next that is waited for, and at the latest before a change or a transaction ends.

mod live;
mod session;
mod tls;
mod value;

pub(in crate::store) use session::{Session, WRITERS};
pub(super) use value::cell;
pub(in crate::store) use value::storable;
