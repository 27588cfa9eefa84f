//! Proof, against the running system, that those who should be refused are refused.

use core::time::Duration;
use std::sync::Arc;

use ca::crl::Reason;
use enroll_server::clock::{Clock as _, SystemClock};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use shared::{DeviceId, Reject};
use tokio::io::AsyncReadExt as _;
use tokio::sync::broadcast;
use tokio::time::{Instant, timeout};

use super::DemoError;
use super::crew::Crew;
use crate::broker::{Ended, Event};
use crate::device::{Behaviour, DeviceError, DeviceSpec, Job};
use crate::factory::Maker;
use crate::fleet::{Fleet, FleetOptions, What, chain};
use crate::stage::Stage;

/// How one scenario came out.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// Its stable name.
    pub(super) scenario: &'static str,
    /// Whether who should be refused was refused, for the right reason.
    pub(super) refused: bool,
    /// What happened.
    pub(super) detail: String,
}

/// Runs all scenarios, one after the other.
pub(super) async fn prove_all(
    stage: &Stage,
    crew: &Crew,
    behaviour: &Behaviour,
) -> Result<Vec<Proof>, DemoError> {
    Ok(vec![
        changed_firmware(stage, behaviour).await?,
        cloned_idevid(stage, behaviour).await?,
        unknown_maker(stage, behaviour).await?,
        no_client_certificate(stage).await?,
        revoked_while_connected(stage, crew).await?,
    ])
}

/// A device of the inventory whose application is not the one that the operator knows as good.
async fn changed_firmware(stage: &Stage, behaviour: &Behaviour) -> Result<Proof, DemoError> {
    let id = name("SN-CHANGED-FIRMWARE")?;
    let mut device = stage.stranger("changed-firmware", &id, &stage.lot.maker)?;
    let entry = format!("device,model,idevid_sha256\n{id},{},\n", stage.order.model);
    stage.server.admin().import_devices(&entry).await?;
    for measurement in &mut device.settings.firmware.measurement {
        if measurement.component == "application" {
            // One bit of the image would do; here it is another digest.
            measurement.digest = "bad0".repeat(16);
        }
    }
    let outcome = enroll(device, behaviour).await?;
    Ok(refused("changed_firmware", &outcome, Reject::FirmwareUnknown))
}

/// A second device with the identifier of the first, endorsed by the same maker, with a key of its own: all of
/// its evidence is good, and only the server's memory tells the two apart. The first device goes on working.
async fn cloned_idevid(stage: &Stage, behaviour: &Behaviour) -> Result<Proof, DemoError> {
    let Some(id) = stage.lot.devices.first() else { return Ok(no_devices("cloned_idevid")) };
    let device = stage.stranger("cloned-idevid", id, &stage.lot.maker)?;
    let outcome = enroll(device, behaviour).await?;
    let mut proof = refused("cloned_idevid", &outcome, Reject::IdentityConflict);
    let before = stage.observer.seen(id).telemetry;
    let goes_on = stage.observer.wait(id, PATIENCE, |seen| seen.telemetry > before).await.is_ok();
    proof.refused &= goes_on;
    proof.detail.push_str(if goes_on {
        "; the real device goes on"
    } else {
        "; the real device FELL SILENT"
    });
    Ok(proof)
}

/// A device with everything right but its maker.
async fn unknown_maker(stage: &Stage, behaviour: &Behaviour) -> Result<Proof, DemoError> {
    let maker = Maker::new("Unknown Devices", SystemClock.now())?;
    let id = name("SN-UNKNOWN-MAKER")?;
    let entry = format!("device,model,idevid_sha256\n{id},{},\n", stage.order.model);
    stage.server.admin().import_devices(&entry).await?;
    let outcome = enroll(stage.stranger("unknown-maker", &id, &maker)?, behaviour).await?;
    Ok(refused("unknown_maker", &outcome, Reject::UnknownMaker))
}

/// A client at the broker that believes the right CA and shows no certificate.
async fn no_client_certificate(stage: &Stage) -> Result<Proof, DemoError> {
    let mut ends = stage.broker.events();
    let told = match call_without_certificate(stage).await {
        Ok(()) => "it was let in".to_owned(),
        Err(error) => format!("the client was told: {error}"),
    };
    let at_broker = wait_end(&mut ends, |device, why| {
        device.is_none() && matches!(why, Ended::Handshake(reason) if reason.contains("no certificates"))
    });
    let refused = at_broker.await.is_some() && told.contains("CertificateRequired");
    Ok(Proof { scenario: "no_client_certificate", refused, detail: told })
}

async fn call_without_certificate(stage: &Stage) -> Result<(), std::io::Error> {
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(&stage.root).map_err(std::io::Error::other)?;
    roots.add(root).map_err(std::io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(std::io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
    let stream = tokio::net::TcpStream::connect(stage.broker.address()).await?;
    let calling = async {
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let mut stream = connector.connect(host, stream).await?;
        // In TLS 1.3 the client has finished before the server looks at its certificate.
        stream.read_u8().await.map(|_| ())
    };
    timeout(PATIENCE, calling).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// A device is revoked while it is connected: the broker cuts it within a second, refuses it when it comes back,
/// and the enrollment server gives it nothing any more.
async fn revoked_while_connected(stage: &Stage, crew: &Crew) -> Result<Proof, DemoError> {
    let scenario = "revoked_while_connected";
    let Some((place, id)) = stage.lot.devices.iter().enumerate().next_back() else {
        return Ok(no_devices(scenario));
    };
    let mut ends = stage.broker.events();
    let begun = Instant::now();
    stage.server.admin().revoke(id, Reason::KeyCompromise).await?;
    let cut = wait_end(&mut ends, |device, why| device == Some(id) && *why == Ended::Revoked).await;
    let Some(cut) = cut else {
        return Ok(Proof { scenario, refused: false, detail: "the broker did not cut the session".into() });
    };
    let dropped = cut.saturating_duration_since(begun);
    let refused_at_broker = wait_end(&mut ends, |device, why| {
        device.is_none() && matches!(why, Ended::Handshake(reason) if reason.contains("Revoked"))
    });
    let refused_at_broker = refused_at_broker.await.is_some();
    // The device has noticed, and was told the reason by the enrollment server.
    let told = crew.wait(PATIENCE, |tally| {
        tally.devices().get(place).is_some_and(|device| {
            device.lost.is_some_and(|lost| lost >= begun) && device.refusal == Some(Reject::DeviceRevoked)
        })
    });
    let refused_at_server = told.await;
    let refused = dropped < Duration::from_secs(1) && refused_at_broker && refused_at_server;
    let after = match (refused_at_broker, refused_at_server) {
        (true, true) => "refused after, by broker and server",
        (true, false) => "refused by the broker after, but NOT by the enrollment server",
        (false, true) => "refused by the server after, but did NOT come back to the broker",
        (false, false) => "NOT seen to be refused after",
    };
    let detail = format!("dropped after {} ms, {after}", dropped.as_millis());
    Ok(Proof { scenario, refused, detail })
}

/// How long a scenario may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Has one device enroll once; how that came out.
async fn enroll(device: DeviceSpec, behaviour: &Behaviour) -> Result<Result<(), DeviceError>, DemoError> {
    let behaviour = Behaviour { job: Job::Enroll, ..*behaviour };
    let (fleet, mut told) = Fleet::start(&[device], &FleetOptions::new(behaviour))?;
    let ending = async {
        while let Some(told) = told.recv().await {
            if let What::Ended(outcome) = told.what {
                return outcome;
            }
        }
        Err(DeviceError::Thread(std::io::Error::other("the device's thread ended without a word")))
    };
    let outcome = timeout(PATIENCE, ending).await.unwrap_or_else(|_| {
        let error = std::io::ErrorKind::TimedOut.into();
        Err(DeviceError::Thread(error))
    });
    fleet.finish(PATIENCE).await;
    Ok(outcome)
}

fn refused(scenario: &'static str, outcome: &Result<(), DeviceError>, expected: Reject) -> Proof {
    match outcome {
        Ok(()) => Proof { scenario, refused: false, detail: "it got an IDENTITY".into() },
        Err(error) => match error.refusal() {
            Some(reject) => Proof {
                scenario,
                refused: reject == expected,
                detail: format!("{} ({})", reject.name(), reject.code()),
            },
            None => Proof { scenario, refused: false, detail: chain(error) },
        },
    }
}

/// When the broker told of an end that is `wanted`; `None` where that did not come in time.
async fn wait_end(
    events: &mut broadcast::Receiver<Event>,
    wanted: impl Fn(Option<&DeviceId>, &Ended) -> bool,
) -> Option<Instant> {
    let waiting = async {
        loop {
            match events.recv().await {
                Ok(Event::Ended { device, why }) if wanted(device.as_ref(), &why) => {
                    return Some(Instant::now());
                }
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    };
    timeout(PATIENCE, waiting).await.ok().flatten()
}

fn name(text: &str) -> Result<DeviceId, DemoError> {
    Ok(DeviceId::new(text).map_err(crate::factory::FactoryError::from)?)
}

fn no_devices(scenario: &'static str) -> Proof {
    Proof { scenario, refused: false, detail: "there is no device".into() }
}
