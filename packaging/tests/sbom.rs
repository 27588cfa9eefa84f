//! Bills of materials: held against `cargo tree`, and read by the reference library of CycloneDX in Python.
#![expect(clippy::unwrap_used, reason = "a test may end anywhere")]
#![expect(clippy::panic, reason = "a test may end anywhere")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use packaging::sbom::{Program, bill, text};
use serde_json::Value as Json;

/// `NAME VERSION` of what cargo says, by edges of these kinds, without the program.
fn by_cargo(program: Program, edges: &str) -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(program.folder());
    command.args(["tree", "--locked", "-e", edges, "-p", program.name, "--prefix", "none"]);
    if let Some(target) = program.target() {
        command.args(["--target", target]);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let crates = text.lines().skip(1).filter(|line| !line.is_empty()).map(|line| {
        let mut words = line.split(' ');
        format!("{} {}", words.next().unwrap(), words.next().unwrap().strip_prefix('v').unwrap())
    });
    crates.collect()
}

fn words<'a>(component: &'a Json, field: &str) -> &'a str {
    component[field].as_str().unwrap_or_default()
}

/// Components that are crates.
fn crates(bill: &Json) -> impl Iterator<Item = &Json> {
    let generic = |component: &&Json| words(component, "purl").starts_with("pkg:generic/");
    bill["components"].as_array().unwrap().iter().filter(move |component| !generic(component))
}

fn names<'a>(components: impl Iterator<Item = &'a Json>) -> BTreeSet<String> {
    components.map(|one| format!("{} {}", words(one, "name"), words(one, "version"))).collect()
}

#[test]
fn bills_name_what_cargo_says_and_nothing_else() {
    for program in Program::ALL {
        let bill = bill(program, None).unwrap();
        let all = names(crates(&bill));
        assert!(all.len() > 30, "{all:?}");
        assert_eq!(all, by_cargo(program, "normal"), "{}", program.name);
        assert_eq!(crates(&bill).count(), all.len(), "{}: a crate is there twice", program.name);
        let linked = names(crates(&bill).filter(|one| one["scope"] == "required"));
        assert_eq!(linked, by_cargo(program, "normal,no-proc-macro"), "{}", program.name);
        for component in crates(&bill) {
            let purl = words(component, "purl");
            if purl.is_empty() {
                // A crate of this repository.
                assert!(component["hashes"].is_null() && component["version"] == "0.1.0", "{component}");
                continue;
            }
            assert_eq!(
                purl,
                format!(
                    "pkg:cargo/{}@{}",
                    words(component, "name"),
                    words(component, "version").replace('+', "%2B")
                )
            );
            let hash = &component["hashes"][0];
            assert!(hash["alg"] == "SHA-256" && words(hash, "content").len() == 64, "{component}");
        }
        // Planted: a part that is left out, and one that is not linked, are found.
        let mut less = bill.clone();
        less["components"].as_array_mut().unwrap().retain(|one| one["name"] != "zeroize");
        assert_ne!(names(crates(&less)), by_cargo(program, "normal"));
    }
}

#[test]
fn libraries_in_c_are_parts() {
    let has = |program: &str| -> BTreeSet<String> {
        let bill = bill(Program::named(program).unwrap(), None).unwrap();
        let generic = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| words(one, "purl").starts_with("pkg:generic/"));
        let versions = generic.inspect(|one| assert!(words(one, "version").contains('.'), "{one}"));
        versions.map(|one| words(one, "name").to_owned()).collect()
    };
    assert_eq!(has("agent").into_iter().collect::<Vec<_>>(), ["aws-lc", "rust-std"]);
    assert_eq!(
        has("enroll-server").into_iter().collect::<Vec<_>>(),
        ["aws-lc", "mimalloc", "rust-std", "sqlite"]
    );
    assert!(has("lm3s6965evb").is_empty());
    // What the library says of itself, as it is linked into this test.
    let server = text(Program::named("enroll-server").unwrap(), None).unwrap();
    let sqlite = format!("pkg:generic/sqlite@{}", rusqlite::version());
    assert!(server.contains(&sqlite), "{sqlite}");
}

/// Strict: by the schema of version 1.6, then through the library's own model and back, then purls and licences.
const READER: &str = r#"
import json, sys
from cyclonedx.model.bom import Bom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from license_expression import get_spdx_licensing
from packageurl import PackageURL
text = open(sys.argv[1]).read()
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
if error:
    sys.exit(f"schema: {error}")
bom = Bom.from_json(json.loads(text))
bom.validate()
spdx = get_spdx_licensing()
for component in list(bom.components) + [bom.metadata.component]:
    for licence in component.licenses:
        errors = spdx.validate(licence.value, strict=True).errors
        if errors:
            sys.exit(f"{component.name}: {errors}")
    if not component.licenses:
        sys.exit(f"{component.name}: no licence")
    if component.purl:
        PackageURL.from_string(str(component.purl))
print(len(bom.components), len(bom.dependencies))
"#;

fn read(file: &Path) -> Result<String, String> {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/cyclonedx/bin/python3");
    let output = Command::new(&python).arg("-c").arg(READER).arg(file).output();
    let output = output.unwrap_or_else(|error| {
        panic!("this test needs {} ({error}); install it with: scripts/test", python.display())
    });
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn another_implementation_reads_bills() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sbom.json");
    for program in Program::ALL {
        let made = text(program, None).unwrap();
        fs::write(&file, &made).unwrap();
        let bill: Json = serde_json::from_str(&made).unwrap();
        let counts = ["components", "dependencies"].map(|field| bill[field].as_array().unwrap().len());
        // The reader notes what needs nothing among the dependencies too, such as a library in C.
        let read = read(&file).unwrap_or_else(|error| panic!("{}: {error}", program.name));
        assert!(read.starts_with(&format!("{} ", counts[0])), "{read}: {counts:?}");
    }
    let first = || text(Program::ALL[0], None).unwrap();
    assert_eq!(first(), first(), "the same source gives the same bytes");
    // Planted: a field that is not in the standard, a licence that is none, and a part that is needed and missing.
    let mut bill = bill(Program::ALL[0], None).unwrap();
    for (path, value) in [
        ("/components/0/licence", Json::from("MIT")),
        ("/components/0/licenses/0/expression", Json::from("MIT/Apache")),
        ("/dependencies/0/dependsOn/0", Json::from("pkg:cargo/nothing@1.0.0")),
    ] {
        let (parent, field) = path.rsplit_once('/').unwrap();
        let before = bill.clone();
        match bill.pointer_mut(parent).unwrap() {
            Json::Object(fields) => drop(fields.insert(field.to_owned(), value)),
            Json::Array(items) => items[0] = value,
            other => panic!("{other}"),
        }
        fs::write(&file, bill.to_string()).unwrap();
        assert!(read(&file).is_err(), "{path}");
        bill = before;
    }
}
