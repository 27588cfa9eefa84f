//! Release lists: what is read, and mistakes with their line and column, all at once.

use crate::kit::World;
use proptest::prelude::*;
use reference_values::{Format, ListError, Manifest, ReleaseError};
use shared::UnixTime;

fn read(text: &str) -> Result<Manifest, ListError> {
    match World::new().unsigned(text.as_bytes()) {
        Ok(release) => Ok(release.manifest().clone()),
        Err(ReleaseError::List(error)) => Err(error),
        Err(other) => panic!("{other:?}"),
    }
}

#[track_caller]
fn mistakes(text: &str, wanted: &[(usize, usize, &str)]) {
    let error = read(text).unwrap_err();
    let found: Vec<_> = error.problems.iter().map(|p| (p.line, p.column, p.message.as_str())).collect();
    assert_eq!(found.len(), wanted.len(), "{error}");
    for ((line, column, message), (wanted_line, wanted_column, text)) in found.iter().zip(wanted) {
        assert_eq!((line, column), (wanted_line, wanted_column), "{message}");
        assert!(message.contains(text), "{message}");
    }
}

fn digest(n: usize) -> String {
    "ab".repeat(n)
}

#[test]
fn csv_is_read() {
    let (short, middle, long) = (digest(32), digest(48).to_uppercase(), digest(64));
    let text = format!(
        "\u{feff}# Releases of the sensor: by hand\n# name: sensor-a\n# release: 7\n# maker: acme\n\
         # not-before: 2026-01-01\n# not-after: 2099-12-31T23:59:59Z\n\n\
         digest,component,model,version\r\n\
         {short}, bootloader ,sensor-a,0.9.1\r\n\
         {middle},\"app, \"\"main\"\"\",,\n\n{long},application,sensor-b,1.2.0"
    );
    let manifest = read(&text).unwrap();
    assert_eq!((manifest.format, manifest.maker.as_deref()), (Format::Csv, Some("acme")));
    assert_eq!(manifest.validity.not_before.map(|t| t.to_string()), Some("2026-01-01T00:00:00Z".into()));
    assert_eq!(manifest.validity.not_after, UnixTime::from_civil(2099, 12, 31, 23, 59, 59));
    let set = &manifest.sets[0];
    assert_eq!((set.name.as_deref(), set.version), (Some("sensor-a"), Some(7)));
    let known: Vec<_> = set
        .known
        .iter()
        .map(|k| (k.model.as_deref(), &*k.component, k.version.as_deref(), k.digest.len()))
        .collect();
    assert_eq!(
        known,
        [
            (Some("sensor-a"), "bootloader", Some("0.9.1"), 32),
            (None, "app, \"main\"", None, 48),
            (Some("sensor-b"), "application", Some("1.2.0"), 64),
        ]
    );
}

#[test]
fn json_says_the_same() {
    let (short, long) = (digest(32), digest(64));
    let text = format!(
        "{{\"name\": \"sensor-a\", \"release\": 7, \"maker\": \"acme\", \"not-after\": \"2099-12-31\",\n \
         \"values\": [\n  {{\"model\": \"sensor-a\", \"component\": \"boot\\u006coader\", \"version\": \"0.9.1\", \
         \"digest\": \"{short}\"}},\n  {{\"component\": \"application\", \"digest\": \"{long}\"}}\n ]}}\n"
    );
    let json = read(&text).unwrap();
    let csv = read(&format!(
        "# name: sensor-a\n# release: 7\n# maker: acme\n# not-after: 2099-12-31\n\
         model,component,version,digest,maker\nsensor-a,bootloader,0.9.1,{short},acme\n,application,,{long},\n"
    ))
    .unwrap();
    assert_eq!(json.format, Format::Json);
    assert_eq!((&json.maker, json.validity), (&csv.maker, csv.validity));
    assert_eq!((&json.sets[0].known, &json.sets[0].name), (&csv.sets[0].known, &csv.sets[0].name));
}

#[test]
fn mistakes_in_csv_are_told_at_once() {
    let good = digest(32);
    let text = format!(
        "# name: a\n# name: b\n# release: -1\n# not-after: 2026-02-30\n# relaese: 1\nmodel,component,version,digest\n\
         m,app,1,{good}\nm,app,1,{good}\nm,,1,{good}\nm,app,1\nm,app,1,abc\nm,app,1,{}\nm,\"app,1,{good}\n\
         m,\"app\"x,1,{good}\nm,äpp\u{7},1,{good}\n",
        "zz".repeat(32)
    );
    mistakes(
        &text,
        &[
            (2, 1, "said before"),
            (3, 1, "found \"-1\"; wanted the number"),
            (4, 1, "found \"2026-02-30\"; wanted YYYY-MM-DD"),
            (5, 1, "found \"relaese\"; wanted name, release"),
            (8, 3, "stands in line 7 already"),
            (9, 3, "found nothing"),
            (10, 1, "found 3 fields; wanted 4"),
            (11, 9, "found 3 characters; wanted a SHA-256"),
            (12, 9, "hexadecimal digits"),
            (13, 3, "not closed"),
            (14, 8, "found 'x' after a quote"),
            (15, 3, "control characters"),
        ],
    );
    mistakes("", &[(1, 1, "no header")]);
    mistakes("component,digest\n", &[(1, 1, "without rows")]);
    mistakes("name,component\na,b\n", &[(1, 1, "found column \"name\"; wanted model")]);
    mistakes("component,component,digest\na,b,c\n", &[(1, 11, "a second time")]);
    mistakes("component,version\na,b\n", &[(1, 1, "no column \"digest\"")]);
    let row = format!("component,digest,maker\nx,{good},zenith\n");
    mistakes(&format!("# maker: acme\n{row}"), &[(3, 68, "found maker \"zenith\"; wanted \"acme\"")]);
}

#[test]
fn mistakes_in_json_are_told_at_once() {
    let good = digest(32);
    let text = format!(
        "{{\"release\": \"7\",\n\"values\": [\n {{\"component\": \"a\", \"digest\": \"{good}\"}},\n \
         {{\"component\": \"a\",\n  \"digest\": \"{good}\"}},\n {{\"component\": 5, \"digest\": \"{good}\"}},\n \
         {{\"componet\": \"a\"}},\n {{\"component\": \"b\",\n  \"digest\": \"00\"}}\n]}}"
    );
    mistakes(
        &text,
        &[
            (1, 13, "found \"\\\"7\\\"\"; wanted the number"),
            (4, 16, "stands in line 3 already"),
            (6, 16, "found 5; wanted text in quotes"),
            (7, 12, "unknown field `componet`"),
            (9, 13, "found 2 characters"),
        ],
    );
    mistakes("{\"values\": []}", &[(1, 1, "found no values")]);
    mistakes("{\"values\": [}", &[(1, 13, "expected value")]);
    mistakes("{}", &[(1, 2, "missing field `values`")]);
    let twice =
        format!("{{\"values\":[{{\"digest\":\"{good}\",\"digest\":\"{good}\",\"component\":\"a\"}}]}}");
    let error = read(&twice).unwrap_err();
    assert!(error.to_string().contains("duplicate field `digest`"), "{error}");
}

#[test]
fn many_mistakes_are_counted() {
    let rows = "a,b\n".repeat(5_000);
    let error = read(&format!("component,digest\n{rows}")).unwrap_err();
    assert_eq!((error.problems.len(), error.more), (100, 4_900));
    assert!(error.to_string().ends_with("and 4900 more"));
}

#[test]
fn lists_are_bounded() {
    let mut text = String::from("component,digest\n");
    for n in 0..250_001_u32 {
        text.push_str(&format!("c,{n:064x}\n"));
    }
    mistakes(&text, &[(250_002, 1, "more than 250000 values")]);
    let long = vec![b'#'; 32 * 1024 * 1024 + 1];
    let Err(ReleaseError::List(error)) = World::new().unsigned(&long) else { panic!() };
    assert!(error.to_string().contains("bytes; 33554432 are allowed"));
    let Err(ReleaseError::List(error)) = World::new().unsigned(b"component\n\xff") else { panic!() };
    assert_eq!((error.problems[0].line, error.problems[0].column), (2, 1));
}

proptest! {
    #[test]
    fn never_panics(text in "(component,digest\n)?(\\{\"values\":\\[)?.{0,120}") {
        let _read = reference_values::read_unverified(text.as_bytes());
    }

    /// What is written down is read back, in both forms, whatever characters it has.
    #[test]
    fn values_come_back(
        rows in proptest::collection::btree_map(
            ("[a-z]{0,3}", "[!-~ä]([ -~ä]{0,6}[!-~ä])?"), proptest::collection::vec(any::<u8>(), 48..=48), 1..8),
    ) {
        let mut csv = String::from("model,component,digest\n");
        let mut values = Vec::new();
        for ((model, component), bytes) in &rows {
            let quoted = component.replace('"', "\"\"");
            csv.push_str(&format!("{model},\"{quoted}\",{}\n", hex::encode(bytes)));
            values.push(serde_json::json!({
                "model": model, "component": component, "digest": hex::encode(bytes),
            }));
        }
        let json = serde_json::json!({ "values": values }).to_string();
        for text in [csv, json] {
            let manifest = read(&text).unwrap();
            let found: Vec<_> = manifest.sets[0].known.iter()
                .map(|k| ((k.model.clone().unwrap_or_default(), k.component.clone()), k.digest.clone())).collect();
            let wanted: Vec<_> = rows.clone().into_iter().collect();
            prop_assert_eq!(found, wanted);
        }
    }
}
