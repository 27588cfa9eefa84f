//! Holds the states of devices against what the audit trail and the log last said of them.
//!
//! What is compared is the word of an operator: that a device is out of service, and how, or back in it. Whether one in
//! service is registered, held or enrolled follows from its certificates, which are compared themselves.

use std::collections::HashMap;

use shared::DeviceId;

use super::finding::{Finding, FindingKind};
use super::log::AuditError;
use super::lost::Lost;
use crate::audit::EventKind;
use crate::store::{DeviceState, Event, EventQuery, Store};

/// Rows that are read at once.
const PAGE: u32 = 1_000;
/// Events that say how a device stands.
const KINDS: [EventKind; 6] = [
    EventKind::Issued,
    EventKind::Held,
    EventKind::Approved,
    EventKind::Denied,
    EventKind::DeviceStateChanged,
    EventKind::Revoked,
];

/// What was last said of each device.
#[derive(Debug, Default)]
pub(super) struct Words {
    of: HashMap<String, Word>,
    /// The number of the last event that was taken in.
    last: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Word {
    /// The last leaf of its certificates that says more than that one took another's place.
    certificate: Option<u64>,
    /// The last event, by the place of its leaf.
    event: Option<(u64, Said)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    InService,
    Out(DeviceState),
    /// An event of an old version, whose text cannot be read.
    Unknown,
}

impl Said {
    const fn of(state: DeviceState) -> Self {
        match state {
            DeviceState::Registered | DeviceState::Held | DeviceState::Enrolled => Self::InService,
            DeviceState::Suspended | DeviceState::Revoked | DeviceState::Retired => Self::Out(state),
        }
    }

    fn by(kind: EventKind, detail: &str) -> Self {
        if matches!(kind, EventKind::Issued | EventKind::Held) {
            return Self::InService;
        }
        // "enrolled -> suspended: its certificates are on hold"
        let to = detail.split_once(" -> ").and_then(|(_, rest)| rest.split_once(": "));
        to.and_then(|(to, _)| DeviceState::from_name(to)).map_or(Self::Unknown, Self::of)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::InService => "in service",
            Self::Out(state) => state.name(),
            Self::Unknown => "unknown",
        }
    }
}

impl Word {
    /// How the device has to stand, where that is known. What an older database does not have of the trail the start brings in
    /// from the log, without an event: then the leaf of a certificate is the last that was said.
    fn expected(self) -> Option<(u64, Said)> {
        let (place, said) = self.event.filter(|(_, said)| *said != Said::Unknown)?;
        self.certificate.is_none_or(|leaf| leaf < place).then_some((place, said))
    }
}

impl Words {
    /// The leaf of a certificate of `device`.
    pub(super) fn certificate(&mut self, device: &str, place: u64) {
        let word = self.of.entry(device.to_owned()).or_default();
        word.certificate = word.certificate.max(Some(place));
    }

    /// A row of the trail, in their order. `place` is that of its leaf.
    pub(super) fn event(&mut self, event: &Event, place: Option<u64>) {
        self.last = event.number;
        let kind = EventKind::from_name(&event.kind).filter(|kind| KINDS.contains(kind));
        let (Some(kind), Some(device), Some(place)) = (kind, &event.device, place) else { return };
        let said = Said::by(kind, &event.detail);
        match self.of.get_mut(device) {
            Some(word) => word.event = Some((place, said)),
            None => {
                self.of.insert(device.clone(), Word { event: Some((place, said)), ..Word::default() });
            }
        }
    }

    /// Compares the devices of `store`, whose trail was read before.
    pub(super) async fn compare(
        mut self,
        store: &dyn Store,
        lost: &Lost,
    ) -> Result<Vec<Finding>, AuditError> {
        let (mut findings, mut after) = (Vec::new(), String::new());
        loop {
            let rows = store.device_rows(after, PAGE).await?;
            let Some(row) = rows.last() else { break };
            after = row.device.clone();
            for row in rows {
                let expected = self.of.remove(&row.device).and_then(Word::expected);
                let Some((place, said)) = expected else { continue };
                let found = DeviceState::from_name(&row.state).map(Said::of);
                // The list of an older time has who is suspended, and the trail of the older database does not.
                let by_list = found == Some(Said::Out(DeviceState::Suspended)) && lost.is_after(place);
                if found == Some(said) || by_list || self.moved_since(store, &row.device).await? {
                    continue;
                }
                let detail = format!("the row is {}; the trail last said {}", row.state, said.name());
                findings.push(Finding::new(FindingKind::DeviceStateDiffers, &row.device, detail));
            }
        }
        // Who was out of service would be let in again as one that nobody knows.
        for (device, word) in &self.of {
            if let Some((_, said @ Said::Out(_))) = word.expected() {
                let detail = format!("there is no row; the trail last said {}", said.name());
                findings.push(Finding::new(FindingKind::DeviceStateDiffers, device, detail));
            }
        }
        Ok(findings)
    }

    /// Whether a server that runs moved it after its trail was read.
    async fn moved_since(&self, store: &dyn Store, device: &str) -> Result<bool, AuditError> {
        let Ok(device) = DeviceId::new(device) else { return Ok(false) };
        let query =
            EventQuery { kinds: KINDS.to_vec(), device: Some(device), ..EventQuery::after(self.last, 1) };
        Ok(!store.events(query).await?.is_empty())
    }
}
