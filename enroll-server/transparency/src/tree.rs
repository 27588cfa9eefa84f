//! Roots and proofs, made out of the hashes of complete subtrees.
//!
//! Where those hashes come from is for [`Nodes`] to say: memory ([`MemoryTree`]) or tiles
//! ([`TileTree`](crate::TileTree)).

use crate::hash::{Hash, leaf_hash, node_hash};

/// Gives hashes of complete subtrees.
pub trait Nodes {
    /// Why there is no such hash.
    type Error;

    /// The hash over the leaves from `index << height`, `1 << height` of them.
    ///
    /// # Errors
    /// Where the tree does not have all these leaves, or they cannot be read.
    fn node(&self, height: u8, index: u64) -> Result<Hash, Self::Error>;
}

/// The root of the tree of the first `size` leaves: MTH(D_n).
///
/// # Errors
/// Where a hash cannot be had.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    range(nodes, 0, size)
}

/// The inclusion proof (RFC 9162, section 2.1.3.1) of the leaf `index` in the tree of `size` leaves, from the leaf up.
/// Empty where there is no such leaf.
///
/// # Errors
/// Where a hash cannot be had.
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut low, mut high) = (0, size);
    let mut path = Vec::new();
    if index >= size {
        return Ok(path);
    }
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            path.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The proof (RFC 9162, section 2.1.4.1) that the tree of `old` leaves is the beginning of the tree of `new` leaves.
/// Empty where `old` is 0, or not less than `new`.
///
/// # Errors
/// Where a hash cannot be had.
pub fn consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, N::Error> {
    let (mut low, mut high) = (0, new);
    let mut path = Vec::new();
    if old == 0 || old >= new {
        return Ok(path);
    }
    while old != high {
        let middle = low + split(high - low);
        if old <= middle {
            path.push(range(nodes, middle, high)?);
            high = middle;
        } else {
            path.push(range(nodes, low, middle)?);
            low = middle;
        }
    }
    // The verifier has the old root itself, where that is a subtree of the new tree.
    if low > 0 {
        path.push(range(nodes, low, high)?);
    }
    path.reverse();
    Ok(path)
}

/// The largest power of two below `leaves`, of which there are two or more.
const fn split(leaves: u64) -> u64 {
    1 << (63 - (leaves - 1).leading_zeros())
}

/// MTH(D[low:high]), where `low` is a border at which the tree is split.
fn range<N: Nodes>(nodes: &N, low: u64, high: u64) -> Result<Hash, N::Error> {
    let mut subtrees = Vec::new();
    let mut at = low;
    while at < high {
        let height = 63 - (high - at).leading_zeros();
        // Below 64, so it fits.
        let height = u8::try_from(height).unwrap_or(u8::MAX);
        subtrees.push(nodes.node(height, at >> height)?);
        at += 1 << height;
    }
    let joined = subtrees.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    Ok(joined.unwrap_or_else(Hash::of_empty_tree))
}

/// The tree has no such leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the tree has {size} leaves, too few for the node {index} at height {height}")]
pub struct OutOfTree {
    /// Height of the node that was asked for.
    pub height: u8,
    /// Its index among those of its height.
    pub index: u64,
    /// How many leaves there are.
    pub size: u64,
}

/// A whole tree in memory, about 64 bytes a leaf.
#[derive(Clone, Debug, Default)]
pub struct MemoryTree {
    /// Hashes by height; only those of complete subtrees.
    levels: Vec<Vec<Hash>>,
}

impl MemoryTree {
    /// Adds a leaf with these contents.
    pub fn push_entry(&mut self, entry: &[u8]) {
        self.push(leaf_hash(entry));
    }

    /// Adds a leaf with this hash.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for height in 0.. {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            let Some(level) = self.levels.get_mut(height) else { return };
            level.push(hash);
            match level.as_slice() {
                [.., left, right] if level.len() % 2 == 0 => hash = node_hash(left, right),
                _ => return,
            }
        }
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The hashes of complete subtrees of one height, from the left.
    #[must_use]
    pub fn level(&self, height: u8) -> &[Hash] {
        self.levels.get(usize::from(height)).map_or(&[], Vec::as_slice)
    }
}

impl Nodes for MemoryTree {
    type Error = OutOfTree;

    fn node(&self, height: u8, index: u64) -> Result<Hash, OutOfTree> {
        let missing = OutOfTree { height, index, size: self.size() };
        let index = usize::try_from(index).map_err(|_| missing)?;
        self.level(height).get(index).copied().ok_or(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::{MemoryTree, consistency, inclusion, root};
    use crate::hash::{Hash, leaf_hash, node_hash};
    use crate::proof::{verify_consistency, verify_inclusion};
    use proptest::prelude::*;

    /// The definition of RFC 9162, section 2.1.1, word for word and slow.
    fn naive(leaves: &[Vec<u8>]) -> Hash {
        match leaves {
            [] => Hash::of_empty_tree(),
            [one] => leaf_hash(one),
            more => {
                let mut k = 1;
                while k * 2 < more.len() {
                    k *= 2;
                }
                node_hash(&naive(&more[..k]), &naive(&more[k..]))
            }
        }
    }

    fn tree(leaves: &[Vec<u8>]) -> MemoryTree {
        let mut tree = MemoryTree::default();
        for leaf in leaves {
            tree.push_entry(leaf);
        }
        tree
    }

    fn numbered(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|n| n.to_string().into_bytes()).collect()
    }

    /// The empty root is SHA-256 of nothing (RFC 9162, section 2.1.1). The others were computed with Python's hashlib by
    /// the definition there.
    #[test]
    fn known_answers() {
        assert_eq!(
            Hash::of_empty_tree().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let leaves = ["", "a", "bc", "def", "ghij", "klmno", "pqrstu", "vwxyzab"];
        let tree = tree(&leaves.map(|leaf| leaf.as_bytes().to_vec()));
        let roots = [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "688dc6244b041199e7ab4990df6340ce3dc14caa5cd5a0e1131addaa1209e1a6",
            "2e9547978b8da560ecaaf07ab189d6799ecc53cd2f56c2f01866d01f70b78a4f",
            "d0831bfd20a5e0aeddd477d3a1de8cceccbedc95434de76af2c7ddcd02143674",
            "b2416bc87e7ac9bb86dd2911107ca7144bb56228b87cd21ed45e30b50019b882",
            "1edb1318dece182b9c3b5388d346492814724296bf6039ac503b85e1974c3de1",
            "42c1928e8c074504ee9703645f11f24c59829444598f0334254e9840493b17ea",
            "d2d51f87c8725c1479e9b5c35c0a106c28de9138f2892744f2d23d817e18f2ba",
        ];
        for (size, expected) in (1..).zip(roots) {
            assert_eq!(root(&tree, size).unwrap().to_string(), expected, "{size}");
        }
    }

    /// Every proof of every tree up to a size that has all shapes.
    #[test]
    fn all_proofs_of_all_small_trees() {
        let leaves = numbered(40);
        let tree = tree(&leaves);
        for size in 0..=40_u64 {
            let all = naive(&leaves[..usize::try_from(size).unwrap()]);
            assert_eq!(root(&tree, size).unwrap(), all);
            for index in 0..size {
                let path = inclusion(&tree, index, size).unwrap();
                let leaf = leaf_hash(&leaves[usize::try_from(index).unwrap()]);
                verify_inclusion(&leaf, index, size, &path, &all).unwrap();
                for other in (0..size).filter(|other| *other != index) {
                    verify_inclusion(&leaf, other, size, &path, &all).unwrap_err();
                }
            }
            for old in 0..=size {
                let before = root(&tree, old).unwrap();
                let path = consistency(&tree, old, size).unwrap();
                verify_consistency(old, &before, size, &all, &path).unwrap();
            }
        }
    }

    proptest! {
        #[test]
        fn a_proof_that_was_changed_proves_nothing(
            size in 2_usize..300, index in any::<prop::sample::Index>(), old in any::<prop::sample::Index>(),
            place in any::<prop::sample::Index>(), bit in 0_u8..8,
        ) {
            let leaves = numbered(size);
            let (tree, all) = (tree(&leaves), naive(&leaves));
            let index = index.index(size);
            let (at, of) = (index as u64, size as u64);
            let leaf = leaf_hash(&leaves[index]);
            let path = inclusion(&tree, at, of).unwrap();
            prop_assert_eq!(verify_inclusion(&leaf, at, of, &path, &all), Ok(()));
            let mut bent = path.clone();
            let bytes: Vec<usize> = vec![place.index(path.len()), place.index(32)];
            bent[bytes[0]].0[bytes[1]] ^= 1 << bit;
            prop_assert!(verify_inclusion(&leaf, at, of, &bent, &all).is_err());
            prop_assert!(verify_inclusion(&leaf, at, of, &path[1..], &all).is_err());
            let longer = [path.as_slice(), &[all]].concat();
            prop_assert!(verify_inclusion(&leaf, at, of, &longer, &all).is_err());

            let old = 1 + old.index(size - 1) as u64;
            let before = naive(&leaves[..usize::try_from(old).unwrap()]);
            let path = consistency(&tree, old, of).unwrap();
            prop_assert_eq!(verify_consistency(old, &before, of, &all, &path), Ok(()));
            prop_assert!(verify_consistency(old, &all, of, &all, &path).is_err());
            prop_assert!(verify_consistency(old, &before, of, &before, &path).is_err());
            let mut bent = path.clone();
            let hash = place.index(path.len());
            bent[hash].0[bytes[1]] ^= 1 << bit;
            prop_assert!(verify_consistency(old, &before, of, &all, &bent).is_err());
            let longer = [path.as_slice(), &[all]].concat();
            prop_assert!(verify_consistency(old, &before, of, &all, &longer).is_err());
        }
    }
}
