//! What lies on the device: files, state directory, trust, the identity in use and its key.

use agent_core::evidence::IdevidError;
use agent_core::platform::{Attester as _, SigningKey as _};
use doctor::{Cause, Finding, Report, Step};
use shared::{Reject, UnixTime};

use crate::config::Config;
use crate::in_use::{self, Broker, InUseError};
use crate::keystore::DeviceKey;
use crate::provision::{Provision, ProvisionError};
use crate::startup::{self, BUILT};
use crate::state_dir::{StateDir, StateDirError};
use crate::storage::FileStorage;

/// What was found, as far as servers can be asked with it.
#[derive(Debug, Default)]
pub(super) struct Device {
    /// Its identifier.
    pub(super) id: String,
    /// Trust anchors in force, in DER.
    pub(super) anchors: Vec<Vec<u8>>,
    /// The least that the time can be.
    pub(super) floor: UnixTime,
    /// The identity in use, with a key that signs.
    pub(super) identity: Option<Own>,
}

/// The identity in use.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) chain: Vec<Vec<u8>>,
    pub(super) key: DeviceKey,
    pub(super) broker: Broker,
}

impl Device {
    /// Looks at the device.
    pub(super) async fn look(config: &Config, now: UnixTime) -> (Self, Report) {
        let mut report = Report::new("this device");
        let mut device = Self { floor: BUILT, ..Self::default() };
        if let Err(finding) = Box::pin(device.files(config, now, &mut report)).await {
            report.fail(Step::Files, *finding);
        }
        if now < device.floor {
            let found = format!("it is {now} here");
            let expected = format!("a time after {}, which the agent knew before", device.floor);
            report
                .fail(Step::Clock, Finding::new(Cause::ClockWrong, "this machine's clock", found, expected));
        } else {
            report.pass(Step::Clock, now.to_string());
        }
        report.close(&[Step::Clock, Step::Files]);
        // The clock comes first, in the report and as verdict.
        report.findings.sort_by_key(|finding| finding.cause != Cause::ClockWrong);
        (device, report)
    }

    async fn files(
        &mut self,
        config: &Config,
        now: UnixTime,
        report: &mut Report,
    ) -> Result<(), Box<Finding>> {
        let provision = Provision::load(config).map_err(|error| Box::new(of_provision(&error)))?;
        // Without a state directory nothing was enrolled; trust is what was provisioned.
        let found = StateDir::look(&config.state_dir).map_err(|error| Box::new(of_state_dir(&error)))?;
        let path = config.state_dir.display().to_string();
        let Some(dir) = found else {
            self.anchors = doctor::files::bundle_anchors(provision.trust_bundle());
            report.pass(Step::Files, format!("provisioned: {} trusted CAs", self.anchors.len()));
            return Err(not_enrolled(&path, "no state directory"));
        };
        {
            let attester = provision.attester(&dir).map_err(|error| Box::new(of_provision(&error)))?;
            self.id = attester.device_id().as_str().to_owned();
        }
        let mut storage = FileStorage::new(dir);
        match in_use::anchors(&mut storage, provision.trust_bundle()).await {
            Ok(anchors) => self.anchors = anchors,
            Err(InUseError::Trust(error)) => {
                let expected = "a trust bundle of the enrollment server";
                let finding = Finding::new(Cause::FileUnknown, "trust bundle", error.to_string(), expected);
                return Err(Box::new(finding));
            }
            Err(error) => return Err(state(&path, &error.to_string())),
        }
        let status = startup::status(config).await.map_err(|error| state(&path, &error.to_string()))?;
        self.floor = self.floor.max(status.time_floor);
        let words = format!("device {}, {} trusted CAs", self.id, self.anchors.len());
        report.pass(Step::Files, words);
        if let Some(code) = status.last_refusal {
            let name =
                Reject::from_code(code).map_or_else(|| code.to_string(), |reject| reject.name().to_owned());
            let finding = Finding::new(Cause::EnrollmentRefused, "enrollment server", name, "a certificate");
            report.fail(Step::Files, finding);
        }
        let issued = match in_use::certificate(&mut storage).await {
            Ok(issued) => issued,
            Err(InUseError::NotEnrolled) => return Err(not_enrolled(&path, "no certificate")),
            Err(error) => return Err(state(&path, &error.to_string())),
        };
        let key = match in_use::key(&mut storage, &mut provision.key_store(), &issued).await {
            Ok(key) => key,
            Err(InUseError::Certificate(error)) => {
                let expected = "the key that the certificate was issued for";
                let subject = "the operational key";
                let finding = Finding::new(Cause::KeyMismatch, subject, error.to_string(), expected);
                return Err(Box::new(finding));
            }
            Err(InUseError::Key(error)) => return Err(key_unreadable(&error.to_string())),
            Err(error) => return Err(key_unreadable(&error.to_string())),
        };
        // Reading a key shows nothing yet about one in hardware: it has to sign.
        key.sign_digest(&[0; 32]).map_err(|error| key_unreadable(&error.to_string()))?;
        if let Some(leaf) = issued.leaf()
            && now >= issued.renew_at
            && now <= leaf.not_after()
        {
            report.notes.push(format!("the certificate is to be renewed since {}", issued.renew_at));
        }
        self.identity = Some(Own { chain: issued.chain, key, broker: issued.broker });
        if let Some(own) = &self.identity
            && let Some(leaf) = own.chain.first()
        {
            let purpose = doctor::chain::Purpose::Client;
            for finding in doctor::chain::judge_leaf("the device's certificate", leaf, purpose, now) {
                report.fail(Step::Files, finding);
            }
        }
        Ok(())
    }
}

fn state(path: &str, found: &str) -> Box<Finding> {
    Box::new(Finding::new(Cause::StateUnusable, path, found, "records that the agent wrote"))
}

fn not_enrolled(path: &str, found: &str) -> Box<Finding> {
    Box::new(Finding::new(Cause::NotEnrolled, path, found, "an operational certificate with its key"))
}

fn key_unreadable(found: &str) -> Box<Finding> {
    let expected = "a key that signs";
    Box::new(Finding::new(Cause::KeyUnreadable, "the operational key", found, expected))
}

fn of_state_dir(error: &StateDirError) -> Finding {
    let cause = match error {
        StateDirError::Open { .. } => Cause::KeyTooOpen,
        _ => Cause::StateUnusable,
    };
    Finding::new(
        cause,
        "the state directory",
        crate::cli::causes(error),
        "a directory of the agent's own, mode 0700",
    )
}

fn of_provision(error: &ProvisionError) -> Finding {
    let cause = match error {
        ProvisionError::Unreadable { what, .. } if what.contains("key") => Cause::KeyUnreadable,
        ProvisionError::Unreadable { .. } | ProvisionError::TooLong { .. } => Cause::FileMissing,
        ProvisionError::Open { .. } => Cause::KeyTooOpen,
        ProvisionError::Chain { .. } => Cause::CertificateUnreadable,
        ProvisionError::Idevid { source: IdevidError::OtherKey, .. }
        | ProvisionError::Claim { source: IdevidError::OtherKey, .. } => Cause::KeyMismatch,
        ProvisionError::Idevid { .. } | ProvisionError::Claim { .. } | ProvisionError::Dice { .. } => {
            Cause::CertificateUnreadable
        }
        ProvisionError::Key { .. } => Cause::KeyUnreadable,
        _ => Cause::FileUnknown,
    };
    Finding::new(
        cause,
        "what was provisioned",
        crate::cli::causes(error),
        "files as the configuration names them",
    )
}
