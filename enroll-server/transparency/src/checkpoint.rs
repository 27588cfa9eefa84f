//! Checkpoints (C2SP tlog-checkpoint): what a log says of itself, in a signed note.

use crate::hash::Hash;
use crate::note::{NoteError, SignedNote, SignerKey, VerifierKey};

/// A log's tree head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root of the tree.
    pub root: Hash,
}

/// This is no checkpoint of the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The note cannot be read, or is not signed by the log.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Its text is not that of a checkpoint.
    #[error("line {line} of the checkpoint: expected {expected}")]
    Line {
        /// Which line, from 1.
        line: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// It is another log's.
    #[error("the checkpoint is of the log '{found}', expected '{expected}'")]
    Origin {
        /// The log that is asked for.
        expected: String,
        /// The log it is of.
        found: String,
    },
}

impl Checkpoint {
    /// The note's text.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, self.root.to_base64())
    }

    /// Signs it: the whole note.
    #[must_use]
    pub fn sign(&self, key: &SignerKey) -> String {
        key.sign(&self.text())
    }

    /// Reads a note, verifies that `key` signed it, and that the checkpoint is of that key's log: the origin is the
    /// name of the key.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn open(note: &[u8], key: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(note)?;
        let checkpoint = Self::read(note.verified_text(key)?)?;
        if checkpoint.origin != key.name() {
            let expected = key.name().to_owned();
            return Err(CheckpointError::Origin { expected, found: checkpoint.origin });
        }
        Ok(checkpoint)
    }

    /// Reads the text of a note. Says nothing of who signed it.
    ///
    /// # Errors
    /// Says which line is wrong.
    pub fn read(text: &str) -> Result<Self, CheckpointError> {
        let wrong = |line, expected| CheckpointError::Line { line, expected };
        let text = text.strip_suffix('\n').ok_or_else(|| wrong(1, "a line end"))?;
        let mut lines = text.split('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or_else(|| wrong(1, "the origin of the log"))?
            .to_owned();
        let size = lines
            .next()
            .and_then(decimal)
            .ok_or_else(|| wrong(2, "the number of leaves, without zeros before"))?;
        let root = lines
            .next()
            .and_then(Hash::from_base64)
            .ok_or_else(|| wrong(3, "the root hash, 32 bytes in base64"))?;
        // Extension lines say nothing here, but have to be lines.
        if lines.any(str::is_empty) {
            return Err(wrong(4, "no empty line"));
        }
        Ok(Self { origin, size, root })
    }
}

/// A number as the specification spells it.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, CheckpointError};
    use crate::hash::{Hash, leaf_hash};
    use crate::note::SignerKey;
    use proptest::prelude::*;

    #[test]
    fn a_signed_checkpoint_reads_the_same_and_no_other_does() {
        let key = SignerKey::generate("example.com/log").unwrap();
        let checkpoint = Checkpoint { origin: "example.com/log".into(), size: 7, root: leaf_hash(b"x") };
        let note = checkpoint.sign(&key);
        assert_eq!(Checkpoint::open(note.as_bytes(), key.verifier()).unwrap(), checkpoint);
        let other = SignerKey::generate("example.com/log").unwrap();
        Checkpoint::open(note.as_bytes(), other.verifier()).unwrap_err();
        Checkpoint::open(note.replacen("\n7\n", "\n8\n", 1).as_bytes(), key.verifier()).unwrap_err();
        let foreign = Checkpoint { origin: "example.com/other".into(), ..checkpoint };
        let error = Checkpoint::open(foreign.sign(&key).as_bytes(), key.verifier()).unwrap_err();
        assert!(matches!(error, CheckpointError::Origin { .. }), "{error}");
    }

    #[test]
    fn the_text_has_one_spelling() {
        let root = Hash::of_empty_tree().to_base64();
        for (text, line) in [
            (format!("\n1\n{root}\n"), 1),
            (format!("a\n01\n{root}\n"), 2),
            (format!("a\n+1\n{root}\n"), 2),
            (format!("a\n18446744073709551616\n{root}\n"), 2),
            ("a\n1\nAAAA\n".to_owned(), 3),
            (format!("a\n1\n{root}\n\n"), 4),
            (format!("a\n1\n{root}"), 1),
        ] {
            let error = Checkpoint::read(&text).unwrap_err();
            assert!(matches!(error, CheckpointError::Line { line: found, .. } if found == line), "{text}");
        }
        Checkpoint::read(&format!("a\n0\n{root}\nextension\n")).unwrap();
    }

    proptest! {
        #[test]
        fn any_text_is_a_checkpoint_or_refused(text in "\\PC{0,20}(\n\\PC{0,50}){0,5}") {
            if let Ok(checkpoint) = Checkpoint::read(&text) {
                prop_assert!(text.starts_with(&checkpoint.text()));
            }
        }
    }
}
