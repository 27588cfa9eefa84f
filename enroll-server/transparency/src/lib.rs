//! An append-only Merkle log: the tree (RFC 6962 and RFC 9162, section 2.1), its proofs, its tiles (C2SP tlog-tiles),
//! its signed checkpoints (C2SP signed-note and tlog-checkpoint), and the leaves in which an issuing CA says what it
//! did.
//!
//! Knows no file, no HTTP and no database: whoever keeps a log gives hashes in and writes bytes out. All readers take
//! foreign bytes: they are bounded, and a panic is not reachable from them.

#![forbid(unsafe_code)]

mod checkpoint;
mod commitment;
mod edge;
mod hash;
mod leaf;
mod note;
mod proof;
mod proof_file;
mod tile;
mod tile_tree;
mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use commitment::{Field, commitment};
pub use edge::{BadEdge, Edge, TileBytes};
pub use hash::{Hash, leaf_hash, node_hash};
pub use leaf::{Leaf, LeafError, MAX_CERTIFICATE};
pub use note::{KeyError, MAX_NAME, MAX_NOTE, NoteError, SignedNote, SignerKey, VerifierKey};
pub use proof::{NotProved, verify_consistency, verify_inclusion};
pub use proof_file::{ProofFile, ProofFileError};
pub use tile::{
    BadBundle, BadPath, BadTile, MAX_BUNDLE, MAX_ENTRY, TILE_WIDTH, Tile, TileKind, decode_bundle,
    decode_tile, encode_bundle, encode_tile,
};
pub use tile_tree::{ReadTile, TileTree};
pub use tree::{MemoryTree, Nodes, OutOfTree, consistency, inclusion, root};
