//! `doctor`: why mutual TLS fails, at a server or in files. Needs no settings and no database.

use std::io::IsTerminal as _;
use std::path::Path;

use ::doctor::files::{Basis, Item, bundle_anchors, examine, read};
use ::doctor::identity::{from_files, load, too_open};
use ::doctor::{Access, Cause, Diagnosis, Finding, Mqtt, Report, Step, Target, check, host_and_port};
use shared::UnixTime;

use super::args::Doctor;
use super::failure::Failure;
use super::output::Output;
use crate::clock::{Clock as _, SystemClock};

pub(super) fn run(options: &Doctor, output: &Output) -> Result<(), Failure> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let diagnosis = runtime.block_on(Box::pin(diagnose(options, SystemClock.now())));
    output.result(&diagnosis, || diagnosis.text(std::io::stdout().is_terminal()));
    if diagnosis.is_fine() { Ok(()) } else { Err(Failure::Told(1)) }
}

async fn diagnose(options: &Doctor, now: UnixTime) -> Diagnosis {
    let mut reports = Vec::new();
    let access = access(options);
    let mut files = Vec::new();
    let mut servers = Vec::new();
    for target in &options.targets {
        if Path::new(target).exists() {
            files.push(target);
        } else if let Some(server) = server(target, options.name.as_deref()) {
            servers.push(server);
        } else {
            let mut report = Report::new(target);
            let expected = "a file that is there, or HOST:PORT";
            report.fail(Step::Files, Finding::new(Cause::FileMissing, target, "no such file", expected));
            reports.push(report);
        }
    }
    reports.extend(look_at(&files, &access, options, now));
    if !servers.is_empty() {
        let access = by_default(access);
        for server in &servers {
            reports.push(check(server, &access, now).await);
        }
    }
    Diagnosis::new(reports)
}

/// The server that `target` names, where it does.
fn server(target: &str, name: Option<&str>) -> Option<Target> {
    let (host, port) = host_and_port(target).ok()?;
    let fits = !host.is_empty() && rustls::pki_types::ServerName::try_from(name.unwrap_or(host)).is_ok();
    fits.then(|| Target {
        title: "server".to_owned(),
        host: host.to_owned(),
        port,
        name: name.unwrap_or(host).to_owned(),
    })
}

fn access(options: &Doctor) -> Access {
    let mut access =
        Access { must_ask: options.cert.is_some() || options.mqtt.is_some(), ..Access::default() };
    for path in &options.ca {
        match load(path) {
            Ok(bytes) => {
                for item in read(&bytes) {
                    match item {
                        Item::Certificate(der) => access.anchors.push(der),
                        Item::Bundle(signed) => access.anchors.extend(bundle_anchors(&signed)),
                        _ => {}
                    }
                }
            }
            Err(finding) => access.files.push(finding),
        }
    }
    for path in &options.crl {
        match load(path) {
            Ok(bytes) => access.crls.extend(read(&bytes).into_iter().filter_map(Item::into_crl)),
            Err(finding) => access.files.push(finding),
        }
    }
    if let (Some(certificate), Some(key)) = (&options.cert, &options.key) {
        match from_files(certificate, key) {
            Ok(identity) => {
                access.known.extend(identity.cert.iter().skip(1).map(|der| der.to_vec()));
                access.identity = Some(identity);
            }
            Err(findings) => access.files.extend(findings),
        }
    }
    access.mqtt = options.mqtt.clone().map(|client_id| Mqtt {
        client_id,
        publish: options.publish.clone(),
        subscribe: options.subscribe.clone(),
        leave_out: None,
    });
    access
}

/// Without a CA of the operator's, those of this machine.
fn by_default(mut access: Access) -> Access {
    if access.anchors.is_empty() && access.files.is_empty() {
        let found = rustls_native_certs::load_native_certs();
        access.anchors.extend(found.certs.iter().map(|der| der.to_vec()));
    }
    access
}

fn look_at(paths: &[&String], access: &Access, options: &Doctor, now: UnixTime) -> Vec<Report> {
    let mut reports = Vec::new();
    let mut files = Vec::new();
    let mut open = Vec::new();
    for name in paths {
        let path = Path::new(name.as_str());
        match load(path) {
            Ok(bytes) => {
                let items = read(&bytes);
                let has_key = items.iter().any(|item| matches!(item, Item::Key(_)));
                open.push(if has_key { too_open(path) } else { None });
                files.push(((*name).clone(), items));
            }
            Err(finding) => {
                let mut report = Report::new(*name);
                report.fail(Step::Files, finding);
                reports.push(report);
            }
        }
    }
    let basis = Basis { anchors: &access.anchors, crls: &access.crls, name: options.name.as_deref(), now };
    for (mut report, open) in examine(&files, basis).into_iter().zip(open) {
        if let Some(finding) = open {
            report.fail(Step::Files, finding);
        }
        reports.push(report);
    }
    reports
}
