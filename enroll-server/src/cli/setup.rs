//! `init`.

use serde_json::json;

use super::args::Init;
use super::failure::Failure;
use super::output::Output;
use crate::clock::SystemClock;
use crate::startup::{
    Guard, InitError, InitOptions, OfflineRoot, TpmGuard, default_hosts, init_with, new_passphrase,
};

pub(super) fn init(options: Init, output: &Output) -> Result<(), Failure> {
    let hosts = if options.hosts.is_empty() { default_hosts() } else { options.hosts };
    let (encrypt, passphrase_file) = (options.encrypt_keys, options.passphrase_file);
    let offline_root =
        options.offline_root.map(|certificate| OfflineRoot { certificate, list: options.root_crl });
    let is_offline = offline_root.is_some();
    let tpm = options.tpm.map(|device| TpmGuard { device, auth_file: options.tpm_auth_file });
    let options = InitOptions {
        directory: options.dir,
        tenant: options.tenant,
        hosts,
        broker_host: options.broker_host,
        broker_port: options.broker_port,
        pen: options.pen,
    };
    let passphrase = match encrypt {
        true => Some(
            new_passphrase(passphrase_file.as_deref(), &options.directory.join("issuing-ca.key"))
                .map_err(InitError::from)?,
        ),
        false => None,
    };
    let report = init_with(&options, &Guard { passphrase, tpm, offline_root }, &SystemClock)?;
    let value = json!({
        "config": report.config,
        "trust_bundle": report.trust_bundle,
        "root_certificate": report.root_certificate,
        "admin_token": report.admin_token,
        "hosts": options.hosts,
    });
    output.result(&value, || {
        if is_offline {
            return format!(
                "Made a server for {tenant}, below the root that is kept elsewhere. It has no issuing CA yet.\n\
                 Keep trust-signer.key somewhere else: the server does not need it.\n\
                 Next:\n  \
                 enroll-server --config {config} ca csr",
                tenant = options.tenant,
                config = report.config.display(),
            );
        }
        format!(
            "Made a server for {tenant}, reached as {hosts}.\n\
             Provision devices with {bundle}.\n\
             Keep root-ca.key and trust-signer.key somewhere else: the server does not need them.\n\
             Next:\n  \
             enroll-server --config {config} maker add MAKER-CA.pem\n  \
             enroll-server --config {config} device import INVENTORY.csv\n  \
             enroll-server --config {config} serve",
            tenant = options.tenant,
            hosts = options.hosts.join(", "),
            bundle = report.trust_bundle.display(),
            config = report.config.display(),
        )
    });
    Ok(())
}
