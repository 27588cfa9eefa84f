//! `ca sign`.

use serde_json::json;

use super::super::args::Sign;
use super::super::failure::Failure;
use super::super::output::Output;
use super::{days, read_out};
use crate::ceremony::{SignOptions, fingerprint, sign};
use crate::clock::{Clock as _, SystemClock};
use crate::startup::passphrase;

pub(super) fn run(options: Sign, output: &Output) -> Result<(), Failure> {
    let Sign { request, root, out, days: life, passphrase_file } = options;
    let options = SignOptions { root, request, out, lifetime: days(life) };
    let signed = sign(&options, |key| passphrase(passphrase_file.as_deref(), key), SystemClock.now())?;
    let (certificate, print) = (&signed.certificate, fingerprint(signed.certificate.der()));
    let key = fingerprint(&signed.key);
    let not_after = certificate.validity().not_after;
    let value = json!({
        "certificate": options.out,
        "subject": certificate.subject(),
        "serial": hex::encode(certificate.serial()),
        "not_after": not_after.to_string(),
        "key_sha256_fingerprint": key,
        "sha256_fingerprint": print,
    });
    output.result(&value, || {
        format!(
            "{out} is the certificate of {subject}, good until {not_after}.\n\
             It is for the key with this fingerprint; the server's operator has to have read out the same:\n{key}\
             The certificate's own fingerprint (SHA-256):\n{print}\
             Carry it to the server, and there:\n  \
             enroll-server --config FILE ca import {name}",
            out = options.out.display(),
            subject = certificate.subject(),
            key = read_out(&key),
            print = read_out(&print),
            name = options.out.file_name().unwrap_or_default().display(),
        )
    });
    Ok(())
}
