//! `doctor` of both programs: each cause is made on purpose with real peers, and has to be named rightly.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

mod brokers;
mod clients;
mod devices;
mod files;
mod servers;
mod shop;

use doctor::Cause;

/// The tests beside this file.
const TESTS: [&str; 5] = [
    include_str!("brokers.rs"),
    include_str!("clients.rs"),
    include_str!("devices.rs"),
    include_str!("files.rs"),
    include_str!("servers.rs"),
];

/// Causes that no test waits for: none has the name in a line of code.
fn untested(tests: &[String]) -> Vec<&'static str> {
    let code = |text: &String| {
        let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        lines.collect::<Vec<_>>().join("\n")
    };
    let code: String = tests.iter().map(code).collect();
    let names = Cause::ALL.iter().map(|cause| cause.name());
    names.filter(|name| !code.contains(&format!("\"{name}\""))).collect()
}

#[test]
fn every_cause_is_made_by_a_test() {
    let tests = TESTS.map(str::to_owned);
    assert_eq!(untested(&tests), Vec::<&str>::new());
    // Planted: a cause whose tests are gone, or only spoken of, is found, and no other.
    for cause in Cause::ALL {
        let name = cause.name();
        let without = tests
            .each_ref()
            .map(|text| text.replace(&format!("\"{name}\""), "\"\"") + &format!("// \"{name}\"\n"));
        assert_eq!(untested(&without), [name]);
    }
}
