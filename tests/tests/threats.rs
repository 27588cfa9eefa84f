//! THREATS.md names tests that exist.

#![expect(clippy::indexing_slicing, clippy::string_slice, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of all tables in a text, but their heads, each with the tests that it names.
fn rows(text: &str) -> Vec<(&str, Vec<(&str, &str)>)> {
    let is_row = |line: &&str| {
        line.starts_with("| ") && !line.starts_with("| threat |") && !line.starts_with("| incident |")
    };
    let tests = |line: &'_ str| -> Vec<(usize, usize)> {
        let ticks: Vec<usize> = line.match_indices('`').map(|(at, _)| at).collect();
        ticks.chunks_exact(2).map(|pair| (pair[0] + 1, pair[1])).collect()
    };
    text.lines()
        .filter(is_row)
        .map(|line| {
            let named = tests(line).into_iter().filter_map(|(from, to)| line[from..to].split_once("::"));
            (line, named.collect())
        })
        .collect()
}

/// Whether a file has a test of this name that is run.
fn has(path: &Path, name: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    // A test of the store is made by a macro, one for each database.
    let on_both =
        lines.iter().skip_while(|line| **line != "on_both!(").skip(1).take_while(|line| **line != ");");
    let is_on_both = on_both.map(|line| line.trim_end_matches(',')).any(|line| line == name);
    lines.iter().enumerate().any(|(at, line)| {
        let is_fn = line.strip_prefix("async ").unwrap_or(line).starts_with(&head);
        let before = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let attributes: Vec<&&str> = before.collect();
        let is_test =
            attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
        is_fn
            && (is_test || is_on_both)
            && !attributes.iter().any(|line| line.contains("ignore") || line.starts_with("#[cfg"))
    })
}

/// What is wrong with a text of this kind.
fn wrong(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (row, tests) in rows(text) {
        if tests.is_empty() {
            wrong.push(format!("no test is named: {row}"));
        }
        for (path, name) in tests {
            if !has(&root().join(path), name) {
                wrong.push(format!("there is no test {path}::{name}"));
            }
        }
    }
    wrong
}

#[test]
fn every_threat_has_tests_that_exist() {
    let text = fs::read_to_string(root().join("THREATS.md")).unwrap();
    assert!(rows(&text).len() > 25, "the tables are read");
    assert_eq!(wrong(&text), Vec::<String>::new());
}

/// The test above can fail.
#[test]
fn a_name_that_is_gone_and_a_row_without_one_are_found() {
    let text = "| threat | control | tests |\n|---|---|---|\n\
                | a | b | `tests/tests/threats.rs::every_threat_has_tests_that_exist` |\n\
                | a | b | `tests/tests/threats.rs::nobody_wrote_this` |\n| a | b | none |\n\
                | a | b | `tests/tests/faults/main.rs::child` |\n\
                | a | b | `enroll-server/src/issuance/planted_tests.rs::left_open` |\n";
    let found = wrong(text);
    assert_eq!(found.len(), 4, "{found:?}");
}
