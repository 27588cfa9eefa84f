//! Texts: the files an operator writes, and the commands a device gets.

use std::path::Path;

/// The policy of the server.
pub(super) fn policy(data: &[u8]) -> bool {
    text(data).is_some_and(|text| appraisal::Policy::parse("policy.toml", text).is_ok())
}

/// A profile of certificates: what the reader takes is written and recorded so that it reads the same.
pub(super) fn profile(data: &[u8]) -> bool {
    let facts = ca::Facts {
        tenant: "Acme",
        enterprise: 32473,
        group: "lab",
        label: Some("plant-7"),
        model: Some("M1 {id}"),
    };
    let Some(text) = text(data) else { return false };
    let profile = match ca::Profile::parse("profile.toml", text) {
        Ok(profile) => profile,
        Err(error) => {
            // Whatever is wrong, the operator is told in words.
            assert!(error.to_string().len() > 10);
            return false;
        }
    };
    assert_eq!(ca::Profile::parse("again", &profile.to_toml()).as_ref(), Ok(&profile));
    match profile.bind("p", &facts) {
        Ok(bound) => assert_eq!(ca::Bound::from_record("p", bound.text()), Ok(bound)),
        Err(error) => assert!(error.to_string().len() > 10),
    }
    true
}

/// What the store gives back as a recorded profile.
pub(super) fn recorded_profile(data: &[u8]) -> bool {
    text(data).is_some_and(|text| match ca::Bound::from_record("p", text) {
        Ok(bound) => {
            assert_eq!(bound.text(), text);
            true
        }
        Err(_) => false,
    })
}

/// The reference values of the server.
pub(super) fn reference_values(data: &[u8]) -> bool {
    text(data).is_some_and(|text| appraisal::ReferenceValues::parse("reference-values.toml", text).is_ok())
}

/// The settings of the server.
pub(super) fn server_config(data: &[u8]) -> bool {
    let path = Path::new("enroll-server.toml");
    text(data).is_some_and(|text| match enroll_server::config::Config::parse(text, path, Path::new("/etc")) {
        Ok(_) => true,
        Err(error) => {
            // Whatever is wrong, the operator is told in words.
            assert!(error.to_string().len() > 10);
            false
        }
    })
}

/// The settings of the Linux agent.
pub(super) fn agent_config(data: &[u8]) -> bool {
    let sources = agent::config::Sources::default();
    text(data).is_some_and(|text| agent::Config::parse(text, Path::new("agent.toml"), &sources).is_ok())
}

/// A maker's inventory, CSV or JSON lines.
pub(super) fn inventory(data: &[u8]) -> bool {
    let Some(text) = text(data) else { return false };
    match enroll_server::inventory::parse(text) {
        Ok(entries) => {
            assert!(entries.len() <= text.lines().count());
            !entries.is_empty()
        }
        Err(bad) => {
            // Whatever is wrong, the operator is told where.
            assert!(!bad.to_string().is_empty());
            false
        }
    }
}

/// A command from the broker.
pub(super) fn command(data: &[u8]) -> bool {
    agent_core::flow::Command::parse(data).is_some()
}

fn text(data: &[u8]) -> Option<&str> {
    core::str::from_utf8(data).ok()
}
