//! `broker`.

use core::time::Duration;
use std::path::Path;

use serde_json::json;

use super::args::{Broker, Global};
use super::failure::Failure;
use super::output::Output;
use super::{peers, with_config};
use crate::files;
use crate::rollover::broker_certificate;
use crate::tls_files::Files;

pub(super) fn run(global: &Global, command: Broker, output: &Output) -> Result<(), Failure> {
    match command {
        Broker::Certificate { names, out, lifetime } => certificate(global, &names, &out, lifetime, output),
        Broker::Config { product, broker, output: options } => {
            peers::broker(global, product, broker, options, output)
        }
    }
}

fn certificate(
    global: &Global,
    names: &[String],
    out: &Path,
    lifetime: Duration,
    output: &Output,
) -> Result<(), Failure> {
    with_config(global, async |admin, config| {
        let unwritable = |path: &Path| {
            let path = path.to_owned();
            move |source| Failure::Unwritable { path, source }
        };
        std::fs::create_dir_all(out).map_err(unwritable(out))?;
        let target = Files {
            certificate: out.join("broker.crt"),
            key: out.join("broker.key"),
            key_mode: 0o600,
            owner: None,
        };
        let store = admin.store();
        let made = broker_certificate(&config, store.as_ref(), &target, names, lifetime, admin.now()).await?;
        let authorities = out.join("authorities.pem");
        files::replace(&authorities, made.authorities.as_bytes(), 0o644).map_err(unwritable(&authorities))?;
        let value = json!({
            "certificate": target.certificate,
            "key": target.key,
            "authorities": authorities,
            "serial": made.made.serial.to_string(),
            "not_after": made.made.not_after.to_string(),
        });
        output.result(&value, || {
            format!(
                "{} is for {} and ends at {}; its key is in {}.\n\
                 {} holds the CAs by which the broker verifies devices.",
                target.certificate.display(),
                names.join(", "),
                made.made.not_after,
                target.key.display(),
                authorities.display()
            )
        });
        Ok(())
    })
}
