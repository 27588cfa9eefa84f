//! The revocation list of a new root. Verifiers that check every CA of a chain let nobody in below a root that has none:
//! it is in its place before a rollover begins, and is looked at again before the new CA signs.

use std::path::{Path, PathBuf};

use shared::UnixTime;

use super::folder::{self, Part};
use super::make::StartError;
use super::plan::Plan;
use crate::ceremony::{CeremonyError, HeldList, ROOT_CERTIFICATE, newest_list};
use crate::files;
use crate::tls_files::Owner;

/// Why the revocation list of a new root does not do.
#[derive(Debug, thiserror::Error)]
pub enum NewRootListError {
    /// There is none.
    #[error(
        "{}: the revocation list of the new root is missing; verifiers that check every CA of a chain (nginx, HAProxy, \
         Envoy) would let nobody in. Make it where the root's key is (`ca root-crl`; with --first where the root never \
         had one), and put it there, or give it to `ca rollover start` by --root-crl", path.display()
    )]
    Missing {
        /// Where it has to be.
        path: PathBuf,
    },
    /// It has run out.
    #[error(
        "{}: the revocation list of the new root ran out at {ended}; make the next one where the root's key is \
         (`ca root-crl`), and put it there", path.display()
    )]
    RanOut {
        /// The list.
        path: PathBuf,
        /// When it ran out.
        ended: UnixTime,
    },
    /// The new root has taken the new issuing CA back.
    #[error("{}: the new root has revoked {ca}; have another issuing CA signed", path.display())]
    Revoked {
        /// The list.
        path: PathBuf,
        /// The new issuing CA's subject.
        ca: String,
    },
    /// It cannot be read, or is another root's.
    #[error(transparent)]
    List(#[from] CeremonyError),
}

/// Checks that the list of the new root, if there is a new root, is at `place` and good.
pub(super) fn check(place: &Path, plan: &Plan, now: UnixTime) -> Result<(), NewRootListError> {
    find(place, plan, None, now).map(|_| ())
}

/// As [`check`]; puts the list there that was `brought` along, where it is newer than the one that is there.
pub(super) fn bring(
    place: &Path,
    plan: &Plan,
    brought: Option<&Path>,
    now: UnixTime,
) -> Result<(), StartError> {
    let (Some(root), Some(HeldList { der, is_new: true, .. })) =
        (&plan.root, find(place, plan, brought, now)?)
    else {
        return Ok(());
    };
    let folder = place.parent().unwrap_or_else(|| Path::new(""));
    let failed = |source| StartError::Unwritable { path: place.to_owned(), source };
    if !folder.try_exists().map_err(failed)? {
        // With its certificate, so that whoever finds it knows whose it is.
        let name = place.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let parts = vec![(ROOT_CERTIFICATE, Part::Certificate(root.clone())), (name, Part::List(der))];
        return folder::write(folder, parts, false, None);
    }
    let owner = Owner::of_folder(place).map_err(failed)?;
    files::replace_for(place, ca::pem::crl(&der).as_bytes(), 0o644, owner).map_err(failed)
}

/// `None` where the root stays.
fn find(
    place: &Path,
    plan: &Plan,
    brought: Option<&Path>,
    now: UnixTime,
) -> Result<Option<HeldList>, NewRootListError> {
    let Some(root) = &plan.root else { return Ok(None) };
    let path = place.to_owned();
    let Some(held) = newest_list(place, brought, root)? else {
        return Err(NewRootListError::Missing { path });
    };
    if held.list.next_update() <= now {
        return Err(NewRootListError::RanOut { path, ended: held.list.next_update() });
    }
    if held.list.revokes(&plan.issuing.serial()) {
        return Err(NewRootListError::Revoked { path, ca: plan.issuing.subject().to_owned() });
    }
    Ok(Some(held))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::Arc;

    use ca::crl::Reason;

    use super::super::crash_tests::{options, server};
    use super::super::{Lineup, Order, OrderError, OrderOptions, SignerOptions, start, take};
    use super::NewRootListError;
    use crate::ceremony::{CeremonyError, ListOptions, list};
    use crate::clock::{Clock as _, SystemClock};
    use crate::startup::open_admin;

    /// As where it was begun by a version that made no list, or where the file is lost.
    #[tokio::test]
    async fn the_new_ca_does_not_sign_before_its_root_has_a_good_list() {
        let folder = tempfile::tempdir().unwrap();
        let config = server(folder.path());
        let (admin, now) = (open_admin(&config, Arc::new(SystemClock)).unwrap(), SystemClock.now());
        let store = admin.store().as_ref();
        let started = start(&config, store, &options(true), now).await.unwrap();
        let (home, place) = (started.folder.unwrap(), started.root_list.unwrap());
        let switch_at = async |at| {
            let options =
                OrderOptions { order: Order::Switch, force: true, signer: SignerOptions::default() };
            match take(&config, store, &options, at).await {
                Err(OrderError::RootList(error)) => Err(error),
                other => Ok(other.unwrap()),
            }
        };
        let switch = async || switch_at(now).await;
        let day = Duration::from_secs(86_400);
        let make = |first, revoke| {
            let options =
                ListOptions { root: home.clone(), first, revoke, reason: Reason::KeyCompromise, valid: day };
            list(&options, |_| unreachable!(), now)
        };

        let made = std::fs::read(&place).unwrap();
        std::fs::remove_file(&place).unwrap();
        let told = switch().await.unwrap_err();
        assert!(matches!(told, NewRootListError::Missing { .. }), "{told}");
        assert!(told.to_string().contains("root-crl"), "{told}");
        assert!(matches!(make(false, vec![]), Err(CeremonyError::ListMissing { .. })));
        make(true, vec![]).unwrap();
        assert!(matches!(switch_at(now.after(day)).await, Err(NewRootListError::RanOut { .. })));
        assert!(
            matches!(make(true, vec![]), Err(CeremonyError::Exists { .. })),
            "it would forget what was revoked"
        );
        make(false, vec![home.join("issuing-ca.crt")]).unwrap();
        assert!(matches!(switch().await, Err(NewRootListError::Revoked { .. })));
        std::fs::copy(&config.files.root_crl, &place).unwrap();
        assert!(matches!(switch().await, Err(NewRootListError::List(_))), "it is another root's");
        std::fs::write(&place, made).unwrap();
        assert_eq!(switch().await.unwrap(), 0);

        // The settings may name the new root by now: then its list is where they say.
        let rollovers = store.rollovers().await.unwrap();
        let places = |config| {
            let lineup = Lineup::of(config, &rollovers).unwrap();
            lineup.roots.into_iter().map(|root| root.list).collect::<Vec<_>>()
        };
        assert_eq!(places(&config), [place, config.files.root_crl.clone()]);
        let mut named = config.clone();
        named.files.root_certificate = home.join("root-ca.crt");
        assert_eq!(places(&named), [config.files.root_crl]);
        admin.close().await.unwrap();
    }
}
