//! DER as a tree that can be changed at any place and written again.

/// A tag with its content.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) tag: u8,
    pub(crate) content: Content,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// Constructed, or an OCTET or BIT STRING that holds DER; the bytes stand before it (unused bits).
    Nodes(Vec<u8>, Vec<Node>),
}

impl Node {
    /// Reads one node; extension values and public keys are opened where they hold DER.
    pub(crate) fn read(der: &[u8]) -> Self {
        let (node, rest) = read(der).unwrap();
        assert!(rest.is_empty());
        node
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Nodes(before, nodes) => nodes.iter().fold(before.clone(), |mut all, node| {
                all.extend(node.write());
                all
            }),
        };
        let mut der = vec![self.tag];
        match content.len() {
            short @ 0..=0x7f => der.push(u8::try_from(short).unwrap()),
            long => {
                der.push(0x82);
                der.extend(u16::try_from(long).unwrap().to_be_bytes());
                if long <= 0xff {
                    der.truncate(1);
                    der.extend([0x81, u8::try_from(long).unwrap()]);
                }
            }
        }
        der.extend(content);
        der
    }

    pub(crate) fn children(&mut self) -> &mut Vec<Self> {
        match &mut self.content {
            Content::Nodes(_, nodes) => nodes,
            Content::Bytes(_) => panic!("a node without children"),
        }
    }

    pub(crate) const fn try_children(&self) -> Option<&Vec<Self>> {
        match &self.content {
            Content::Nodes(_, nodes) => Some(nodes),
            Content::Bytes(_) => None,
        }
    }

    /// How many nodes there are, this one included.
    pub(crate) fn count(&self) -> usize {
        match &self.content {
            Content::Bytes(_) => 1,
            Content::Nodes(_, nodes) => 1 + nodes.iter().map(Self::count).sum::<usize>(),
        }
    }

    /// How deep the `at`-th node lies; this one has depth 0.
    pub(crate) fn depth(&self, at: usize) -> Option<usize> {
        if at == 0 {
            return Some(0);
        }
        let Content::Nodes(_, nodes) = &self.content else { return None };
        let mut left = at - 1;
        for node in nodes {
            if left < node.count() {
                return Some(1 + node.depth(left)?);
            }
            left -= node.count();
        }
        None
    }

    /// The `at`-th node, depth first, to be changed.
    pub(crate) fn nth(&mut self, at: usize) -> Option<&mut Self> {
        if at == 0 {
            return Some(self);
        }
        let Content::Nodes(_, nodes) = &mut self.content else { return None };
        let mut left = at - 1;
        for node in nodes {
            let count = node.count();
            if left < count {
                return node.nth(left);
            }
            left -= count;
        }
        None
    }
}

fn read(der: &[u8]) -> Option<(Node, &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), &rest[1..]),
        0x82 => (usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)), &rest[2..]),
        _ => return None,
    };
    let content = rest.get(..length)?;
    let nodes = match tag {
        _ if tag & 0x20 != 0 => Some((vec![], read_all(content)?)),
        0x04 => read_all(content).filter(|nodes| nodes.len() == 1).map(|nodes| (vec![], nodes)),
        0x03 if content.first() == Some(&0) => {
            read_all(&content[1..]).filter(|nodes| nodes.len() == 1).map(|nodes| (vec![0], nodes))
        }
        _ => None,
    };
    let content = nodes.map_or_else(|| Content::Bytes(content.to_vec()), |(b, n)| Content::Nodes(b, n));
    Some((Node { tag, content }, &rest[length..]))
}

fn read_all(mut der: &[u8]) -> Option<Vec<Node>> {
    let mut nodes = vec![];
    while !der.is_empty() {
        let (node, rest) = read(der)?;
        nodes.push(node);
        der = rest;
    }
    Some(nodes)
}
