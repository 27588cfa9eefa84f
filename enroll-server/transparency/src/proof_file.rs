//! Proofs as files (C2SP tlog-proof): an inclusion proof together with the checkpoint it leads to.

use core::str::FromStr;

use crate::checkpoint::{Checkpoint, CheckpointError, decimal};
use crate::hash::Hash;
use crate::note::{MAX_NOTE, VerifierKey};
use crate::proof::{NotProved, verify_inclusion};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
/// Most hashes of a proof: the tree has fewer than 2^64 leaves.
const MAX_PATH: usize = 64;
/// Longest file, in bytes; the extra data that the format allows counts.
const MAX_FILE: usize = 2 * MAX_NOTE;

/// That a leaf is in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofFile {
    /// Which leaf.
    pub index: u64,
    /// The inclusion proof, from the leaf up.
    pub path: Vec<Hash>,
    /// The checkpoint, a signed note.
    pub checkpoint: String,
}

/// The file proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProofFileError {
    /// It is not in this format.
    #[error("this is no tlog-proof: expected {expected}")]
    Format {
        /// What should stand there.
        expected: &'static str,
    },
    /// The checkpoint is not the log's.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The proof does not prove it.
    #[error(transparent)]
    NotProved(#[from] NotProved),
}

impl ProofFile {
    /// Verifies that the leaf with this hash is in the log of `key`; gives the checkpoint that says so.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn verify(&self, leaf: &Hash, key: &VerifierKey) -> Result<Checkpoint, ProofFileError> {
        let checkpoint = Checkpoint::open(self.checkpoint.as_bytes(), key)?;
        verify_inclusion(leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }
}

impl core::fmt::Display for ProofFile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        writeln!(f, "{HEADER}\nindex {}", self.index)?;
        for hash in &self.path {
            writeln!(f, "{}", hash.to_base64())?;
        }
        write!(f, "\n{}", self.checkpoint)
    }
}

impl FromStr for ProofFile {
    type Err = ProofFileError;

    fn from_str(text: &str) -> Result<Self, ProofFileError> {
        let wrong = |expected| ProofFileError::Format { expected };
        if text.len() > MAX_FILE {
            return Err(wrong("a shorter file"));
        }
        let (proof, checkpoint) =
            text.split_once("\n\n").ok_or_else(|| wrong("an empty line before the checkpoint"))?;
        let mut lines = proof.split('\n').peekable();
        if lines.next() != Some(HEADER) {
            return Err(wrong("the line \"c2sp.org/tlog-proof@v1\""));
        }
        // Extra data is authenticated by nothing, so nothing is made of it.
        let _extra = lines.next_if(|line| line.starts_with("extra "));
        let index = lines.next().and_then(|line| decimal(line.strip_prefix("index ")?));
        let index = index.ok_or_else(|| wrong("the line \"index N\""))?;
        let path: Option<Vec<Hash>> = lines.take(MAX_PATH + 1).map(Hash::from_base64).collect();
        let path =
            path.filter(|path| path.len() <= MAX_PATH).ok_or_else(|| wrong("at most 64 hashes in base64"))?;
        Ok(Self { index, path, checkpoint: checkpoint.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::{ProofFile, ProofFileError};
    use crate::checkpoint::Checkpoint;
    use crate::hash::leaf_hash;
    use crate::note::SignerKey;
    use crate::tree::{MemoryTree, inclusion, root};

    #[test]
    fn a_file_proves_its_leaf_and_no_other() {
        let key = SignerKey::generate("example.com/log").unwrap();
        let mut tree = MemoryTree::default();
        for n in 0..11_u8 {
            tree.push_entry(&[n]);
        }
        let checkpoint =
            Checkpoint { origin: "example.com/log".into(), size: 11, root: root(&tree, 11).unwrap() };
        let file =
            ProofFile { index: 9, path: inclusion(&tree, 9, 11).unwrap(), checkpoint: checkpoint.sign(&key) };
        let text = file.to_string();
        assert_eq!(text.parse::<ProofFile>().unwrap(), file);
        let extra = text.replacen("index", "extra AAAA\nindex", 1);
        assert_eq!(extra.parse::<ProofFile>().unwrap(), file);
        assert_eq!(file.verify(&leaf_hash(&[9]), key.verifier()).unwrap(), checkpoint);
        let error = file.verify(&leaf_hash(&[8]), key.verifier()).unwrap_err();
        assert!(matches!(error, ProofFileError::NotProved(_)), "{error}");
        for bad in ["", "c2sp.org/tlog-proof@v1\nindex 01\n\nx", &text.replacen("index 9", "index -9", 1)] {
            bad.parse::<ProofFile>().unwrap_err();
        }
    }
}
