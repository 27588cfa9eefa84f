//! Verifies proofs (RFC 9162, sections 2.1.3.2 and 2.1.4.2). Foreign proofs of any length cost no more than 65 hashes.

use crate::hash::{Hash, node_hash};

/// The proof does not prove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProved {
    /// The leaf's index is not below the size of the tree.
    #[error("the tree has {size} leaves; none of them has the index {index}")]
    NoSuchLeaf {
        /// The index.
        index: u64,
        /// The size.
        size: u64,
    },
    /// The older tree is larger than the newer one.
    #[error("the older tree has {old} leaves, more than the newer one with {new}")]
    Shrunk {
        /// Size of the older tree.
        old: u64,
        /// Size of the newer tree.
        new: u64,
    },
    /// It has more or fewer hashes than trees of these sizes ask for.
    #[error("the proof has the wrong number of hashes: {found}")]
    Length {
        /// How many it has.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// Verifies that the leaf with this hash is the `index`-th of the tree with `size` leaves and this root.
///
/// # Errors
/// Says what is wrong.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), NotProved> {
    let length = NotProved::Length { found: path.len() };
    if index >= size {
        return Err(NotProved::NoSuchLeaf { index, size });
    }
    let (mut first, mut second) = (index, size - 1);
    let mut hash = *leaf;
    for step in path {
        if second == 0 {
            return Err(length);
        }
        if first & 1 == 1 || first == second {
            hash = node_hash(step, &hash);
            skip(&mut first, &mut second);
        } else {
            hash = node_hash(&hash, step);
        }
        first >>= 1;
        second >>= 1;
    }
    if second != 0 {
        return Err(length);
    }
    if hash == *root { Ok(()) } else { Err(NotProved::Root) }
}

/// Verifies that the tree of `old` leaves is the beginning of the tree of `new` leaves.
///
/// # Errors
/// Says what is wrong.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    path: &[Hash],
) -> Result<(), NotProved> {
    let length = NotProved::Length { found: path.len() };
    if old > new {
        return Err(NotProved::Shrunk { old, new });
    }
    if old == 0 || old == new {
        let expected = if old == 0 { Hash::of_empty_tree() } else { *new_root };
        return match path {
            [] if *old_root == expected => Ok(()),
            [] => Err(NotProved::Root),
            _ => Err(length),
        };
    }
    // Where the old tree is a subtree of the new one, its root is not repeated in the proof.
    let (first_hash, rest) =
        if old.is_power_of_two() { (old_root, path) } else { path.split_first().ok_or(length)? };
    let (mut first, mut second) = (old - 1, new - 1);
    while first & 1 == 1 {
        first >>= 1;
        second >>= 1;
    }
    let (mut older, mut newer) = (*first_hash, *first_hash);
    for step in rest {
        if second == 0 {
            return Err(length);
        }
        if first & 1 == 1 || first == second {
            older = node_hash(step, &older);
            newer = node_hash(step, &newer);
            skip(&mut first, &mut second);
        } else {
            newer = node_hash(&newer, step);
        }
        first >>= 1;
        second >>= 1;
    }
    if second != 0 {
        return Err(length);
    }
    if older == *old_root && newer == *new_root { Ok(()) } else { Err(NotProved::Root) }
}

/// Goes up as long as the node is a left one, or the last one that has no sibling.
const fn skip(first: &mut u64, second: &mut u64) {
    while *first & 1 == 0 && *first != 0 {
        *first >>= 1;
        *second >>= 1;
    }
}
