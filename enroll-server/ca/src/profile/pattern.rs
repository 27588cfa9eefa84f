//! Texts with variables in them, of which the names in certificates are made.
//!
//! A pattern is checked for its place when the profile is read, so that what comes out later is bounded. It decides
//! nothing about characters: the lints do.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use shared::DeviceId;
use shared::limits::{MAX_CLAIM_TEXT, MAX_DEVICE_ID};

/// A text with variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(Variable),
}

/// What a variable stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// The device's identifier.
    Id,
    /// The first 32 hexadecimal digits of the SHA-256 of the identifier: fit for every kind of name.
    IdHash,
    /// The device's group.
    Group,
    /// The device's model.
    Model,
    /// What the policy of the group says.
    Label,
    /// The server's tenant.
    Tenant,
    /// The private enterprise number of the server's operator.
    Enterprise,
}

impl Variable {
    const ALL: [Self; 7] =
        [Self::Id, Self::IdHash, Self::Group, Self::Model, Self::Label, Self::Tenant, Self::Enterprise];

    const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::IdHash => "id-hash",
            Self::Group => "group",
            Self::Model => "model",
            Self::Label => "label",
            Self::Tenant => "tenant",
            Self::Enterprise => "enterprise",
        }
    }

    /// Most characters it can stand for.
    const fn longest(self) -> usize {
        match self {
            Self::Id => MAX_DEVICE_ID,
            Self::IdHash => ID_HASH,
            Self::Group | Self::Label => 32,
            Self::Model => MAX_CLAIM_TEXT,
            Self::Tenant => 64,
            Self::Enterprise => 10,
        }
    }

    pub(super) const fn is_of_device(self) -> bool {
        matches!(self, Self::Id | Self::IdHash)
    }
}

/// Characters of `{id-hash}`.
const ID_HASH: usize = 32;

impl Pattern {
    /// One variable and nothing else.
    pub(super) fn variable(variable: Variable) -> Self {
        Self(vec![Part::Variable(variable)])
    }

    /// Of fixed texts and variables.
    pub(super) fn of(parts: &[Result<Variable, &str>]) -> Self {
        let part = |part: &Result<Variable, &str>| match part {
            Ok(variable) => Part::Variable(*variable),
            Err(text) => Part::Text((*text).to_owned()),
        };
        Self(parts.iter().map(part).collect())
    }

    /// Reads `{variable}`s; `{{` and `}}` stand for braces.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut fixed = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            fixed.push_str(before);
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                fixed.push(if from.starts_with('{') { '{' } else { '}' });
                rest = after;
                continue;
            }
            let inside = from.strip_prefix('{').and_then(|from| from.split_once('}'));
            let (name, after) = inside.ok_or("braces that belong together")?;
            let found = Variable::ALL.into_iter().find(|variable| variable.name() == name);
            let variable = found.ok_or_else(|| {
                let names: Vec<_> = Variable::ALL.iter().map(|v| format!("{{{}}}", v.name())).collect();
                format!("variables out of {}", names.join(", "))
            })?;
            push_text(&mut parts, &mut fixed);
            parts.push(Part::Variable(variable));
            rest = after;
        }
        fixed.push_str(rest);
        push_text(&mut parts, &mut fixed);
        Ok(Self(parts))
    }

    pub(super) fn has(&self, variable: Variable) -> bool {
        self.variables().any(|found| found == variable)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = Variable> {
        self.0.iter().filter_map(|part| match part {
            Part::Variable(variable) => Some(*variable),
            Part::Text(_) => None,
        })
    }

    /// Most characters that can come out.
    pub(super) fn longest(&self) -> usize {
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.chars().count(),
            Part::Variable(variable) => variable.longest(),
        });
        parts.sum()
    }

    /// What stands around the variable of the device; `None` where it stands there not at all or twice.
    pub(super) fn around_device(&self) -> Option<Around<'_>> {
        let of_device = |part: &Part| matches!(part, Part::Variable(variable) if variable.is_of_device());
        let at = self.0.iter().position(of_device)?;
        if self.0.iter().skip(at + 1).any(of_device) {
            return None;
        }
        let before = at.checked_sub(1).and_then(|at| self.0.get(at));
        let after = self.0.get(at + 1);
        let touches = [before, after].into_iter().flatten().any(|part| part.text().is_empty());
        Some(Around { before: before.map_or("", Part::text), after: after.map_or("", Part::text), touches })
    }

    /// The fixed text in front of the first variable, and behind the last.
    pub(super) fn edges(&self) -> (&str, &str) {
        (self.0.first().map_or("", Part::text), self.0.last().map_or("", Part::text))
    }

    /// Puts texts in the place of variables; `None` leaves a variable as it is.
    pub(super) fn with(&self, value: impl Fn(Variable) -> Option<String>) -> Self {
        let mut parts = Vec::new();
        let mut fixed = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => fixed.push_str(text),
                Part::Variable(variable) => match value(*variable) {
                    Some(text) => fixed.push_str(&text),
                    None => {
                        push_text(&mut parts, &mut fixed);
                        parts.push(Part::Variable(*variable));
                    }
                },
            }
        }
        push_text(&mut parts, &mut fixed);
        Self(parts)
    }

    /// The text for a device; `None` where another variable than those of a device is left.
    pub(crate) fn for_device(&self, device: &DeviceId) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Variable(Variable::Id) => text.push_str(device.as_str()),
                Part::Variable(Variable::IdHash) => text.push_str(&id_hash(device)),
                Part::Variable(_) => return None,
            }
        }
        Some(text)
    }
}

/// What stands around the variable of the device in a pattern.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    /// The fixed text right before it.
    pub(super) before: &'a str,
    /// The fixed text right after it.
    pub(super) after: &'a str,
    /// Another variable stands right beside it.
    pub(super) touches: bool,
}

impl Part {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Variable(_) => "",
        }
    }
}

fn push_text(parts: &mut Vec<Part>, fixed: &mut String) {
    if !fixed.is_empty() {
        parts.push(Part::Text(core::mem::take(fixed)));
    }
}

fn id_hash(device: &DeviceId) -> String {
    let hash = digest(&SHA256, device.as_str().as_bytes());
    let digits: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    digits.chars().take(ID_HASH).collect()
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}")),
            Part::Variable(variable) => write!(f, "{{{}}}", variable.name()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Pattern, Variable};
    use proptest::prelude::*;
    use shared::DeviceId;

    #[test]
    fn variables_and_braces() {
        let pattern = Pattern::parse("{{x}} {group}-{id-hash}").unwrap();
        assert_eq!(pattern.to_string(), "{{x}} {group}-{id-hash}");
        let pattern = pattern.with(|v| (v == Variable::Group).then(|| "a{b".into()));
        assert_eq!(pattern.to_string(), "{{x}} a{{b-{id-hash}");
        let device = DeviceId::new("SN-1").unwrap();
        // printf SN-1 | sha256sum
        assert_eq!(pattern.for_device(&device).unwrap().len(), "{x} a{b-".len() + 32);
        for bad in ["{", "}", "{id", "{ID}", "{{}", "{}", "{id}}"] {
            assert!(Pattern::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Pattern::parse("{model}").unwrap().for_device(&device), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(text in ".{0,60}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(Pattern::parse(&pattern.to_string()), Ok(pattern));
            }
        }
    }
}
