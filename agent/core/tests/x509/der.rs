//! DER as a tree, to change single elements in.

/// An element. OCTET STRINGs that hold DER are opened too, as extensions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    tag: u8,
    content: Content,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Nodes(Vec<Node>),
}

impl Node {
    /// Reads exactly one element.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut nodes = parse_all(bytes).unwrap();
        assert_eq!(nodes.len(), 1);
        nodes.remove(0)
    }

    pub(crate) fn primitive(tag: u8, content: &[u8]) -> Self {
        Self { tag, content: Content::Bytes(content.to_vec()) }
    }

    pub(crate) fn children_mut(&mut self) -> &mut Vec<Self> {
        match &mut self.content {
            Content::Nodes(nodes) => nodes,
            Content::Bytes(_) => panic!("an element without children"),
        }
    }

    /// Follows a path of places down.
    pub(crate) fn at_mut(&mut self, path: &[usize]) -> &mut Self {
        path.iter().fold(self, |node, place| &mut node.children_mut()[*place])
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let content = match &self.content {
            Content::Bytes(bytes) => bytes.clone(),
            Content::Nodes(nodes) => nodes.iter().flat_map(Self::encode).collect(),
        };
        let length = content.len();
        let mut bytes = match length {
            0..0x80 => vec![self.tag, u8::try_from(length).unwrap()],
            0x80..0x100 => vec![self.tag, 0x81, u8::try_from(length).unwrap()],
            _ => {
                let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
                vec![self.tag, 0x82, high, low]
            }
        };
        bytes.extend(content);
        bytes
    }

    /// The paths to this element and to all below it.
    pub(crate) fn paths(&self) -> Vec<Vec<usize>> {
        let mut paths = vec![Vec::new()];
        if let Content::Nodes(nodes) = &self.content {
            for (place, node) in nodes.iter().enumerate() {
                paths.extend(node.paths().into_iter().map(|below| [vec![place], below].concat()));
            }
        }
        paths
    }

    /// The extension with this identifier (content of its OID) in a certificate: its elements.
    pub(crate) fn extension_mut(&mut self, id: &[u8]) -> &mut Vec<Self> {
        let wanted = Self::primitive(0x06, id);
        self.extensions_mut().iter_mut().map(Self::children_mut).find(|parts| parts[0] == wanted).unwrap()
    }

    /// All extensions of a certificate.
    pub(crate) fn extensions_mut(&mut self) -> &mut Vec<Self> {
        self.at_mut(&[0]).children_mut().last_mut().unwrap().at_mut(&[0]).children_mut()
    }
}

fn parse_all(mut bytes: &[u8]) -> Option<Vec<Node>> {
    let mut nodes = Vec::new();
    while let [tag, first, rest @ ..] = bytes {
        let (length, rest) = match (*first, rest) {
            (length @ 0..=0x7f, rest) => (usize::from(length), rest),
            (0x81, [length, rest @ ..]) => (usize::from(*length), rest),
            (0x82, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        let nested = match tag {
            tag if tag & 0x20 != 0 => Some(parse_all(content)?),
            0x04 => parse_all(content).filter(|nodes| !nodes.is_empty()),
            _ => None,
        };
        let content = nested.map_or_else(|| Content::Bytes(content.to_vec()), Content::Nodes);
        nodes.push(Node { tag: *tag, content });
        bytes = rest;
    }
    bytes.is_empty().then_some(nodes)
}
