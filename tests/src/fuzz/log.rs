//! What the log is made of, as an auditor reads it: checkpoints, leaves, bundles of entries, proofs.

use transparency::{Checkpoint, Hash, Leaf, ProofFile, SignedNote, decode_bundle, encode_bundle};

/// A signed note, and the checkpoint that its text is.
pub(super) fn checkpoint(data: &[u8]) -> bool {
    let note = SignedNote::parse(data).is_ok();
    let Ok(text) = core::str::from_utf8(data) else { return note };
    if let Ok(checkpoint) = Checkpoint::read(text) {
        assert_eq!(Checkpoint::read(&checkpoint.text()).as_ref(), Ok(&checkpoint));
        return true;
    }
    note
}

/// One leaf: there is one spelling of each.
pub(super) fn leaf(data: &[u8]) -> bool {
    let Ok(leaf) = Leaf::decode(data) else { return false };
    assert_eq!(leaf.encode().as_deref(), Some(data));
    true
}

/// A bundle of as many entries as its first byte says.
pub(super) fn bundle(data: &[u8]) -> bool {
    let Some((width, bytes)) = data.split_first() else { return false };
    let Ok(entries) = decode_bundle(bytes, u16::from(*width)) else { return false };
    assert_eq!(entries.len(), usize::from(*width));
    assert_eq!(encode_bundle(&entries).as_deref(), Ok(bytes));
    true
}

/// A proof in a file; whatever it says, it proves nothing of a leaf that nobody logged.
pub(super) fn proof(data: &[u8]) -> bool {
    let Some(proof) = core::str::from_utf8(data).ok().and_then(|text| text.parse::<ProofFile>().ok()) else {
        return false;
    };
    let root = Hash([0; Hash::LENGTH]);
    let proved = transparency::verify_inclusion(&root, proof.index, u64::MAX, &proof.path, &root);
    assert!(proved.is_err(), "{proof:?}");
    assert_eq!(proof.to_string().parse::<ProofFile>().as_ref(), Ok(&proof));
    true
}

/// Seeds of these targets.
pub(super) fn seeds(target: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let root = Hash([7; Hash::LENGTH]).to_base64();
    let checkpoint = format!("log.example/acme\n3\n{root}\n");
    // Four bytes of the key's id and a signature of 64, as base64.
    let note = format!("{checkpoint}\n\u{2014} log.example/acme {}==\n", "A".repeat(90) + "A");
    let leaf = Leaf::Revoked { at: 1_800_000_000, issuer: [1; 32], serial: &[2; 16], reason: 1 };
    let leaf = leaf.encode().expect("a leaf");
    let event = Leaf::Event { at: 1_800_000_000, number: 5, commitment: [3; 32] };
    let event = event.encode().expect("a leaf");
    let named = |name: &str, bytes: Vec<u8>| (name.to_owned(), bytes);
    Some(match target {
        "log_checkpoint" => {
            vec![named("checkpoint", checkpoint.into_bytes()), named("note", note.into_bytes())]
        }
        "log_leaf" => vec![named("revoked", leaf), named("event", event)],
        "log_bundle" => {
            let bundle = encode_bundle(&[leaf, event]).expect("a bundle");
            vec![named("two", [&[2], bundle.as_slice()].concat())]
        }
        "log_proof" => {
            let head = "c2sp.org/tlog-proof@v1\nindex 1\n";
            vec![named("one", format!("{head}{root}\n{root}\n\n{note}").into_bytes())]
        }
        _ => return None,
    })
}
