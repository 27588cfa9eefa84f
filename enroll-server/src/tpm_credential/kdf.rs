//! The two key derivations of a TPM, with SHA-256 (TPM 2.0 Library, part 1, section 11.4.10).

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

/// Length of a seed: that of a SHA-256 digest.
pub(super) const SEED: usize = 32;

/// KDFa (SP 800-108 in counter mode): at most 32 bytes, which take one round. The second context is never used.
pub(super) fn kdfa<const N: usize>(key: &[u8; SEED], label: &[u8], context: &[u8]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 32, "one round gives 32 bytes") };
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    mac.update(&1_u32.to_be_bytes());
    mac.update(label);
    mac.update(&[0]);
    mac.update(context);
    mac.update(&bits(N));
    take(mac.sign().as_ref())
}

/// KDFe (SP 800-56A, single step): a seed out of the x coordinate of a shared point. `label` ends with a zero.
pub(super) fn kdfe(shared_x: &[u8], label: &[u8], party_u: &[u8], party_v: &[u8]) -> Zeroizing<[u8; SEED]> {
    let mut hash = Context::new(&SHA256);
    hash.update(&1_u32.to_be_bytes());
    for part in [shared_x, label, party_u, party_v] {
        hash.update(part);
    }
    take(hash.finish().as_ref())
}

fn bits(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes * 8).unwrap_or(u32::MAX).to_be_bytes()
}

fn take<const N: usize>(from: &[u8]) -> Zeroizing<[u8; N]> {
    let mut taken = Zeroizing::new([0; N]);
    for (to, from) in taken.iter_mut().zip(from) {
        *to = *from;
    }
    taken
}
