//! One change of a tree.

use super::node::{Form, Kind, Node, count};
use crate::fuzz::mutate::Mutator;

/// Values at the edges of numbers and lengths.
const EDGES: [u64; 12] =
    [0, 1, 23, 24, 0x7f, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, i64::MAX.unsigned_abs(), u64::MAX];

/// Changes one node of `nodes`; it may become one of `donors`.
pub(super) fn change(nodes: &mut Vec<Node>, donors: &[Node], random: &mut Mutator) {
    let total = count(nodes);
    if total == 0 {
        return;
    }
    let mut index = random.below(total);
    let donor = match count(donors) {
        0 => find(nodes, &mut random.below(total)).cloned(),
        many => find(donors, &mut random.below(many)).cloned(),
    };
    if let Some((siblings, at)) = place(nodes, &mut index) {
        change_at(siblings, at, donor, random);
    }
}

/// The node with this number, in the order of the bytes.
fn find<'n>(nodes: &'n [Node], index: &mut usize) -> Option<&'n Node> {
    for node in nodes {
        if *index == 0 {
            return Some(node);
        }
        *index -= 1;
        if let Some(found) = find(&node.parts, index) {
            return Some(found);
        }
    }
    None
}

/// Where the node with this number stands.
fn place<'n>(nodes: &'n mut Vec<Node>, index: &mut usize) -> Option<(&'n mut Vec<Node>, usize)> {
    for at in 0..nodes.len() {
        if *index == 0 {
            return Some((nodes, at));
        }
        *index -= 1;
        let inside = count(&nodes[at].parts);
        if *index < inside {
            return place(&mut nodes[at].parts, index);
        }
        *index -= inside;
    }
    None
}

fn change_at(siblings: &mut Vec<Node>, at: usize, donor: Option<Node>, random: &mut Mutator) {
    match random.below(12) {
        0 => empty(&mut siblings[at]),
        1 => drop(siblings.remove(at)),
        2 => siblings.insert(at, siblings[at].clone()),
        3 => {
            let other = random.below(siblings.len());
            siblings.swap(at, other);
        }
        4 => siblings.extend(donor),
        5 => siblings.splice(at..=at, donor).for_each(drop),
        6 => siblings[at].form = Form::Longer,
        7 => siblings[at].form = [Form::Huge, Form::Indefinite][random.below(2)],
        8 => retype(&mut siblings[at], random),
        9 => wrap(&mut siblings[at], random),
        // A pair of a map, or the two parts of an attribute.
        10 if at + 1 < siblings.len() => {
            let pair = [siblings[at].clone(), siblings[at + 1].clone()];
            siblings.splice(at..at, pair);
        }
        _ => {
            // Most nodes that hold bytes are one below.
            let node = &mut siblings[at];
            let leaf = if let [only] = node.parts.as_mut_slice() { only } else { node };
            revalue(leaf, random);
        }
    }
}

fn empty(node: &mut Node) {
    node.parts.clear();
    if let Kind::Raw(bytes) = &mut node.kind {
        bytes.clear();
    }
}

fn retype(node: &mut Node, random: &mut Mutator) {
    const TAGS: [u8; 14] =
        [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x0c, 0x13, 0x17, 0x18, 0x30, 0x31, 0x80, 0xa0];
    match &mut node.kind {
        Kind::Der(tag) if random.below(2) == 0 => *tag = TAGS[random.below(TAGS.len())],
        Kind::Der(tag) => *tag ^= 1 << random.below(8),
        Kind::Cbor { major, .. } => *major = random.byte() & 7,
        Kind::Raw(_) | Kind::Piece => {}
    }
}

/// Puts a node into containers, one in another.
fn wrap(node: &mut Node, random: &mut Mutator) {
    let container = match node.kind {
        Kind::Der(_) => Kind::Der([0x30, 0x31, 0xa0][random.below(3)]),
        Kind::Cbor { .. } => Kind::Cbor { major: [4, 6][random.below(2)], value: 1 },
        Kind::Raw(_) | Kind::Piece => return,
    };
    for _ in 0..[1, 2, 8, 9, 17, 40][random.below(6)] {
        let inside = core::mem::replace(node, Node::new(container.clone(), Vec::new()));
        node.parts.push(inside);
    }
}

fn revalue(node: &mut Node, random: &mut Mutator) {
    match &mut node.kind {
        Kind::Raw(bytes) => *bytes = random.bytes(bytes, &[]),
        Kind::Cbor { value, .. } => {
            *value = match random.below(3) {
                0 => EDGES[random.below(EDGES.len())],
                1 => value.wrapping_add(1),
                _ => value.wrapping_sub(1),
            }
        }
        Kind::Der(_) | Kind::Piece => node.parts.truncate(random.below(node.parts.len() + 1)),
    }
}
