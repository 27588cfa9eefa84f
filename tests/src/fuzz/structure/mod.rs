//! Changes inputs by their structure, so that what is changed is still read to the end: DER, CBOR and
//! [pieces](super::pieces), also inside of each other, with all lengths and counts around a change put right.
//!
//! Knows nothing of what the elements mean. An input without such structure has none to change.

mod change;
mod node;

use super::mutate::Mutator;

/// A copy of `input` with one to three changes of its structure; a change may be a part of `other`. `None` where the
/// input has no structure.
pub(super) fn mutate(input: &[u8], other: &[u8], random: &mut Mutator) -> Option<Vec<u8>> {
    let mut nodes = node::read(input)?;
    let donors = node::read(other).unwrap_or_default();
    for _ in 0..=random.below(3) {
        change::change(&mut nodes, &donors, random);
    }
    Some(node::write(&nodes))
}

#[cfg(test)]
mod tests {
    use super::node;

    #[test]
    fn what_was_not_changed_is_written_as_it_was() {
        let certificate = crate::exchange::bytes("root_ca");
        // {1: 100, 2: h'01020304', 3: [1, true]} and 18([h'a101', "abc", null]).
        let map = hex::decode("a3011864024401020304038201f5").unwrap();
        let token = hex::decode("d28342a10163616263f6").unwrap();
        let pieces = crate::fuzz::join(&[&certificate, &map, &[0xa1]]);
        for (whole, least) in [(&certificate, 50), (&map, 9), (&token, 6), (&pieces, 60)] {
            let nodes = node::read(whole).unwrap();
            assert_eq!(hex::encode(node::write(&nodes)), hex::encode(whole));
            assert!(node::count(&nodes) >= least, "{} are seen", node::count(&nodes));
        }
        assert!(node::read(b"[limits]\n").is_none());
    }
}
