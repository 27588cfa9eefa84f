//! `ca root-ceremony`.

use serde_json::json;

use super::super::args::RootCeremony;
use super::super::failure::Failure;
use super::super::output::Output;
use super::{days, read_out};
use crate::ceremony::{RootFolder, RootOptions, fingerprint, make_root};
use crate::clock::{Clock as _, SystemClock};
use crate::startup::new_passphrase;

pub(super) fn run(options: RootCeremony, output: &Output) -> Result<(), Failure> {
    let RootCeremony { dir, tenant, years, passphrase_file, unencrypted } = options;
    let passphrase = match unencrypted {
        true => None,
        false => Some(new_passphrase(passphrase_file.as_deref(), &dir.join("root-ca.key"))?),
    };
    let options = RootOptions { directory: dir, tenant, lifetime: days(u64::from(years) * 365) };
    let made = make_root(&options, passphrase.as_ref(), SystemClock.now())?;
    let folder = RootFolder::open(&made.folder)?;
    let print = fingerprint(made.certificate.der());
    let not_after = made.certificate.validity().not_after;
    let value = json!({
        "folder": made.folder,
        "subject": made.certificate.subject(),
        "not_after": not_after.to_string(),
        "sha256_fingerprint": print,
        "encrypted": passphrase.is_some(),
    });
    output.result(&value, || {
        format!(
            "Made the root {subject}, good until {not_after}.\n\
             Its fingerprint (SHA-256), to be read out and written into the protocol:\n{print}\
             Its key lies {how} in {key}; it stays on this machine, and on copies in other places.\n\
             Carry root-ca.crt and root-ca.crl.pem from {folder} to the server, and there:\n  \
             openssl x509 -in root-ca.crt -noout -fingerprint -sha256\n  \
             enroll-server init --dir server --tenant {tenant} --offline-root root-ca.crt --root-crl root-ca.crl.pem",
            subject = made.certificate.subject(),
            print = read_out(&print),
            how = if passphrase.is_some() { "encrypted" } else { "IN THE CLEAR" },
            key = folder.key_file().display(),
            folder = made.folder.display(),
            tenant = options.tenant,
        )
    });
    Ok(())
}
