//! TLS_AES_128_GCM_SHA256 with a look at what was decrypted, before embedded-tls acts on it.
//!
//! Once a session is open, embedded-tls panics on any handshake message but NewSessionTicket, and reads on and
//! on over empty records. In the handshake it reads on behind Finished, so that a server may prove who it is after
//! the handshake has ended, does not look at the length of a message, and takes EncryptedExtensions anywhere, more
//! than once or not at all. A record guard cannot see those, because they are encrypted; the cipher can. So the
//! suite's cipher is AES-128-GCM that refuses such content as if it were forged.
//!
//! The cipher has no state and learns from the record header where the connection is: the guard puts a mark into its
//! version field, which carries no information otherwise (RFC 8446, section 5.1), and the cipher authenticates the
//! header that was really received.
//!
//! CertificateRequest is not looked at: a server that has shown its certificate may ask for ours late or twice.

use aes_gcm::aead::consts::{U0, U12, U16};
use aes_gcm::aead::{AeadCore, AeadInPlace, Error, KeyInit, KeySizeUser, Nonce, Tag};
use aes_gcm::{Aes128Gcm, Key};
use embedded_tls::{Aes128GcmSha256, TlsCipherSuite};

use super::guard::{FIRST_MARK, OPEN_MARK};

/// The one cipher suite that is offered.
#[derive(Clone, Copy, Debug)]
pub struct InspectedAes128GcmSha256;

impl TlsCipherSuite for InspectedAes128GcmSha256 {
    const CODE_POINT: u16 = <Aes128GcmSha256 as TlsCipherSuite>::CODE_POINT;
    type Cipher = InspectedAes128Gcm;
    type KeyLen = <Aes128GcmSha256 as TlsCipherSuite>::KeyLen;
    type IvLen = <Aes128GcmSha256 as TlsCipherSuite>::IvLen;
    type Hash = <Aes128GcmSha256 as TlsCipherSuite>::Hash;
    type LabelBufferSize = <Aes128GcmSha256 as TlsCipherSuite>::LabelBufferSize;
}

/// AES-128-GCM that refuses content which the library cannot take.
pub struct InspectedAes128Gcm(Aes128Gcm);

impl KeySizeUser for InspectedAes128Gcm {
    type KeySize = U16;
}

impl KeyInit for InspectedAes128Gcm {
    fn new(key: &Key<Aes128Gcm>) -> Self {
        Self(Aes128Gcm::new(key))
    }
}

impl AeadCore for InspectedAes128Gcm {
    type NonceSize = U12;
    type TagSize = U16;
    type CiphertextOverhead = U0;
}

impl AeadInPlace for InspectedAes128Gcm {
    fn encrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        associated_data: &[u8],
        buffer: &mut [u8],
    ) -> Result<Tag<Self>, Error> {
        self.0.encrypt_in_place_detached(nonce, associated_data, buffer)
    }

    fn decrypt_in_place_detached(
        &self,
        nonce: &Nonce<Self>,
        associated_data: &[u8],
        buffer: &mut [u8],
        tag: &Tag<Self>,
    ) -> Result<(), Error> {
        let &[kind, major, mark, high, low] = associated_data else { return Err(Error) };
        let version = if matches!(mark, OPEN_MARK | FIRST_MARK) { 3 } else { mark };
        self.0.decrypt_in_place_detached(nonce, &[kind, major, version, high, low], buffer, tag)?;
        let taken = match mark {
            OPEN_MARK => fits_session(buffer),
            _ => fits_handshake(buffer, mark == FIRST_MARK),
        };
        if taken { Ok(()) } else { Err(Error) }
    }
}

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const NEW_SESSION_TICKET: u8 = 4;
const ENCRYPTED_EXTENSIONS: u8 = 8;
const FINISHED: u8 = 20;

/// Whether the library can take this TLSInnerPlaintext (RFC 8446, section 5.2) in an open session.
pub(super) fn fits_session(inner: &[u8]) -> bool {
    match split(inner) {
        Some((content, APPLICATION_DATA)) => !content.is_empty(),
        Some((content, ALERT)) => content.len() == 2,
        Some((content, HANDSHAKE)) => are_whole_messages(content, |kind, _place| kind == NEW_SESSION_TICKET),
        _ => false,
    }
}

/// The same in the handshake, where it may be the `first` record that is encrypted: EncryptedExtensions is its first
/// message and stands nowhere else (section 4.3.1), and nothing stands behind Finished (section 5.1: messages must not
/// span a change of keys).
pub(super) fn fits_handshake(inner: &[u8], first: bool) -> bool {
    let fits = |kind, place: Place| {
        (kind == ENCRYPTED_EXTENSIONS) == (first && place.first) && (kind != FINISHED || place.last)
    };
    match split(inner) {
        Some((content, ALERT)) => content.len() == 2,
        Some((content, HANDSHAKE)) => are_whole_messages(content, fits),
        _ => false,
    }
}

/// Where a message stands in its record.
#[derive(Clone, Copy)]
struct Place {
    first: bool,
    last: bool,
}

/// Content and content type, without padding.
fn split(inner: &[u8]) -> Option<(&[u8], u8)> {
    let end = inner.iter().rposition(|byte| *byte != 0)?;
    let (kind, content) = inner.get(..=end)?.split_last()?;
    Some((content, *kind))
}

/// Whether these are whole handshake messages (RFC 8446, section 4), at least one, and each is `allowed`: its type,
/// and its place.
fn are_whole_messages(mut content: &[u8], allowed: impl Fn(u8, Place) -> bool) -> bool {
    let mut first = true;
    loop {
        let Some((&[kind, a, b, c], rest)) = content.split_first_chunk() else { return false };
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        let Some((_, rest)) = rest.split_at_checked(length) else { return false };
        if !allowed(kind, Place { first, last: rest.is_empty() }) {
            return false;
        }
        if rest.is_empty() {
            return true;
        }
        (first, content) = (false, rest);
    }
}

#[cfg(test)]
mod tests {
    use super::{fits_handshake, fits_session};

    #[test]
    fn data_alerts_and_tickets_pass_padded_or_not() {
        assert!(fits_session(&[b'x', 23]));
        assert!(fits_session(&[b'x', 23, 0, 0, 0]));
        assert!(fits_session(&[1, 0, 21]));
        assert!(fits_session(&[4, 0, 0, 2, 9, 9, 4, 0, 0, 0, 22, 0]));
    }

    #[test]
    fn what_would_panic_or_loop_is_refused() {
        for inner in [
            &[][..],
            &[0, 0, 0],
            &[23],
            &[23, 0, 0],
            &[22],
            // EncryptedExtensions, Certificate, Finished, KeyUpdate.
            &[8, 0, 0, 2, 0, 0, 22],
            &[11, 0, 0, 1, 0, 22],
            &[20, 0, 0, 0, 22],
            &[24, 0, 0, 1, 0, 22],
            // A ticket and something behind it, a cut ticket, half a header.
            &[4, 0, 0, 0, 8, 0, 0, 0, 22],
            &[4, 0, 0, 5, 1, 22],
            &[4, 0, 22],
            &[1, 0, 0, 21],
            &[1, 20],
        ] {
            assert!(!fits_session(inner), "{inner:?}");
        }
    }

    #[test]
    fn a_handshake_is_whole_messages_with_finished_last() {
        assert!(fits_handshake(&[8, 0, 0, 2, 0, 0, 20, 0, 0, 1, 9, 22], true));
        assert!(fits_handshake(&[8, 0, 0, 2, 0, 0, 22, 0, 0], true));
        assert!(fits_handshake(&[20, 0, 0, 1, 9, 22], false));
        assert!(fits_handshake(&[2, 40, 21], true) && fits_handshake(&[2, 40, 21], false));
        assert!(!fits_handshake(&[22], true) && !fits_handshake(&[22], false));
        for inner in [
            &[][..],
            &[0, 0],
            &[b'x', 23],
            &[1, 20],
            &[2, 21],
            // Something behind Finished, a second Finished, a cut message, half a header.
            &[20, 0, 0, 1, 9, 11, 0, 0, 0, 22],
            &[20, 0, 0, 1, 9, 20, 0, 0, 1, 9, 22],
            &[11, 0, 0, 3, 0, 0, 22],
            &[11, 0, 0, 2, 0, 0, 15, 0, 22],
        ] {
            assert!(!fits_handshake(inner, false), "{inner:?}");
            let behind = [&[8, 0, 0, 2, 0, 0], inner].concat();
            assert!(!fits_handshake(&behind, true), "{behind:?}");
        }
    }

    #[test]
    fn a_flight_begins_with_the_extensions_and_has_them_once() {
        let (extensions, other) = ([8, 0, 0, 2, 0, 0], [13, 0, 0, 1, 0]);
        let of = |messages: &[&[u8]]| [&messages.concat()[..], &[22]].concat();
        for (messages, first, fits) in [
            (&[&extensions[..], &other][..], true, true),
            (&[&other[..]], false, true),
            (&[&other[..]], true, false),
            (&[&other[..], &extensions], true, false),
            (&[&extensions[..], &extensions], true, false),
            (&[&extensions[..]], false, false),
            (&[&other[..], &extensions], false, false),
        ] {
            assert_eq!(fits_handshake(&of(messages), first), fits, "{messages:?} {first}");
        }
    }
}
