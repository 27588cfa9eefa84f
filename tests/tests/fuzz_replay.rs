//! Replays the corpus of every fuzz target, and changed copies of it: the same in every run.
//!
//! `UPDATE_SEEDS=1 cargo test -p tests --test fuzz_replay` writes the seeds that are missing.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "a test fails by panicking")]

use core::sync::atomic::{AtomicUsize, Ordering};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tests::fuzz::{Mutator, TARGETS, Target, seeds};

/// Changed copies of each file. A few seconds in all; a fuzzer does the rest.
const COPIES: usize = 1_500;

/// The body of a target.
type Body = fn(&[u8]) -> bool;

#[test]
fn every_target_stands_its_corpus_and_changed_copies_of_it() {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(target) = TARGETS.get(next.fetch_add(1, Ordering::Relaxed)) {
                    replay(target);
                }
            });
        }
    });
}

fn replay(target: &Target) {
    let corpus = corpus(target.name);
    let taken = corpus.iter().filter(|(_, bytes)| (target.run)(bytes)).count();
    assert!(
        taken > 0,
        "{}: no seed is taken by the decoder, so nothing behind its first check is tried",
        target.name
    );
    if let Some((path, changed)) = hunt(target.run, &corpus) {
        panic!(
            "{}: found by a change of {}; keep it in the corpus: {}",
            target.name,
            path.display(),
            hex::encode(changed)
        );
    }
}

/// A changed copy that makes `run` panic, and the file it came from.
fn hunt(run: Body, corpus: &[(PathBuf, Vec<u8>)]) -> Option<(PathBuf, Vec<u8>)> {
    let mut mutator = Mutator::new(0x5eed);
    for (path, bytes) in corpus {
        for copy in 0..COPIES {
            let changed = mutator.mutate(bytes, &corpus[copy % corpus.len()].1);
            if std::panic::catch_unwind(|| run(&changed)).is_err() {
                return Some((path.clone(), changed));
            }
        }
    }
    None
}

/// Mistakes that decoders of other projects had: the replay must not stay green on them.
#[test]
fn planted_bugs_are_found() {
    let planted: [(&str, &str, Body); 3] = [
        ("a length is believed", "challenge_request", |data| {
            let text = data.iter().position(|byte| byte >> 5 == 3);
            text.is_some_and(|at| !data[at + 1..][..usize::from(data[at] & 0x1f)].is_empty())
        }),
        ("an empty DER element is indexed", "csr", |data| {
            let key_usage = data.windows(2).position(|w| w[0] == 0x03);
            key_usage.is_some_and(|at| data[at + 2..][..usize::from(data[at + 1] & 0x7f)][0] == 0)
        }),
        ("one more pair than expected", "claims", |data| {
            assert!(data.len() < 2 || data[..2] != [0xab, 0x08], "an eleventh claim");
            true
        }),
    ];
    for (name, target, run) in planted {
        assert!(hunt(run, &corpus(target)).is_some(), "stays green on: {name}");
    }
}

#[test]
fn the_corpus_holds_the_seeds_of_today() {
    for target in TARGETS {
        for (name, bytes) in seeds(target.name) {
            let path = folder(target.name).join(name);
            if std::env::var_os("UPDATE_SEEDS").is_some() {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(&path, &bytes).unwrap();
            }
            let on_disk = fs::read(&path).unwrap_or_default();
            assert!(on_disk == bytes, "{}: not there or outdated; see the head of this file", path.display());
        }
    }
}

#[test]
fn targets_folders_and_binaries_are_the_same_set() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(targets.len(), TARGETS.len(), "two targets have one name");
    assert_eq!(names(&fuzz().join("corpus")), targets, "corpus folders");
    assert_eq!(names(&fuzz().join("fuzz_targets")), targets, "files in fuzz_targets");
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is missing in fuzz/Cargo.toml");
        let body = fs::read_to_string(fuzz().join("fuzz_targets").join(format!("{target}.rs"))).unwrap();
        assert!(body.contains(&format!("\"{target}\"")), "{target}.rs runs another target");
    }
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = fs::read_dir(folder(target))
        .unwrap_or_else(|error| panic!("{target} has no corpus: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty(), "{target} has no seeds");
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn folder(target: &str) -> PathBuf {
    fuzz().join("corpus").join(target)
}

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}
