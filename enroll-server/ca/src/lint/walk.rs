//! Walks over DER (X.690): one element after another, each with its shortest length.

/// One element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

impl<'a> Element<'a> {
    /// The first element, and what follows it. `None` where it is not in DER, or has a tag above 30.
    pub(crate) fn first(der: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[tag, length], rest) = der.split_first_chunk()?;
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match length {
            0..=0x7f => (usize::from(length), rest),
            // Up to four bytes of length: the longest that is read here is a revocation list.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
                let length = bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                let is_shortest = length > 0x7f && bytes.first() != Some(&0);
                (Some(length).filter(|_| is_shortest)?, rest)
            }
            _ => return None,
        };
        let (value, after) = rest.split_at_checked(length)?;
        let whole = der.get(..der.len() - after.len())?;
        Some((Self { tag, value, whole }, after))
    }

    /// The one element that `der` is.
    pub(crate) fn only(der: &'a [u8]) -> Option<Self> {
        Self::first(der).filter(|(_, after)| after.is_empty()).map(|(element, _)| element)
    }

    /// The elements in its value, to the end; `None` where there is anything else.
    pub(crate) fn children(&self) -> Option<Vec<Self>> {
        all(self.value)
    }

    /// The elements in its value, where it has this tag.
    pub(super) fn children_of(&self, tag: u8) -> Option<Vec<Self>> {
        (self.tag == tag).then(|| self.children()).flatten()
    }
}

/// The elements that `der` consists of.
pub(super) fn all(mut der: &[u8]) -> Option<Vec<Element<'_>>> {
    let mut elements = Vec::new();
    while !der.is_empty() {
        let (element, after) = Element::first(der)?;
        elements.push(element);
        der = after;
    }
    Some(elements)
}

/// Whether every constructed element holds whole elements, down to `depth`.
pub(super) fn is_well_formed(der: &[u8], depth: usize) -> bool {
    let Some(elements) = all(der) else { return false };
    elements.iter().all(|element| {
        let constructed = element.tag & 0x20 != 0;
        !constructed || (depth > 0 && is_well_formed(element.value, depth - 1))
    })
}

#[cfg(test)]
mod tests {
    use super::{Element, is_well_formed};
    use proptest::prelude::*;

    #[test]
    fn lengths_have_one_form() {
        assert!(Element::only(&[4, 0]).is_some());
        for bad in
            [&[4][..], &[4, 1], &[4, 0x80], &[4, 0x81, 0x7f], &[4, 0x82, 0, 0xff], &[0x1f, 0], &[4, 0, 0]]
                .into_iter()
                .chain([
                    &[4, 0x83, 0, 0xff, 0xff][..],
                    &[4, 0x84, 0xff, 0xff, 0xff, 0xff],
                    &[4, 0x85, 1, 0, 0, 0, 0],
                ])
        {
            assert_eq!(Element::only(bad), None, "{bad:?}");
        }
        let long = [&[4, 0x81, 0x80][..], &[0; 128]].concat();
        assert_eq!(Element::only(&long).unwrap().value.len(), 128);
        let longer = [&[4, 0x83, 1, 0, 0][..], vec![0; 0x1_0000].as_slice()].concat();
        assert_eq!(Element::only(&longer).unwrap().value.len(), 0x1_0000);
        assert!(is_well_formed(&[0x30, 2, 5, 0], 2) && !is_well_formed(&[0x30, 1, 5], 2));
        assert!(!is_well_formed(&[0x30, 2, 0x30, 0], 0));
    }

    proptest! {
        #[test]
        fn never_panics(der in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Some((element, after)) = Element::first(&der) {
                prop_assert_eq!([element.whole, after].concat(), der.clone());
            }
            is_well_formed(&der, 8);
        }
    }
}
