//! A profile for the devices of one group and model: only the device's identifier is open.
//!
//! This is what is recorded before a certificate is signed. So a profile that changes in between, or in a crash, changes
//! nothing about certificates that were recorded.

use core::fmt;
use core::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use shared::DeviceId;

use super::file;
use super::pattern::Variable;
use super::{Pattern, Profile, is_profile_name};
use crate::template::{Attribute, Extra, Name};

/// A profile in which only the device's identifier is open, with its name and its text.
#[derive(Clone, PartialEq, Eq)]
pub struct Bound {
    name: String,
    profile: Profile,
    text: String,
}

/// What a profile's variables stand for, besides the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Facts<'a> {
    /// The server's tenant.
    pub tenant: &'a str,
    /// The operator's private enterprise number.
    pub enterprise: u32,
    /// The device's group.
    pub group: &'a str,
    /// What the policy of the group says for `{label}`.
    pub label: Option<&'a str>,
    /// The device's model, where it is known. An attribute that asks for it is left out where it is not.
    pub model: Option<&'a str>,
}

/// Why a profile says nothing for a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// The profile asks for a label.
    #[error("the profile {profile:?} uses {{label}}, and the policy of the group has no certificate.label")]
    Label {
        /// Name of the profile.
        profile: String,
    },
    /// The identifier cannot be a label of a DNS name without coming to that of another device.
    #[error(
        "the profile {profile:?} puts the identifier {device:?} into a DNS name; only lower-case letters, digits and \
         single hyphens inside it fit there: use {{id-hash}}"
    )]
    Dns {
        /// Name of the profile.
        profile: String,
        /// The device.
        device: DeviceId,
    },
    /// What was recorded is no profile.
    #[error("what was recorded as a profile cannot be read")]
    Recorded,
}

impl Profile {
    /// Puts the facts into the profile.
    ///
    /// # Errors
    /// Where the profile asks for a label and there is none.
    pub fn bind(&self, name: &str, facts: &Facts<'_>) -> Result<Bound, BindError> {
        if facts.label.is_none() && self.needs_label() {
            return Err(BindError::Label { profile: name.to_owned() });
        }
        Ok(self.bind_unchecked(name, facts))
    }

    pub(super) fn bind_unchecked(&self, name: &str, facts: &Facts<'_>) -> Bound {
        let value = |variable: Variable| match variable {
            Variable::Id | Variable::IdHash => None,
            Variable::Group => Some(facts.group.to_owned()),
            Variable::Model => facts.model.map(ToOwned::to_owned),
            Variable::Label => facts.label.map(ToOwned::to_owned),
            Variable::Tenant => Some(facts.tenant.to_owned()),
            Variable::Enterprise => Some(facts.enterprise.to_string()),
        };
        let bind = |pattern: &Pattern| pattern.with(value);
        // DNS names know no case; what is written is what is meant.
        let bind_dns = |pattern: &Pattern| pattern.with(|v| value(v).map(|text| text.to_ascii_lowercase()));
        let profile = Self {
            subject: self
                .subject
                .iter()
                .map(|(attribute, pattern)| (*attribute, bind(pattern)))
                .filter(|(_, pattern)| pattern.variables().all(Variable::is_of_device))
                .collect(),
            uris: self.uris.iter().map(bind).collect(),
            dns: self.dns.iter().map(bind_dns).collect(),
            ..self.clone()
        };
        let text = profile.to_toml();
        Bound { name: name.to_owned(), profile, text }
    }
}

impl Bound {
    /// Reads what was recorded.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_record(name: &str, text: &str) -> Result<Self, BindError> {
        let profile = Profile::parse("record", text).map_err(|_| BindError::Recorded)?;
        let patterns = profile.subject.iter().map(|(_, pattern)| pattern);
        let mut patterns = patterns.chain(&profile.uris).chain(&profile.dns);
        let closed = patterns.all(|pattern| pattern.variables().all(Variable::is_of_device));
        // Whatever was changed in a record shows in its text.
        if !closed || profile.to_toml() != text || !is_profile_name(name) {
            return Err(BindError::Recorded);
        }
        Ok(Self { name: name.to_owned(), profile, text: text.to_owned() })
    }

    /// The name of the profile.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The profile as it is recorded.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of name and text.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(self.name.as_bytes());
        context.update(&[0]);
        context.update(self.text.as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        bytes
    }

    /// Whether there is a certificate for `device`; to be asked before anything is recorded.
    ///
    /// # Errors
    /// Says what about the device does not fit.
    pub fn check(&self, device: &DeviceId) -> Result<(), BindError> {
        self.names(device).map(drop)
    }

    pub(crate) const fn default_life(&self) -> Duration {
        self.profile.default
    }

    pub(crate) const fn longest_life(&self) -> Duration {
        self.profile.most
    }

    pub(crate) const fn shortest_life(&self) -> Duration {
        self.profile.least
    }

    pub(crate) fn subject(&self, device: &DeviceId) -> Vec<(Attribute, String)> {
        let set = self.profile.subject.iter();
        let mut subject: Vec<_> =
            set.filter_map(|(attribute, pattern)| Some((*attribute, pattern.for_device(device)?))).collect();
        // Brokers authorize by the one, this server by the other: no profile changes them.
        subject.push((Attribute::CommonName, device.as_str().to_owned()));
        subject.push((Attribute::SerialNumber, device.as_str().to_owned()));
        subject
    }

    pub(crate) fn names(&self, device: &DeviceId) -> Result<Vec<Name>, BindError> {
        let dns = self.profile.dns.iter().map(|pattern| {
            // "SN-1" and "sn-1" are one DNS name and two devices.
            if pattern.has(Variable::Id) && !file::is_dns_label(device.as_str()) {
                return Err(BindError::Dns { profile: self.name.clone(), device: device.clone() });
            }
            pattern.for_device(device).map(Name::Dns).ok_or(BindError::Recorded)
        });
        let uris = self.profile.uris.iter();
        let uris = uris.map(|pattern| pattern.for_device(device).map(Name::Uri).ok_or(BindError::Recorded));
        dns.chain(uris).collect()
    }

    pub(crate) fn extra(&self) -> Extra {
        Extra {
            key_uses: self.profile.key_uses.clone(),
            purposes: self.profile.purposes.clone(),
            policies: self.profile.policies.clone(),
            extensions: self.profile.extensions.clone(),
        }
    }
}

impl fmt::Debug for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bound({:?})", self.name)
    }
}
