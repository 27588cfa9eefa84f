//! `maker`.

use serde_json::json;

use super::args::Maker;
use super::failure::Failure;
use super::output::Output;
use super::{read, read_bounded};
use crate::admin::Admin;
use crate::maker_crls::MAX_CRL_FILE;

pub(super) async fn run(admin: Admin, command: Maker, output: &Output) -> Result<(), Failure> {
    match command {
        Maker::Add { file, name } => {
            let maker = admin.add_maker_as(&read(&file)?, name.as_deref()).await?;
            output.result(&maker, || {
                format!("Devices of \"{}\" can be appraised ({}).", maker.name, hex::encode(maker.sha256))
            });
        }
        Maker::Crl { maker, file, chain } => {
            let crl = read_bounded(&file, MAX_CRL_FILE)?;
            let chain: Result<Vec<_>, _> =
                chain.iter().map(|path| read_bounded(path, MAX_CHAIN_FILE)).collect();
            let held = admin.import_maker_crl(&maker, &crl, &chain?).await?;
            output.result(&held, || {
                format!(
                    "List {} of {} is in force: it revokes {} certificates. The next one is due {}.",
                    held.number, held.issuer, held.revoked, held.next_update
                )
            });
        }
        Maker::Crls => output.list(
            &admin.maker_crls().await?,
            "There are no revocation lists of makers: take one in with `enroll-server maker crl`.",
            ["Maker", "Issuer", "Number", "Revoked", "Next update", ""],
            |list| {
                let state = if list.current { "" } else { "OVERDUE" };
                let revoked = list.revoked.to_string();
                let (number, next) = (list.number.clone(), list.next_update.clone());
                [list.maker.clone(), list.issuer.clone(), number, revoked, next, state.to_owned()]
            },
        ),
        Maker::ReleaseKey { maker, file } => {
            let pem = read(&file)?;
            let (key, new) = admin.add_release_key(&maker, pem.as_bytes()).await?;
            output.result(&key, || {
                let words = if new { "are taken from now on" } else { "were taken before" };
                format!("Releases of \"{maker}\" signed with {} {words}.", hex::encode(key.sha256))
            });
        }
        Maker::ReleaseKeys => output.list(
            &admin.release_keys().await?,
            "There are no release keys: add one with `enroll-server maker release-key`.",
            ["Maker", "SHA-256 of the key", "Added"],
            |key| [key.maker.clone(), hex::encode(key.sha256), key.added.to_string()],
        ),
        Maker::RemoveReleaseKey { sha256 } => {
            admin.remove_release_key(sha256).await?;
            output.result(&json!({ "removed": hex::encode(sha256) }), || {
                "Nothing that this key signs is taken any more. `reference list` shows what it signed.".into()
            });
        }
        Maker::List => output.list(
            &admin.makers().await?,
            "There are no makers: add one with `enroll-server maker add`.",
            ["Name", "SHA-256 of its CA", "Added"],
            |maker| [maker.name.clone(), hex::encode(maker.sha256), maker.added.to_string()],
        ),
    }
    Ok(())
}

/// Longest file with certificates of a maker's CAs.
const MAX_CHAIN_FILE: usize = 64 * 1024;
