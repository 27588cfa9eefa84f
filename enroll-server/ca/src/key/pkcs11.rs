//! A key in a PKCS#11 token: a hardware security module, or SoftHSM.
//!
//! The key never leaves the token; what comes back from it is verified before anybody sees it. A session that the
//! token lost (a restart, a plug pulled and put back) is opened again once per signature. Makes no keys.

use core::fmt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error as TokenError, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::types::AuthPin;

use super::uri::Pkcs11Uri;
use super::{IssuerKey, KeyError};
use crate::der;
use crate::secret::read_secret;

/// A P-256 key in a token.
pub struct Pkcs11Key {
    uri: Pkcs11Uri,
    module: Pkcs11,
    point: [u8; 65],
    session: Mutex<Option<Opened>>,
}

/// A session that is logged in, and the key in it.
struct Opened {
    session: Session,
    key: ObjectHandle,
}

impl Pkcs11Key {
    /// Opens the token, finds the key and reads its public half.
    ///
    /// # Errors
    /// Where module, token, PIN or key is missing, or the key is not on P-256, or is not the only one that fits.
    pub fn open(uri: Pkcs11Uri) -> Result<Self, KeyError> {
        let module = Pkcs11::new(&uri.module).map_err(unavailable)?;
        let opened = open(&module, &uri)?;
        let point = public_point(&opened.session, &uri)?;
        Ok(Self { uri, module, point, session: Mutex::new(Some(opened)) })
    }

    /// One signature in the session that is open, or in a new one.
    fn sign_once(&self, held: &mut Option<Opened>, hash: &[u8]) -> Result<Vec<u8>, KeyError> {
        let opened = match held {
            Some(opened) => opened,
            None => held.insert(open(&self.module, &self.uri)?),
        };
        opened.session.sign(&Mechanism::Ecdsa, opened.key, hash).map_err(unavailable)
    }
}

impl IssuerKey for Pkcs11Key {
    fn public_point(&self) -> &[u8; 65] {
        &self.point
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let hash = digest(&SHA256, message);
        let mut held = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let signature = match self.sign_once(&mut held, hash.as_ref()) {
            Ok(signature) => signature,
            Err(error) => {
                tracing::warn!(%error, token = self.uri.token, "the token did not sign; its session is opened again");
                // Dropped before the new one: some tokens allow one session only.
                *held = None;
                self.sign_once(&mut held, hash.as_ref()).inspect_err(|_| *held = None)?
            }
        };
        drop(held);
        // A token that signs something else, or badly, is noticed here and not by a million devices.
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point);
        public.verify(message, &signature).map_err(|_| KeyError::Signing)?;
        der::ecdsa_signature(&signature).ok_or(KeyError::Signing)
    }
}

impl fmt::Debug for Pkcs11Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pkcs11Key({:?} in token {:?})", self.uri.object, self.uri.token)
    }
}

fn open(module: &Pkcs11, uri: &Pkcs11Uri) -> Result<Opened, KeyError> {
    match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        // It was before, by this key or by another one in this process.
        Ok(()) | Err(TokenError::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
        Err(error) => return Err(unavailable(error)),
    }
    let mut slot = None;
    for candidate in module.get_slots_with_initialized_token().map_err(unavailable)? {
        let token = module.get_token_info(candidate).map_err(unavailable)?;
        if token.label().trim_end() == uri.token && slot.replace(candidate).is_some() {
            return Err(KeyError::Ambiguous { what: "token", name: uri.token.clone() });
        }
    }
    let slot = slot.ok_or_else(|| KeyError::NotThere { what: "token", name: uri.token.clone() })?;
    let session = module.open_ro_session(slot).map_err(unavailable)?;
    if let Some(path) = &uri.pin_file {
        let pin = read_pin(path)?;
        match session.login(UserType::User, Some(&pin)) {
            // A login holds for all sessions of a process with one token.
            Ok(()) | Err(TokenError::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(error) => return Err(unavailable(error)),
        }
    }
    let key = find(&session, uri, ObjectClass::PRIVATE_KEY)?;
    Ok(Opened { session, key })
}

fn find(session: &Session, uri: &Pkcs11Uri, class: ObjectClass) -> Result<ObjectHandle, KeyError> {
    let mut wanted = vec![Attribute::Class(class), Attribute::KeyType(KeyType::EC)];
    wanted.extend(uri.object.as_ref().map(|label| Attribute::Label(label.as_bytes().to_vec())));
    wanted.extend(uri.id.as_ref().map(|id| Attribute::Id(id.clone())));
    let name = || uri.object.clone().unwrap_or_else(|| "by its id".into());
    match session.find_objects(&wanted).map_err(unavailable)?.as_slice() {
        [key] => Ok(*key),
        [] => Err(KeyError::NotThere { what: "key", name: name() }),
        _ => Err(KeyError::Ambiguous { what: "key", name: name() }),
    }
}

/// The point is read from the public key object that lies beside the private one: CKA_EC_POINT is a DER OCTET
/// STRING (PKCS#11 3.1, section 6.3.3), on some tokens the bare point.
fn public_point(session: &Session, uri: &Pkcs11Uri) -> Result<[u8; 65], KeyError> {
    let key = find(session, uri, ObjectClass::PUBLIC_KEY)?;
    let wanted = [AttributeType::EcParams, AttributeType::EcPoint];
    let mut point = None;
    for attribute in session.get_attributes(key, &wanted).map_err(unavailable)? {
        match attribute {
            Attribute::EcParams(curve) if curve != der::OID_P256 => return Err(KeyError::Malformed),
            Attribute::EcPoint(bytes) => {
                let bare = bytes.strip_prefix(&[0x04, 65]).unwrap_or(&bytes);
                point = <[u8; 65]>::try_from(bare).ok().filter(|point| point.first() == Some(&4));
            }
            _ => {}
        }
    }
    point.ok_or(KeyError::Malformed)
}

fn read_pin(path: &Path) -> Result<AuthPin, KeyError> {
    let text = read_secret(path)?;
    Ok(AuthPin::from(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn unavailable(error: TokenError) -> KeyError {
    KeyError::Unavailable(Box::new(error))
}
