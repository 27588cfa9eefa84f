//! How the device proves what it is: which fields go together, and which way wins.

use shared::tpm2::MAX_PCRS;
use shared::{DeviceId, limits};
use zeroize::Zeroizing;

use super::super::error::{ConfigError, Origin, Problem};
use super::super::fields::TOKEN_VARIABLE;
use super::super::layers::{Located, Value};
use super::super::{Identity, TokenSource, Tpm};
use super::{Reader, describe};
use crate::provision::ServiceCommand;
use tpm_client::EkKind;

impl Reader {
    pub(super) fn identity(&mut self, token: Option<Zeroizing<String>>) -> Option<Identity> {
        let certificate = self.path("identity.certificate");
        let key = self.path("identity.key");
        let rule = "1 to 48 letters, digits, '.' and '-', a letter or digit at either end";
        let device = self.text("identity.device", rule, |text| DeviceId::new(text).is_ok());
        let device = device.and_then(|text| DeviceId::new(&text).ok());
        let token_file = self.path("identity.token_file");
        let given = |reader: &Self, key: &str| reader.values.contains_key(key);
        let by_idevid = given(self, "identity.certificate") || given(self, "identity.key");
        let tpm = self.tpm(device.clone());
        let dice = (self.path("identity.dice_certificate"), self.path("identity.dice_key"));
        if given(self, "identity.dice_certificate") || given(self, "identity.dice_key") {
            let others = ["identity.device", "identity.tpm", "identity.psa_command"];
            let others = others.iter().any(|key| given(self, key));
            if by_idevid || others || token_file.is_some() || token.is_some() {
                self.combination(
                    "identity",
                    "dice_certificate and dice_key say which device it is; drop certificate, key, device and the like",
                );
                return None;
            }
            self.require("identity.dice_certificate");
            self.require("identity.dice_key");
            return Some(Identity::Dice { certificate: dice.0?, key: dice.1? });
        }
        if given(self, "identity.tpm") {
            if by_idevid || token_file.is_some() || token.is_some() {
                self.combination(
                    "identity",
                    "give one of certificate and key (an IDevID), device and token, or device and tpm",
                );
                return None;
            }
            return tpm;
        }
        let psa = self.psa(device.clone());
        if given(self, "identity.psa_command") {
            if by_idevid || token_file.is_some() || token.is_some() {
                self.combination(
                    "identity",
                    "give one of certificate and key (an IDevID), device and token, or device and psa_command",
                );
                return None;
            }
            return psa;
        }
        if ["identity.symmetric_key", "identity.claim_certificate", "identity.claim_key"]
            .iter()
            .any(|key| given(self, key))
        {
            if by_idevid || token_file.is_some() || token.is_some() {
                self.combination(
                    "identity",
                    "give one of certificate and key (an IDevID), device and token, device and symmetric_key, or \
                     device, claim_certificate and claim_key",
                );
                return None;
            }
            return self.handed_out(device);
        }
        let by_token = given(self, "identity.device") || given(self, "identity.token_file");
        match (by_idevid, by_token) {
            (true, true) => {
                self.combination(
                    "identity",
                    "give either certificate and key (an IDevID) or device and token, not both",
                );
                None
            }
            (true, false) => {
                self.require("identity.certificate");
                self.require("identity.key");
                Some(Identity::Idevid { certificate: certificate?, key: key? })
            }
            (false, true) => {
                self.require("identity.device");
                let source = match (token_file, token) {
                    (Some(_), Some(_)) => {
                        self.combination(
                            "identity.token_file",
                            "AGENT_IDENTITY_TOKEN is set as well; drop one",
                        );
                        None
                    }
                    (Some(file), None) => Some(TokenSource::File(file)),
                    (None, Some(token)) => self.token(token),
                    (None, None) => {
                        self.require("identity.token_file");
                        None
                    }
                };
                Some(Identity::Token { device: device?, token: source? })
            }
            (false, false) => {
                self.combination(
                    "identity",
                    "give certificate and key (an IDevID), device and token_file (a one-time token), device and \
                     tpm or psa_command, or dice_certificate and dice_key",
                );
                None
            }
        }
    }

    /// Reads the fields of a TPM; complete only where there is one.
    fn tpm(&mut self, device: Option<DeviceId>) -> Option<Identity> {
        let path = self.path("identity.tpm");
        let endorsement_key = match self.choice("identity.tpm_endorsement_key") {
            Some(1) => EkKind::P256,
            _ => EkKind::Rsa2048,
        };
        let certificates = self.path("identity.tpm_certificates");
        let registers = self.registers();
        let event_log = self.path("identity.tpm_event_log");
        let path = path?;
        self.require("identity.device");
        if self.values.contains_key("export.directory") {
            self.combination(
                "export.directory",
                "a key in the TPM cannot be exported; drop export.directory or identity.tpm",
            );
        }
        let tpm = Tpm { device: device?, path, endorsement_key, certificates, registers, event_log };
        Some(Identity::Tpm(tpm))
    }

    fn registers(&mut self) -> Vec<u8> {
        const KEY: &str = "identity.tpm_registers";
        let Some(Located { value, .. }) = self.values.get(KEY).cloned() else { return vec![0, 2, 4, 7] };
        let registers: Option<Vec<u8>> = match &value {
            Value::List(list) if !list.is_empty() => list
                .iter()
                .map(|item| match item {
                    Value::Integer(number) => u8::try_from(*number).ok(),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        let is_register = |register: &u8| usize::from(*register) < MAX_PCRS;
        match registers {
            Some(registers) if registers.iter().all(is_register) => registers,
            _ => {
                self.expected(KEY, "a list of registers from 0 to 23", &describe(&value));
                Vec::new()
            }
        }
    }

    /// Reads the fields of a PSA attestation service; complete only where there is one.
    fn psa(&mut self, device: Option<DeviceId>) -> Option<Identity> {
        const KEY: &str = "identity.psa_command";
        let certificate = self.path("identity.psa_certificate");
        let timeout = self.duration("identity.psa_timeout", 10, 1..=60);
        let (program, arguments) = self.command(KEY)?;
        self.require("identity.device");
        let service = ServiceCommand { program, arguments, timeout };
        Some(Identity::Psa { device: device?, service, certificate })
    }

    /// A symmetric key, or a claim certificate with its key.
    fn handed_out(&mut self, device: Option<DeviceId>) -> Option<Identity> {
        self.require("identity.device");
        let symmetric = self.path("identity.symmetric_key");
        let certificate = self.path("identity.claim_certificate");
        let claim_key = self.path("identity.claim_key");
        match (symmetric, certificate, claim_key) {
            (Some(key), None, None) => Some(Identity::Symmetric { device: device?, key }),
            (Some(_), _, _) => {
                self.combination("identity", "give either symmetric_key or a claim certificate, not both");
                None
            }
            (None, certificate, key) => {
                self.require("identity.claim_certificate");
                self.require("identity.claim_key");
                Some(Identity::Claim { device: device?, certificate: certificate?, key: key? })
            }
        }
    }

    fn token(&mut self, token: Zeroizing<String>) -> Option<TokenSource> {
        if token.is_empty() || token.len() > limits::MAX_TOKEN {
            let expected = format!("a token of 1 to {} characters", limits::MAX_TOKEN);
            let origin = Origin::Variable(TOKEN_VARIABLE.to_owned());
            let problem = Problem::Expected { expected, found: format!("{} characters", token.len()) };
            self.errors.push(ConfigError { origin, field: "identity.token".to_owned(), problem });
            return None;
        }
        Some(TokenSource::Text(token))
    }
}
