//! A policy as text, with every value, and its digest.

use core::fmt::{self, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use toml::Value;

use super::{BrokerOverride, KnownGood, MakerRule, ModelRule, Policy, read};
use crate::key::hex;

/// SHA-256 of a policy with every value: equal for two files that demand the same. How a candidate is rolled
/// out is no part of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyDigest([u8; 32]);

impl PolicyDigest {
    /// A digest that was recorded.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for PolicyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PolicyDigest({self})")
    }
}

impl Policy {
    /// The policy's digest.
    #[must_use]
    pub fn digest(&self) -> PolicyDigest {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, self.to_toml().as_bytes()).as_ref());
        PolicyDigest(bytes)
    }

    /// The policy as a file with every value, which reads back as the same policy.
    #[must_use]
    pub fn to_toml(&self) -> String {
        // Taken apart whole, so that a new field does not compile until it is written here.
        let Self {
            kinds,
            maker_crl,
            token_replaces_attestation,
            inventory_required,
            first_enrollment,
            second_enrollment,
            quota,
            grace,
            renewal_evidence,
            certificate_lifetime,
            certificate_profile,
            certificate_label,
            measurements,
            components,
            debug,
            lifecycle,
            makers,
            models,
            reference_values,
            broker,
        } = self;
        let mut page = Page(String::new());
        // Single values in front of all tables.
        page.any("maker", makers.as_deref());
        page.any("model", models.as_deref());
        if reference_values.is_empty() {
            page.line("measurement", Value::Array(Vec::new()));
        }
        page.table("evidence");
        page.line("kinds", list(kinds.iter().map(|kind| kind.name())));
        page.line("token_replaces_attestation", Value::from(*token_replaces_attestation));
        page.line("crl", named(read::MAKER_CRL, *maker_crl));
        page.table("inventory");
        page.line("required", Value::from(*inventory_required));
        page.table("enrollment");
        page.line("first", named(read::FIRST, *first_enrollment));
        page.line("second", named(read::SECOND, *second_enrollment));
        page.line("quota", quota.map_or_else(|| text("none"), Value::from));
        page.table("renewal");
        page.line("grace_days", days(*grace));
        page.line("evidence", Value::from(*renewal_evidence));
        page.table("certificate");
        page.line("days", certificate_lifetime.map_or_else(|| text("profile"), days));
        page.line("profile", text(certificate_profile));
        page.line("label", text(certificate_label.as_deref().unwrap_or("none")));
        page.table("firmware");
        page.line("measurements", named(read::MEASUREMENTS, *measurements));
        page.line("debug", named(read::DEBUG, *debug));
        page.line("lifecycle", list(lifecycle.iter().map(|state| state.name())));
        let named = (!components.is_empty()).then(|| list(components.iter().map(String::as_str)));
        page.line("components", named.unwrap_or_else(|| text("any")));
        page.broker(broker);
        makers.iter().flatten().for_each(|rule| page.maker(rule));
        models.iter().flatten().for_each(|rule| page.model(rule));
        reference_values.iter().for_each(|known| page.measurement(known));
        page.0
    }
}

/// Text that grows. Writing to a `String` cannot fail.
struct Page(String);

impl Page {
    fn table(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        let _infallible = writeln!(self.0, "{gap}[{name}]");
    }

    fn element(&mut self, name: &str) {
        let _infallible = writeln!(self.0, "\n[[{name}]]");
    }

    fn line(&mut self, name: &str, value: Value) {
        let _infallible = writeln!(self.0, "{name} = {value}");
    }

    fn optional(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.line(name, text(value));
        }
    }

    fn any<T>(&mut self, name: &str, rules: Option<&[T]>) {
        match rules {
            None => self.line(name, text("any")),
            Some([]) => self.line(name, Value::Array(Vec::new())),
            Some(_) => {}
        }
    }

    fn maker(&mut self, rule: &MakerRule) {
        let MakerRule { name, fingerprint } = rule;
        self.element("maker");
        self.optional("name", name.as_deref());
        self.optional("fingerprint", fingerprint.map(|hash| hex(&hash)).as_deref());
    }

    fn model(&mut self, rule: &ModelRule) {
        let ModelRule { name, maker, minimum_firmware, implementation_id } = rule;
        self.element("model");
        self.line("name", text(name));
        self.optional("maker", maker.as_deref());
        self.optional("minimum_firmware", minimum_firmware.map(|version| version.to_string()).as_deref());
        self.optional("implementation_id", implementation_id.map(|id| hex(&id)).as_deref());
    }

    fn measurement(&mut self, known: &KnownGood) {
        // A policy file says no more than this of a value; the rest is for the manifests of makers.
        let KnownGood { model, component, version, digest, .. } = known;
        self.element("measurement");
        self.optional("model", model.as_deref());
        self.line("component", text(component));
        self.optional("version", version.as_deref());
        self.line("digest", text(&hex(digest)));
    }

    fn broker(&mut self, over: &BrokerOverride) {
        let BrokerOverride { host, port, telemetry_topic, status_topic, command_topic } = over;
        if *over == BrokerOverride::default() {
            return;
        }
        self.table("broker");
        self.optional("host", host.as_deref());
        if let Some(port) = port {
            self.line("port", Value::from(i64::from(*port)));
        }
        self.optional("telemetry_topic", telemetry_topic.as_deref());
        self.optional("status_topic", status_topic.as_deref());
        self.optional("command_topic", command_topic.as_deref());
    }
}

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

fn list<'a>(items: impl Iterator<Item = &'a str>) -> Value {
    Value::Array(items.map(text).collect())
}

fn days(duration: core::time::Duration) -> Value {
    Value::from(i64::try_from(duration.as_secs() / 86_400).unwrap_or(i64::MAX))
}

/// The name of a value in the table that reads it.
fn named<T: PartialEq>(names: &[(&'static str, T)], value: T) -> Value {
    let found = names.iter().find(|(_, named)| *named == value);
    text(found.map(|(name, _)| *name).unwrap_or_default())
}
