//! Which broker a device is told: by its group, fixed, by weight, by hash, or by an operator's service.
//!
//! A device always gets a broker: where the service does not answer well in time, the rule beside it decides.

mod choose;
mod hook;

use std::collections::BTreeMap;

use appraisal::GroupName;
use appraisal::policy::BrokerOverride;
use shared::DeviceId;
use shared::message::latest::BrokerSettings;

use crate::config::{Broker, Choice, Config, NamedBroker, Rule};
use crate::outgoing::AnchorsError;
use hook::Hook;

/// All brokers, and who gets which.
#[derive(Debug)]
pub struct Brokers {
    list: Vec<NamedBroker>,
    default: Assigner,
    groups: BTreeMap<GroupName, Assigner>,
}

#[derive(Debug)]
struct Assigner {
    choice: Choice,
    hook: Option<Hook>,
}

impl Brokers {
    /// The brokers of `config`; the one of `[broker]` where there is no other.
    ///
    /// # Errors
    /// Where the CA certificates of a webhook cannot be read.
    pub fn new(config: &Config) -> Result<Self, AnchorsError> {
        let mut list = config.brokers.clone();
        if list.is_empty() {
            let (name, weight) = ("default".to_owned(), 1);
            list.push(NamedBroker { name, weight, broker: config.broker.clone() });
        }
        let assigner = |rule: &Rule| {
            let hook = rule.webhook.as_ref().map(Hook::new).transpose()?;
            Ok::<_, AnchorsError>(Assigner { choice: rule.choice.clone(), hook })
        };
        let groups = config.assignment.groups.iter();
        let groups = groups.map(|(group, rule)| Ok((group.clone(), assigner(rule)?)));
        Ok(Self {
            list,
            default: assigner(&config.assignment.default)?,
            groups: groups.collect::<Result<_, AnchorsError>>()?,
        })
    }

    /// The broker of every device, where there is but one.
    #[must_use]
    pub fn only(&self) -> Option<&Broker> {
        match self.list.as_slice() {
            [only] => Some(&only.broker),
            _ => None,
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Broker> {
        self.list.iter().map(|named| &named.broker)
    }

    /// The broker of a device.
    pub async fn assign(&self, device: &DeviceId, group: &GroupName) -> Option<&NamedBroker> {
        let assigner = self.groups.get(group).unwrap_or(&self.default);
        if let Some(hook) = &assigner.hook {
            match hook.ask(device, group, &self.list).await {
                Ok(found) => return Some(found),
                Err(error) => {
                    let error = crate::issuance::chain(&error);
                    tracing::warn!(%device, %group, error, "the broker was chosen without the webhook");
                }
            }
        }
        choose::choose(&assigner.choice, device, &self.list)
    }
}

impl Broker {
    /// What one device is told: what the policy of its group says instead stands in its place, and the device's
    /// identifier in the topics.
    #[must_use]
    pub fn told(&self, own: &BrokerOverride, device: &DeviceId) -> Self {
        let topic = |own: &Option<String>, template: &str| {
            own.as_deref().unwrap_or(template).replace("{id}", device.as_str())
        };
        Self {
            host: own.host.as_ref().unwrap_or(&self.host).clone(),
            port: own.port.unwrap_or(self.port),
            telemetry_topic: topic(&own.telemetry_topic, &self.telemetry_topic),
            status_topic: topic(&own.status_topic, &self.status_topic),
            command_topic: topic(&own.command_topic, &self.command_topic),
            keep_alive: self.keep_alive,
        }
    }

    /// As they stand in an answer.
    pub(crate) fn settings(&self) -> BrokerSettings<'_> {
        BrokerSettings {
            host: &self.host,
            port: self.port,
            telemetry_topic: &self.telemetry_topic,
            status_topic: &self.status_topic,
            command_topic: &self.command_topic,
            keep_alive: u16::try_from(self.keep_alive.as_secs()).unwrap_or(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
