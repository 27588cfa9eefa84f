//! Ten bugs that others had, planted in our parsers: the short form of the fuzzing finds each of them.
//!
//! The changes follow from a seed, so each is found after the same number of cases in every run, which `--nocapture`
//! shows.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::indexing_slicing, reason = "an index is within the corpus")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tests::fuzz::{Mutator, PLANTS, Planted};

/// Most cases until a bug is found.
const CASES: usize = 100_000;

#[test]
fn each_planted_bug_is_found() {
    let names: BTreeSet<_> = PLANTS.iter().map(|planted| planted.name).collect();
    assert!(names.len() == PLANTS.len() && PLANTS.len() >= 10);
    for planted in PLANTS {
        let Some((cases, found)) = hunt(planted, &corpus(planted)) else {
            panic!("stays green on {}, {}", planted.name, planted.incident)
        };
        // It is the bug that was found: without it the target has nothing to say.
        let _taken = (planted.target().run)(&found);
        println!("{}: found by case {cases} of {}", planted.name, planted.target);
    }
}

/// How many cases it took, and what found it.
fn hunt(planted: &Planted, corpus: &[Vec<u8>]) -> Option<(usize, Vec<u8>)> {
    let mut mutator = Mutator::new(0x5eed);
    (1..=CASES).find_map(|case| {
        let of = |at: usize| &corpus[at % corpus.len()];
        let changed = mutator.mutate(of(case), of(case / corpus.len()));
        let found = std::panic::catch_unwind(|| planted.run(&changed)).is_err();
        found.then_some((case, changed))
    })
}

fn corpus(planted: &Planted) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(planted.target);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}
