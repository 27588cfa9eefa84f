//! `ca status`, `ca rollover`, `ca trust-bundle` and `ca publish-bundle`.

use std::path::Path;

use ca::CaCertificate;
use ca::bundle::BundleError;
use ca::hierarchy::ISSUING_LIFETIME;
use ca::trust_chain::TrustChain;
use serde_json::json;

use super::super::args::{CaStatus, Global, Rollover, Signer, Start, TrustBundle, page};
use super::super::failure::Failure;
use super::super::output::{Output, more, or_dash};
use super::super::with_config;
use crate::clock::{Clock as _, SystemClock};
use crate::files;
use crate::rollover::{
    self, NewCa, Order, OrderOptions, SignerError, SignerOptions, StartOptions, Status, open_signer,
};
use crate::startup::{LoadError, ca_certificate, read_file};

pub(super) fn status(global: &Global, asked: CaStatus, output: &Output) -> Result<(), Failure> {
    with_config(global, async |admin, _| {
        let found =
            rollover::status(admin.store().as_ref(), page(asked.after, asked.limit), admin.now()).await?;
        show(&found, output);
        Ok(())
    })
}

fn show(status: &Status, output: &Output) {
    let mut text = String::from("Issuing CAs:\n");
    for ca in &status.issuing_cas {
        let role = ca.role.map(|role| format!(", {role}")).unwrap_or_default();
        text += &format!(
            "  {} {} ends {}: {} live certificates{role}\n",
            ca.number, ca.subject, ca.not_after, ca.live
        );
    }
    if let Some(bundle) = &status.trust_bundle {
        text += &format!("Trust bundle {} with {}\n", bundle.number, bundle.roots.join(" and "));
    }
    for (number, devices) in &status.spread.trust {
        let held = number.map_or_else(|| "no bundle yet".to_owned(), |number| format!("bundle {number}"));
        text += &format!("  {devices} devices have confirmed {held}\n");
    }
    match &status.rollover {
        None => text += "There was no rollover yet.",
        Some(rollover) => {
            text += &format!(
                "Rollover {}: {}, since {}",
                rollover.number,
                rollover.step.name(),
                rollover.changed
            );
        }
    }
    if let Some(standing) = &status.standing {
        text += &format!(
            "\n  {} living devices: {} have not confirmed the trust bundle, {} have a certificate of the old CA",
            standing.living, standing.unconfirmed, standing.unmoved
        );
    }
    let below = more(status.unmoved.next.as_ref());
    output.table(
        status,
        &status.unmoved.devices,
        &text.clone(),
        ["Device", "Trust bundle", "Confirmed", "Missing"],
        |device| {
            let missing = match (device.unconfirmed, device.old_certificate) {
                (true, true) => "trust bundle, certificate",
                (true, false) => "trust bundle",
                (false, _) => "certificate",
            };
            [device.device.clone(), or_dash(device.trust), or_dash(device.trust_at), missing.to_owned()]
        },
        Some(below.map_or_else(|| text.clone(), |below| format!("{below}\n{text}"))),
    );
}

pub(super) fn run(global: &Global, command: Rollover, output: &Output) -> Result<(), Failure> {
    match command {
        Rollover::Start(asked) => start(global, *asked, output),
        Rollover::Switch { force } => order(global, Order::Switch, force, SignerOptions::default(), output),
        Rollover::Retire { force, signer } => order(global, Order::Retire, force, signer.read(), output),
        Rollover::Abort { signer } => order(global, Order::Abort, false, signer.read(), output),
    }
}

impl Signer {
    fn read(self) -> SignerOptions {
        SignerOptions { key: self.trust_signer, passphrase_file: self.passphrase_file, bundle: self.bundle }
    }
}

fn start(global: &Global, asked: Start, output: &Output) -> Result<(), Failure> {
    let passphrase_file = asked.signer.passphrase_file.clone();
    let new = match asked.issuing_certificate {
        Some(issuing) => {
            let key = match (&asked.issuing_key, &asked.issuing_key_settings) {
                (Some(path), _) => {
                    let absolute = |path: &Path| {
                        let unreadable = |source| Failure::Unreadable { path: path.to_owned(), source };
                        Ok::<_, Failure>(json!(std::path::absolute(path).map_err(unreadable)?).to_string())
                    };
                    let mut key = format!("key_file = {}\n", absolute(path)?);
                    if let Some(file) = &passphrase_file {
                        key += &format!("passphrase_file = {}\n", absolute(file)?);
                    }
                    key
                }
                (None, Some(path)) => super::super::read(path)?,
                (None, None) => {
                    let what = "key for the new issuing CA: give --issuing-key or --issuing-key-settings";
                    return Err(Failure::Nothing { what: what.to_owned() });
                }
            };
            NewCa::Imported {
                root: asked.root,
                issuing,
                key,
                crosses: asked.cross,
                root_list: asked.root_crl,
            }
        }
        None => NewCa::Made {
            new_root: !asked.same_root,
            root_key: asked.root_key,
            encrypt: asked.encrypt_keys,
            passphrase_file,
            lifetime: asked.lifetime.unwrap_or(ISSUING_LIFETIME),
        },
    };
    let options = StartOptions { new, no_cross: asked.no_cross, signer: asked.signer.read() };
    with_config(global, async |admin, config| {
        let started = rollover::start(&config, admin.store().as_ref(), &options, admin.now()).await?;
        let value = json!({
            "rollover": started.number,
            "issuing_ca": started.plan.issuing.subject(),
            "root": started.plan.root_after().subject(),
            "cross_certificates": started.plan.crosses.len(),
            "trust_bundle": started.bundle,
            "folder": started.folder,
            "root_crl": started.root_list,
        });
        output.result(&value, || {
            let mut text = format!(
                "Rollover {} is prepared: {} is to take the place of {}.\n",
                started.number,
                started.plan.issuing.subject(),
                started.plan.old_issuing.subject()
            );
            if let Some(folder) = &started.folder {
                text += &format!("Keys and certificates are in {}; ", folder.display());
                text += "keep root-ca.key somewhere else, where it is there: the server does not need it. With copies of \
                         root-ca.crt and root-ca.crl.pem beside it, `ca root-crl` makes the root's next revocation list.\n";
            }
            if let Some(list) = &started.root_list {
                text += &format!(
                    "The new root's revocation list is published from {}: put the next one there.\n",
                    list.display()
                );
            }
            match started.bundle {
                Some(bundle) => text += &format!("Devices are given trust bundle {bundle} with both roots.\n"),
                None => text += "The root stays, and so does the trust bundle.\n",
            }
            if let (Some(folder), Some(_)) = (&started.folder, &config.postgres) {
                text += &format!(
                    "With several servers, copy {} with its owner to the same path on each of them, without root-ca.key, before the \
                     switch: one without it is not ready until then, and signs nothing after the switch.\n",
                    folder.display()
                );
            }
            text + "Give authorities.pem to brokers elsewhere. Then watch `ca status`, and `ca rollover switch`."
        });
        Ok(())
    })
}

fn order(
    global: &Global,
    order: Order,
    force: bool,
    signer: SignerOptions,
    output: &Output,
) -> Result<(), Failure> {
    let options = OrderOptions { order, force, signer };
    with_config(global, async |admin, config| {
        let left_behind = rollover::take(&config, admin.store().as_ref(), &options, admin.now()).await?;
        let value = json!({ "order": order.name(), "left_behind": left_behind });
        output.result(&value, || {
            let done = match order {
                Order::Switch => {
                    "The new CA signs from now on. Have devices renew; then `ca rollover retire`."
                }
                Order::Retire => "The old CA is retired. Give authorities.pem to brokers elsewhere.",
                Order::Abort => "The rollover is given up; the old CA goes on.",
            };
            match left_behind {
                0 => done.to_owned(),
                left => format!("{done}\n{left} devices are left behind: `ca status` names them."),
            }
        });
        Ok(())
    })
}

/// Signs the next trust bundle where its key is: needs no server, no settings, no database.
pub(super) fn trust_bundle(asked: &TrustBundle, output: &Output) -> Result<(), Failure> {
    let chain = TrustChain::begin(&read_file(&asked.after)?);
    let before = match chain {
        Ok(chain) => chain.newest().clone(),
        // A bundle that hands over to another key is not signed by the one it names.
        Err(_) => ca::trust_chain::Link::unverified(&read_file(&asked.after)?).map_err(BundleError::from)?,
    };
    let passphrase_file = asked.passphrase_file.as_deref();
    let signer = open_signer(&asked.signer, passphrase_file)?;
    if signer.public_point() != before.signer() {
        return Err(SignerError::OtherKey { path: asked.signer.clone() }.into());
    }
    let next = asked.next_signer.as_deref().map(|path| open_signer(path, passphrase_file)).transpose()?;
    let roots: Vec<CaCertificate> =
        asked.roots.iter().map(|path| ca_certificate(path)).collect::<Result<_, LoadError>>()?;
    let number = before.number().saturating_add(1);
    let next_point = next.as_ref().unwrap_or(&signer).public_point();
    let signed = signer.sign(number, SystemClock.now(), &roots.iter().collect::<Vec<_>>(), next_point)?;
    let unwritable = |source| Failure::Unwritable { path: asked.out.clone(), source };
    files::create_whole(&asked.out, &signed, 0o644).map_err(unwritable)?;
    let value = json!({ "file": asked.out, "number": number, "roots": roots.len() });
    output.result(&value, || format!("{} is trust bundle {number}.", asked.out.display()));
    Ok(())
}

pub(super) fn publish(global: &Global, files: &[std::path::PathBuf], output: &Output) -> Result<(), Failure> {
    with_config(global, async |admin, _| {
        let number = rollover::publish_bundles(admin.store().as_ref(), files, admin.now()).await?;
        output.result(&json!({ "trust_bundle": number }), || format!("Trust bundle {number} is out."));
        Ok(())
    })
}
