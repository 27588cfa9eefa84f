//! Another implementation (the crates `signed_note` and `tlog_tiles`, out of Go's checksum database) reads what this one
//! writes: notes, checkpoints, tiles, proofs.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Mutex;

use signed_note::{Note, StandardVerifier, VerifierList};
use tlog_tiles::{HashReader as _, TileReader};
use transparency::{
    Checkpoint, MemoryTree, OutOfTree, ReadTile, SignerKey, Tile, TileKind, TileTree, consistency,
    decode_tile, encode_tile, inclusion, leaf_hash, root,
};

/// Tiles by path, as a web server would have them.
#[derive(Default)]
struct Files {
    tiles: HashMap<String, Vec<u8>>,
    confirmed: Mutex<usize>,
}

impl Files {
    fn of(tree: &MemoryTree) -> Self {
        let mut files = Self::default();
        for level in 0..=7_u8 {
            for index in 0.. {
                let Some(tile) = Tile::of_tree(TileKind::Hashes(level), index, tree.size()) else { break };
                let begin = usize::try_from(index).unwrap() * 256;
                let hashes = &tree.level(level * 8)[begin..begin + usize::from(tile.width())];
                files.tiles.insert(tile.to_string(), encode_tile(hashes));
            }
        }
        files
    }
}

impl TileReader for Files {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        // That crate writes the height into its paths, which tlog-tiles leaves out.
        let path = |tile: &tlog_tiles::Tile| tile.path().replacen("tile/8/", "tile/", 1);
        Ok(tiles
            .iter()
            .map(|tile| self.tiles.get(&path(tile)).unwrap_or_else(|| panic!("{}", path(tile))).clone())
            .collect())
    }

    fn save_tiles(&self, tiles: &[tlog_tiles::Tile], _: &[Vec<u8>]) {
        *self.confirmed.lock().unwrap() += tiles.len();
    }
}

impl ReadTile for Files {
    type Error = OutOfTree;

    fn hashes(&self, tile: Tile) -> Result<Vec<transparency::Hash>, OutOfTree> {
        Ok(decode_tile(&self.tiles[&tile.to_string()], tile.width()).unwrap())
    }
}

fn entry(n: u64) -> Vec<u8> {
    format!("entry {n}").into_bytes()
}

fn tree(size: u64) -> MemoryTree {
    let mut tree = MemoryTree::default();
    for n in 0..size {
        tree.push_entry(&entry(n));
    }
    tree
}

#[test]
fn the_peer_verifies_our_notes() {
    let key = SignerKey::generate("ca.example/log").unwrap();
    let checkpoint =
        Checkpoint { origin: "ca.example/log".into(), size: 3, root: root(&tree(3), 3).unwrap() };
    let note = Note::from_bytes(checkpoint.sign(&key).as_bytes()).unwrap();
    let verifier = StandardVerifier::new(&key.verifier().to_string()).unwrap();
    let (verified, _) = note.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();
    assert_eq!(verified.len(), 1);
    let read = tlog_tiles::Checkpoint::from_bytes(note.text()).unwrap();
    assert_eq!((read.origin(), read.size(), read.hash().0), ("ca.example/log", 3, checkpoint.root.0));
    let other = SignerKey::generate("ca.example/log").unwrap();
    let verifier = StandardVerifier::new(&other.verifier().to_string()).unwrap();
    assert!(note.verify(&VerifierList::new(vec![Box::new(verifier)])).is_err());
}

/// The private key's text is the peer's too.
#[test]
fn we_verify_the_peers_notes() {
    let key = SignerKey::generate("ca.example/log").unwrap();
    let signer = signed_note::StandardSigner::new(&key.to_secret_text().unwrap()).unwrap();
    let text = Checkpoint { origin: "ca.example/log".into(), size: 9, root: leaf_hash(b"x") }.text();
    let mut note = Note::new(text.as_bytes(), &[]).unwrap();
    note.add_sigs(&[&signer]).unwrap();
    assert_eq!(Checkpoint::open(&note.to_bytes(), key.verifier()).unwrap().size, 9);
}

/// In trees of sizes with full and partial tiles on three levels, the peer finds our tiles consistent with our root,
/// makes the same proofs from them, and verifies ours.
#[test]
fn the_peer_reads_our_tiles_and_proofs() {
    for size in [1_u64, 2, 255, 256, 257, 1_000, 65_536, 70_000] {
        let tree = tree(size);
        let files = Files::of(&tree);
        let head = root(&tree, size).unwrap();
        let ours = TileTree::new(&files, size);
        assert_eq!(root(&ours, size).unwrap(), head);
        let theirs = tlog_tiles::Hash(head.0);
        let reader = tlog_tiles::TileHashReader::new(size, theirs, &files);
        let _leaf = reader.read_hashes(&[tlog_tiles::stored_hash_index(0, size - 1)]).unwrap();
        let hashes = |path: Vec<transparency::Hash>| {
            path.into_iter().map(|hash| tlog_tiles::Hash(hash.0)).collect::<Vec<_>>()
        };
        for index in [0, size / 3, size / 2, size - 1] {
            let proof = hashes(inclusion(&ours, index, size).unwrap());
            assert_eq!(proof, tlog_tiles::prove_record(size, index, &reader).unwrap(), "{index} of {size}");
            let leaf = tlog_tiles::record_hash(&entry(index));
            tlog_tiles::check_record(&proof, size, theirs, index, leaf).unwrap();
        }
        for old in [1, size / 3, size / 2, size - 1].into_iter().filter(|old| (1..=size).contains(old)) {
            let proof = hashes(consistency(&ours, old, size).unwrap());
            assert_eq!(proof, tlog_tiles::prove_tree(size, old, &reader).unwrap(), "{old} to {size}");
            let before = tlog_tiles::Hash(root(&tree, old).unwrap().0);
            tlog_tiles::check_tree(&proof, size, theirs, old, before).unwrap();
        }
        assert!(*files.confirmed.lock().unwrap() > 0);
    }
}
