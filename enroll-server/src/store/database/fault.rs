//! What a database says went wrong, in the store's words.

use rusqlite::ErrorCode;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DiskFull) => Self::Full,
            _ => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..) => Self::Damaged { field: "column" },
                other => Self::Failed(other.to_string()),
            },
        }
    }
}

/// What PostgreSQL itself said: it is there, and did not do it. Its message names tables and columns; the details, in
/// which values could be, stay out.
pub(super) fn of_postgres(error: &tokio_postgres::Error) -> StoreError {
    let Some(said) = error.as_db_error() else {
        return StoreError::Failed(crate::issuance::chain(error));
    };
    let code = said.code();
    if *code == SqlState::DISK_FULL {
        return StoreError::Full;
    }
    // Another held a lock for too long, was faster, or has all connections; or the server is starting or full of work.
    let busy = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
        SqlState::QUERY_CANCELED,
        SqlState::TOO_MANY_CONNECTIONS,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::OUT_OF_MEMORY,
    ];
    if busy.contains(code) {
        return StoreError::Busy;
    }
    StoreError::Failed(format!("{} ({})", said.message(), code.code()))
}
