//! The confirmation of the CSR's key: the hash of its COSE_Key (RFC 9679).

use sha2::{Digest as _, Sha256};

/// SHA-256 over the COSE_Key of a public key (RFC 9679, section 3).
pub type Thumbprint = [u8; 32];

/// The thumbprint of a P-256 public key, given as an uncompressed point (SEC 1, section 2.3.3: 4, x, y).
///
/// Hashes the deterministic encoding of `{1: 2, -1: 1, -2: x, -3: y}` (RFC 9679, section 4.2).
#[must_use]
pub fn key_thumbprint(point: &[u8; 65]) -> Thumbprint {
    let [_, xy @ ..] = point;
    let (x, y) = xy.split_at(32);
    let mut hash = Sha256::new();
    // kty: EC2; crv: P-256; x: 32 bytes.
    hash.update([0xa4, 0x01, 0x02, 0x20, 0x01, 0x21, 0x58, 0x20]);
    hash.update(x);
    // y: 32 bytes.
    hash.update([0x22, 0x58, 0x20]);
    hash.update(y);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::key_thumbprint;

    /// The example of RFC 9679, section 6.
    #[test]
    fn example_of_the_rfc() {
        let mut point = [4; 65];
        let x = "65eda5a12577c2bae829437fe338701a10aaa375e1bb5b5de108de439c08551d";
        let y = "1e52ed75701163f7f9e40ddf9f341b3dc9ba860af7e0ca7ca7e9eecd0084d19c";
        hex::decode_to_slice(x, &mut point[1..33]).unwrap();
        hex::decode_to_slice(y, &mut point[33..]).unwrap();
        let expected = "496bd8afadf307e5b08c64b0421bf9dc01528a344a43bda88fadd1669da253ec";
        assert_eq!(key_thumbprint(&point).as_slice(), hex::decode(expected).unwrap());
    }
}
