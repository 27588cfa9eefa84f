//! `[store]`: a PostgreSQL database in the place of the SQLite file.

use core::time::Duration;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::reader::{Reader, Section, duration, number, text};
use crate::files;
use crate::issuance::chain;
use crate::outgoing::Anchors;
use crate::store::{PostgresOptions, StoreError};

/// The environment variable that may hold the password of the database.
pub const STORE_PASSWORD: &str = "ENROLL_SERVER_STORE_PASSWORD";

/// A database on PostgreSQL.
#[derive(Clone, Debug)]
pub struct Postgres {
    options: PostgresOptions,
    password_file: Option<PathBuf>,
}

impl Postgres {
    /// One that is opened with these.
    #[cfg(test)]
    pub(crate) const fn with(options: PostgresOptions) -> Self {
        Self { options, password_file: None }
    }

    /// How it is opened, with its password: from the address, else from the file that the settings name, else from
    /// [`STORE_PASSWORD`]; without any, the server has to know this process otherwise.
    ///
    /// # Errors
    /// Where the file cannot be read, or others may read it.
    pub fn options(&self) -> Result<PostgresOptions, StoreError> {
        let mut options = self.options.clone();
        if options.has_password() {
            return Ok(options);
        }
        let password = match &self.password_file {
            Some(path) => Some(read(path)?),
            None => std::env::var(STORE_PASSWORD).ok().map(Zeroizing::new),
        };
        if let Some(password) = password {
            options.set_password(&password);
        }
        Ok(options)
    }
}

fn read(path: &Path) -> Result<Zeroizing<String>, StoreError> {
    let text = files::read_secret(path).map_err(|error| StoreError::Failed(chain(&error)))?;
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

const FIELDS: &str =
    "postgres, password_file, ca_file, readers, connect_timeout, statement_timeout and lock_timeout";

/// None unless an address is given.
pub(super) fn read_section<'t>(
    reader: &mut Reader<'t>,
    root: &mut Section<'t>,
    folder: &Path,
) -> Option<Postgres> {
    let mut section = reader.section(root, "store");
    let options = reader.field(&mut section, "postgres", |value| {
        let found = Zeroizing::new(text(value, "the address of a PostgreSQL database", |found| {
            Some(found.to_owned())
        })?);
        PostgresOptions::new(&found).map_err(|error| error.to_string())
    });
    let path = |value: &_| text(value, "a path", |found| (!found.is_empty()).then(|| folder.join(found)));
    let password_file = reader.field(&mut section, "password_file", path);
    let ca_file = reader.field(&mut section, "ca_file", path);
    let readers = reader.field(&mut section, "readers", |value| number(value, 1, 64));
    let mut deadline = |name: &str| {
        let most = Duration::from_secs(600);
        reader.field(&mut section, name, |value| duration(value, Duration::from_millis(100), most))
    };
    let connect_timeout = deadline("connect_timeout");
    let statement_timeout = deadline("statement_timeout");
    let lock_timeout = deadline("lock_timeout");
    reader.close(section, FIELDS);
    let mut options = options?;
    options.anchors = ca_file.map_or(Anchors::System, Anchors::File);
    options.readers = readers.and_then(|n| u16::try_from(n).ok()).unwrap_or(options.readers);
    options.connect_timeout = connect_timeout.unwrap_or(options.connect_timeout);
    options.statement_timeout = statement_timeout.unwrap_or(options.statement_timeout);
    options.lock_timeout = lock_timeout.unwrap_or(options.lock_timeout);
    Some(Postgres { options, password_file })
}
