//! A device on the Linux daemon's stack, in-process: what `agent run` and `agent enroll` do.

use core::time::Duration;
use std::sync::Arc;

use agent::config::{
    Config, Export, Firmware, Identity, Log, Measurement, MeasurementSource, Server, Timeouts,
};
use agent::provision::ServiceCommand;
use agent::startup::{Surroundings, Tap};
use agent_core::flow::Control;
use shared::evidence::DebugStatus;

use super::{Behaviour, DeviceError, DeviceSpec, Job};
use crate::factory::Evidence;

pub(super) async fn run(
    spec: &DeviceSpec,
    behaviour: &Behaviour,
    control: Arc<Control>,
    tap: Tap,
) -> Result<(), DeviceError> {
    let config = config(spec, behaviour)?;
    let failed = |error| DeviceError::Linux(Box::new(error));
    match behaviour.job {
        Job::Run => {
            let surroundings =
                Surroundings { pace: behaviour.pace, tap: Some(tap), ..Surroundings::default() };
            agent::run_with(&config, control, surroundings).await.map_err(failed)
        }
        Job::Enroll => agent::enroll(&config, &control).await.map(|_status| ()).map_err(failed),
    }
}

fn config(spec: &DeviceSpec, behaviour: &Behaviour) -> Result<Config, DeviceError> {
    let settings = &spec.settings;
    let mut measurements = Vec::new();
    // The certificates of a DICE device say themselves what was measured.
    let said = settings.firmware.measurement.iter().filter(|_| settings.evidence != Evidence::Dice);
    for measurement in said {
        let digest = hex::decode(&measurement.digest).ok().and_then(|bytes| bytes.try_into().ok());
        let form = || DeviceError::Form { path: spec.file("device.toml"), expected: "SHA-256 digests" };
        measurements.push(Measurement {
            component: measurement.component.clone(),
            version: measurement.version.clone(),
            source: MeasurementSource::Digest(digest.ok_or_else(form)?),
        });
    }
    Ok(Config {
        state_dir: spec.file("state"),
        trust_bundle: Some(spec.trust_bundle.clone()),
        server: Server { host: spec.server.host.clone(), port: spec.server.port },
        identity: identity(spec)?,
        firmware: Firmware {
            maker_number: settings.hardware.maker_number,
            model: settings.hardware.model.clone(),
            hardware_version: settings.hardware.version.clone(),
            name: settings.firmware.name.clone(),
            version: settings.firmware.version.clone(),
            debug: DebugStatus::Disabled,
            measurements,
        },
        telemetry_interval: behaviour.telemetry_interval,
        check_in: behaviour.pace.check_in,
        export: Some(Export { directory: spec.file("pem"), group_readable: false, owner: None }),
        hook: None,
        proxy: None,
        network: Timeouts::default(),
        log: Log::default(),
    })
}

/// A PSA token comes from this very program, as it would from a platform's tool.
fn identity(spec: &DeviceSpec) -> Result<Identity, DeviceError> {
    Ok(match spec.settings.evidence {
        Evidence::Idevid => {
            Identity::Idevid { certificate: spec.file("idevid.pem"), key: spec.file("idevid.key") }
        }
        Evidence::Symmetric => {
            Identity::Symmetric { device: spec.device_id()?, key: spec.file("device.key") }
        }
        Evidence::Claim => Identity::Claim {
            device: spec.device_id()?,
            certificate: spec.file("claim.pem"),
            key: spec.file("claim.key"),
        },
        Evidence::Dice => {
            let (certificate, key) = spec.leave_dice()?;
            Identity::Dice { certificate, key }
        }
        Evidence::Psa => {
            let folder = std::path::absolute(&spec.dir)
                .map_err(|source| DeviceError::Read { path: spec.dir.clone(), source })?;
            let folder = folder.to_str().ok_or_else(|| spec.form("", "files under a path of UTF-8"))?;
            let program = std::env::current_exe().map_err(DeviceError::Program)?;
            let arguments = ["psa-token", "--dir", folder].map(ToOwned::to_owned).to_vec();
            Identity::Psa {
                device: spec.device_id()?,
                service: ServiceCommand { program, arguments, timeout: Duration::from_secs(10) },
                certificate: Some(spec.file("iak.pem")),
            }
        }
    })
}
