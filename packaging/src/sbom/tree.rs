//! Reads `cargo tree`, which knows the features that a program alone turns on; `cargo metadata` has those of all together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{SbomError, cargo, run};

/// A crate in one version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) version: String,
}

/// What needs what.
#[derive(Debug)]
pub(super) struct Tree {
    /// The program.
    pub(super) root: Crate,
    /// All, the program too, each with what it needs.
    pub(super) crates: BTreeMap<Crate, BTreeSet<Crate>>,
}

impl Tree {
    /// Asks cargo in `folder`.
    pub(super) fn read(folder: &Path, program: &str, target: &str, edges: &str) -> Result<Self, SbomError> {
        let mut command = cargo(folder);
        command.args(["tree", "--locked", "--package", program, "--target", target, "--edges", edges]);
        command.args(["--prefix", "depth", "--format", " {p}", "--charset", "ascii"]);
        Self::parse(&run(&mut command, "cargo")?)
    }

    /// Each line has a depth, a name and a version. What a crate needs stands below its first line alone.
    fn parse(text: &str) -> Result<Self, SbomError> {
        let mut crates: BTreeMap<Crate, BTreeSet<Crate>> = BTreeMap::new();
        let mut above: Vec<Crate> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let unexpected = || SbomError::Unexpected {
                what: "cargo tree".to_owned(),
                expected: "DEPTH NAME vVERSION",
                found: line.to_owned(),
            };
            let mut words = line.split(' ');
            let depth: usize = words.next().and_then(|word| word.parse().ok()).ok_or_else(unexpected)?;
            let name = words.next().ok_or_else(unexpected)?.to_owned();
            let version =
                words.next().and_then(|word| word.strip_prefix('v')).ok_or_else(unexpected)?.to_owned();
            let found = Crate { name, version };
            above.truncate(depth);
            if above.len() != depth {
                return Err(unexpected());
            }
            if let Some(needing) = above.last() {
                let _new = crates.entry(needing.clone()).or_default().insert(found.clone());
            }
            let _needs = crates.entry(found.clone()).or_default();
            above.push(found);
        }
        let root = above.into_iter().next().ok_or_else(|| SbomError::Unexpected {
            what: "cargo tree".to_owned(),
            expected: "at least the program",
            found: "nothing".to_owned(),
        })?;
        Ok(Self { root, crates })
    }
}

#[cfg(test)]
mod tests {
    use super::{Crate, Tree};

    fn named(name: &str, version: &str) -> Crate {
        Crate { name: name.to_owned(), version: version.to_owned() }
    }

    #[test]
    fn depths_become_edges() {
        let tree = Tree::parse("0 a v1.0.0 (/here)\n1 b v2.0.0+x\n2 c v1.0.0 (proc-macro)\n1 c v1.0.0 (*)\n")
            .unwrap();
        assert_eq!(tree.root, named("a", "1.0.0"));
        let needs = |part: &Crate| tree.crates.get(part).unwrap().iter().cloned().collect::<Vec<_>>();
        assert_eq!(needs(&tree.root), [named("b", "2.0.0+x"), named("c", "1.0.0")]);
        assert_eq!(needs(&named("b", "2.0.0+x")), [named("c", "1.0.0")]);
        assert_eq!(needs(&named("c", "1.0.0")), []);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for text in ["", "a v1", "0 a 1.0.0", "0 a v1.0.0\n2 b v1.0.0", "0"] {
            assert!(Tree::parse(text).is_err(), "{text}");
        }
    }
}
