//! Tokens, credentials and attestation keys as an audit looks at them, and what events say of a row that was made.
//!
//! A row is made and audited by the same words and the same hash: both are taken from the row.

use transparency::Field;

use super::SqlStore;
use crate::store::database::{Connection, Row, params};
use crate::store::{Grant, GrantRow, GrantRows, Reply, Sha256, StoreError};

impl GrantRows for SqlStore {
    fn grant_rows(&self, grant: Grant, after: Option<String>, limit: u32) -> Reply<'_, Vec<GrantRow>> {
        self.read(move |c| rows(c, grant, after.as_deref(), limit))
    }
}

fn rows(c: &Connection, grant: Grant, after: Option<&str>, limit: u32) -> Result<Vec<GrantRow>, StoreError> {
    let (table, key, read): (_, _, Read) = match grant {
        Grant::Token => ("tokens", "id", token),
        Grant::Credential => ("credentials", "id", credential),
        Grant::AttestationKey => ("attestation_keys", "instance", attestation_key),
    };
    let Some(after) = after else {
        let sql = format!("SELECT * FROM {table} ORDER BY {key} LIMIT ?");
        return c.prepare_cached(&sql)?.query_map(params![limit], read);
    };
    let sql = format!("SELECT * FROM {table} WHERE {key} > ? ORDER BY {key} LIMIT ?");
    let mut query = c.prepare_cached(&sql)?;
    match grant {
        Grant::Token | Grant::Credential => query.query_map(params![after, limit], read),
        Grant::AttestationKey => {
            let instance = hex::decode(after).map_err(|_| StoreError::Damaged { field: "instance" })?;
            query.query_map(params![instance, limit], read)
        }
    }
}

/// What reads a row.
type Read = fn(&Row<'_>) -> Result<GrantRow, StoreError>;

/// A token; of its text there is a hash only.
pub(super) fn token(row: &Row<'_>) -> Result<GrantRow, StoreError> {
    let (name, device): (String, Option<String>) = (row.get("id")?, row.get("device")?);
    let group: Option<String> = row.get("device_group")?;
    let (made, expires): (i64, i64) = (row.get("created")?, row.get("expires")?);
    let sha256: Vec<u8> = row.get("sha256")?;
    let fields = [
        Field::Text(&name),
        Field::Bytes(&sha256),
        Field::from(device.as_deref()),
        Field::from(group.as_deref()),
        number(made),
        number(expires),
    ];
    let sha256 = transparency::commitment(b"token", &fields);
    let words = format!("token {name} until {}", written(expires));
    Ok(GrantRow { words, sha256, made, revoked: row.get("revoked")?, name, device })
}

/// A credential; its secret is wrapped under a key that is not in the database.
pub(super) fn credential(row: &Row<'_>) -> Result<GrantRow, StoreError> {
    let (name, kind, called): (String, String, String) = (row.get("id")?, row.get("kind")?, row.get("name")?);
    let (device, group): (Option<String>, Option<String>) = (row.get("device")?, row.get("device_group")?);
    let (secret, certificate): (Option<Vec<u8>>, Option<Vec<u8>>) =
        (row.get("secret")?, row.get("certificate")?);
    let (made, expires): (i64, Option<i64>) = (row.get("created")?, row.get("expires")?);
    let (hold, quota): (i64, Option<i64>) = (row.get("hold")?, row.get("quota")?);
    let fields = [
        Field::Text(&name),
        Field::Text(&kind),
        Field::Text(&called),
        Field::from(device.as_deref()),
        Field::from(group.as_deref()),
        Field::from(secret.as_deref()),
        Field::from(certificate.as_deref()),
        number(hold),
        number(made),
        expires.map_or(Field::Null, number),
        quota.map_or(Field::Null, number),
    ];
    let sha256 = transparency::commitment(b"credential", &fields);
    let revoked = row.get::<_, Option<i64>>("revoked")?.is_some();
    Ok(GrantRow { words: format!("{kind} {name} ({called})"), sha256, made, revoked, name, device })
}

/// An attestation key: the public half.
pub(super) fn attestation_key(row: &Row<'_>) -> Result<GrantRow, StoreError> {
    let (instance, spki): (Vec<u8>, Vec<u8>) = (row.get("instance")?, row.get("spki")?);
    let device: String = row.get("device")?;
    let (maker, model): (Option<Vec<u8>>, Option<String>) = (row.get("maker")?, row.get("model")?);
    let fields = [
        Field::Bytes(&instance),
        Field::Text(&device),
        Field::Bytes(&spki),
        Field::from(maker.as_deref()),
        Field::from(model.as_deref()),
    ];
    let sha256: Sha256 = transparency::commitment(b"attestation key", &fields);
    let name = hex::encode(instance);
    let words = format!("instance {name}");
    Ok(GrantRow { words, sha256, made: row.get("added")?, revoked: false, name, device: Some(device) })
}

/// As it is hashed: no program writes a negative one.
const fn number(number: i64) -> Field<'static> {
    Field::Number(number.cast_unsigned())
}

/// A time as events write it.
fn written(secs: i64) -> String {
    u64::try_from(secs)
        .map_or_else(|_| secs.to_string(), |secs| shared::UnixTime::from_secs(secs).to_string())
}
