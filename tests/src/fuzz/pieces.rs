//! Several byte strings in one input: each with its length in two bytes before it.

/// Puts `pieces` into one input.
///
/// # Panics
/// Where a piece is longer than 65535 bytes.
#[must_use]
pub fn join(pieces: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces {
        out.extend(u16::try_from(piece.len()).expect("a piece is too long").to_be_bytes());
        out.extend_from_slice(piece);
    }
    out
}

/// Takes an input apart. A length beyond the end means the rest, so that no input is without use.
#[must_use]
pub fn split(mut data: &[u8]) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    while let [high, low, rest @ ..] = data {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        data = after;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::{join, split};

    #[test]
    fn pieces_come_out_as_they_went_in() {
        let pieces: [&[u8]; 3] = [b"abc", b"", &[7; 300]];
        assert_eq!(split(&join(&pieces)), pieces);
        assert_eq!(split(&[0, 9, 1]), [[1]]);
        assert!(split(&[0]).is_empty());
    }
}
