//! `ca import`.

use serde_json::json;

use super::super::args::{Global, Import};
use super::super::failure::Failure;
use super::super::output::{Output, or_dash};
use super::read_out;
use crate::ceremony::{ImportOptions, fingerprint, import};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::startup::default_hosts;

pub(super) fn run(global: &Global, options: Import, output: &Output) -> Result<(), Failure> {
    let config = Config::load(&global.config)?;
    let hosts = if options.hosts.is_empty() { default_hosts() } else { options.hosts };
    let options = ImportOptions { certificate: options.certificate, root_list: options.root_crl, hosts };
    let imported = import(&config, &options, SystemClock.now())?;
    let certificate = &imported.certificate;
    let print = fingerprint(certificate.der());
    let not_after = certificate.validity().not_after;
    let value = json!({
        "issuing_certificate": config.files.issuing_certificate,
        "was_there": imported.was_there,
        "subject": certificate.subject(),
        "serial": hex::encode(certificate.serial()),
        "not_after": not_after.to_string(),
        "sha256_fingerprint": print,
        "server_certificate": imported.server_certificate,
    });
    output.result(&value, || {
        format!(
            "{subject} issues from now on, until {not_after}{there}.\n\
             Its certificate's fingerprint (SHA-256):\n{print}\
             Certificate of the HTTPS listener that was made: {server}\n\
             Next: enroll-server --config {config} serve",
            subject = certificate.subject(),
            there = if imported.was_there { "; its certificate was in place already" } else { "" },
            print = read_out(&print),
            server = or_dash(imported.server_certificate.as_ref().map(|path| path.display())),
            config = global.config.display(),
        )
    });
    Ok(())
}
