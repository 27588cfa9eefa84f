//! Makers' revocation lists, for the operator: taking one in, and telling which are held.

use std::sync::Arc;

use appraisal::maker_crl::{CrlError, MAX_CRL};
use appraisal::{MakerCa, MakerCrl};
use serde::Serialize;
use shared::UnixTime;

use crate::admin::AdminError;
use crate::store::{CrlStored, Maker, Sha256, Store, StoreError, StoredCrl};

/// Longest file with a revocation list: PEM takes four bytes for three, and line ends.
pub const MAX_CRL_FILE: usize = MAX_CRL / 2 * 3;

/// Why a maker's revocation list was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportCrlError {
    /// The file holds none, or several.
    #[error("this file does not hold one revocation list, in PEM or DER")]
    NotACrl,
    /// A file of certificates holds none.
    #[error("a file given with --ca holds no certificates, in PEM or DER")]
    NotCertificates,
    /// It cannot be believed.
    #[error("the revocation list is not believed")]
    Crl(#[from] CrlError),
    /// It is not in force yet.
    #[error("the list begins {begins}; check this machine's clock")]
    Early {
        /// When it was made.
        begins: UnixTime,
    },
    /// A newer one was due before now.
    #[error("the list ended {ended}; get the maker's current one")]
    Ended {
        /// When the next one was due.
        ended: UnixTime,
    },
    /// A list with this number or a higher one is held.
    #[error("list {found} is older than the one that is held, {held}; nothing was changed")]
    Older {
        /// Its number.
        found: String,
        /// The number of the one that is held.
        held: String,
    },
}

/// A revocation list that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldCrl {
    /// Name of the maker.
    pub maker: String,
    /// Name of the CA that issued it.
    pub issuer: String,
    /// The CRL number, in hexadecimal.
    pub number: String,
    /// How many certificates it revokes.
    pub revoked: usize,
    /// When it was made.
    pub this_update: String,
    /// When the next one is due.
    pub next_update: String,
    /// Whether it is in force now.
    pub current: bool,
}

/// What of a file of certificates, or of a list.
pub(crate) struct CrlFile<'a> {
    pub(crate) crl: &'a [u8],
    pub(crate) chain: &'a [Vec<u8>],
}

/// Takes a list in, for the maker with this name or fingerprint.
pub(crate) async fn import(
    store: &Arc<dyn Store>,
    maker: &str,
    file: CrlFile<'_>,
    now: UnixTime,
) -> Result<HeldCrl, AdminError> {
    let der = ca::pem::read_crl(file.crl).map_err(|_| ImportCrlError::NotACrl)?;
    let mut chain = Vec::new();
    for certificates in file.chain {
        let read = ca::pem::read_certificates(certificates);
        chain.extend(read.map_err(|_| ImportCrlError::NotCertificates)?);
    }
    let of = named(store.makers().await?, maker)?;
    let (ca, crl, chain) = believe(&der, &chain, &of)?;
    if now < crl.this_update() {
        return Err(ImportCrlError::Early { begins: crl.this_update() }.into());
    }
    if now > crl.next_update() {
        return Err(ImportCrlError::Ended { ended: crl.next_update() }.into());
    }
    let stored = StoredCrl {
        issuer: *crl.issuer(),
        maker: ca.maker().fingerprint,
        number: *crl.number(),
        added: now,
        chain: ca::pem::chain(chain),
        der,
    };
    match store.put_maker_crl(stored, now).await? {
        CrlStored::Stored | CrlStored::Unchanged => Ok(held(&crl, ca, now)),
        CrlStored::Older { held } => {
            let held = hex::encode(held).trim_start_matches('0').to_owned();
            Err(ImportCrlError::Older { found: crl.number_text(), held }.into())
        }
    }
}

/// The lists that are held.
pub(crate) async fn list(store: &Arc<dyn Store>, now: UnixTime) -> Result<Vec<HeldCrl>, AdminError> {
    let damaged = || StoreError::Damaged { field: "maker_crl" };
    let makers = store.makers().await?;
    let mut lists = Vec::new();
    for stored in store.maker_crls().await? {
        let maker = makers.iter().find(|maker| maker.sha256 == stored.maker).ok_or_else(damaged)?;
        let ca = MakerCa::new(&maker.name, &maker.der).map_err(|_| damaged())?;
        let chain = ca::pem::read_certificates(stored.chain.as_bytes()).unwrap_or_default();
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        lists.push(held(&MakerCrl::new(&stored.der, &chain, &ca).map_err(|_| damaged())?, &ca, now));
    }
    Ok(lists)
}

fn held(crl: &MakerCrl, ca: &MakerCa, now: UnixTime) -> HeldCrl {
    HeldCrl {
        maker: ca.maker().name.clone(),
        issuer: crl.issuer_name().to_owned(),
        number: crl.number_text(),
        revoked: crl.revoked(),
        this_update: crl.this_update().to_string(),
        next_update: crl.next_update().to_string(),
        current: crl.is_current(now),
    }
}

/// The CAs of the maker with this name, or the one with this fingerprint.
fn named(makers: Vec<Maker>, name: &str) -> Result<Vec<MakerCa>, AdminError> {
    let fits = |sha256: &Sha256| hex::encode(sha256).eq_ignore_ascii_case(name);
    let of: Vec<_> = makers.into_iter().filter(|maker| maker.name == name || fits(&maker.sha256)).collect();
    if of.is_empty() {
        return Err(AdminError::NotFound { what: "maker", name: name.to_owned() });
    }
    let cas: Result<Vec<_>, _> = of.iter().map(|maker| MakerCa::new(&maker.name, &maker.der)).collect();
    Ok(cas.map_err(|_| StoreError::Damaged { field: "maker" })?)
}

/// The first of a maker's CAs that the list leads to, with the part of the chain that it takes.
fn believe<'c>(
    der: &[u8],
    chain: &'c [Vec<u8>],
    cas: &'c [MakerCa],
) -> Result<(&'c MakerCa, MakerCrl, Vec<&'c [u8]>), ImportCrlError> {
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let mut why = CrlError::OtherIssuer;
    for ca in cas {
        match MakerCrl::new(der, &chain, ca) {
            Ok(crl) => return Ok((ca, crl, chain)),
            // That another CA of the maker did not issue it says least.
            Err(CrlError::OtherIssuer) => {}
            Err(error) => why = error,
        }
    }
    Err(why.into())
}
