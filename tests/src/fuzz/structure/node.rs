//! An input as a tree, and the tree as bytes.

/// Deepest nesting that is seen into.
const MAX_DEPTH: u8 = 24;

/// One element.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) form: Form,
    pub(super) parts: Vec<Self>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Bytes that are not seen into; they have no parts.
    Raw(Vec<u8>),
    /// A DER element with this tag.
    Der(u8),
    /// A CBOR item of this major type. The value is that of numbers, tags and simple values; others have a length.
    Cbor { major: u8, value: u64 },
    /// A piece of an input of several.
    Piece,
}

/// How the length of an element, or the value of a number, is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Form {
    #[default]
    Shortest,
    /// In more bytes than it needs.
    Longer,
    /// With 2^16 added.
    Huge,
    /// With an end mark in place of a length.
    Indefinite,
}

impl Node {
    pub(super) const fn new(kind: Kind, parts: Vec<Self>) -> Self {
        Self { kind, form: Form::Shortest, parts }
    }

    pub(super) fn raw(bytes: &[u8]) -> Self {
        Self::new(Kind::Raw(bytes.to_vec()), Vec::new())
    }
}

/// How many nodes there are.
pub(super) fn count(nodes: &[Node]) -> usize {
    nodes.iter().map(|node| 1 + count(&node.parts)).sum()
}

/// Sees into an input.
pub(super) fn read(bytes: &[u8]) -> Option<Vec<Node>> {
    embedded(bytes, MAX_DEPTH).or_else(|| pieces(bytes))
}

fn pieces(mut bytes: &[u8]) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk()?;
        let (piece, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        nodes.push(Node::new(Kind::Piece, content(piece, MAX_DEPTH)));
        bytes = rest;
    }
    (!nodes.is_empty()).then_some(nodes)
}

/// A whole DER or CBOR container inside of something that holds bytes.
fn embedded(bytes: &[u8], depth: u8) -> Option<Vec<Node>> {
    match bytes {
        // Numbers, strings of bits and bytes, object identifiers, sequences and sets.
        [0x02..=0x04 | 0x06 | 0x30 | 0x31, _, ..] => der(bytes, depth),
        // Arrays, maps and tags.
        [first, _, ..] if matches!(first >> 5, 4..=6) => {
            let (node, rest) = cbor(bytes, depth)?;
            rest.is_empty().then(|| vec![node])
        }
        _ => None,
    }
}

fn content(bytes: &[u8], depth: u8) -> Vec<Node> {
    embedded(bytes, depth).unwrap_or_else(|| vec![Node::raw(bytes)])
}

/// Elements up to the end.
fn der(mut bytes: &[u8], depth: u8) -> Option<Vec<Node>> {
    let depth = depth.checked_sub(1)?;
    let mut nodes = Vec::new();
    while !bytes.is_empty() {
        let (tag, length, rest) = match bytes {
            [tag, length @ 0..=0x7f, rest @ ..] => (*tag, usize::from(*length), rest),
            [tag, 0x81, length, rest @ ..] => (*tag, usize::from(*length), rest),
            [tag, 0x82, high, low, rest @ ..] => (*tag, u16::from_be_bytes([*high, *low]).into(), rest),
            _ => return None,
        };
        let (inside, rest) = rest.split_at_checked(length)?;
        let parts = match (tag, inside) {
            _ if tag & 0x20 != 0 => der(inside, depth).unwrap_or_else(|| vec![Node::raw(inside)]),
            // BIT STRING: the number of unused bits comes first.
            (0x03, [unused, bits @ ..]) => {
                core::iter::once(Node::raw(&[*unused])).chain(content(bits, depth)).collect()
            }
            _ => content(inside, depth),
        };
        nodes.push(Node::new(Kind::Der(tag), parts));
        bytes = rest;
    }
    Some(nodes)
}

/// One item, and what comes after it.
fn cbor(bytes: &[u8], depth: u8) -> Option<(Node, &[u8])> {
    let depth = depth.checked_sub(1)?;
    let (first, rest) = bytes.split_first()?;
    let major = first >> 5;
    let (value, mut rest) = match first & 0x1f {
        small @ 0..=23 => (u64::from(small), rest),
        24 => rest.split_first().map(|(byte, rest)| (u64::from(*byte), rest))?,
        25 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u16::from_be_bytes(*bytes)), rest))?,
        26 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from(u32::from_be_bytes(*bytes)), rest))?,
        27 => rest.split_first_chunk().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))?,
        _ => return None,
    };
    let length = usize::try_from(value).ok()?;
    let mut parts = Vec::new();
    match major {
        2 | 3 => {
            let (inside, after) = rest.split_at_checked(length)?;
            parts = if major == 2 { content(inside, depth) } else { vec![Node::raw(inside)] };
            rest = after;
        }
        4..=6 => {
            let items = [length, length.checked_mul(2)?, 1];
            for _ in 0..items[usize::from(major - 4)] {
                let (node, after) = cbor(rest, depth)?;
                parts.push(node);
                rest = after;
            }
        }
        // Floating-point numbers are as long as they are.
        7 if value > 23 => return None,
        _ => {}
    }
    Some((Node::new(Kind::Cbor { major, value }, parts), rest))
}

/// The tree as bytes.
pub(super) fn write(nodes: &[Node]) -> Vec<u8> {
    nodes.iter().flat_map(one).collect()
}

fn one(node: &Node) -> Vec<u8> {
    let inside = write(&node.parts);
    let (head, end): (Vec<u8>, &[u8]) = match node.kind {
        Kind::Raw(ref bytes) => return bytes.clone(),
        Kind::Piece => (u16::try_from(inside.len()).unwrap_or(u16::MAX).to_be_bytes().to_vec(), &[]),
        Kind::Der(tag) => der_head(tag, inside.len(), node.form),
        Kind::Cbor { major, value } => {
            let length = match major {
                2 | 3 => inside.len() as u64,
                4 => node.parts.len() as u64,
                5 => node.parts.len().div_ceil(2) as u64,
                _ => value,
            };
            cbor_head(major, length, node.form)
        }
    };
    [&head, inside.as_slice(), end].concat()
}

fn der_head(tag: u8, length: usize, form: Form) -> (Vec<u8>, &'static [u8]) {
    let length = if form == Form::Huge { length + 0x1_0000 } else { length };
    let bytes = length.to_be_bytes();
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let long = |from: usize| {
        let bytes = &bytes[from.min(bytes.len() - 1)..];
        let mut head = vec![tag, 0x80 | bytes.len().to_be_bytes()[7]];
        head.extend(bytes);
        head
    };
    match form {
        Form::Indefinite => (vec![tag, 0x80], &[0, 0]),
        Form::Shortest if length < 0x80 => (vec![tag, bytes[7]], &[]),
        Form::Longer if length >= 0x80 => (long(zeros - 1), &[]),
        _ => (long(zeros), &[]),
    }
}

fn cbor_head(major: u8, value: u64, form: Form) -> (Vec<u8>, &'static [u8]) {
    let initial = major << 5;
    let value = if form == Form::Huge { value.saturating_add(0x1_0000) } else { value };
    let shortest = match value {
        0..24 => 0_u8,
        24..0x100 => 1,
        0x100..0x1_0000 => 2,
        0x1_0000..0x1_0000_0000 => 3,
        _ => 4,
    };
    let size = if form == Form::Longer { (shortest + 1).min(4) } else { shortest };
    let bytes = value.to_be_bytes();
    match (form, size) {
        // Only strings, arrays and maps have an indefinite form.
        (Form::Indefinite, _) if (2..=5).contains(&major) => (vec![initial | 31], &[0xff]),
        (_, 0) => (vec![initial | bytes[7]], &[]),
        _ => ([&[initial | (23 + size)], &bytes[8 - (1 << (size - 1))..]].concat(), &[]),
    }
}
