//! The hashes of the tree (RFC 9162, section 2.1.1; the same as in RFC 6962, section 2.1), with SHA-256.

use core::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A hash of the tree: of a leaf, of a node, of the whole.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hash(pub [u8; Self::LENGTH]);

impl Hash {
    /// Length in bytes.
    pub const LENGTH: usize = 32;

    /// The root of the tree without leaves: the hash of nothing.
    #[must_use]
    pub fn of_empty_tree() -> Self {
        finish(Context::new(&SHA256))
    }

    /// In base64 (RFC 4648, section 4), as in checkpoints.
    #[must_use]
    pub fn to_base64(self) -> String {
        STANDARD.encode(self.0)
    }

    /// Reads base64; `None` where it is none, or of another length.
    #[must_use]
    pub fn from_base64(text: &str) -> Option<Self> {
        // 32 bytes are 44 characters.
        if text.len() != 44 {
            return None;
        }
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// The hash of a leaf. The prefix keeps leaves and nodes apart, so that none can be shown in place of the other.
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(entry);
    finish(context)
}

/// The hash of a node over its two children.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[1]);
    context.update(&left.0);
    context.update(&right.0);
    finish(context)
}

fn finish(context: Context) -> Hash {
    let mut hash = [0; Hash::LENGTH];
    for (to, from) in hash.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    Hash(hash)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}
