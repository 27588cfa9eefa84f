//! Holds tokens, credentials and attestation keys against the rows of the audit trail that say they were made, and revoked: by
//! each of them devices come in.
//!
//! Events of older versions have no hash of the row that was made. Of such a token or credential what they say in words is
//! compared, and its device; of attestation keys, that as many were registered at that time. The trail is read first, and then the
//! rows, page by page: of the trail a hash is kept for each of what was made, of the rows nothing.

use std::collections::{HashMap, HashSet};

use super::finding::{Finding, FindingKind};
use super::log::AuditError;
use crate::audit::EventKind;
use crate::issuance::sha256;
use crate::store::{Event, EventQuery, Grant, GrantRow, Sha256, Store};

/// Rows that are read at once.
const PAGE: u32 = 1_000;
/// Events that say what was made, revoked and removed.
const KINDS: [EventKind; 6] = [
    EventKind::TokenCreated,
    EventKind::TokenRevoked,
    EventKind::CredentialCreated,
    EventKind::CredentialRevoked,
    EventKind::AttestationKeysAdded,
    EventKind::AttestationKeyRemoved,
];

/// What the trail says.
#[derive(Debug, Default)]
pub(super) struct Grants {
    /// Tokens and credentials, by a hash of their names.
    made: HashMap<(Grant, Short), Made>,
    /// The rows of attestation keys that are registered.
    keys: HashSet<Sha256>,
    /// Attestation keys of which older events have no rows.
    unnamed: HashMap<i64, Vec<Unnamed>>,
    /// The number of the last event that was taken in.
    last: u64,
}

/// Half of a SHA-256: nobody finds another name with the same.
type Short = [u8; 16];

#[derive(Debug)]
struct Made {
    said: Said,
    revoked: bool,
    /// Of a credential, which is never removed, until its row was seen.
    unseen: Option<Box<str>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    /// A hash of the row.
    Row(Sha256),
    /// A hash of what an older event says in words, and its device.
    Words(Sha256),
}

/// Keys that were registered by one event.
#[derive(Debug)]
struct Unnamed {
    left: u64,
    /// Where it was one, its device.
    device: Option<String>,
}

impl Grants {
    /// A row of the trail, in their order.
    pub(super) fn event(&mut self, event: &Event) {
        self.last = event.number;
        let (words, row) = match event.detail.rsplit_once(", row ") {
            Some((words, digits)) => (words, hash(digits)),
            None => (event.detail.as_str(), None),
        };
        let name = words.split(' ').nth(1).unwrap_or_default();
        match EventKind::from_name(&event.kind) {
            Some(EventKind::TokenCreated) => self.made(Grant::Token, name, event, row),
            Some(EventKind::CredentialCreated) => self.made(Grant::Credential, name, event, row),
            Some(EventKind::TokenRevoked) => self.revoked(Grant::Token, name),
            Some(EventKind::CredentialRevoked) => self.revoked(Grant::Credential, name),
            Some(EventKind::AttestationKeysAdded) => self.registered(event),
            Some(EventKind::AttestationKeyRemoved) => {
                if let Some(row) = row {
                    self.keys.remove(&row);
                }
            }
            _ => {}
        }
    }

    fn made(&mut self, grant: Grant, name: &str, event: &Event, row: Option<Sha256>) {
        let said = row.map_or_else(|| in_words(&event.detail, event.device.as_deref()), Said::Row);
        let unseen = (grant == Grant::Credential).then(|| name.into());
        self.made.insert((grant, short(name)), Made { said, revoked: false, unseen });
    }

    fn revoked(&mut self, grant: Grant, name: &str) {
        if let Some(made) = self.made.get_mut(&(grant, short(name))) {
            made.revoked = true;
        }
    }

    fn registered(&mut self, event: &Event) {
        if let Some((_, rows)) = event.detail.split_once("; rows ") {
            self.keys.extend(rows.split(' ').filter_map(hash));
            return;
        }
        // "2 added, 0 unchanged, 0 conflicting"
        let added = event.detail.split(' ').next().and_then(|number| number.parse().ok());
        let (Some(left @ 1..), Ok(at)) = (added, i64::try_from(event.at.as_secs())) else { return };
        self.unnamed.entry(at).or_default().push(Unnamed { left, device: event.device.clone() });
    }

    /// Compares the rows of `store`, whose trail was read before.
    pub(super) async fn compare(mut self, store: &dyn Store) -> Result<Vec<Finding>, AuditError> {
        let mut findings = Vec::new();
        for grant in Grant::ALL {
            let mut after = None;
            loop {
                let rows = store.grant_rows(grant, after, PAGE).await?;
                let Some(last) = rows.last() else { break };
                after = Some(last.name.clone());
                for row in &rows {
                    if self.look_at(grant, row).is_err() {
                        // A server that runs may have made it since the trail was read.
                        self.catch_up(store).await?;
                        findings.extend(self.look_at(grant, row).err());
                    }
                }
            }
        }
        for made in self.made.into_values() {
            if let Some(name) = made.unseen {
                let detail = "the database has no such row; where it was the key of a device, its group's counts again";
                findings.push(Finding::new(FindingKind::CredentialMissing, name, detail));
            }
        }
        Ok(findings)
    }

    async fn catch_up(&mut self, store: &dyn Store) -> Result<(), AuditError> {
        loop {
            let query = EventQuery { kinds: KINDS.to_vec(), ..EventQuery::after(self.last, PAGE) };
            let events = store.events(query).await?;
            if events.is_empty() {
                return Ok(());
            }
            for event in events {
                self.event(&event);
            }
        }
    }

    fn look_at(&mut self, grant: Grant, row: &GrantRow) -> Result<(), Finding> {
        let finding = |kind, detail: String| Err(Finding::new(kind, &row.name, detail));
        if grant == Grant::AttestationKey {
            if self.keys.contains(&row.sha256) || self.takes_unnamed(row) {
                return Ok(());
            }
            let device = row.device.as_deref().unwrap_or_default();
            return finding(FindingKind::GrantNotLogged, format!("the attestation key of {device}"));
        }
        let Some(made) = self.made.get_mut(&(grant, short(&row.name))) else {
            return finding(FindingKind::GrantNotLogged, row.words.clone());
        };
        made.unseen = None;
        let same = match &made.said {
            Said::Row(sha256) => *sha256 == row.sha256,
            said @ Said::Words(_) => *said == in_words(&row.words, row.device.as_deref()),
        };
        if !same {
            return finding(FindingKind::GrantDiffers, format!("the row is now {}", row.words));
        }
        if made.revoked && !row.revoked {
            return finding(FindingKind::GrantInForce, row.words.clone());
        }
        Ok(())
    }

    /// Whether the key may be one of those of which an older event says only how many there were.
    fn takes_unnamed(&mut self, row: &GrantRow) -> bool {
        let then = self.unnamed.get_mut(&row.made).into_iter().flatten();
        let mut fitting = then.filter(|unnamed| unnamed.device.is_none() || unnamed.device == row.device);
        match fitting.find(|unnamed| unnamed.left > 0) {
            Some(unnamed) => {
                unnamed.left -= 1;
                true
            }
            None => false,
        }
    }
}

fn in_words(words: &str, device: Option<&str>) -> Said {
    Said::Words(sha256(&[words.as_bytes(), b"\0", device.unwrap_or_default().as_bytes()].concat()))
}

fn short(name: &str) -> Short {
    let mut short = Short::default();
    for (to, from) in short.iter_mut().zip(sha256(name.as_bytes())) {
        *to = from;
    }
    short
}

fn hash(digits: &str) -> Option<Sha256> {
    let mut hash = Sha256::default();
    hex::decode_to_slice(digits, &mut hash).ok().map(|()| hash)
}

#[cfg(test)]
mod tests {
    use shared::{DeviceId, UnixTime};

    use super::{Grants, PAGE};
    use crate::store::{NewAttestationKey, Place, Store as _, Token};

    const NOW: UnixTime = UnixTime::from_secs(1_800_000_000);

    /// More than one page of each; of the trail nothing was read before they were there.
    #[tokio::test]
    async fn what_is_made_while_the_trail_is_read_is_known_and_what_is_put_in_is_named() {
        let place = Place::sqlite();
        let store = place.open();
        let bytes = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            bytes
        };
        let token = |number: u32| {
            let (id, device, group, used_by) = (format!("{number:08x}"), None, None, None);
            Token { id, device, group, created: NOW, expires: NOW, used_by, revoked: false }
        };
        let key = |number: u32| NewAttestationKey {
            instance: bytes(number),
            device: DeviceId::new(&format!("SN-{number}")).unwrap(),
            spki: bytes(number).to_vec(),
            maker: None,
            model: None,
        };
        let all = 0..2 * PAGE + 1;
        store.add_tokens(all.clone().map(|number| (token(number), bytes(number))).collect()).await.unwrap();
        store.add_attestation_keys(all.map(key).collect(), NOW).await.unwrap();
        store.revoke_token("00000007".into(), NOW).await.unwrap();
        assert_eq!(Grants::default().compare(&store).await.unwrap(), []);
        place.sql(
            "UPDATE tokens SET revoked = 0; UPDATE attestation_keys SET device = 'X' WHERE device = 'SN-1999'; \
             INSERT INTO tokens (sha256, id, created, expires) VALUES (randomblob(32), '000007d0a', 1, 1)",
        );
        let found = Grants::default().compare(&store).await.unwrap();
        let found: Vec<_> = found.iter().map(|one| (one.kind.name(), one.subject.as_str())).collect();
        let key = hex::encode(bytes(1_999));
        let expected =
            [("grant-in-force", "00000007"), ("grant-not-logged", "000007d0a"), ("grant-not-logged", &*key)];
        assert_eq!(found, expected);
    }
}
