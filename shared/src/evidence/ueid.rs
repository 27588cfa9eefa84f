//! The UEID of a device that has no key of its own to derive one from.

use sha2::{Digest as _, Sha256};

use super::Ueid;
use crate::DeviceId;

/// The UEID of a device that is known by its name alone, because the key it attests with is a symmetric one or is
/// shared by a batch: type RAND (RFC 9711, section 4.2.1), 0x01 and SHA-256 over the identifier's text.
#[must_use]
pub fn ueid_of_name(device: &DeviceId) -> Ueid {
    let mut ueid = [0x01; 33];
    for (to, from) in ueid.iter_mut().skip(1).zip(Sha256::digest(device.as_str())) {
        *to = from;
    }
    ueid
}

#[cfg(test)]
mod tests {
    use super::ueid_of_name;
    use crate::DeviceId;

    /// "abc" is the first example of FIPS 180-4 for SHA-256.
    #[test]
    fn the_hash_is_over_the_text() {
        let ueid = ueid_of_name(&DeviceId::new("abc").unwrap());
        let expected = "01ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex::decode(expected).unwrap(), ueid);
    }
}
